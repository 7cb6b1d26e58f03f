"""P@1 and what stands beside it, from selections and true boxes. Every expression stays in the denominator."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wrapper.candidates import IOU_THRESHOLD, Box, Candidate, Selection, iou, is_correct

DRAWS = 2000
DRAWN = 2**20
"""Numbers drawn at once, so that many different values do not take hundreds of megabytes."""


@dataclass(frozen=True)
class Share:
    """A share of n expressions, 0 to 1, with its bootstrap 95 % interval."""

    value: float
    low: float
    high: float
    n: int

    def text(self) -> str:
        """'61.8 (58.8-64.8)', in per cent."""
        return f"{100 * self.value:.1f} ({100 * self.low:.1f}-{100 * self.high:.1f})"


def share(hits: Sequence[float], pictures: Sequence[str] = (), seed: int = 0) -> Share:
    """The mean of values such as 0 and 1 with its percentile bootstrap interval (Efron 1979).

    What is drawn is how often each value comes, which is multinomial: thousands of expressions have two or three values. pictures: which
    one each value is about; where several are about one, which are alike, pictures are drawn and not values (Davison & Hinkley, Bootstrap
    Methods, 1997, section 3.8), or the interval would be too narrow.
    """
    values = np.asarray(hits, float)
    if not len(values):
        return Share(0.0, 0.0, 0.0, 0)
    if len(set(pictures)) < len(pictures):
        return _clustered(values, pictures, seed)
    different, counts = np.unique(values, return_counts=True)
    rng, at_once = np.random.default_rng(seed), max(1, DRAWN // len(different))
    sizes = [min(at_once, DRAWS - start) for start in range(0, DRAWS, at_once)]
    means = [rng.multinomial(len(values), counts / len(values), size) @ different / len(values) for size in sizes]
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return Share(float(values.mean()), float(low), float(high), len(values))


def _clustered(values: NDArray[np.float64], pictures: Sequence[str], seed: int) -> Share:
    """As `share`, with whole pictures drawn."""
    _, which = np.unique(np.asarray(pictures, dtype=object).astype(str), return_inverse=True)
    sums, sizes = np.bincount(which, values), np.bincount(which)
    count = len(sizes)
    rng, at_once = np.random.default_rng(seed), max(1, DRAWN // count)
    means = []
    for start in range(0, DRAWS, at_once):
        drawn = rng.multinomial(count, np.full(count, 1 / count), min(at_once, DRAWS - start))
        means.append((drawn @ sums) / (drawn @ sizes))
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return Share(float(values.mean()), float(low), float(high), len(values))


def difference(ours: Sequence[float], theirs: Sequence[float], pictures: Sequence[str] = ()) -> Share:
    """How much more often the first are right than the second, on the same expressions; the interval is of the pairs, by pictures as in
    `share`."""
    return share([a - b for a, b in zip(ours, theirs, strict=True)], pictures)


def mcnemar(ours: Sequence[bool], theirs: Sequence[bool]) -> float:
    """McNemar's exact p: how probable so uneven a split of the expressions that only one of the two gets right would be, if both were as
    good (McNemar 1947; two-sided, by the binomial distribution)."""
    better = sum(a and not b for a, b in zip(ours, theirs, strict=True))
    worse = sum(b and not a for a, b in zip(ours, theirs, strict=True))
    n = better + worse
    tail = sum(math.comb(n, k) for k in range(min(better, worse) + 1))
    return min(1.0, float(2 * tail / 2**n))


@dataclass(frozen=True)
class Outcome:
    """What became of one expression. recalled: whether any candidate is right; index and box: of the candidate picked; picture: that it is
    about."""

    id: str
    category: str | None
    correct: bool
    iou: float
    recalled: bool
    boxes: int
    reason: str
    index: int | None
    box: Box | None
    picture: str


def outcome(id: str, category: str | None, truth: Box, candidates: Sequence[Candidate], selection: Selection, picture: str) -> Outcome:
    """Judge one selection."""
    box = selection.box
    return Outcome(
        id,
        category,
        is_correct(box, truth),
        0.0 if box is None else iou(box, truth),
        any(iou(c.box, truth) > IOU_THRESHOLD for c in candidates),
        len(candidates),
        selection.reason.value,
        selection.index,
        box,
        picture,
    )


def _right(outcomes: Sequence[Outcome]) -> Share:
    return share([o.correct for o in outcomes], [o.picture for o in outcomes])


@dataclass(frozen=True)
class Figures:
    """A method's figures on one data set.

    p_at_1 by category beside the whole; recall: share of expressions with a right candidate, which is what any selector
    could reach at best; reasons: how often each; ms: mean milliseconds an expression, by stage.
    """

    p_at_1: Share
    categories: dict[str, Share]
    recall: Share
    mean_iou: float
    boxes: float
    reasons: dict[str, int]
    ms: dict[str, float]

    @classmethod
    def of(cls, outcomes: Sequence[Outcome], ms: Mapping[str, float]) -> "Figures":
        """Sum up outcomes."""
        categories = sorted({o.category for o in outcomes if o.category})
        count = max(1, len(outcomes))
        return cls(
            _right(outcomes),
            {c: _right([o for o in outcomes if o.category == c]) for c in categories},
            share([o.recalled for o in outcomes], [o.picture for o in outcomes]),
            sum(o.iou for o in outcomes) / count,
            sum(o.boxes for o in outcomes) / count,
            dict(Counter(o.reason for o in outcomes).most_common()),
            dict(ms),
        )

    def plain(self) -> dict[str, Any]:
        """Ready for json.dumps."""
        return asdict(self)
