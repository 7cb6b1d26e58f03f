"""The Compare tab: one picture and expression through every method, side by side."""

from dataclasses import dataclass
from typing import Any

import gradio as gr
import spaces
from PIL import Image

from wrapper.candidates import Box, iou, is_correct
from wrapper.draw import annotate
from wrapper.evaluation import compare as comparing
from wrapper.evaluation.methods import every
from wrapper.expressions import MAX_EXPRESSION, written
from wrapper.pipeline import AUTO
from wrapper.trace import explain
from wrapper.ui import common, models
from wrapper.ui.locate import Tab
from wrapper.ui.markdown import plain
from wrapper.ui.picture import PictureUpload

HEADERS = ["Method", "Pick", "LLM probability", "IoU with the true box", "How it came about", "ms"]
WIDTHS: list[str | int] = [190, 250, 120, 120, 220, 310]
"""Of the table's columns, in pixels, as in the other tabs."""
CANCELLED = "### Cancelled\nPress **Compare** to ask again."
HINT = "Each model alone, each with the LLM, and all with the LLM answer one question. A question in the Locate tab is brought along."
SLIDER = ("florence2", "florence2,gdrec+llm")


@dataclass(frozen=True)
class Shown:
    """What was compared, kept so that the slider can show any two. path and size: of the picture's file, in pixels."""

    path: str
    size: tuple[int, int]
    rows: list[comparing.Compared]
    truth: Box | None


def seconds(picture: Image.Image, expression: str, names: tuple[str, ...], adapter: str) -> int:
    """How long a GPU is asked for, at most: two models' looks, and the LLM's choices in a batch for each of up to four adapters."""
    return 6 * models.seconds_a_step()


@spaces.GPU(duration=seconds)  # type: ignore[untyped-decorator]
def _compare(picture: Image.Image, expression: str, names: tuple[str, ...], adapter: str) -> list[comparing.Compared]:
    with common.as_page_errors():
        wrapper = models.now().asked_by(names)
        methods = comparing.methods_with(wrapper, every(names), adapter)
        return comparing.say_unseen(comparing.compare_methods(wrapper, [picture], [expression], methods)[0])


@common.keep_page
def side_by_side(path: str | None, expression: str, adapter: str = AUTO, true_box: str = "") -> tuple[Any, ...]:
    """The page's Compare button. Arguments as `compare`'s."""
    return _compared(path, expression, adapter, true_box)


def compare(path: str | None, expression: str, adapter: str = AUTO, true_box: str = "") -> tuple[Any, ...]:
    """One picture and expression through each model alone, each with the LLM, and both with the LLM.

    Gives who agrees with whom in words, pictures, a table, the IoU of every pick with every other, everything as JSON, and
    the pictures of Florence-2 alone and of both with the LLM.

    Args:
        path: The picture.
        expression: Words that mean exactly one object, such as "the cup left of the green book".
        adapter: "auto", "zero-shot" or the name of an LLM adapter, for the methods with an LLM.
        true_box: "x1, y1, x2, y2" in pixels, where it is known; empty otherwise.
    """
    with common.as_page_errors():
        return _compared(path, expression, adapter, true_box)[:-1]


def _compared(path: str | None, expression: str, adapter: str, true_box: str | None) -> tuple[Any, ...]:
    picture, text = common.open_upload(path), written(expression or "")
    truth = common.read_box(true_box, picture.size)
    fitting = models.fitting(common.world_of_file(path))
    asked = (*fitting, "gd") if "gdrec" in fitting and "gd" in models.proposers() else fitting
    rows = _compare(picture, text, asked, adapter)
    names = [common.method_name(str(r.method)) for r in rows]
    pictures = [
        (annotate(common.open_shrunk(path), r.selection, truth, size=picture.size), _caption(name, r, truth))
        for name, r in zip(names, rows, strict=True)
    ]
    words = f"### “{plain(text)}”\n{plain(comparing.in_words(rows, names))}"
    shown = Shown(str(path), picture.size, rows, truth)
    facts = comparing.as_record(rows, text, picture.size)
    return words, pictures, table(rows, truth), matrix(rows), facts, slide(shown, *SLIDER), shown


def _caption(name: str, row: comparing.Compared, truth: Box | None) -> str:
    return name if truth is None else f"{'right' if is_correct(row.selection.box, truth) else 'wrong'}: {name}"


def table(rows: list[comparing.Compared], truth: Box | None) -> list[list[str]]:
    """A row a method."""
    out = []
    for r in rows:
        s = r.selection
        pick = "nothing" if s.chosen is None else f"{s.index}: {s.chosen.label} ({common.box_text(s.box)})"
        share = f"{s.probabilities[s.index]:.0%}" if s.probabilities and s.index is not None else ""
        overlap = "" if truth is None else f"{0.0 if s.box is None else iou(s.box, truth):.2f}"
        out.append([r.method.label(), pick, share, overlap, explain(s), common.times(s.timings_ms)])
    return out


def matrix(rows: list[comparing.Compared]) -> list[list[str]]:
    """IoU of every method's pick with every other's, numbered as the rows are."""
    return [
        [f"{i}: {row.method.label()}", *("" if v is None else f"{v:.2f}" for v in line)]
        for i, (row, line) in enumerate(zip(rows, comparing.agreement(rows), strict=True), 1)
    ]


@common.keep_page
def slide(shown: Shown | None, left: str, right: str) -> tuple[Image.Image, Image.Image] | None:
    """Two methods' pictures for the slider; for one that was not asked about this picture the first or the last of those that were."""
    if shown is None:
        return None
    picture, rows = common.open_shrunk(shown.path), {common.method_name(str(r.method)): r for r in shown.rows}
    ends = ((left, shown.rows[0]), (right, shown.rows[-1]))
    one, other = (annotate(picture, rows.get(common.method_name(n), end).selection, shown.truth, size=shown.size) for n, end in ends)
    return one, other


def cancelled(shown: Shown | None) -> str | Any:
    """What the page says after Cancel: a comparison that is there stays."""
    gr.Info("Stopped. What is shown stays.", duration=2)
    return CANCELLED if shown is None else gr.skip()


def take_over(path: str | None, expression: str, true_box: str, own: str | None) -> tuple[Any, ...] | Any:
    """The Locate tab's question, where this tab has no picture yet."""
    return (path, expression, true_box) if own is None and path is not None else gr.skip()


def build(tab: gr.Tab, other: Tab) -> gr.Dropdown:
    """Lay the tab out inside the current Blocks; gives the choice of adapters."""
    state = gr.State(None)
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300):
            picture = PictureUpload(
                label="Picture", type="filepath", sources=["upload", "clipboard", "webcam"], height=300, placeholder=common.PICTURE_HINT
            )
        with gr.Column(scale=5, min_width=300):
            expression = gr.Textbox(
                label="Referring expression", placeholder="the cup left of the green book", max_length=4 * MAX_EXPRESSION,
                info="Words that mean exactly one object.", lines=1, max_lines=3,
            )  # fmt: skip
            with gr.Row():
                adapter = gr.Dropdown(
                    common.adapter_choices(), value=AUTO, label="LLM adapter", info="For the four methods with an LLM.", min_width=140
                )
                truth = gr.Textbox(
                    label="True box, if you know it",
                    value="",
                    placeholder="left, top, right, bottom",
                    info="In pixels.",
                    max_length=100,
                    min_width=140,
                )
            with gr.Row():
                button = gr.Button("Compare", variant="primary", scale=2)
                cancel = gr.Button("Cancel", scale=1)
            words = gr.Markdown(HINT, label="Who agrees with whom", elem_id="agreement")
    pictures = gr.Gallery(label="Picks side by side", columns=4, object_fit="contain", height="auto", format="png", elem_id="sides")
    rows = gr.Dataframe(
        headers=HEADERS,
        label="What each method answers",
        interactive=False,
        wrap=True,
        column_widths=WIDTHS,
        max_height=800,
    )
    with gr.Accordion("Slide between two methods", open=True):
        with gr.Row(elem_id="sides-of-slider"):
            found = every(models.proposers())
            choices = [(common.method_name(name), name) for name in found]
            left = gr.Dropdown(
                choices,
                value=SLIDER[0] if SLIDER[0] in found else found[0],
                label="Left",
                info="What is seen left of the line.",
                min_width=140,
            )
            right = gr.Dropdown(
                choices,
                value=SLIDER[1] if SLIDER[1] in found else found[-1],
                label="Right",
                info="What is seen right of the line; drag it.",
                min_width=140,
            )
        slider = gr.ImageSlider(label="Left and right", format="png", interactive=False, elem_id="slider")
    with gr.Accordion("Who agrees with whom: IoU of the picks", open=False):
        overlaps = gr.Dataframe(
            headers=["", *map(str, range(1, 1 + len(found)))],
            interactive=False,
            wrap=True,
            label="IoU of every pick with every other",
        )
    with gr.Accordion("Everything as JSON", open=False):
        everything = gr.JSON(label="Everything as JSON", show_label=False)

    private: dict[str, Any] = {"api_visibility": "private"}
    asked, outputs = [picture, expression, adapter, truth], [words, pictures, rows, overlaps, everything, slider, state]
    run = gr.on(
        [button.click, expression.submit], side_by_side, asked, outputs, concurrency_limit=1, show_progress_on=[pictures], **private
    )
    gr.on([button.click, expression.submit], None, js=common.scroll_to("sides"), **private)
    # For programs: no session among the results, which the MCP server cannot take
    gr.Button(visible=False).click(compare, asked, outputs[:-1], api_name="compare", concurrency_limit=1)
    # The cancel first, as in the Locate tab
    gr.on([cancel.click], None, cancels=[run], **private).then(cancelled, [state], [words], **private)
    gr.on([left.input, right.input], slide, [state, left, right], [slider], **private)
    tab.select(take_over, [other.picture, other.expression, other.truth, picture], [picture, expression, truth], **private)
    return adapter
