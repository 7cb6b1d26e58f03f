"""The /locate and /compare endpoints, for programs: what the page answers, as pictures, words, tables and JSON."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from wrapper.adapters import AUTO
from wrapper.candidates import Box, iou, is_correct
from wrapper.draw import annotate
from wrapper.errors import DataError
from wrapper.evaluation import compare as comparing
from wrapper.evaluation.methods import every
from wrapper.expressions import written
from wrapper.kept import Kept
from wrapper.trace import explain, trace
from wrapper.ui import answers, common, models
from wrapper.ui.compare import chosen_methods, compared
from wrapper.ui.described import EXPRESSION, PICTURE, describe
from wrapper.ui.markdown import plain
from wrapper.ui.picture import PictureUpload
from wrapper.ui.session import Picture, Session, Settings, least, with_question, with_truth
from wrapper.ui.view import Progress, headline, judged, out_of_its_world, read, sentence, sureness

HEADERS = ["#", "Proposed by", "Label", "Score", "LLM probability", "Box (x1, y1, x2, y2)"]
Outputs = tuple[str, str, list[list[Any]], str, str, dict[str, Any]]
TOLD = 16_000_000
"""Bytes of all answers that are kept together; the pictures with them are files, which go when nobody has asked for them for an hour."""
AT_ONCE = 4
"""Requests that are read, drawn and told at the same time. Only one of them asks the models."""
SOON = 0.2
"""Seconds after which a request says who is at work. Gradio ends it there if whoever asked has gone, and an answer that comes sooner is not
held up."""
_told: Kept[tuple[str, str, str, int], str] = Kept(TOLD, common.KEPT)  # as JSON, whose length is what it takes
_turn = threading.Lock()


def locate(
    path: str | None,
    expression: str,
    proposers: list[str] | None = None,
    adapter: str = AUTO,
    least_probability: float = 0.0,
    least_score: float = 0.0,
    true_box: str = "",
) -> Iterator[tuple[Any, ...]]:
    """Find the object that an expression means in a picture.

    Gives the annotated picture, the answer in words, the table of candidates, the text the LLM read, remarks on it, and
    everything as JSON (docs/trace.schema.json); before that, where it takes a while, in place of the words who is at work.

    Args:
        path: The picture.
        expression: Words that mean exactly one object, such as "the cup left of the green book".
        proposers: Who proposes boxes: "florence2", "gdrec", "yolox" or others that are loaded; nothing for those that know such a picture.
        adapter: "auto", "zero-shot" or the name of an LLM adapter.
        least_probability: Answer "not found" below this LLM probability; 0 to always answer.
        least_score: Answer "not found" where no detector's score is as high as this; 0 to always answer.
        true_box: "x1, y1, x2, y2" in pixels, where it is known; empty otherwise.
    """
    with common.as_page_errors():
        asked = repr((expression, proposers, adapter, least_probability, least_score, true_box))  # a program may send any kind of value
        key = (common.fingerprint_of_upload(path), Path(path or "").name, asked, models.now().serial)
        if (kept := _told.find(key)) is not None:
            told = json.loads(kept)
            if Path(told[0]).is_file():
                common.touch(told[0])
                yield tuple(told)
                return
        picture = common.open_upload(path)
        if unknown := sorted(set(proposers or ()) - set(models.proposers())):
            raise DataError(f"There is no model {', '.join(unknown)} here. Choose from {', '.join(models.proposers())}.")
        given = Settings(tuple(proposers or ()), adapter, least(least_probability, least_score))
        s = with_question(Session(Picture(str(path), picture.size, common.world_of_file(path, picture))), expression or "", given)
        if box := common.read_box(true_box, picture.size):
            s = with_truth(s, box)
        spoken = time.monotonic()
        for step in _one_at_a_time(answers.asked(s, picture)):
            if isinstance(step, Session):
                s = step
            elif time.monotonic() - spoken > SOON:
                yield gr.skip(), step.says, *[gr.skip()] * 4
                spoken = time.monotonic()
        outputs = shown(s, picture)
        text = json.dumps(outputs)
        _told.put(key, text, len(text))
        yield outputs


def _one_at_a_time(steps: Iterator[Progress | Session]) -> Iterator[Progress | Session]:
    """The same steps, each made while no other request's is. The turn is given up in between: one who has gone would keep it."""
    while True:
        with _turn:
            step = next(steps, None)
        if step is None:
            return
        yield step


def shown(s: Session, picture: Image.Image) -> Outputs:
    """An answered session for programs, with the path of its picture."""
    selection = s.answer
    doubt, (_, verdict), sure = out_of_its_world(s), judged(s, selection), sureness(selection)
    words = [f"### {headline(selection, doubt is not None)}{f' · {sure}' if sure else ''}", doubt or sentence(selection), verdict]
    file = common.scratch() / "answer.png"
    annotate(picture, selection, s.truth).save(file, compress_level=1)  # quickly: most are looked at once
    return (
        str(file),
        "\n\n".join(w for w in words if w),
        table(s),
        selection.prompt or "The LLM was not asked.",
        "\n".join(f"{name}: {text}" for name, text in read(s, selection)),
        trace(selection, s.words, s.picture.size, s.truth),
    )


def table(s: Session) -> list[list[Any]]:
    """A row a candidate; ✓ at the pick."""
    selection = s.answer
    shares = selection.probabilities or (None,) * len(selection.candidates)
    return [
        [
            f"{i}{' ✓' if i == selection.index else ''}", common.proposers_of(c), common.labels_of(c),
            "" if c.score is None else f"{c.score:.2f}", "" if share is None else f"{share:.3f}", common.box_text(c.box),
        ]
        for i, (c, share) in enumerate(zip(selection.candidates, shares, strict=True))
    ]  # fmt: skip


COMPARED = ["Method", "Pick", "LLM probability", "IoU with the true box", "How it came about", "ms"]


def compare(path: str | None, expression: str, adapter: str = AUTO, true_box: str = "") -> Iterator[tuple[Any, ...]]:
    """One picture and expression through each model alone, each with the LLM, and both with the LLM.

    Gives who agrees with whom in words, pictures, a table, the IoU of every pick with every other, and everything as JSON; before that, the
    table as far as it is.

    Args:
        path: The picture.
        expression: Words that mean exactly one object, such as "the cup left of the green book".
        adapter: "auto", "zero-shot" or the name of an LLM adapter, for the methods with an LLM.
        true_box: "x1, y1, x2, y2" in pixels, where it is known; empty otherwise.
    """
    with common.as_page_errors():
        picture, text = common.open_upload(path), written(expression or "")
        truth = common.read_box(true_box, picture.size)
        s = Session(Picture(str(path), picture.size, common.world_of_file(path, picture)))
        rows: list[comparing.Compared] = []
        for methods in chosen_methods(s, (), [adapter]):
            done = rows
            for found in compared(picture, text, methods, [comparing.Order.USUAL]):
                rows = [*done, *found]
                yield gr.skip(), gr.skip(), methods_table(rows, truth), gr.skip(), gr.skip()
        names = [common.method_name(str(r.method).partition(":")[0]) for r in rows]
        pictures = [(annotate(picture, r.selection, truth), _caption(n, r, truth)) for n, r in zip(names, rows, strict=True)]
        words = f"### “{plain(text)}”\n{plain(comparing.in_words(rows, names))}"
        yield words, pictures, methods_table(rows, truth), matrix(rows), comparing.as_record(rows, text, picture.size)


def _caption(name: str, row: comparing.Compared, truth: Box | None) -> str:
    return name if truth is None else f"{'right' if is_correct(row.selection.box, truth) else 'wrong'}: {name}"


def methods_table(rows: list[comparing.Compared], truth: Box | None) -> list[list[str]]:
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


def build() -> None:
    """The endpoints, inside the current Blocks; nothing of them is on the page."""
    asked = [
        PictureUpload(label="Picture", type="filepath", visible=False),
        gr.Textbox(label="Referring expression", visible=False),
        gr.CheckboxGroup(list(models.proposers()), value=[], label="Proposers", visible=False),
        gr.Textbox(AUTO, label="LLM adapter", visible=False),
        gr.Number(0, label="Least probability", visible=False),
        gr.Number(0, label="Least score", visible=False),
        gr.Textbox("", label="True box", visible=False),
    ]
    describe(locate, asked, [PICTURE, EXPRESSION, [], AUTO, 0, 0, ""])
    outputs = [
        gr.Image(label="Candidates and pick", type="filepath", format="png", visible=False),
        gr.Markdown(label="Answer", visible=False),
        gr.Dataframe(headers=HEADERS, label="Candidates", visible=False),
        gr.Textbox(label="What the LLM read", visible=False),
        gr.Textbox(label="Remarks", visible=False),
        gr.JSON(label="Everything as JSON", visible=False),
    ]
    gr.Button(visible=False).click(locate, asked, outputs, api_name="locate", concurrency_limit=AT_ONCE)
    question = [asked[0], asked[1], asked[3], asked[6]]
    compared = [
        gr.Markdown(label="Who agrees with whom", visible=False),
        gr.Gallery(label="Picks side by side", format="png", visible=False),
        gr.Dataframe(headers=COMPARED, label="What each method answers", visible=False),
        gr.Dataframe(headers=["", *map(str, range(1, 1 + len(every(models.proposers()))))], label="IoU of the picks", visible=False),
        gr.JSON(label="Everything as JSON", visible=False),
    ]
    gr.Button(visible=False).click(compare, question, compared, api_name="compare", concurrency_limit=1, concurrency_id="models")
