"""A measured run's answers one at a time: those that are wrong, those that the LLM is least sure of, those about which methods disagree;
and what became better or worse from one method or run to another."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from wrapper.errors import DataError, WrapperError
from wrapper.evaluation.live import Answer
from wrapper.evaluation.methods import Method
from wrapper.evaluation.metrics import mcnemar
from wrapper.ui import common
from wrapper.ui.locate import Request
from wrapper.ui.session import Picture, Session, Settings
from wrapper.ui.store import sessions
from wrapper.ui.view import RIGHT, WRONG, View, boxes, headline, picture, sentence, sureness, trouble, view
from wrapper.worlds import World
from wrapper.writing import appearing

ORDERS = {
    "wrong": "wrong", "margin": "least sure", "disagreement": "not agreed on", "better": "better here", "worse": "worse here",
}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """What was measured: the methods, and the answers so far. token: what its pictures are kept under, which cannot be guessed; rows are
    called alike in every upload."""

    methods: tuple[Method, ...]
    done: tuple[Answer, ...]
    token: str = field(default_factory=lambda: secrets.token_urlsafe(12))


@dataclass(frozen=True)
class Column:
    """One method's answers in one run. key: by which the page names it."""

    key: str
    name: str
    run: Run
    method: int

    def right(self) -> dict[str, bool]:
        """Whether it is right, by the expressions' ids."""
        return {a.example.id: a.outcomes[self.method].correct for a in self.run.done}


def columns(runs: Sequence[Run]) -> list[Column]:
    """All methods of all runs, those of the last run first."""
    return [
        Column(f"{r}/{m}", f"{f'run {r + 1}: ' if len(runs) > 1 else ''}{method.label()}", run, m)
        for r, run in reversed(list(enumerate(runs)))
        for m, method in enumerate(run.methods)
    ]


def ordered(one: Column, other: Column, order: str) -> list[Answer]:
    """The answers of a column that are to be looked at, the most telling first."""
    seen = [a for a in one.run.done if a.failed is None]
    if order == "margin":
        found = [(a.compared[one.method].selection.margin, a) for a in seen]
        return [a for margin, a in sorted(((1.0 if m is None else m, a) for m, a in found), key=lambda pair: pair[0])]
    if order == "disagreement":
        return sorted((a for a in seen if a.disagreement > 0), key=lambda a: -a.disagreement)
    here, there = one.right(), other.right()
    if order in ("better", "worse"):
        both = [a for a in seen if a.example.id in there]
        return [a for a in both if here[a.example.id] is (order == "better") and there[a.example.id] is (order == "worse")]
    return [a for a in seen if not here[a.example.id]]


def held_against(one: Column, other: Column) -> str:
    """How two columns differ on the expressions that both were asked, in words, with McNemar's p."""
    here, there = one.right(), other.right()
    both = [id for id in here if id in there]
    if one.key == other.key or not both:
        return ""
    ours, theirs = [here[id] for id in both], [there[id] for id in both]
    better, worse = (sum(a and not b for a, b in zip(x, y, strict=True)) for x, y in ((ours, theirs), (theirs, ours)))
    return (
        f"On {len(both)} expressions, {one.name} is right where {other.name} is wrong {better} times, and the other way round {worse} "
        f"times (McNemar's p {mcnemar(ours, theirs):.2g})."
    )


def shown(runs: Sequence[Run], number: int | None = None, method: str = "", other: str = "", order: str = "wrong", place: int = 0) -> View:
    """What the reel shows: one answer of a column, in an order."""
    found = {c.key: c for c in columns(runs)}
    if not found:
        return View(number, None, {"methods": [], "entry": None})
    asked = [c for c in found.values() if c.run.methods[c.method].how == "llm"]
    usual = [c for c in asked if c.run is asked[0].run][-1] if asked else next(iter(found.values()))  # the last of the last run
    one = found.get(method, usual)
    against = found.get(other, next((c for c in found.values() if c.key != one.key), one))
    order = order if order in ORDERS else "wrong"
    rows = ordered(one, against, order)
    place = min(max(0, place), max(0, len(rows) - 1))
    said = held_against(one, against) if order in ("better", "worse") else ""
    nothing = "" if rows else "There is none. "
    return View(
        number, None,
        {
            "methods": [(c.key, c.name) for c in found.values()], "method": one.key, "other": against.key, "order": order,
            "total": len(rows), "place": place, "said": f"{nothing}{said}", "entry": entry(rows[place], one) if rows else None,
        },
    )  # fmt: skip


def entry(a: Answer, one: Column) -> dict[str, Any]:
    """One answer with its picture."""
    s = session(a, one)
    selection = s.answer
    return {
        "picture": picture(s.picture),
        "words": s.words,
        "truth": None if s.truth is None else list(s.truth),
        "boxes": boxes(selection.candidates, selection.probabilities),
        "pick": selection.guess,
        "found": selection.box is not None,
        "mark": RIGHT if a.outcomes[one.method].correct else WRONG,
        "said": headline(selection),
        "sure": sureness(selection),
        "why": sentence(selection),
    }


def session(a: Answer, one: Column) -> Session:
    """An answer as a session, with its picture in a file."""
    drawn = a.example.image.open()
    file = common.kept("reel", one.run.token, a.example.id) / "picture.png"
    if not file.is_file():
        with appearing(file) as partial:
            drawn.save(partial)
    if a.example.id.startswith("refscenes/"):
        common.remember_scene(file)
    method = one.run.methods[one.method]
    world = common.world_of_file(str(file))
    return Session(
        Picture(str(file), drawn.size, World(world)), a.example.expression, Settings(method.proposers, method.adapter or "zero-shot"),
        truth=a.example.box, answered=a.compared[one.method].selection, asked=method.proposers,
    )  # fmt: skip


def look(event: gr.EventData, runs: Sequence[Run]) -> dict[str, Any]:
    """The visitor steps on, or wants to see others."""
    request = Request.of(event)
    try:
        return shown(
            runs, request.number, request.text("method"), request.text("other"), request.text("order"), max(0, request.whole("place"))
        ).value()
    except WrapperError as error:
        return trouble(request.number, str(error)).value()


def opened(event: gr.EventData, runs: Sequence[Run]) -> dict[str, Any]:
    """The answer that is shown, for the Locate tab, with its boxes. DataError where there is none."""
    request = Request.of(event)
    found = {c.key: c for c in columns(runs)}
    one, other = found.get(request.text("method")), found.get(request.text("other"))
    if one is None or other is None:
        raise DataError("Nothing is measured any longer. Press Run.")
    rows = ordered(one, other, request.text("order"))
    if not 0 <= request.whole("place") < len(rows):
        raise DataError("This answer is not here any longer. Press Run.")
    s = session(rows[request.whole("place")], one)
    return view(None, sessions.keep(s), s).value() | {"opened": True}
