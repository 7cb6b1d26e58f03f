"""The Locate tab: a picture and an expression in; boxes, the pick, and everything about it out."""

import json
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
import spaces
from PIL import Image

from wrapper.candidates import BY_HAND, Box, Candidate, Reason, Selection, Thresholds
from wrapper.draw import annotate
from wrapper.errors import DataError, ModelError
from wrapper.export import as_coco, as_csv, as_yolo
from wrapper.pipeline import AUTO, ENSEMBLE, Stage
from wrapper.scenes.dataset import draw_scene
from wrapper.scenes.expressions import CATEGORIES
from wrapper.selectors.shuffle import Agreement, shuffle_check
from wrapper.subject import MAX_EXPRESSION, check_expression
from wrapper.trace import trace
from wrapper.ui import common, models
from wrapper.ui.answer import HEADERS, Session, in_words, remarks, table
from wrapper.ui.picture import Picture

CHOICES = [("Florence-2", "florence2"), ("Grounding DINO (GDrec)", "gdrec")]
SELECT, TRUTH, ADD = "picks out a candidate", "marks the true box (two corners)", "adds a candidate (two corners)"
ORDERS = 10
WIDTHS: list[str | int] = [45, 105, 150, 70, 110, 180]
"""Of the table's columns, in pixels: on a phone it scrolls rather than breaks words."""
LINK = "Copy a link to this answer"
CANCELLED = "### Cancelled\nPress **Locate** to ask again."
HINT = "Choose an example or upload a picture, then press **Locate**."


Outputs = tuple[Image.Image, str, list[list[Any]], str, str, dict[str, Any], Session | None]


SECONDS_A_STEP = 8
"""Seconds a GPU is asked for each model's look at a picture or for one batch of the LLM; a guess for full-size models."""
REMEMBERED = 64
"""Questions whose answers are remembered, so that an example asked again costs no GPU time."""


def seconds(picture: Image.Image, expression: str, proposers: list[str], adapter: str) -> int:
    """How long a GPU is asked for, at most, to answer a question."""
    return (len(proposers) + 1) * SECONDS_A_STEP


def question(given: dict[str, Any]) -> tuple[Any, ...]:
    """What an answer depends on: what was asked, and the models that are loaded."""
    return given, models.now().serial


@gr.cache(key=question, max_size=REMEMBERED)  # type: ignore[untyped-decorator]
@spaces.GPU(duration=seconds)  # type: ignore[untyped-decorator]
def _stages(picture: Image.Image, expression: str, proposers: list[str], adapter: str) -> Iterator[Stage]:
    yield from models.now().wrapper.stages(picture, expression, proposers, adapter)


@spaces.GPU(duration=SECONDS_A_STEP)  # type: ignore[untyped-decorator]
def _choose(candidates: tuple[Candidate, ...], expression: str, size: tuple[int, int], proposers: list[str], adapter: str) -> Selection:
    wrapper = models.now().wrapper
    return wrapper.choose(candidates, expression, size, wrapper.selector_for(proposers, adapter))


@spaces.GPU(duration=2 * SECONDS_A_STEP)  # type: ignore[untyped-decorator]
def _shuffled(session: Session) -> Agreement:
    s, wrapper = session, models.now().wrapper
    selector = wrapper.selector_for(s.proposers, s.adapter)
    return shuffle_check(selector, s.selection.candidates, s.expression, s.size, s.selection.guess, ORDERS)


# ---- what the page asks for


def live(
    path: str | None,
    expression: str,
    proposers: list[str],
    adapter: str = AUTO,
    least_probability: float = 0.0,
    least_score: float = 0.0,
    true_box: str = "",
) -> Iterator[Outputs]:
    """The page's Locate button: first the page as proposers are done, then with the choice. Arguments as `locate`'s."""
    with common.told():
        text = check_expression(expression or "")
        picture = common.opened(path)
        if not proposers:
            raise ModelError("No model is chosen to propose boxes. Tick Florence-2, Grounding DINO or both.")
        truth = common.read_box(true_box, picture.size)
        order, least = [name for name in ENSEMBLE if name in proposers], Thresholds(least_probability, least_score)
        began = time.monotonic()
        for stage in _stages(picture, text, order, adapter):
            if stage.selection is None:
                yield _unfinished(picture, stage, order)
                continue
            session = Session(str(path), picture.size, text, tuple(order), adapter, least, stage.selection, truth)
            # An answer that came sooner than its own steps took was not worked out just now
            recalled = 1000 * (time.monotonic() - began) < sum(stage.timings_ms.values())
            yield view(replace(session, recalled=recalled), picture)


def locate(
    path: str | None,
    expression: str,
    proposers: list[str],
    adapter: str = AUTO,
    least_probability: float = 0.0,
    least_score: float = 0.0,
    true_box: str = "",
) -> tuple[Any, ...]:
    """Find the object that an expression means in a picture.

    Gives the annotated picture, the answer in words, the table of candidates, the text the LLM read, remarks on it, and
    everything as JSON (docs/trace.schema.json).

    Args:
        path: The picture.
        expression: Words that mean exactly one object, such as "the cup left of the green book".
        proposers: Who proposes boxes: "florence2", "gdrec" or both.
        adapter: "auto", "zero-shot" or the name of an LLM adapter.
        least_probability: Answer "not found" below this LLM probability; 0 to always answer.
        least_score: Answer "not found" where no detector's score is as high as this; 0 to always answer.
        true_box: "x1, y1, x2, y2" in pixels, where it is known; empty otherwise.
    """
    *_, last = live(path, expression, proposers, adapter, least_probability, least_score, true_box)
    return last[:-1]


def _unfinished(picture: Image.Image, stage: Stage, order: list[str]) -> Outputs:
    """The page while proposers or the LLM are still at work."""
    waiting = [common.NAMES[name] for name in order[order.index(stage.done) + 1 :]]
    done = ", ".join(f"{common.NAMES[n]} in {ms:.0f} ms" for n, ms in stage.timings_ms.items())
    then = f"{waiting[0]} is looking" if waiting else "The LLM is choosing"
    shown = Selection(stage.candidates, None, (), Reason.ABSTAINED if stage.candidates else Reason.NO_CANDIDATES)
    return (
        common.for_page(annotate(picture, shown)), f"### {then} …\n{len(stage.candidates)} boxes so far: {done}.", table(shown),
        "", "", {}, None,
    )  # fmt: skip


def view(session: Session, picture: Image.Image | None = None) -> Outputs:
    """Everything the page shows of a finished answer."""
    s = session
    image = annotate(picture or common.opened(s.path), s.selection, s.truth, s.marked)
    return (
        common.for_page(image), in_words(s), table(s.selection, s.marked), s.selection.prompt or "The LLM was not asked.", remarks(s),
        trace(s.selection, s.expression, s.size), session,
    )  # fmt: skip


def ask_again(session: Session | None, expression: str, adapter: str) -> Outputs:
    """Ask only the LLM, about the candidates as they are now."""
    with common.told():
        s, text = _have(session), check_expression(expression or "")
        return view(_asked(s, s.selection.candidates, text, adapter))


def delete_candidate(session: Session | None) -> Outputs:
    """Take the candidate that is pointed out from the list, and ask the LLM again."""
    with common.told():
        s = _have(session)
        if s.marked is None:
            raise DataError("No candidate is chosen. Press its row in the table or its box in the picture first.")
        rest = s.selection.candidates[: s.marked] + s.selection.candidates[s.marked + 1 :]
        return view(_asked(s, rest, s.expression, s.adapter))


def add_candidate(session: Session | None, label: str, box: str) -> Outputs:
    """Add a candidate of one's own, and ask the LLM again."""
    with common.told():
        s = _have(session)
        return view(_added(s, label, common.read_box(box, s.size)))


def _added(s: Session, label: str, box: Box | None) -> Session:
    words = " ".join(label.split())[:60]
    if box is None or not words:
        raise DataError("A candidate needs a label and a box. Write both, such as “cup” and “40, 60, 180, 220”.")
    return _asked(s, (*s.selection.candidates, Candidate(box, words, None, BY_HAND)), s.expression, s.adapter)


def _asked(s: Session, candidates: tuple[Candidate, ...], expression: str, adapter: str) -> Session:
    answered = _choose(candidates, expression, s.size, list(s.proposers), adapter)
    return replace(s, answered=answered, expression=expression, adapter=adapter, marked=None, corner=None, recalled=False)


def shuffle(session: Session | None) -> str:
    """Ask the LLM about the same list in other orders."""
    with common.told():
        s = _have(session)
        if s.answered.reason is not Reason.CHOSEN:
            raise DataError("The LLM was not asked here, so there is no order to shuffle. Try a picture with several candidates.")
        found = _shuffled(s)
        others = sorted(set(found.picks) - {s.selection.guess})
        rest = f" Other picks: {', '.join(map(str, others))}." if others else ""
        return f"The pick is the same in **{found.agree} of {len(found.picks)}** other orders of the list.{rest}"


def set_thresholds(session: Session | None, least_probability: float, least_score: float) -> Outputs | tuple[Any, ...]:
    """Apply other thresholds to the answer that is there; nothing is computed again."""
    if session is None:
        return tuple(gr.skip() for _ in range(7))
    with common.told():
        return view(replace(session, thresholds=Thresholds(least_probability, least_score)))


def set_truth(session: Session | None, true_box: str) -> Outputs | tuple[Any, ...]:
    """Compare the answer that is there with another true box."""
    if session is None:
        return tuple(gr.skip() for _ in range(7))
    with common.told():
        return view(replace(session, truth=common.read_box(true_box, session.size)))


def mark_row(session: Session | None, event: gr.SelectData) -> Outputs:
    """Point out the candidate of a row."""
    with common.told():
        s = _have(session)
        return view(replace(s, marked=_row(event.index, len(s.selection.candidates))))


def _row(index: Any, count: int) -> int | None:
    row = index[0] if isinstance(index, list | tuple) else index
    return int(row) if row is not None and int(row) < count else None


def click(session: Session | None, does: str, label: str, event: gr.SelectData) -> tuple[Any, ...]:
    """A click into the picture: point out the smallest candidate there, or set a corner of a box. Ends with the true box's text."""
    with common.told():
        s = _have(session)
        scale = max(1.0, max(s.size) / common.SHOWN_SIDE)
        x, y = min(event.index[0] * scale, s.size[0]), min(event.index[1] * scale, s.size[1])
        if does == SELECT:
            return (*view(replace(s, marked=smallest(s.selection.candidates, x, y))), common.box_text(s.truth))
        if s.corner is None:
            gr.Info("First corner set. Click the opposite corner.", duration=3)
            return (*view(replace(s, corner=(x, y))), common.box_text(s.truth))
        box = common.read_box(f"{min(x, s.corner[0])}, {min(y, s.corner[1])}, {max(x, s.corner[0])}, {max(y, s.corner[1])}", s.size)
        if does == ADD:
            return (*view(_added(replace(s, corner=None), label or "object", box)), common.box_text(s.truth))
        return (*view(replace(s, corner=None, truth=box)), common.box_text(box))


def smallest(candidates: tuple[Candidate, ...], x: float, y: float) -> int | None:
    """The smallest candidate under a point, None where there is none."""
    under = [i for i, c in enumerate(candidates) if c.box[0] <= x <= c.box[2] and c.box[1] <= y <= c.box[3]]
    return min(
        under, key=lambda i: (candidates[i].box[2] - candidates[i].box[0]) * (candidates[i].box[3] - candidates[i].box[1]), default=None
    )


def new_scene(category: str) -> tuple[str, str, str]:
    """Draw a RefScenes picture that no model has seen, with an expression and its true box."""
    seed = f"page/{random.getrandbits(64)}"
    scene = draw_scene(random.Random(seed), "test", seed, None if category == "any" else category)  # type: ignore[arg-type]
    file = common.scratch() / f"{common.SCENE_PREFIX}{seed.rsplit('/', 1)[-1]}.png"
    scene.picture().save(file)
    return str(file), scene.expression.text, common.box_text(scene.box)


def downloads(session: Session | None) -> list[str] | None:
    """The answer as files: annotated picture, trace, COCO, YOLO, CSV. Nothing of the uploaded file but its pixels is in them."""
    if session is None:
        return None
    s = session
    with common.told():
        picture = annotate(common.opened(s.path), s.selection, s.truth)
    folder = common.scratch()
    picture.save(folder / "annotated.png")
    texts = {
        "trace.json": json.dumps(trace(s.selection, s.expression, s.size), indent=1),
        "coco.json": json.dumps(as_coco(s.selection, s.expression, s.size, "picture.png"), indent=1),
        "yolo.txt": as_yolo(s.selection, s.size),
        "candidates.csv": as_csv(s.selection),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [str(folder / name) for name in ("annotated.png", *texts)]


def dropped(session: Session | None) -> Any:
    """What the page says when the question changes: an answer that is there stays, a run that is not done is dropped."""
    return HINT if session is None else gr.skip()


def _have(session: Session | None) -> Session:
    if session is None:
        raise DataError("There is no answer yet. Press Locate first.")
    return session


def example_rows() -> list[dict[str, Any]]:
    """The bundled examples."""
    file = common.EXAMPLES / "examples.json"
    return list(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else []


def example(number: str | None) -> tuple[str, str, str] | None:
    """Picture, expression and true box of an example by its number, as links name it (?example=3)."""
    rows = example_rows()
    if number is None or not number.isdigit() or int(number) >= len(rows):
        return None
    row = rows[int(number)]
    return str(common.EXAMPLES / row["image"]), row["expression"], common.box_text(row["bbox"] and tuple(row["bbox"]))


# ---- the page


@dataclass(frozen=True)
class Tab:
    """What other parts of the page use of this tab."""

    picture: gr.Image
    expression: gr.Textbox
    truth: gr.Textbox
    adapter: gr.Dropdown


def build(page: gr.Blocks) -> Tab:
    """Lay the tab out inside the current Blocks."""
    session = gr.State(None)
    remembered = gr.BrowserState([list(ENSEMBLE), AUTO, 0.0, 0.0], storage_key="llm-wrapper-settings", secret="settings are no secret")
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300):
            picture = Picture(
                label="Picture", type="filepath", sources=["upload", "clipboard", "webcam"], height=340, placeholder=common.PICTURE_HINT
            )
            expression = gr.Textbox(
                label="Referring expression", placeholder="the cup left of the green book", max_length=4 * MAX_EXPRESSION,
                info="Words that mean exactly one object.", lines=1, max_lines=3,
            )  # fmt: skip
            with gr.Row():
                button = gr.Button("Locate", variant="primary", scale=2, min_width=120)
                cancel = gr.Button("Cancel", scale=1, min_width=80)
            with gr.Row():
                scene = gr.Button("New scene", scale=1, min_width=120)
                category = gr.Dropdown(
                    ["any", *CATEGORIES], value="any", label="Kind of expression", info="A picture that no model has seen.", scale=2,
                    min_width=140,
                )  # fmt: skip
            with gr.Accordion("Settings", open=False):
                proposers = gr.CheckboxGroup(
                    CHOICES,
                    value=list(ENSEMBLE),
                    label="Who proposes boxes",
                    info="The vision-language models, frozen. Florence-2's boxes are blue, Grounding DINO's orange, your own pink.",
                )
                adapter = gr.Dropdown(
                    common.adapter_choices(), value=AUTO, label="LLM adapter", info="What the LLM was fine-tuned on; none is zero-shot."
                )
                score = gr.Slider(
                    0, 1, 0, step=0.05, label="Say “not found” below this detector score",
                    info="Of Grounding DINO's best box: whether there is anything of the kind. 0: always answer. Try 0.6.",
                )  # fmt: skip
                probability = gr.Slider(
                    0, 1, 0, step=0.05, label="Say “not found” below this LLM probability",
                    info="Of the picked object, whoever proposed it. 0: always answer.",
                )  # fmt: skip
                truth = gr.Textbox(
                    label="True box, if you know it", value="", placeholder="left, top, right, bottom",
                    info="In pixels; or click its corners.",
                    max_length=100,
                )  # fmt: skip
        with gr.Column(scale=5, min_width=300):
            shown = gr.Image(
                label="Candidates and pick", type="pil", format="png", height=380, interactive=False, buttons=["download", "fullscreen"],
                elem_id="shown",
            )  # fmt: skip
            words = gr.Markdown(HINT, elem_id="answer")
            does = gr.Radio(
                [SELECT, TRUTH, ADD],
                value=SELECT,
                label="A click into the picture",
                info="What a press on the picture above does.",
                elem_id="does",
            )
            rows = gr.Dataframe(
                headers=HEADERS,
                label="Candidates (press a row to see its box; probabilities are uncalibrated)",
                interactive=False,
                wrap=True,
                elem_id="rows",
                column_widths=WIDTHS,
            )
            with gr.Accordion("What the LLM read", open=False):
                about = gr.Markdown(elem_id="remarks")
                prompt = gr.Textbox(label="The exact text", lines=8, buttons=["copy"], interactive=False)
            with gr.Accordion("Change the list and ask again", open=False):
                gr.Markdown("Only the LLM runs again. Change the expression above, or the list here.")
                with gr.Row():
                    again = gr.Button("Ask again", min_width=100)
                    delete = gr.Button("Delete the chosen candidate", min_width=140)
                    check = gr.Button("Shuffle check", min_width=100)
                with gr.Row():
                    label = gr.Textbox(label="Label of a new candidate", info="One or two words.", max_length=60, min_width=120)
                    box = gr.Textbox(
                        label="Its box", placeholder="left, top, right, bottom", info="In pixels.", max_length=100, min_width=140
                    )
                    add = gr.Button("Add", min_width=60)
                checked = gr.Markdown(elem_id="shuffled")
            with gr.Accordion("Downloads", open=False):
                files = gr.Files(label="Annotated picture, trace, COCO, YOLO, CSV", interactive=False)
            with gr.Accordion("Everything as JSON", open=False):
                everything = gr.JSON(show_label=False)
            gr.DeepLinkButton(LINK, "Copied", size="sm")
    # Below both columns, so that on a phone the answer stands right under the button.
    found = example_rows()
    gr.Examples(
        [[str(common.EXAMPLES / r["image"]), r["expression"], common.box_text(r["bbox"] and tuple(r["bbox"]))] for r in found],
        [picture, expression, truth], label="Examples: RefScenes pictures that no model has seen", examples_per_page=12,
        example_labels=[f"{r['category']}: {r['expression']}" for r in found],
    )  # fmt: skip

    outputs = [shown, words, rows, prompt, about, everything, session]
    chosen = [proposers, adapter, probability, score]
    asked = [picture, expression, *chosen, truth]
    private: dict[str, Any] = {"api_visibility": "private"}
    answering = private | {"show_progress_on": [shown]}  # and not on every part of the answer
    run = gr.on([button.click, expression.submit], live, asked, outputs, concurrency_limit=1, **answering)
    # For programs: no session among the results, which the MCP server cannot take
    gr.Button(visible=False).click(locate, asked, outputs[:-1], api_name="locate", concurrency_limit=1)
    changes = [
        run,
        again.click(ask_again, [session, expression, adapter], outputs, **answering),
        delete.click(delete_candidate, [session], outputs, **answering),
        add.click(add_candidate, [session, label, box], outputs, **answering),
        gr.on(
            [probability.input, score.input],
            set_thresholds,
            [session, probability, score],
            outputs,
            trigger_mode="always_last",
            **answering,
        ),
        truth.submit(set_truth, [session, truth], outputs, **answering),
        shown.select(click, [session, does, label], [*outputs, truth], **answering),
    ]
    rows.select(mark_row, [session], outputs, **answering)
    for change in changes:
        change.then(downloads, [session], [files], **private)
    check.click(shuffle, [session], [checked], **private)
    # Gradio cancels only after the listener's own function has answered, by when another run may have begun: so cancel first
    gr.on([cancel.click], None, cancels=[run], **private).then(lambda: CANCELLED, None, [words], queue=False, **private)
    dropping = [picture.change, expression.change, proposers.input, adapter.input, truth.input]
    gr.on(dropping, None, cancels=[run], **private).then(dropped, [session], [words], queue=False, **private)
    drawn = gr.on([scene.click], None, cancels=[run], **private).then(new_scene, [category], [picture, expression, truth], **private)
    asked_of_scene = drawn.then(live, asked, outputs, concurrency_limit=1, **answering)
    asked_of_scene.then(downloads, [session], [files], **private)
    # What the scene itself writes into the inputs is no `input`, so that it does not drop its own question
    other = [picture.input, expression.input, proposers.input, adapter.input, truth.input, button.click, cancel.click]
    gr.on(other, None, cancels=[asked_of_scene], **private)
    gr.on(
        [proposers.input, adapter.input, probability.input, score.input], lambda *values: list(values), chosen, [remembered],
        queue=False, trigger_mode="always_last", **private,
    )  # fmt: skip
    restored = page.load(restore, [remembered], [*chosen, picture, expression, truth], **private)
    reopened = restored.then(reopen, asked, outputs, concurrency_limit=1, show_progress="hidden", **private)
    reopened.then(downloads, [session], [files], show_progress="hidden", **private)
    return Tab(picture, expression, truth, adapter)


def restore(remembered: list[Any], request: gr.Request) -> tuple[Any, ...]:
    """The settings of the last visit or of the link, and the example that the link names."""
    if "deep_link" in request.query_params:
        return tuple(gr.skip() for _ in range(7))
    named = example(request.query_params.get("example"))
    proposers, adapter, *least = settings(remembered, request.query_params)
    return (proposers, common.adapter_choice(adapter), *least, *(named or (gr.skip(), gr.skip(), gr.skip())))


def reopen(request: gr.Request, path: str | None, *others: Any) -> Iterator[Outputs | tuple[Any, ...]]:
    """The answer that a copied link names, asked again, so that it can be worked with. Arguments as `locate`'s."""
    if "deep_link" not in request.query_params or path is None:
        yield tuple(gr.skip() for _ in range(7))
    else:
        yield from live(path, *others)


def settings(remembered: list[Any], link: Mapping[str, str]) -> tuple[list[str], str, float, float]:
    """Proposers, adapter and thresholds: the link's (?proposers=gdrec&adapter=zero-shot&probability=0.3&score=0.6) before
    those of the last visit, and the page's own for what makes no sense."""
    proposers, adapter, *least = [*remembered, 0.0][:4]  # a browser may remember a page without the last one
    proposers = link["proposers"].split(",") if "proposers" in link else proposers
    adapter = link.get("adapter", adapter)
    probability, score = (_share(link.get(name, value)) for name, value in zip(("probability", "score"), least, strict=True))
    return [p for p in proposers if p in ENSEMBLE] or list(ENSEMBLE), adapter, probability, score


def _share(value: Any) -> float:
    """A number from 0 to 1; 0 for what is none."""
    try:
        number = float(value)
    except ValueError:
        return 0.0
    return number if 0 <= number <= 1 else 0.0
