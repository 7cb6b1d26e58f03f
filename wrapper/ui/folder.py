"""The Folder tab: many pictures, what is meant in each, a look at every answer by keyboard, and labels to take away."""

import json
import secrets
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from wrapper.candidates import Box, Selection
from wrapper.errors import DataError, ImageError, ModelError, WrapperError, at_the_cost_of_a_row
from wrapper.images import picture_size
from wrapper.kept import Kept
from wrapper.labels import as_coco, as_jsonl, as_label_studio, as_yolo, label_studio_config
from wrapper.selectors.hosted import asked_with
from wrapper.ui import answers, common
from wrapper.ui.canvas import folder as folder_component
from wrapper.ui.locate import Request
from wrapper.ui.queue import GONE, Item, Queue, parse_words, told_apart
from wrapper.ui.session import Picture, Session, Settings
from wrapper.ui.turns import turns
from wrapper.ui.view import View, boxes, headline, picture, sentence, sureness, trouble

MOST = 500
"""Pictures, and questions about them, in one queue."""
MOST_NAME = 255
"""Characters of a file's name, which no file system exceeds."""
SLICE = 5.0
"""Seconds for which one visitor's pictures are asked about before others have their turn."""
MOST_WORDS = 20_000
"""Characters of all expressions together."""
KINDS = ("coco", "yolo", "jsonl", "label-studio")
queues: Kept[str, Queue] = Kept(200_000_000, common.KEPT)
"""Of this process, by a name that cannot be guessed."""


def begin(request: Request) -> tuple[str, Queue]:
    """A new queue of uploaded pictures and what is asked about them."""
    paths, names = request.data.get("paths"), request.data.get("names")
    if not isinstance(paths, list) or not isinstance(names, list) or len(paths) != len(names) or not paths:
        raise DataError("There are no pictures. Choose some, or drop them here.")
    if len(paths) > MOST:
        raise DataError(f"These are {len(paths)} pictures; {MOST} can be looked at together. Choose fewer.")
    text = request.data.get("words")
    if not isinstance(text, str) or len(text) > MOST_WORDS:
        raise DataError(f"The expressions are longer than {MOST_WORDS:,} characters. Write fewer.")
    own = [Path(str(name)).name[:MOST_NAME] or "picture" for name in names]
    asked = parse_words(text, own)
    if sum(map(len, asked)) > MOST:
        raise DataError(f"These are {sum(map(len, asked))} questions; {MOST} can be asked together. Choose fewer pictures or expressions.")
    items, unread = list[Item](), dict[int, str]()
    for path, name, wanted in zip(paths, told_apart(own), asked, strict=True):
        file, size, why = _opened(str(path))
        for words in wanted:
            if why:
                unread[len(items)] = why
            items.append(Item(file, name, size, words))
    token = secrets.token_urlsafe(12)
    queue = Queue.begin(common.kept("folder", token), items)
    for item, why in unread.items():
        queue.fail(item, why)
    queues.put(token, queue, queue.nbytes)
    return token, queue


def _opened(path: str) -> tuple[str, tuple[int, int], str]:
    """An uploaded picture's file and size, and why it cannot be opened, which costs itself only. From its header: decoding hundreds would
    hold everybody up."""
    try:
        file = common.uploaded(path)
        return file, picture_size(Path(file)), ""
    except ImageError as error:
        return "", (0, 0), str(error)


def found(token: str) -> Queue:
    """A queue by its name; it and its pictures are in use. DataError where it is not kept any longer."""
    queue = queues.find(token)
    if queue is None:
        raise DataError(GONE)
    for item in queue.items:
        common.touch(item.path)
    common.kept("folder", token)
    queues.put(token, queue, queue.nbytes)
    return queue


def run(event: gr.EventData, visit: gr.Request, login: gr.OAuthToken | None = None) -> Iterator[dict[str, Any]]:
    """Pictures are brought, or the rest is to be asked: each answer as it comes, for some seconds; then others have their turn, and the
    page asks for more. Go on asks about those that failed, too."""
    request = Request.of(event)
    try:
        token, queue = (request.session, found(request.session)) if request.session else begin(request)
        yield shown(request.number, token, queue, None, busy=True).value()
        began, first, more = time.monotonic(), not request.session, False
        if request.text("again") == "failed":
            queue.retry()
        for i in queue.open():
            if turns.are_over(_visitor(visit), request.number):
                break
            if more := time.monotonic() - began > SLICE:
                break
            found(token)
            failed: list[str] = []
            with at_the_cost_of_a_row(failed.append), asked_with(login.token if login else None):
                queue.answer(i, *_asked(queue.items[i]))
            for why in failed:
                queue.fail(i, why)
            yield shown(request.number, token, queue, 0 if first else None, busy=True).value()
            first = False
        ended = shown(request.number, token, queue, 0 if first else None, busy=more)
        yield ended.value() | {"more": more}
    except (WrapperError, gr.Error) as error:
        said = str(error.message) if isinstance(error, gr.Error) else str(error)
        yield trouble(request.number, said).value() | {"run": True}


def _asked(item: Item) -> tuple[Selection, tuple[str, ...]]:
    """The answer about an item, and by which proposers. What is wrong with its picture or words is its own; a service that does not
    answer, or a GPU that is not to be had, is a ModelError, which ends the run."""
    if not min(item.size):
        common.uploaded(item.path)  # says what is wrong
    try:
        seen = common.open_upload(item.path)
        s = answers.settled(Session(replace(_picture(item), world=common.world_of_file(item.path, seen)), item.words, Settings()), seen)
    except gr.Error as error:
        if isinstance(error.__cause__, WrapperError):
            raise error.__cause__ from None
        raise ModelError(str(error.message)) from error
    return s.answer, s.asked


def _picture(item: Item) -> Picture:
    return Picture(item.path, item.size)


def look(event: gr.EventData) -> dict[str, Any]:
    """The visitor steps to another answer, or comes back to the queue of before."""
    request = Request.of(event)
    try:
        queue = found(request.session)
        return shown(request.number, request.session, queue, max(0, request.whole("place"))).value()
    except WrapperError as error:
        return trouble(request.number, str(error)).value()


def decide(event: gr.EventData) -> dict[str, Any]:
    """The visitor says what is meant: a candidate, a box they drew, or nothing; then the next answer is shown."""
    request = Request.of(event)
    try:
        queue, item = found(request.session), request.whole("item")
        if not 0 <= item < len(queue.items) or not queue.state(item).done:
            raise DataError("This picture is not answered yet.")
        queue.decide(item, _decided(request, queue, item))
        return shown(request.number, request.session, queue, 0).value()
    except WrapperError as error:
        return trouble(request.number, str(error)).value()


def _decided(request: Request, queue: Queue, item: int) -> Box | None:
    if request.text("what") == "nothing":
        return None
    if request.text("what") == "box":
        (x1, y1, x2, y2), (width, height) = request.box(), queue.items[item].size
        box = (max(0.0, x1), max(0.0, y1), min(float(width), x2), min(float(height), y2))
        if box[2] - box[0] < 1 or box[3] - box[1] < 1:
            raise DataError("This box has no size. Draw it again.")
        return box
    selection = queue.state(item).selection
    if selection is None or not 0 <= request.whole("index") < len(selection.candidates):
        raise DataError("There is no such box. Choose one that is listed, or draw one.")
    return selection.candidates[request.whole("index")].box


def halt(event: gr.EventData, visit: gr.Request) -> None:
    """The visitor wants no more answers; what there is stays, and can be gone on with."""
    turns.begin(_visitor(visit), Request.of(event).number)


def _visitor(visit: gr.Request) -> str:
    return f"{visit.session_hash}/folder"


def shown(number: int | None, token: str, queue: Queue, place: int | None, busy: bool | None = None) -> View:
    """What the page shows: how far it is, and the answer at a place of the order; what it showed stays where that is None. busy: whether
    the models are being asked; None where this is not what was done."""
    order, states = queue.order(), [queue.state(i) for i in range(len(queue.items))]
    value: dict[str, Any] = {
        "total": len(states), "answered": sum(s.done for s in states), "checked": sum(s.checked for s in states),
        "failed": sum(s.failed is not None for s in states),
    }  # fmt: skip
    if busy is not None:
        value |= {"busy": busy, "run": True}
    if place is not None and order:
        place = min(place, len(order) - 1)
        value |= {"place": place, "entry": entry(queue, order[place])}
    return View(number, token, value)


def entry(queue: Queue, item: int) -> dict[str, Any]:
    """One answer with its picture."""
    i, s = queue.items[item], queue.state(item)
    selection = s.selection
    told = {
        "item": item, "failed": selection is None, "name": i.name, "words": i.words, "checked": s.checked,
        "truth": None if s.box is None else list(s.box), "picture": picture(_picture(i)) if Path(i.path).is_file() else None,
    }  # fmt: skip
    if selection is None:
        return told | {"boxes": [], "pick": None, "found": False, "said": "Not answered", "sure": "", "why": s.failed or ""}
    return told | {
        "boxes": boxes(selection.candidates, selection.probabilities), "pick": selection.guess, "found": selection.box is not None,
        "said": headline(selection), "sure": sureness(selection), "why": sentence(selection),
    }  # fmt: skip


def labels(asked: Any) -> dict[str, str]:
    """A file of labels, made when it is asked for: where it is, and what to call it; or what went wrong. asked: {"session": the queue's
    name, "kind": one of KINDS}."""
    try:
        token, kind = (str(asked.get(k)) for k in ("session", "kind")) if isinstance(asked, dict) else ("", "")
        return _file(token, kind)
    except WrapperError as error:
        return {"error": str(error)}


def _file(token: str, kind: str) -> dict[str, str]:
    queue = found(token)
    if kind not in KINDS:
        raise DataError(f"There are no labels {kind!r}; there are {', '.join(KINDS)}.")
    everything = queue.labels()
    checked = [x for x in everything if x.checked]
    if (not checked and kind != "label-studio") or not everything:
        raise DataError("Nothing is approved yet. Press Enter at an answer that is right.")
    folder = common.scratch()
    if kind == "coco":
        return _written(folder / "labels-coco.json", json.dumps(as_coco(checked), ensure_ascii=False))
    if kind == "jsonl":
        return _written(folder / "labels.jsonl", as_jsonl(checked))
    files = as_yolo(checked) if kind == "yolo" else {
        "tasks.json": json.dumps(as_label_studio(everything), ensure_ascii=False), "label-config.xml": label_studio_config(everything),
    }  # fmt: skip
    path = folder / f"labels-{kind}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return {"path": str(path), "name": path.name}


def _written(path: Path, text: str) -> dict[str, str]:
    path.write_text(text, encoding="utf-8")
    return {"path": str(path), "name": path.name}


def broken() -> dict[str, Any]:
    """What nobody foresaw."""
    return trouble(None, "That did not work, and nothing was lost. Press Go on.").value()


def build() -> None:
    """Lay the tab out inside the current Blocks."""
    board = folder_component([labels])
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "trigger_mode": "multiple"}
    began = board.run(run, None, [board], concurrency_id="models", concurrency_limit=1, **quiet)
    began.failure(broken, None, [board], queue=False, **quiet)
    for event, handler in ((board.look, look), (board.decide, decide)):
        event(handler, None, [board], concurrency_limit=None, **quiet)
    board.halt(halt, None, None, queue=False, **quiet)
