"""The Compare tab: the Locate tab's question through every method, side by side, as answers come."""

from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr
import spaces
from PIL import Image

from wrapper.adapters import AUTO
from wrapper.candidates import iou, is_correct
from wrapper.errors import DataError, WrapperError
from wrapper.evaluation import compare as comparing
from wrapper.evaluation.compare import Compared, Order
from wrapper.evaluation.methods import Method, every
from wrapper.pipeline import Wrapper
from wrapper.ui import common, models
from wrapper.ui.canvas import board
from wrapper.ui.locate import GONE, Request, Tab, in_turn
from wrapper.ui.session import Session
from wrapper.ui.store import sessions
from wrapper.ui.turns import turns
from wrapper.ui.view import RIGHT, WRONG, View, boxes, headline, picture, sureness, trouble


def seconds(picture: Image.Image, expression: str, methods: list[Method], orders: list[Order]) -> int:
    """How long a GPU is asked for, at most: every model's look, and the LLM's choices in a batch for each adapter and order."""
    looks, adapters = len({p for m in methods for p in m.proposers}), len({m.adapter for m in methods if m.how == "llm"})
    return (looks + adapters * len(orders)) * models.seconds_a_step()


@spaces.GPU(duration=seconds)  # type: ignore[untyped-decorator]
def compared(picture: Image.Image, expression: str, methods: list[Method], orders: list[Order]) -> Iterator[list[Compared]]:
    """What each method answers, all so far whenever more are there."""
    with common.as_page_errors():
        wrapper = models.now().asked_by([p for m in methods for p in m.proposers])
        for rows in comparing.compare_stepwise(wrapper, picture, expression, methods, orders):
            yield comparing.say_unseen(rows)


def chosen_methods(s: Session, chosen: Sequence[str], adapters: Sequence[str]) -> list[list[Method]]:
    """What is compared, by the models that are asked together: what is chosen, or every method that fits the picture; those with an LLM
    with each of the adapters."""
    fitting = models.fitting(s.picture.world)
    usual = every((*fitting, "gd") if "gdrec" in fitting and "gd" in models.proposers() else fitting)
    return [methods for _, methods in by_models(chosen or usual, adapters)]


def by_models(texts: Sequence[str], adapters: Sequence[str]) -> list[tuple[Wrapper, list[Method]]]:
    """Methods as they are written, those with an LLM with each of the adapters, by the models that are asked together."""
    groups: dict[int, tuple[Wrapper, dict[Method, None]]] = {}
    for text in texts:
        wrapper = models.now().asked_by(Method.parse(text).proposers)
        found = [m for adapter in adapters or [AUTO] for m in comparing.methods_with(wrapper, [text], adapter)]
        groups.setdefault(id(wrapper), (wrapper, {}))[1].update(dict.fromkeys(found))
    return [(wrapper, list(methods)) for wrapper, methods in groups.values()]


def name_of(row: Compared) -> str:
    """A method in words: "Florence-2 + GDrec + LLM (ensemble)", "..., reversed"."""
    plain = common.method_name(str(row.method).partition(":")[0])
    adapter = "" if row.method.how == "alone" else f" ({row.method.adapter or 'zero-shot'})"
    return plain + adapter + ("" if row.order is Order.USUAL else f", {row.order.value}")


def row_of(row: Compared, s: Session) -> dict[str, Any]:
    """A method's answer as the board shows it."""
    selection = row.selection
    if s.absent:
        mark = RIGHT if selection.box is None else WRONG
    else:
        mark = "" if s.truth is None else RIGHT if is_correct(selection.box, s.truth) else WRONG
    return {
        "name": name_of(row),
        "mark": mark,
        "boxes": boxes(selection.candidates, selection.probabilities),
        "pick": selection.guess,
        "found": selection.box is not None,
        "said": headline(selection),
        "sure": sureness(selection),
        "share": f"{selection.probabilities[selection.index]:.0%}" if selection.probabilities and selection.index is not None else "",
        "overlap": "" if s.truth is None else f"{0.0 if selection.box is None else iou(selection.box, s.truth):.2f}",
        "ms": common.times(selection.timings_ms),
    }


def shown(number: int | None, name: str, s: Session, rows: Sequence[Compared] = (), busy: str = "") -> View:
    """What the board shows of a session: its question, and answers as far as they are there."""
    value: dict[str, Any] = {
        "words": s.words, "picture": picture(s.picture), "busy": busy,
        "truth": None if s.truth is None else list(s.truth), "rows": [row_of(r, s) for r in rows],
    }  # fmt: skip
    if rows and not busy:
        value["agree"] = comparing.in_words(rows, [name_of(r) for r in rows])
        value["matrix"] = comparing.agreement(rows)
        value["facts"] = comparing.as_record(rows, s.words, s.picture.size)
    return View(number, name, value)


def _session(value: Any) -> tuple[str, Session]:
    """What the Locate tab shows. DataError where that is nothing, or not kept any longer."""
    name = value.get("session") if isinstance(value, dict) else None
    if not isinstance(name, str):
        raise DataError("There is nothing to compare yet. Ask something in the Locate tab.")
    if (s := sessions.find(name)) is None:
        raise DataError(GONE)
    if not s.words:
        raise DataError("There is a picture and no expression yet. Describe one object in the Locate tab.")
    return name, s


def compare(
    event: gr.EventData,
    visit: gr.Request,
    value: Any,
    chosen: list[str],
    adapters: list[str],
    orders: list[str],
    token: gr.OAuthToken | None = None,
) -> Iterator[dict[str, Any]]:
    """Every method answers the Locate tab's question."""
    number = Request.of(event).number
    wanted = [Order(o) for o in orders] or [Order.USUAL]
    yield from in_turn(_visitor(visit), number, _steps(number, value, chosen, adapters, wanted), token)


def _steps(number: int, value: Any, chosen: Sequence[str], adapters: Sequence[str], orders: list[Order]) -> Iterator[View]:
    name, s = _session(value)
    image = common.open_upload(s.picture.path)
    done: list[Compared] = []
    yield shown(number, name, s, busy="The models are looking …")
    for methods in chosen_methods(s, chosen, adapters):
        rows: list[Compared] = []
        for rows in compared(image, s.words, methods, orders):
            yield shown(number, name, s, [*done, *rows], "The other models are looking …")
        done += rows
    yield shown(number, name, s, done)


def halt(event: gr.EventData, visit: gr.Request) -> None:
    """The visitor wants no more of what is being compared."""
    turns.begin(_visitor(visit), Request.of(event).number)


def _visitor(visit: gr.Request) -> str:
    return f"{visit.session_hash}/compare"  # it counts its own requests


def question(value: Any, board_value: Any) -> Any:
    """The Locate tab's question, when this tab is opened; what is compared already stays where it is about that one, whatever was done to
    its list there."""
    try:
        name, s = _session(value)
    except WrapperError:
        return gr.skip()
    before = board_value.get("session") if isinstance(board_value, dict) else None
    earlier = sessions.find(before) if isinstance(before, str) else None
    same = earlier is not None and (earlier.picture, earlier.words, earlier.truth) == (s.picture, s.words, s.truth)
    try:
        return gr.skip() if same else shown(None, name, s).value()
    except WrapperError as error:
        return trouble(None, str(error)).value()


def build(tab: gr.Tab, first: Tab) -> gr.Dropdown:
    """Lay the tab out inside the current Blocks; gives the choice of adapters."""
    shows = board()
    with gr.Accordion("What to compare", open=False):
        found = offered()
        chosen = gr.CheckboxGroup(
            [(common.method_name(text), text) for text in found], value=[], label="Methods",
            info="None ticked: every method that knows such a picture.",
        )  # fmt: skip
        with gr.Row():
            adapters = gr.Dropdown(
                common.adapter_choices(), value=[], multiselect=True, label="LLM adapters", info="Several: each of them."
            )
            orders = gr.Dropdown(
                [o.value for o in Order], value=[], multiselect=True, label="Orders of the list",
                info="Several: the same list in each, to see whether the pick depends on it.",
            )  # fmt: skip
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    run = shows.compare(
        compare, [first.canvas, chosen, adapters, orders], [shows], concurrency_id="models", concurrency_limit=1, trigger_mode="multiple",
        **quiet,
    )  # fmt: skip
    run.failure(lambda: trouble(None, "That did not work, and nothing was lost. Try again.").value(), None, [shows], queue=False, **quiet)
    shows.halt(halt, None, None, queue=False, trigger_mode="multiple", **quiet)
    tab.select(question, [first.canvas, shows], [shows], queue=False, **quiet)
    return adapters


def offered() -> list[str]:
    """Every method of the models of either world: no LLM reads the boxes of both."""
    loading = models.asked()
    presets = (loading.preset, loading.preset_for_photographs)
    return [text for preset in presets if preset is not None for text in every(preset.proposers)]
