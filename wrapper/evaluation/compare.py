"""Pictures and expressions through several methods, side by side.

Every vision-language model runs once, whatever number of methods reads its candidates; the LLM is asked for all methods
together, in batches by adapter.
"""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from PIL import Image

from wrapper.adapters import AUTO, ZERO_SHOT
from wrapper.candidates import IOU_THRESHOLD, Candidate, Selection, iou
from wrapper.errors import DataError
from wrapper.evaluation.methods import Method
from wrapper.expressions import normalise
from wrapper.pipeline import Collected, Wrapper, collect, question, seen
from wrapper.presets import adapter_name
from wrapper.selectors.base import OwnAnswer, Question
from wrapper.trace import trace


class Order(StrEnum):
    """In which order a list is shown to the LLM: as always (`wrapper.merging`), or otherwise, to see whether that changes its pick."""

    USUAL = "as always"
    REVERSED = "reversed"
    SHUFFLED = "shuffled"


@dataclass(frozen=True)
class Compared:
    """What one method answers. selection.timings_ms: its own stages, as if it had run alone."""

    method: Method
    selection: Selection
    order: Order = Order.USUAL


def methods_with(wrapper: Wrapper, texts: Sequence[str], adapter: str = AUTO) -> list[Method]:
    """Methods from their texts. Those with an LLM that name no adapter get this one: AUTO for that of their own proposers
    where there is one, ZERO_SHOT for none, else the name of one; ModelError where it is none."""
    methods = []
    for m in map(Method.parse, texts):
        name = adapter_name(m.proposers) if adapter == AUTO else adapter
        if m.how == "llm" and m.adapter is None and name != ZERO_SHOT and (adapter != AUTO or name in wrapper.llm.adapters):
            m = replace(m, adapter=name)
        if m.adapter is not None:
            wrapper.adapter_for(m.proposers, m.adapter)
        methods.append(m)
    return methods


def compare_methods(
    wrapper: Wrapper, images: Sequence[Image.Image], expressions: Sequence[str], methods: Sequence[Method]
) -> list[list[Compared]]:
    """For each pair of picture (RGB) and expression, what each method answers.

    An adapter is one of `wrapper.llm`; a method with an LLM that names none is zero-shot. DataError for the oracle, which needs
    the true boxes.
    """
    texts = [normalise(e) for e in expressions]
    found = collect([wrapper.proposer(name) for name in _needed(methods)], images, texts)
    return _answered(wrapper, images, texts, [(m, Order.USUAL) for m in methods], found)


def compare_stepwise(
    wrapper: Wrapper, image: Image.Image, expression: str, methods: Sequence[Method], orders: Sequence[Order] = (Order.USUAL,)
) -> Iterator[list[Compared]]:
    """As `compare_methods` for one question, as answers come: a model's own as soon as it has looked, then all with the LLM, those in
    every order."""
    text, names = normalise(expression), _needed(methods)
    alone = [(m, Order.USUAL) for m in methods if m.how == "alone"]
    asked = [(m, order) for m in methods for order in (orders if m.how == "llm" else (Order.USUAL,))]
    by_proposer: dict[str, list[list[Candidate]]] = {}
    timings: dict[str, float] = {}
    sharing = [n for n in names if n in ("gd", "gdrec")]  # they look together, and share the time of it
    for step in ([sharing] if sharing else []) + [[n] for n in names if n not in sharing]:
        one = collect([wrapper.proposer(name) for name in step], [image], [text])
        by_proposer |= one.by_proposer
        timings |= one.timings_ms
        ready = [(m, order) for m, order in alone if m.proposers[0] in by_proposer]
        yield _answered(wrapper, [image], [text], ready, Collected(by_proposer, timings))[0]
    yield _answered(wrapper, [image], [text], asked, Collected(by_proposer, timings))[0]


def _needed(methods: Sequence[Method]) -> list[str]:
    """The proposers of all methods, each once."""
    if any(m.how == "oracle" for m in methods):
        raise DataError("The best candidate is known only where the true box is; leave +oracle out, or use `wrapper evaluate`.")
    return list(dict.fromkeys(p for m in methods for p in m.proposers))


def _answered(
    wrapper: Wrapper, images: Sequence[Image.Image], texts: Sequence[str], methods: Sequence[tuple[Method, Order]], found: Collected
) -> list[list[Compared]]:
    """For each question, what each method answers from what the proposers found."""
    asked = [[_question(wrapper, m, found, i, texts[i], image.size, order) for i, image in enumerate(images)] for m, order in methods]
    began = time.perf_counter()
    to_llm = [q for (m, _), questions in zip(methods, asked, strict=True) if m.how == "llm" for q in questions]
    answered = iter(wrapper.llm.select(to_llm) if to_llm else [])
    ms = 1000 * (time.perf_counter() - began) / max(1, len(to_llm))
    columns: list[list[Compared]] = []
    for (m, order), questions in zip(methods, asked, strict=True):
        looks = {p: found.timings_ms[p] for p in m.proposers}
        if m.how == "llm":
            picks = [replace(next(answered), timings_ms=looks | {wrapper.llm.name: ms}) for _ in questions]
        else:
            picks = [replace(s, timings_ms=looks) for s in OwnAnswer(m.proposers[0]).select(questions)]
        columns.append([Compared(m, s, order) for s in picks])
    return [[column[i] for column in columns] for i in range(len(texts))]


def say_unseen(rows: Sequence[Compared]) -> list[Compared]:
    """A comparison for people: an LLM's pick is "not found" where its detector alone, which stands among the rows, has no box. The
    methods themselves always answer, and are measured so."""
    alone = {r.method.proposers[0]: r.selection.candidates for r in rows if r.method.how == "alone"}
    return [
        replace(r, selection=seen(r.selection, {p: alone[p] for p in r.method.proposers if p in alone})) if r.method.how == "llm" else r
        for r in rows
    ]


def _question(
    wrapper: Wrapper, m: Method, found: Collected, i: int, text: str, size: tuple[int, int], order: Order = Order.USUAL
) -> Question:
    names = m.proposers[:1] if m.how == "alone" else m.proposers  # a model's own answer is its own box
    asked = question(wrapper.merge({p: found.by_proposer[p][i] for p in names}), text, size, m.adapter)
    if order is Order.USUAL:
        return asked
    rows = asked.candidates[::-1] if order is Order.REVERSED else tuple(random.Random(0).sample(asked.candidates, len(asked.candidates)))
    return replace(asked, candidates=rows)


def agreement(rows: Sequence[Compared]) -> list[list[float | None]]:
    """IoU of every method's pick with every other's; None where one of the two found nothing."""
    boxes = [r.selection.box for r in rows]
    return [[None if a is None or b is None else iou(a, b) for b in boxes] for a in boxes]


def as_record(rows: Sequence[Compared], expression: str, size: tuple[int, int]) -> dict[str, Any]:
    """A comparison ready for json.dumps: `trace` of every method's answer, and how far their picks overlap."""
    methods = [{"method": str(r.method), "label": r.method.label()} | trace(r.selection, expression, size) for r in rows]
    return {"expression": expression, "agreement": agreement(rows), "methods": methods}


def in_words(rows: Sequence[Compared], names: Sequence[str]) -> str:
    """Who agrees with whom: methods whose picks overlap by more than the threshold with the first of a group. names: of the
    methods, as they are to be called."""
    groups: list[list[int]] = []
    for i, row in enumerate(rows):
        for group in groups:
            if _same(rows[group[0]].selection, row.selection):
                group.append(i)
                break
        else:
            groups.append([i])
    if len(groups) == 1:
        return "All methods found nothing." if rows[0].selection.box is None else f"All {len(rows)} methods pick the same object."
    parts = []
    for group in sorted(groups, key=len, reverse=True):
        nothing = rows[group[0]].selection.box is None
        verb = ("find nothing" if nothing else "agree") if len(group) > 1 else ("finds nothing" if nothing else "stands alone")
        parts.append(f"{', '.join(names[i] for i in group)} {verb}")
    return "; ".join(parts) + "."


def _same(a: Selection, b: Selection) -> bool:
    if a.box is None or b.box is None:
        return a.box is b.box
    return iou(a.box, b.box) > IOU_THRESHOLD
