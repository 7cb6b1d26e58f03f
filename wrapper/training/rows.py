"""Candidates -> what an LLM is fine-tuned on: a prompt and the index of the best candidate.

A row is kept when there is something to choose (two candidates or more), when one candidate is right, and when it is
within the token limit (METHOD: Fine-tuning). An LLM that has an answer for "none of them" learns it from the lists without a right
candidate. The same list in other orders is added, so that no place in the list is
favoured; the orders follow from a seed and the row's id.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from wrapper.candidates import IOU_THRESHOLD, Candidate, iou
from wrapper.merging import Merging
from wrapper.proposals import Proposed
from wrapper.selectors.base import Question

FEW, NONE, LONG = "with fewer than 2 candidates", "without a right candidate", "longer than the token limit"


@dataclass(frozen=True)
class Row:
    """A prompt and its completion. id: the example it comes from."""

    id: str
    prompt: str
    completion: str


@dataclass(frozen=True)
class Rows:
    """Training rows, with the number of examples kept and of those dropped, by reason."""

    rows: list[Row]
    kept: int
    dropped: dict[str, int]

    def summary(self) -> str:
        """One line for people."""
        reasons = ", ".join(f"{n:,} {why}" for why, n in self.dropped.items()) or "none"
        return f"{len(self.rows):,} training rows from {self.kept:,} examples; dropped: {reasons}"


def best(candidates: Sequence[Candidate], proposed: Proposed) -> int | None:
    """The index of the candidate with the highest IoU with the true box, where that is right."""
    overlaps = [iou(c.box, proposed.truth) for c in candidates]
    top = max(range(len(overlaps)), key=overlaps.__getitem__, default=None)
    return top if top is not None and overlaps[top] > IOU_THRESHOLD else None


def extra_orders(count: int, most: int) -> int:
    """How many other orders of a list are added: 1 for two candidates, one more for each further one, at most `most`."""
    return min(most, max(0, count - 1))


def make_rows(
    proposed: Sequence[Proposed],
    proposers: Sequence[str],
    read: Callable[[Question], str],
    tokens: Callable[[str], int],
    merging: Merging = Merging.CANONICAL,
    limit: int = 1024,
    orders: int = 4,
    seed: int = 0,
    none: str = "",
) -> Rows:
    """The training rows of some proposers' candidates.

    read: a question as the LLM reads it. tokens: of a prompt with its answer, chat format included. limit: the most of them.
    orders: the most other orders a list is added in, 0 for none. none: the answer that no candidate is meant, empty where there is none.
    """
    rows: list[Row] = []
    dropped: Counter[str] = Counter()
    kept = 0
    for one in proposed:
        asked = one.question(proposers, merging)
        candidates = asked.candidates
        target = best(candidates, one)
        if len(candidates) < 2:
            dropped[FEW] += 1
        elif target is None and not none:
            dropped[NONE] += 1
        elif tokens(read(asked)) > limit:
            dropped[LONG] += 1
        else:
            kept += 1
            for order in _orders(one.id, len(candidates), extra_orders(len(candidates), orders), seed):
                prompt = read(replace(asked, candidates=tuple(candidates[i] for i in order)))
                rows.append(Row(one.id, prompt, none if target is None else str(order.index(target))))
    return Rows(rows, kept, dict(dropped))


def _orders(id: str, count: int, extra: int, seed: int) -> list[list[int]]:
    """The order as it is, and up to `extra` others, all different."""
    rng, found = random.Random(f"{seed}/{id}"), [list(range(count))]
    while len(found) <= extra:
        order = rng.sample(range(count), count)
        if order not in found:
            found.append(order)
    return found
