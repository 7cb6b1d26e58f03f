"""Pictures and expressions through several methods, side by side.

Every vision-language model runs once, whatever number of methods reads its candidates; the LLM runs once, batched, for
all methods together, each with its own adapter.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from PIL import Image

from wrapper.candidates import IOU_THRESHOLD, Candidate, Selection, iou
from wrapper.evaluation.methods import Method
from wrapper.pipeline import AUTO, Wrapper, collect, merge
from wrapper.selectors.base import FirstCandidate, Selector, Size
from wrapper.selectors.llama import LlamaSelector, select_together
from wrapper.subject import check_expression

EVERY = ("gd", "gdrec", "florence2", "gd+llm", "gdrec+llm", "florence2+llm", "florence2,gdrec+llm")
"""What the page compares: each model alone, each with the LLM, and both models with the LLM."""


@dataclass(frozen=True)
class Compared:
    """What one method answers. selection.timings_ms: its own stages, as if it had run alone."""

    method: Method
    selection: Selection


def compare(
    wrapper: Wrapper, images: Sequence[Image.Image], expressions: Sequence[str], methods: Sequence[Method], adapter: str = AUTO
) -> list[list[Compared]]:
    """For each pair of picture (RGB) and expression, what each method answers.

    adapter: which adapter methods with an LLM use that name none, as in Wrapper.selector_for.
    """
    texts, sizes = [check_expression(e) for e in expressions], [i.size for i in images]
    names = list(dict.fromkeys(p for m in methods for p in m.proposers))
    found = collect([wrapper.proposer(name) for name in names], images, texts)
    chosen: dict[Method, list[Selection]] = {}
    for group in _together(wrapper, methods, adapter):
        lists = [merge(rows) for m in group for rows in zip(*(found.by_proposer[p] for p in m.proposers), strict=True)]
        began = time.perf_counter()
        selections = _select([s for s in group.values() for _ in texts], lists, texts * len(group), sizes * len(group))
        ms = 1000 * (time.perf_counter() - began) / max(1, len(lists))
        for i, (m, selector) in enumerate(group.items()):
            timings = {p: found.timings_ms[p] for p in m.proposers} | ({} if m.how == "alone" else {selector.name: ms})
            chosen[m] = [replace(s, timings_ms=timings) for s in selections[i * len(texts) : (i + 1) * len(texts)]]
    return [[Compared(m, chosen[m][i]) for m in methods] for i in range(len(texts))]


def _together(wrapper: Wrapper, methods: Sequence[Method], adapter: str) -> list[dict[Method, Selector]]:
    """Methods with their selectors, those that share an LLM together."""
    groups: dict[int, dict[Method, Selector]] = {}
    alone = FirstCandidate()
    for m in methods:
        selector = alone if m.how == "alone" else wrapper.selector_for(m.proposers, m.adapter or adapter)
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


def in_words(rows: Sequence[Compared], labels: Mapping[Method, str]) -> str:
    """Who agrees with whom: methods whose picks overlap by more than the threshold with the first of a group."""
    groups: list[list[Compared]] = []
    for row in rows:
        for group in groups:
            if _same(group[0].selection, row.selection):
                group.append(row)
                break
        else:
            groups.append([row])
    if len(groups) == 1:
        return "All methods found nothing." if rows[0].selection.box is None else f"All {len(rows)} methods pick the same object."
    parts = []
    for group in sorted(groups, key=len, reverse=True):
        names = ", ".join(labels[r.method] for r in group)
        what = "find nothing" if group[0].selection.box is None else "agree"
        alone = "finds nothing" if group[0].selection.box is None else "stands alone"
        parts.append(f"{names} {what if len(group) > 1 else alone}")
    return "; ".join(parts) + "."


def _same(a: Selection, b: Selection) -> bool:
    if a.box is None or b.box is None:
        return a.box is b.box
    return iou(a.box, b.box) > IOU_THRESHOLD
