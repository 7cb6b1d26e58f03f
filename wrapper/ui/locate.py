"""The Locate tab: one picture to work in, and what may be set about how it is asked. What a visitor does becomes a `Session`; what the page
shows of it is `wrapper.ui.view`."""

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from wrapper.adapters import AUTO
from wrapper.candidates import Box
from wrapper.draw import annotate
from wrapper.errors import DataError, WrapperError
from wrapper.export import as_coco, as_csv, as_yolo
from wrapper.expressions import MAX_EXPRESSION, without_surrogates, written
from wrapper.scenes.dataset import draw_scene
from wrapper.scenes.expressions import CATEGORIES
from wrapper.selectors.hosted import asked_with
from wrapper.trace import read_trace, trace
from wrapper.ui import answers, common, models
from wrapper.ui.canvas import canvas
from wrapper.ui.session import (
    Picture,
    Session,
    Settings,
    least,
    moved,
    with_answer,
    with_box,
    with_picture,
    with_question,
    with_thresholds,
    with_truth,
    without,
)
from wrapper.ui.store import sessions
from wrapper.ui.turns import turns
from wrapper.ui.view import Progress, View, trouble, view
from wrapper.worlds import World
from wrapper.writing import appearing

CHOICES = {"gdrec": "Grounding DINO (GDrec)"}
"""What a proposer is called where it is chosen, if not by its name."""
GONE = "This answer is not kept any longer: answers are kept for an hour, and until the app is started anew. Ask again."
MOST_TEXT, MOST_TRACE = 5_000, 300_000
"""Characters of a text that a browser sends, and of a whole trace."""
Value = dict[str, Any]


# ---- what the browser sends, which may be anything


@dataclass(frozen=True)
class Request:
    """What a visitor did, as the canvas tells it. number: by which the answer is known; session: the name of the one that was shown."""

    number: int
    session: str
    data: Mapping[str, Any]

    @classmethod
    def of(cls, event: gr.EventData) -> "Request":
        """The request behind an event."""
        data = event._data if isinstance(event._data, dict) else {}
        number, name = data.get("number"), data.get("session")
        counted = number if isinstance(number, int) and 0 <= number < 2**53 else 0
        return cls(int(counted), name if isinstance(name, str) else "", data)

    def text(self, name: str) -> str:
        """A text that it brings, of a sane length."""
        found = self.data.get(name)
        return without_surrogates(found[:MOST_TEXT]) if isinstance(found, str) else ""

    def whole(self, name: str) -> int:
        """A whole number that it brings; -1 for anything else."""
        found = self.data.get(name)
        return found if isinstance(found, int) and not isinstance(found, bool) else -1

    def box(self) -> Box:
        """The box that it brings; DataError where that is none."""
        found = self.data.get("box")
        if not isinstance(found, list) or len(found) != 4 or not all(type(v) in (int, float) and abs(v) < 1e9 for v in found):
            raise DataError("This is no box. Draw it again.")
        x1, y1, x2, y2 = map(float, found)
        return x1, y1, x2, y2

    def found(self) -> Session:
        """The session that was shown; DataError where it is not kept any longer."""
        if not self.session:
            raise DataError("There is no picture. Upload one, paste one, choose an example, or draw a new scene.")
        if (s := sessions.find(self.session)) is None:
            raise DataError(GONE)
        return s


def settings(proposers: list[str] | None, adapter: str | None, probability: float | None, score: float | None) -> Settings:
    """The settings as they stand beside the picture."""
    return Settings(tuple(proposers or ()), adapter or AUTO, least(probability, score))


def answering(handler: Callable[..., Iterator[View]]) -> Callable[..., Iterator[Value]]:
    """A handler for the page: what goes wrong is a sentence beside the picture, and nothing there is lost; and nothing more is done once
    the visitor has asked for something else."""

    def handle(event: gr.EventData, visit: gr.Request, token: gr.OAuthToken | None, *given: Any) -> Iterator[Value]:
        request = Request.of(event)
        yield from in_turn(visit.session_hash or "", request.number, handler(request, settings(*given[:4]), *given[4:]), token)

    return handle


def in_turn(visitor: str, number: int, steps: Iterator[View], token: gr.OAuthToken | None = None) -> Iterator[Value]:
    """The steps of an answer, as long as it is wanted; errors that people can act on as sentences. token: of a visitor who logged in."""
    try:
        while not turns.are_over(visitor, number):
            with asked_with(token.token if token else None):  # anew for each step: Gradio may take another thread for the next
                step = next(steps, None)
            if step is None:
                return
            yield step.value()
    except (WrapperError, gr.Error) as error:
        yield trouble(number, str(error.message) if isinstance(error, gr.Error) else str(error)).value()


def halt(event: gr.EventData, visit: gr.Request) -> None:
    """The visitor asks for something else, or for nothing more."""
    turns.begin(visit.session_hash or "", Request.of(event).number)


def told(number: int | None, s: Session) -> View:
    """A session, kept and as it is shown."""
    common.touch(s.picture.path)
    return view(number, sessions.keep(s), s)


def answered(number: int | None, s: Session) -> Iterator[View]:
    """A session's question answered, step by step."""
    name = sessions.keep(s)
    for step in answers.asked(s):
        yield view(number, name, s, step) if isinstance(step, Progress) else told(number, step)


# ---- what a visitor does


def ask(request: Request, given: Settings) -> Iterator[View]:
    """Words are asked about the picture that is there."""
    yield from answered(request.number, with_question(request.found(), request.text("words"), given))


def shown_with(request: Request, given: Settings) -> Session:
    """The session that was shown, with the adapter and thresholds as they stand now; its boxes came from who was asked then."""
    s = request.found()
    return replace(s, settings=replace(s.settings, adapter=given.adapter, thresholds=given.thresholds))


def again(request: Request, given: Settings) -> Iterator[View]:
    """Only the LLM is asked, about the boxes as they are."""
    s = shown_with(request, given)
    yield told(request.number, answers.asked_again(s, s.answer.candidates, request.text("words")))


def take_box(request: Request, given: Settings) -> Iterator[View]:
    """A candidate is taken off the list."""
    s = shown_with(request, given)
    yield told(request.number, answers.asked_again(s, without(s, request.whole("index")), s.words))


def add_box(request: Request, given: Settings) -> Iterator[View]:
    """A candidate is added."""
    s = shown_with(request, given)
    yield told(request.number, answers.asked_again(s, with_box(s, request.box(), request.text("label")), s.words))


def move_box(request: Request, given: Settings) -> Iterator[View]:
    """A candidate gets another box."""
    s = shown_with(request, given)
    yield told(request.number, answers.asked_again(s, moved(s, request.whole("index"), request.box()), s.words))


def true_box(request: Request, given: Settings) -> Iterator[View]:
    """The true box is said."""
    yield told(request.number, with_truth(request.found(), request.box()))


def upload(request: Request, given: Settings) -> Iterator[View]:
    """A picture is brought."""
    path = common.uploaded(request.text("path"))
    size = common.open_upload(path).size
    before = sessions.find(request.session)
    picture = Picture(path, size, common.world_of_file(path))
    s = with_picture(before, picture)
    typed = request.text("words").strip()
    if typed and (before is None or typed != before.words):
        s = Session(picture, typed[:MAX_EXPRESSION], s.settings)
    yield told(request.number, s)


def replay(request: Request, given: Settings) -> Iterator[View]:
    """A trace that was downloaded is opened with its picture: the one that is brought along, else the one that is there."""
    given_ = request.data.get("trace")
    if len(json.dumps(given_)) > MOST_TRACE:
        raise DataError("This trace is too long to be one of an answer. Take a trace.json as the page writes it.")
    found = read_trace(given_)
    path = common.uploaded(request.text("path")) if request.text("path") else request.found().picture.path
    size = common.open_upload(path).size
    if size != found.size:
        raise DataError(
            f"This trace is of a picture of {found.size[0]} x {found.size[1]} pixels, and this one has {size[0]} x {size[1]}. Choose the "
            "trace and its picture together."
        )
    selection = found.selection
    for c in selection.candidates:
        if not (-size[0] <= c.box[0] <= c.box[2] <= 2 * size[0] and -size[1] <= c.box[1] <= c.box[3] <= 2 * size[1]):
            raise DataError("This trace has a box far outside its picture. Take a trace.json as the page writes it.")
    asked = tuple(name for name in models.proposers() if any(name in c.sources for c in selection.candidates))
    picture = Picture(path, size, common.world_of_file(path))
    step = told(request.number, with_answer(Session(picture, written(found.expression), given, truth=found.truth), selection, asked))
    alone = "" if request.text("path") else "This trace came without its picture; it is shown on the one that was here."
    yield replace(step, shown={**step.shown, "notice": alone})


def example(request: Request, given: Settings) -> Iterator[View]:
    """An example is chosen."""
    yield from answered(request.number, of_example(request.whole("example"), given))


def scene(request: Request, given: Settings, category: str) -> Iterator[View]:
    """A RefScenes picture that no model has seen is drawn, with an expression and its true box, and answered."""
    seed = f"page/{random.getrandbits(64)}"
    drawn = draw_scene(random.Random(seed), "test", seed, category if category in CATEGORIES else None)
    file = common.scratch() / f"refscenes-{seed.rsplit('/', 1)[-1]}.png"
    picture = drawn.picture()
    picture.save(file)
    common.remember_scene(file)
    s = Session(Picture(str(file), picture.size, World.SCENE), drawn.expression.text, given, truth=drawn.box, brought=True)
    yield from answered(request.number, s)


def shuffle(request: Request, given: Settings) -> Iterator[View]:
    """The same list is asked about in other orders."""
    yield View(request.number, request.session, {"shuffled": answers.shuffled(request.found())})


def of_example(number: int, given: Settings) -> Session:
    """A bundled example, not answered yet; DataError where there is none of this number."""
    row = common.example(number)
    if row is None:
        raise DataError(f"There is no example of this number; there are 0 to {len(common.example_rows()) - 1}.")
    path = str(common.EXAMPLES / row["image"])
    size = common.open_upload(path).size
    truth = None if row["bbox"] is None else tuple(float(v) for v in row["bbox"])
    picture = Picture(path, size, World(row.get("world", "scene")))
    return Session(picture, row["expression"], given, truth=truth, absent=truth is None, brought=True)  # type: ignore[arg-type]


def opened(event: gr.EventData, visit: gr.Request, remembered: Any, *given: Any) -> Iterator[Value]:
    """The page is opened or loaded again: an answer that a link names, an example that it names, what this tab of the browser showed last,
    or the first example. Later on: a session that was shown before, by its name."""
    asked, link = Request.of(event), dict(visit.query_params)
    steps = _opened(asked, link, remembered) if asked.session == "" else _again(asked, settings(*given))
    yield from in_turn(visit.session_hash or "", asked.number, steps)


def _opened(asked: Request, link: Mapping[str, str], remembered: Any) -> Iterator[View]:
    wanted, kept, note = link.get("example", ""), asked.text("kept"), ""
    if "answer" in link:
        kept, wanted, note = link["answer"], "", GONE
    elif wanted:
        kept = ""
    if s := sessions.find(kept):
        try:
            yield view(asked.number, kept, s)
            return
        except WrapperError as error:  # its picture is gone
            note = str(error)
    rows, shown = common.example_rows(), common.shown_examples()
    number = int(wanted) if wanted.isdecimal() and wanted.isascii() and len(wanted) < 9 else -1
    if wanted and number not in range(len(rows)):
        note = f"There is no example of this number; there are 0 to {len(rows) - 1}."
    if number not in range(len(rows)):
        number = shown[0] if shown else -1
    for step in answered(asked.number, of_example(number, settings(*linked(remembered, link)))):
        yield replace(step, shown={**step.shown, "notice": note})


def _again(asked: Request, given: Settings) -> Iterator[View]:
    """A session that was shown before, with the thresholds as they stand now."""
    s = sessions.find(asked.text("kept"))
    if s is None:
        raise DataError(GONE)
    if s.settings.thresholds == given.thresholds:
        yield view(asked.number, asked.text("kept"), s)
    else:
        yield told(asked.number, with_thresholds(s, given.thresholds))


def broken() -> Value:
    """After an error that is none of ours."""
    return trouble(None, f"That did not work, and nothing was lost. Try again. ({random.getrandbits(32):x})").value()


def thresholds(value: Any, probability: float | None, score: float | None) -> Any:
    """Other thresholds for the answer that is there; nothing is computed again."""
    name = value.get("session") if isinstance(value, dict) else None
    s = sessions.find(name) if isinstance(name, str) else None
    try:
        wanted = least(probability, score)
        if s is None or s.answered is None or s.settings.thresholds == wanted:
            return gr.skip()
        return told(None, with_thresholds(s, wanted)).value()
    except WrapperError as error:
        return trouble(None, str(error)).value()


# ---- downloads

FILES: dict[str, tuple[str, Callable[[Session], str]]] = {
    "trace": ("trace.json", lambda s: json.dumps(trace(s.answer, s.words, s.picture.size, s.truth), indent=1)),
    "coco": ("coco.json", lambda s: json.dumps(as_coco(s.answer, s.words, s.picture.size, "picture.png"), indent=1)),
    "yolo": ("yolo.txt", lambda s: as_yolo(s.answer, s.picture.size)),
    "csv": ("candidates.csv", lambda s: as_csv(s.answer)),
}
"""An answer as texts: the file's name, and what makes it."""


def download(asked: Any) -> dict[str, str]:
    """A file of an answer, made when it is asked for: where it is, and what to call it; or what went wrong. Nothing of the uploaded file
    but its pixels is in it. asked: {"session": its name, "kind": "picture" or one of FILES}."""
    try:
        if not isinstance(asked, dict):
            raise DataError(GONE)
        return _file(str(asked.get("session")), str(asked.get("kind")))
    except WrapperError as error:
        return {"error": str(error)}


def _file(name: str, kind: str) -> dict[str, str]:
    s = sessions.find(name)
    if s is None:
        raise DataError(GONE)
    if kind != "picture" and kind not in FILES:
        raise DataError(f"There is no download {kind!r}; there are picture, {', '.join(FILES)}.")
    path = common.kept("download", name, kind) / ("annotated.png" if kind == "picture" else FILES[kind][0])
    if not path.is_file():
        with appearing(path) as partial:
            if kind == "picture":
                annotate(common.open_upload(s.picture.path), s.answer, s.truth).save(partial)
            else:
                partial.write_text(FILES[kind][1](s), encoding="utf-8")
    return {"path": str(path), "name": path.name}


# ---- the page


@dataclass(frozen=True)
class Tab:
    """What other parts of the page use of this tab. opened: what has written the settings of a link or of the last visit."""

    canvas: gr.HTML
    adapter: gr.Dropdown
    opened: gr.events.Dependency


def choices() -> list[tuple[str, str]]:
    """Who can be asked to propose. GD is left out: it looks as GDrec does, and says less."""
    return [(CHOICES.get(name, common.name_of(name)), name) for name in models.proposers() if name != "gd"]


def thumbnails() -> list[dict[str, Any]]:
    """The examples about worlds that the models know, one of each kind first, as the canvas shows them."""
    rows = common.example_rows()
    return [
        {"number": i, "says": f"{rows[i]['category']}: {rows[i]['expression']}", "small": common.thumbnail(rows[i]["image"])}
        for i in common.shown_examples()
    ]


def build(page: gr.Blocks) -> Tab:
    """Lay the tab out inside the current Blocks."""
    remembered = gr.BrowserState([[], AUTO, 0.0, 0.0], storage_key="llm-wrapper-settings-2", secret="settings are no secret")
    board = canvas(thumbnails(), [download])
    with gr.Accordion("Settings", open=False):
        proposers = gr.CheckboxGroup(
            choices(), value=[], label="Who proposes boxes", info="None ticked: those that know what the picture shows."
        )
        with gr.Row():
            adapter = gr.Dropdown(
                common.adapter_choices(), value=AUTO, label="LLM adapter", info="What the LLM was fine-tuned on. Zero-shot: not at all."
            )
            category = gr.Dropdown(["any", *CATEGORIES], value="any", label="Kind of expression", info="What a new scene asks about.")
        with gr.Row():
            score = gr.Slider(
                0, 1, 0, step=0.05, label="Say “not found” below this detector score",
                info="Of Grounding DINO's best box: whether there is anything of the kind. 0: never. Try 0.6.",
            )  # fmt: skip
            probability = gr.Slider(
                0, 1, 0, step=0.05, label="Say “not found” below this LLM probability",
                info="Of the picked object, whoever proposed it. 0: never.",
            )  # fmt: skip

    chosen = [proposers, adapter, probability, score]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    listen: dict[str, Any] = quiet | {"concurrency_id": "models", "concurrency_limit": 1, "trigger_mode": "multiple"}
    handlers = {
        "ask": ask, "again": again, "take_box": take_box, "add_box": add_box, "move_box": move_box, "true_box": true_box,
        "upload": upload, "replay": replay, "example": example, "shuffle": shuffle,
    }  # fmt: skip
    runs = [getattr(board, name)(answering(handler), chosen, [board], **listen) for name, handler in handlers.items()]
    runs.append(board.scene(answering(scene), [*chosen, category], [board], **listen))
    runs.append(board.open(opened, [remembered, *chosen], [board], **listen))
    board.halt(halt, None, None, queue=False, trigger_mode="multiple", **quiet)
    for run in runs:  # what nobody foresaw, or a queue that is full: Gradio says what, and the picture is free for the next question
        run.failure(broken, None, [board], queue=False, **quiet)
    gr.on([probability.input, score.input], thresholds, [board, probability, score], [board], trigger_mode="always_last", **quiet)
    gr.on(
        [proposers.input, adapter.input, probability.input, score.input], lambda *values: list(values), chosen, [remembered],
        queue=False, trigger_mode="always_last", **quiet,
    )  # fmt: skip
    return Tab(board, adapter, page.load(restore, [remembered], chosen, **quiet))


def restore(remembered: Any, request: gr.Request) -> tuple[Any, ...]:
    """The settings of the link, of the answer that it names, or of the last visit."""
    if s := sessions.find(request.query_params.get("answer", "")):
        g = s.settings
        proposers, adapter, probability, score = offered(g.proposers), g.adapter, g.thresholds.probability, g.thresholds.score
    else:
        proposers, adapter, probability, score = linked(remembered, dict(request.query_params))
    return gr.update(choices=choices(), value=proposers), common.adapter_choice(adapter), probability, score


def offered(proposers: Sequence[Any]) -> list[str]:
    """Those that can be chosen, of some that may be anything: Gradio refuses every question with another one among them."""
    return [name for _, name in choices() if name in proposers]


def linked(remembered: Any, link: Mapping[str, str]) -> tuple[list[str], str, float, float]:
    """Proposers, adapter and thresholds: the link's (?proposers=gdrec&adapter=zero-shot&probability=0.3&score=0.6) before
    those of the last visit, and the page's own for what makes no sense; what a browser remembers may be anything."""
    kept = [*remembered, None, None, None, None][:4] if isinstance(remembered, list) else [None] * 4
    proposers = link["proposers"].split(",") if "proposers" in link else kept[0]
    proposers = offered(proposers) if isinstance(proposers, list) else []
    adapter = link.get("adapter", kept[1])
    probability, score = (_share(link.get(name, value)) for name, value in zip(("probability", "score"), kept[2:], strict=True))
    return proposers, adapter if isinstance(adapter, str) else AUTO, probability, score


def _share(value: Any) -> float:
    """A number from 0 to 1; 0 for what is none."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return number if 0 <= number <= 1 else 0.0
