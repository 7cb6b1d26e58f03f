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

from wrapper.candidates import BY_HAND, IOU_THRESHOLD, Box, Candidate, Reason, Selection, Thresholds, is_correct
from wrapper.draw import annotate, draw_candidates
from wrapper.errors import DataError, WrapperError
from wrapper.export import as_coco, as_csv, as_yolo
from wrapper.expressions import MAX_EXPRESSION, normalise, written
from wrapper.pipeline import AUTO, Stage
from wrapper.scenes.dataset import draw_scene
from wrapper.scenes.expressions import CATEGORIES
from wrapper.selectors.base import Question
from wrapper.selectors.shuffle import Agreement, shuffle_check
from wrapper.trace import trace
from wrapper.ui import common, links, models
from wrapper.ui.answer import HEADERS, Session, candidate_rows, in_words, names, remarks, table
from wrapper.ui.picture import PictureUpload
from wrapper.ui.theme import LEGEND, LINK
from wrapper.worlds import World

CHOICES = {"gdrec": "Grounding DINO (GDrec)"}
"""What a proposer is called where it is chosen, if not by its name."""
SELECT, TRUTH, ADD = "point out a candidate", "set the true box (two corners)", "add a candidate (two corners)"
ORDERS = 10
WIDTHS: list[str | int] = [65, 105, 150, 70, 110, 180]
"""Of the table's columns, in pixels: on a phone it scrolls rather than breaks words."""
CANCELLED = "### Cancelled\nPress **Locate** to ask again."
DROPPED = "### Not answered\nThe question has changed. Press **Locate** to ask it."
OTHER_WORDS = "⚠️ The words have changed since. Press **Locate**, or **Ask again** below the table."
HINT = "Press an example or **New scene**; or upload a picture, describe an object in it, and press **Locate**."


Outputs = tuple[Image.Image, str, list[list[Any]], str, str, dict[str, Any], Any, Session | None]
"""The picture, the answer in words, the table, the prompt, remarks on it, everything as JSON; then, for the page alone, the
list of candidates to point out, and the session."""


REMEMBERED = 64
"""Questions whose answers are remembered, so that an example asked again costs no GPU time."""


def seconds(picture: Image.Image, expression: str, proposers: list[str], adapter: str) -> int:
    """How long a GPU is asked for, at most, to answer a question: a step a proposer, and one of the LLM."""
    return (len(proposers) + 1) * models.seconds_a_step()


def seconds_to_choose(candidates: tuple[Candidate, ...], *question: Any) -> int:
    """As `seconds`, for the LLM alone, which is not asked about one candidate."""
    return models.seconds_a_step() if len(candidates) > 1 else 1


def seconds_to_shuffle(session: Session) -> int:
    """As `seconds`, for the list in several orders, in batches of eight."""
    return models.seconds_a_step() * -(-ORDERS // 8)


def question(given: dict[str, Any]) -> tuple[Any, ...]:
    """What an answer depends on: what was asked, and the models that are loaded."""
    return given, models.now().serial


@gr.cache(key=question, max_size=REMEMBERED)  # type: ignore[untyped-decorator]
@spaces.GPU(duration=seconds)  # type: ignore[untyped-decorator]
def _stages(picture: Image.Image, expression: str, proposers: list[str], adapter: str) -> Iterator[Stage]:
    with common.as_page_errors():
        yield from models.now().asked_by(proposers).stages(picture, expression, proposers, adapter)


@spaces.GPU(duration=seconds_to_choose)  # type: ignore[untyped-decorator]
def _choose(candidates: tuple[Candidate, ...], expression: str, size: tuple[int, int], proposers: list[str], adapter: str) -> Selection:
    with common.as_page_errors():
        wrapper = models.now().asked_by(proposers)
        return wrapper.choose(candidates, expression, size, wrapper.adapter_for(proposers, adapter))


@spaces.GPU(duration=seconds_to_shuffle)  # type: ignore[untyped-decorator]
def _shuffled(session: Session) -> Agreement:
    with common.as_page_errors():
        s, wrapper = session, models.now().asked_by(session.proposers)
        asked = Question(s.selection.candidates, normalise(s.expression), s.size, wrapper.adapter_for(s.proposers, s.adapter))
        return shuffle_check(wrapper.llm, asked, s.selection.guess, ORDERS)


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
    try:
        yield from _answered(path, expression, proposers, adapter, least_probability, least_score, true_box)
    except (WrapperError, gr.Error) as error:
        yield common.warn(error)


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
        proposers: Who proposes boxes: "florence2", "gdrec" or both, or "yolox" for photographs where the bundled models are loaded.
        adapter: "auto", "zero-shot" or the name of an LLM adapter.
        least_probability: Answer "not found" below this LLM probability; 0 to always answer.
        least_score: Answer "not found" where no detector's score is as high as this; 0 to always answer.
        true_box: "x1, y1, x2, y2" in pixels, where it is known; empty otherwise.
    """
    with common.as_page_errors():
        *_, last = _answered(path, expression, proposers, adapter, least_probability, least_score, true_box)
    return last[:-2]


def _answered(
    path: str | None,
    expression: str,
    proposers: list[str],
    adapter: str,
    least_probability: float | None,
    least_score: float | None,
    true_box: str | None,
) -> Iterator[Outputs]:
    picture = common.open_upload(path)
    text = written(expression or "")
    if not proposers:
        raise DataError(f"No model is chosen to propose boxes. Tick one of {', '.join(name for name, _ in choices())}.")
    truth, world = common.read_box(true_box, picture.size), common.world_of_file(path)
    order, least = [name for name in models.proposers() if name in proposers], Thresholds(least_probability or 0.0, least_score or 0.0)
    now = time.monotonic()
    for stage in _stages(picture, normalise(text), order, adapter):
        if stage.selection is None:
            yield _unfinished(draw_candidates(common.open_shrunk(path), stage.candidates, picture.size), stage, order)
            continue
        session = Session(str(path), picture.size, text, tuple(order), adapter, least, stage.selection, truth)
        yield view(replace(session, recalled=stage.began < now, world=world))


def choices() -> list[tuple[str, str]]:
    """Who can be asked to propose. GD is left out: it looks as GDrec does, and says less."""
    return [(CHOICES.get(name, common.name_of(name)), name) for name in models.proposers() if name != "gd"]


def _unfinished(drawn: Image.Image, stage: Stage, order: list[str]) -> Outputs:
    """The page while proposers or the LLM are still at work."""
    waiting = [common.name_of(name) for name in order[order.index(stage.done) + 1 :]]
    done = ", ".join(f"{common.name_of(n)} in {ms:.0f} ms" for n, ms in stage.timings_ms.items())
    then = f"{waiting[0]} is looking" if waiting else "The LLM is choosing"
    return (
        drawn, f"### {then} …\nBoxes so far: {len(stage.candidates)} ({done}).",
        candidate_rows(stage.candidates), "", "", {}, gr.update(choices=[], value=None), None,
    )  # fmt: skip


def view(session: Session) -> Outputs:
    """Everything the page shows of a finished answer."""
    s = session
    corner = None if s.corner is None else s.corner[1:]
    image = annotate(common.open_shrunk(s.path), s.selection, s.truth, s.marked, corner, s.size)
    return (
        image, in_words(s), table(s.selection, s.marked), s.selection.prompt or "The LLM was not asked.", remarks(s),
        trace(s.selection, s.expression, s.size), gr.update(choices=names(s.selection), value=s.marked), session,
    )  # fmt: skip


@common.keep_page
def ask_again(session: Session | None, expression: str, adapter: str, true_box: str) -> Outputs:
    """Ask only the LLM, about the candidates as they are now."""
    s, text = _answer_of(session), written(expression or "")
    return view(_asked(replace(s, truth=common.read_box(true_box, s.size)), s.selection.candidates, text, adapter))


@common.keep_page
def delete_candidate(session: Session | None) -> Outputs:
    """Take the candidate that is pointed out from the list, and ask the LLM again."""
    s = _answer_of(session)
    if s.marked is None:
        raise DataError("No candidate is pointed out. Press its row in the table or its box in the picture first.")
    rest = s.selection.candidates[: s.marked] + s.selection.candidates[s.marked + 1 :]
    return view(_asked(s, rest, s.expression, s.adapter))


@common.keep_page
def add_candidate(session: Session | None, label: str, box: str) -> Outputs:
    """Add a candidate of one's own, and ask the LLM again."""
    s = _answer_of(session)
    return view(_added(s, label, common.read_box(box, s.size)))


def _added(s: Session, label: str, box: Box | None) -> Session:
    words = " ".join((label or "").split())[:60]
    if box is None or not words:
        raise DataError("A candidate needs a label and a box. Write both, such as “cup” and “40, 60, 180, 220”.")
    return _asked(s, (*s.selection.candidates, Candidate(box, words, None, BY_HAND)), s.expression, s.adapter)


def _asked(s: Session, candidates: tuple[Candidate, ...], expression: str, adapter: str) -> Session:
    answered = _choose(candidates, expression, s.size, list(s.proposers), adapter)
    same = normalise(expression) == normalise(s.expression) and not any(c.source == BY_HAND for c in candidates)
    if same and s.answered.reason is Reason.NOTHING_LIKE_IT and answered.index is not None:
        answered = replace(answered, index=None, reason=Reason.NOTHING_LIKE_IT)  # the detector has still no box for these words
    return replace(s, answered=answered, expression=expression, adapter=adapter, marked=None, corner=None, recalled=False)


@common.keep_page
def shuffle(session: Session | None) -> str:
    """Ask the LLM about the same list in other orders."""
    s = _answer_of(session)
    if s.answered.prompt is None or not s.answered.probabilities:
        raise DataError("The LLM was not asked here, so there is no order to shuffle. Try a picture with several candidates.")
    found = _shuffled(s)
    others = sorted(set(found.picks) - {s.selection.guess})
    if not others:
        return f"The pick is the same in **all {len(found.picks)}** other orders of the list."
    boxes = [c.box for c in s.selection.candidates]
    same = sum(is_correct(boxes[pick], boxes[s.selection.guess or 0]) for pick in found.picks)
    return (
        f"The pick is the same in **{found.agree} of {len(found.picks)}** other orders of the list, and the same object (IoU above "
        f"{IOU_THRESHOLD}) in {same}. Other picks: {', '.join(map(str, others))}."
    )


@common.keep_page
def set_thresholds(session: Session | None, least_probability: float | None, least_score: float | None) -> Outputs | Any:
    """Apply other thresholds to the answer that is there; nothing is computed again."""
    least = Thresholds(least_probability or 0.0, least_score or 0.0)
    return gr.skip() if session is None or session.thresholds == least else view(replace(session, thresholds=least))


@common.keep_page
def set_truth(session: Session | None, text: str) -> Outputs | Any:
    """Take another true box, or none; nothing is computed again."""
    if session is None or (truth := common.read_box(text, session.size)) == session.truth:
        return gr.skip()
    return view(replace(session, truth=truth))


@common.keep_page
def mark(session: Session | None, index: int | None) -> Outputs:
    """Point out a candidate by its index, or none."""
    return view(replace(_answer_of(session), marked=index))


@common.keep_page
def mark_row(session: Session | None, event: gr.SelectData) -> Outputs:
    """Point out the candidate of a row."""
    s = _answer_of(session)
    row = int(event.index[0])
    return view(replace(s, marked=row if row < len(s.selection.candidates) else None))


@common.keep_page
def click(session: Session | None, does: str, label: str, event: gr.SelectData) -> tuple[Any, ...]:
    """A press on the picture: point out the smallest candidate there, or set a corner of a box. Ends with the true box's text."""
    s = _answer_of(session)
    scale = max(1.0, max(s.size) / common.SHOWN_SIDE)
    x, y = min(event.index[0] * scale, s.size[0]), min(event.index[1] * scale, s.size[1])
    if does == SELECT:
        return (*view(replace(s, marked=smallest(s.selection.candidates, x, y), corner=None)), gr.skip())
    if does == ADD and not (label or "").strip():
        raise DataError("The new candidate has no label yet. Write one below the picture, then press its two corners.")
    if s.corner is None or s.corner[0] != does:
        gr.Info("The first corner is set. Press the opposite one.", duration=3)
        return (*view(replace(s, corner=(does, x, y))), gr.skip())
    _, x1, y1 = s.corner
    box = common.read_box(f"{min(x, x1)}, {min(y, y1)}, {max(x, x1)}, {max(y, y1)}", s.size)
    if does == ADD:
        return (*view(_added(s, label, box)), gr.skip())
    return (*view(replace(s, corner=None, truth=box)), common.box_text(box))


def smallest(candidates: tuple[Candidate, ...], x: float, y: float) -> int | None:
    """The smallest candidate under a point, None where there is none."""
    under = [i for i, c in enumerate(candidates) if c.box[0] <= x <= c.box[2] and c.box[1] <= y <= c.box[3]]
    return min(
        under, key=lambda i: (candidates[i].box[2] - candidates[i].box[0]) * (candidates[i].box[3] - candidates[i].box[1]), default=None
    )


# ---- what stands in the inputs

Written = tuple[str, str, str, tuple[str, str], list[str]]
"""Picture, expression and true box; these two once more, to know the box by when the words are changed; and who knows such pictures."""


def _written(path: str, expression: str, box: str, proposers: list[str]) -> Written:
    return path, expression, box, (expression, box), models.keep(proposers, common.world_of_file(path))


def new_scene(category: str, proposers: list[str]) -> Written:
    """Draw a RefScenes picture that no model has seen, with an expression and its true box, to be answered."""
    seed = f"page/{random.getrandbits(64)}"
    scene = draw_scene(random.Random(seed), "test", seed, None if category == "any" else category)  # type: ignore[arg-type]
    file = common.scratch() / f"refscenes-{seed.rsplit('/', 1)[-1]}.png"
    scene.picture().save(file)
    common.remember_scene(file)
    return _written(str(file), scene.expression.text, common.box_text(scene.box), proposers)


def fill(place: int, proposers: list[str]) -> Written | Any:
    """A bundled example by its place among those that are shown, to be answered."""
    found = example(str(common.shown_examples()[place]))
    return gr.skip() if found is None else _written(*found, proposers)


def changed(
    session: Session | None, said: str, expression: str, true_box: str, brought: tuple[str, str] | None
) -> tuple[str | Any, str | Any]:
    """What the page says, and which true box stands there, when the question is changed: an answer that is there stays, as one to
    other words; a run that is not done was dropped; and a true box that came with other words is none of these."""
    if session is not None:
        said_now = in_words(session) + ("" if _same_words(expression, session.expression) else f"\n\n{OTHER_WORDS}")
    else:
        said_now = gr.skip() if said == HINT else DROPPED
    stale = brought is not None and true_box == brought[1] and expression != brought[0]
    return said_now, "" if stale else gr.skip()


def _same_words(typed: str, asked: str) -> bool:
    """Whether what stands in the box is what was asked."""
    try:
        return written(typed) == asked
    except WrapperError:
        return False


def take_picture(path: str | None, proposers: list[str]) -> tuple[Any, ...]:
    """A picture of one's own takes the place of the answer about another; what cannot be opened is said at once."""
    kept = known = gr.skip()
    if path is not None:
        try:
            common.open_upload(path)
            known = models.keep(proposers, common.world_of_file(path))
        except WrapperError as error:
            common.warn(error)
            kept = None
    return None, HINT, [], "", "", {}, gr.update(choices=[], value=None), None, "", kept, known


def downloads(session: Session | None) -> list[str] | None:
    """The answer as files: annotated picture, trace, COCO, YOLO, CSV. Nothing of the uploaded file but its pixels is in them."""
    if session is None:
        return None
    s = session
    picture = annotate(common.open_upload(s.path), s.selection, s.truth)
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


@common.keep_page
def offer_downloads(session: Session | None) -> list[str] | None:
    """After an answer: its files."""
    return downloads(session)


def forget_remarks() -> tuple[str, Any]:
    """Nothing of what was said about an earlier answer: the shuffle check, a link."""
    return "", gr.update(value="", visible=False)


@common.keep_page
def link(session: Session | None) -> Any:
    """Keep the answer for whoever opens the link, whose end this gives."""
    return gr.update(value=f"?answer={links.keep(_answer_of(session))}", visible=True)


def _answer_of(session: Session | None) -> Session:
    if session is None:
        raise DataError("There is no answer yet. Press Locate first.")
    return session


def example(number: str | None) -> tuple[str, str, str] | None:
    """Picture, expression and true box of an example by its number, as links name it (?example=3)."""
    rows = common.example_rows()
    if number is None or not number.isdigit() or int(number) >= len(rows):
        return None
    row = rows[int(number)]
    return str(common.EXAMPLES / row["image"]), row["expression"], common.box_text(row["bbox"] and tuple(row["bbox"]))


# ---- the page

# The handler gives the end of the link; its beginning only the browser knows. Without HTTPS it has no clipboard, but the text is there.
COPY = """(end) => {
  if (!end.startsWith('?')) return end;
  const link = location.origin + location.pathname + end;
  navigator.clipboard?.writeText(link);
  return link;
}"""


@dataclass(frozen=True)
class Tab:
    """What other parts of the page use of this tab. opened: what has written the settings of a link or of the last visit."""

    picture: gr.Image
    expression: gr.Textbox
    truth: gr.Textbox
    adapter: gr.Dropdown
    opened: gr.events.Dependency


def build(page: gr.Blocks) -> Tab:
    """Lay the tab out inside the current Blocks."""
    session, brought = gr.State(None), gr.State(None)
    pressed = gr.State(0)  # another number asks the question that a press or a link wrote into the inputs
    remembered = gr.BrowserState(
        [list(models.fitting(World.SCENE)), AUTO, 0.0, 0.0], storage_key="llm-wrapper-settings", secret="settings are no secret"
    )
    every_example = common.example_rows()
    found = [every_example[i] for i in common.shown_examples()]
    with gr.Row(equal_height=False, elem_id="locate"):
        with gr.Column(scale=4, min_width=300):
            picture = PictureUpload(
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
                    ["any", *CATEGORIES], value="any", label="Kind of expression", info="What a new scene asks about.", scale=2,
                    min_width=140,
                )  # fmt: skip
            with gr.Accordion("Settings", open=False):
                proposers = gr.CheckboxGroup(
                    choices(),
                    value=list(models.fitting(World.SCENE)),
                    label="Who proposes boxes",
                    info="Detectors and vision-language models, frozen. Chosen anew with each picture.",
                )
                adapter = gr.Dropdown(
                    common.adapter_choices(), value=AUTO, label="LLM adapter",
                    info="What the LLM was fine-tuned on. Zero-shot: not at all.",
                )  # fmt: skip
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
                    info="In pixels; or press its corners in the picture.",
                    max_length=100, elem_id="truth",
                )  # fmt: skip
            # On a phone these stand at the end (CSS in common), so that the answer comes right under the button
            examples = gr.Dataset(
                components=["textbox"], samples=[[r["expression"]] for r in found], type="index", samples_per_page=12,
                label="Examples, answered at a press: pictures that no model has seen", elem_id="examples",
                sample_labels=[f"{r['category']}: {r['expression']}" for r in found],
            )  # fmt: skip
        with gr.Column(scale=5, min_width=300):
            shown = gr.Image(
                label="Candidates and pick", type="pil", format="png", height=380, interactive=False, buttons=["download", "fullscreen"],
                elem_id="shown",
            )  # fmt: skip
            gr.HTML(LEGEND, elem_id="legend", padding=False)
            words = gr.Markdown(HINT, label="Answer", elem_id="answer")
            with gr.Row():
                does = gr.Radio(
                    [SELECT, TRUTH, ADD], value=SELECT, label="A press on the picture will", info="Or use the table and the text boxes.",
                    elem_id="does", scale=3, min_width=240,
                )  # fmt: skip
                called = gr.Textbox(
                    label="Label of the new candidate", info="One or two words.", max_length=60, min_width=160, visible=False
                )
                pointed = gr.Dropdown(
                    [],
                    label="Candidate pointed out",
                    info="Press a row of the table, a box in the picture, or choose here.",
                    elem_id="pointed",
                    scale=2,
                    min_width=200,
                    filterable=False,
                )
            rows = gr.Dataframe(
                headers=HEADERS,
                label="Candidates (✓ the pick, ▶ the one pointed out; the LLM's probability)",
                interactive=False,
                wrap=True,
                elem_id="rows",
                column_widths=WIDTHS,
            )
            with gr.Accordion("What the LLM read", open=False):
                about = gr.Markdown(label="Remarks", elem_id="remarks")
                prompt = gr.Textbox(label="The exact text", lines=8, buttons=["copy"], interactive=False)
            with gr.Accordion("Change the list and ask again", open=False):
                gr.Markdown("Only the LLM runs again. Change the expression above, or the list here.")
                with gr.Row():
                    again = gr.Button("Ask again", min_width=100)
                    delete = gr.Button("Delete the candidate pointed out", min_width=140)
                    check = gr.Button("Shuffle check", min_width=100)
                with gr.Row():
                    label = gr.Textbox(label="A candidate to add", info="Its label: one or two words.", max_length=60, min_width=120)
                    box = gr.Textbox(
                        label="Its box", placeholder="left, top, right, bottom", info="In pixels.", max_length=100, min_width=140
                    )
                    add = gr.Button("Add", min_width=60)
                checked = gr.Markdown(elem_id="shuffled")
            with gr.Accordion("Downloads", open=False):
                files = gr.Files(label="Annotated picture, trace, COCO, YOLO, CSV", interactive=False)
            with gr.Accordion("Everything as JSON", open=False):
                everything = gr.JSON(label="Everything as JSON", show_label=False)
            copy = gr.Button(LINK, size="sm")
            address = gr.Textbox(
                label="The link", info="Copied. For an hour it opens this picture and answer for whoever has it.", visible=False,
                interactive=False, buttons=["copy"], elem_id="link",
            )  # fmt: skip

    outputs = [shown, words, rows, prompt, about, everything, pointed, session]
    chosen = [proposers, adapter, probability, score]
    asked = [picture, expression, *chosen, truth]
    written = [picture, expression, truth, brought, proposers]
    private: dict[str, Any] = {"api_visibility": "private"}
    silent = private | {"show_progress": "hidden"}
    answering = private | {"show_progress_on": [shown]}  # and not on every part of the answer
    run = gr.on([button.click, expression.submit, pressed.change], live, asked, outputs, concurrency_limit=1, **answering)
    # For programs: neither the page's list nor a session among the results, which the MCP server cannot take
    gr.Button(visible=False).click(locate, asked, outputs[:-2], api_name="locate", concurrency_limit=1)
    runs = [
        run,
        again.click(ask_again, [session, expression, adapter, truth], outputs, **answering),
        delete.click(delete_candidate, [session], outputs, **answering),
        add.click(add_candidate, [session, label, box], outputs, **answering),
    ]
    least = [session, probability, score]
    changes = [
        run.then(set_thresholds, least, outputs, **silent),  # they may have been moved meanwhile
        *runs[1:],
        gr.on([probability.input, score.input], set_thresholds, least, outputs, trigger_mode="always_last", **silent),
        gr.on([truth.submit, truth.blur], set_truth, [session, truth], outputs, **silent),
        shown.select(click, [session, does, called], [*outputs, truth], **silent),
    ]
    rows.select(mark_row, [session], outputs, **silent)
    pointed.input(mark, [session, pointed], outputs, **silent)
    for change in changes:
        # At once, and not after files are written: a link that was asked for meanwhile would be taken away again
        change.then(forget_remarks, None, [checked, address], queue=False, **silent).then(offer_downloads, [session], [files], **silent)
    does.change(lambda does: gr.update(visible=does == ADD), [does], [called], queue=False, **silent)
    check.click(shuffle, [session], [checked], **private)
    copy.click(link, [session], [address], **silent).then(None, [address], [address], js=COPY, **silent)
    gr.on(
        [button.click, expression.submit, examples.click, scene.click, rows.select, pointed.input],
        None,
        js=common.scroll_to("shown"),
        **silent,
    )
    # Gradio cancels only after the listener's own function has answered, by when another run may have begun: so cancel first
    # The words by their `change`, as a textbox has an `input` for some keys only, and one after its `submit` besides
    edited = [expression.change, truth.change, proposers.input, adapter.input]
    gr.on(edited, None, cancels=runs, **silent).then(
        changed, [session, words, expression, truth, brought], [words, truth], queue=False, **silent
    )
    gr.on([picture.input, picture.clear], None, cancels=runs, **silent).then(
        take_picture, [picture, proposers], [*outputs, truth, picture, proposers], **silent
    )
    # What is written by a press is asked only in a step of its own, after the `change` of the words has dropped what was asked before
    drawn = gr.on([scene.click], None, cancels=runs, **silent).then(new_scene, [category, proposers], written, **silent)
    filled = gr.on([examples.click], None, cancels=runs, **silent).then(fill, [examples, proposers], written, **silent)
    gr.on(
        [proposers.input, adapter.input, probability.input, score.input], lambda *values: list(values), chosen, [remembered],
        queue=False, trigger_mode="always_last", **silent,
    )  # fmt: skip
    gr.on([cancel.click], None, cancels=[*runs, drawn, filled], **silent).then(cancelled, [session, words], [words], **silent)
    opened = page.load(restore, [remembered], [*chosen, *written[:-1], *outputs], **silent)
    opened.then(offer_downloads, [session], [files], **silent)
    for done in (drawn, filled):
        done.success(time.time_ns, None, [pressed], **silent)
    opened.then(press_example, None, [pressed], **silent)
    return Tab(picture, expression, truth, adapter, opened)


def cancelled(session: Session | None, said: str) -> str | Any:
    """What the page says after Cancel: an answer that is there stays."""
    gr.Info("Stopped. What is shown stays.", duration=2)
    return gr.skip() if session is not None or said == HINT else CANCELLED


@common.keep_page
def restore(remembered: Any, request: gr.Request) -> tuple[Any, ...]:
    """The settings of the last visit or of the link; the example that a link names, to be answered; or the answer that a link
    was copied for."""
    link = dict(request.query_params)
    blank = (gr.skip(),) * 8
    if "answer" in link:
        if s := links.find(link["answer"]):
            least = (s.thresholds.probability, s.thresholds.score)
            box = common.box_text(s.truth)
            return (list(s.proposers), common.adapter_choice(s.adapter), *least, *_written(s.path, s.expression, box, [])[:-1], *view(s))
        gr.Warning("The answer of this link is not kept any longer; it was for an hour. Ask again, or ask for a new link.")
    found = example(link.get("example"))
    if "example" in link and found is None:
        gr.Warning(f"There is no example of this number; there are 0 to {len(common.example_rows()) - 1}.")
    proposers, adapter, *least_ = settings(remembered, link)
    *written, proposers = ((gr.skip(),) * 4 + (proposers,)) if found is None else _written(*found, proposers)
    return (proposers, common.adapter_choice(adapter), *least_, *written, *blank)


def press_example(request: gr.Request) -> Any:
    """The number of a press, for the example that the page was opened with."""
    return gr.skip() if example(request.query_params.get("example")) is None else time.time_ns()


def settings(remembered: Any, link: Mapping[str, str]) -> tuple[list[str], str, float, float]:
    """Proposers, adapter and thresholds: the link's (?proposers=gdrec&adapter=zero-shot&probability=0.3&score=0.6) before
    those of the last visit, and the page's own for what makes no sense; what a browser remembers may be anything."""
    kept = [*remembered, None, None, None, None][:4] if isinstance(remembered, list) else [None] * 4
    proposers = link["proposers"].split(",") if "proposers" in link else kept[0]
    proposers = [p for p in models.proposers() if p in proposers] if isinstance(proposers, list) else []
    adapter = link.get("adapter", kept[1])
    probability, score = (_share(link.get(name, value)) for name, value in zip(("probability", "score"), kept[2:], strict=True))
    return proposers or list(models.fitting(World.SCENE)), adapter if isinstance(adapter, str) else AUTO, probability, score


def _share(value: Any) -> float:
    """A number from 0 to 1; 0 for what is none."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return number if 0 <= number <= 1 else 0.0
