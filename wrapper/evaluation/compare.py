"""Pictures and expressions through several methods, side by side.

Every vision-language model runs once, whatever number of methods reads its candidates; the LLM runs once, batched, for
all methods together, each with its own adapter.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from wrapper.candidates import IOU_THRESHOLD, Candidate, Selection, iou
from wrapper.errors import DataError
from wrapper.evaluation.methods import Method
from wrapper.pipeline import AUTO, ZERO_SHOT, Wrapper, collect, merge
from wrapper.presets import adapter_name
from wrapper.selectors.base import FirstCandidate, Selector, Size
from wrapper.selectors.llama import LlamaSelector, select_together
from wrapper.subject import check_expression
from wrapper.trace import trace

EVERY = ("gd", "gdrec", "florence2", "gd+llm", "gdrec+llm", "florence2+llm", "florence2,gdrec+llm")
"""What the page compares: each model alone, each with the LLM, and both models with the LLM."""


@dataclass(frozen=True)
class Compared:
    """What one method answers. selection.timings_ms: its own stages, as if it had run alone."""

    method: Method
    selection: Selection


def methods_with(wrapper: Wrapper, texts: Sequence[str], adapter: str = AUTO) -> list[Method]:
    """Methods from their texts. Those with an LLM that name no adapter get this one: AUTO for that of their own proposers
    where there is one, ZERO_SHOT for none, else a name in `wrapper.adapted`; ModelError where it is none."""
    methods = []
    for m in map(Method.parse, texts):
        name = adapter_name(m.proposers) if adapter == AUTO else adapter
        if m.how == "llm" and m.adapter is None and name != ZERO_SHOT and (adapter != AUTO or name in wrapper.adapted):
            m = replace(m, adapter=name)
        if m.adapter is not None:
            wrapper.selector_for(m.proposers, m.adapter)
        methods.append(m)
    return methods


def compare(wrapper: Wrapper, images: Sequence[Image.Image], expressions: Sequence[str], methods: Sequence[Method]) -> list[list[Compared]]:
    """For each pair of picture (RGB) and expression, what each method answers.

    An adapter is one in `wrapper.adapted`; a method with an LLM that names none is zero-shot. DataError for the oracle, which needs
    the true boxes.
    """
    if any(m.how == "oracle" for m in methods):
        raise DataError("The best candidate is known only where the true box is; leave +oracle out, or use `wrapper evaluate`.")
    texts, sizes = [check_expression(e) for e in expressions], [i.size for i in images]
    names = list(dict.fromkeys(p for m in methods for p in m.proposers))
    found = collect([wrapper.proposer(name) for name in names], images, texts)
    chosen: dict[Method, list[Selection]] = {}
    for group in _together(wrapper, methods):
        lists = [merge(rows) for m in group for rows in zip(*(found.by_proposer[p] for p in m.proposers), strict=True)]
        began = time.perf_counter()
        selections = _select([s for s in group.values() for _ in texts], lists, texts * len(group), sizes * len(group))
        ms = 1000 * (time.perf_counter() - began) / max(1, len(lists))
        for i, (m, selector) in enumerate(group.items()):
            timings = {p: found.timings_ms[p] for p in m.proposers} | ({} if m.how == "alone" else {selector.name: ms})
            chosen[m] = [replace(s, timings_ms=timings) for s in selections[i * len(texts) : (i + 1) * len(texts)]]
    return [[Compared(m, chosen[m][i]) for m in methods] for i in range(len(texts))]


def _together(wrapper: Wrapper, methods: Sequence[Method]) -> list[dict[Method, Selector]]:
    """Methods with their selectors, those that share an LLM together."""
    groups: dict[int, dict[Method, Selector]] = {}
    alone = FirstCandidate()
    for m in methods:
        selector = alone if m.how == "alone" else wrapper.selector_for(m.proposers, m.adapter or ZERO_SHOT)
        shared = selector.llm if isinstance(selector, LlamaSelector) else selector
        groups.setdefault(id(shared), {})[m] = selector
    return list(groups.values())


def _select(
    selectors: Sequence[Selector], lists: Sequence[Sequence[Candidate]], expressions: Sequence[str], sizes: Sequence[Size]
) -> list[Selection]:
    llamas = [s for s in selectors if isinstance(s, LlamaSelector)]
    if len(llamas) == len(selectors):
        return select_together(llamas, lists, expressions, sizes)
    return selectors[0].select(lists, expressions, sizes)


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
