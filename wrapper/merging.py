"""Several proposers' candidates -> the one list that the LLM reads. The only place where lists are merged.

The list is canonical: it depends on nothing but the candidates, not on who proposed first. Two proposers' boxes of one
object become one candidate with both names; a prompt takes 2 to 20 boxes (METHOD: Pipeline), so the list is cut, fairly to
all proposers, where there are more; and it stands in reading order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import zip_longest

from wrapper.candidates import BY_HAND, IOU_THRESHOLD, Candidate, iou

MOST = 20
"""Boxes a prompt, whatever the number of proposers (METHOD: Pipeline)."""
SAME_OBJECT = IOU_THRESHOLD
"""IoU above which boxes of two proposers are of one object, as a box and the true one are."""


class Merging(StrEnum):
    """How lists are merged. CANONICAL: one candidate an object, in reading order. CONCATENATED: one proposer's list after the
    other's, as in the paper, which depends on the order in which proposers are named."""

    CANONICAL = "canonical"
    CONCATENATED = "concatenated"


@dataclass(frozen=True)
class Merged:
    """A list for the LLM, and how many boxes did not fit."""

    candidates: tuple[Candidate, ...]
    left_out: int = 0


def merge(lists: Sequence[Sequence[Candidate]], how: Merging = Merging.CANONICAL, most: int = MOST) -> Merged:
    """One list of several proposers' candidates, each proposer's own answer first in its own list."""
    proposed = [candidate for one in lists for candidate in one]
    if how is Merging.CANONICAL:
        proposed = canonical(fused(proposed))
    kept = shortened(proposed, most)
    return Merged(tuple(kept), len(proposed) - len(kept))


def relist(candidates: Sequence[Candidate], how: Merging = Merging.CANONICAL, most: int = MOST) -> Merged:
    """A list that was merged before and has been changed by hand: listed as always, and nothing joined anew."""
    ordered = canonical(candidates) if how is Merging.CANONICAL else list(candidates)
    kept = shortened(ordered, most)
    return Merged(tuple(kept), len(ordered) - len(kept))


def canonical(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates in reading order: from top to bottom and left to right by their middles, then by whatever tells two apart."""
    return sorted(candidates, key=_place)


def _place(c: Candidate) -> tuple[object, ...]:
    x1, y1, x2, y2 = c.box
    return y1 + y2, x1 + x2, c.box, c.label, c.source, c.rank, -1.0 if c.score is None else c.score


def fused(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates, those of different proposers that are of one object made one.

    The most alike are joined first, and only where all of them overlap with each other. One proposer's boxes are not joined
    for themselves, only where another's box shows that they are of one object. What a person added stays by itself.
    """
    ordered = canonical(candidates)
    groups: dict[int, list[Candidate]] = {i: [c] for i, c in enumerate(ordered)}
    home = list(range(len(ordered)))
    for _, i, j in sorted(_pairs(ordered)):
        a, b = home[i], home[j]
        if a != b and all(iou(c.box, d.box) > SAME_OBJECT for c in groups[a] for d in groups[b]):
            groups[a] += groups.pop(b)
            home = [a if k == b else k for k in home]
    return [_one(group) for group in groups.values()]


def _pairs(candidates: Sequence[Candidate]) -> Iterator[tuple[float, int, int]]:
    """Pairs of boxes of different proposers that are of one object, the most alike with the lowest number."""
    for i, a in enumerate(candidates):
        for j, b in enumerate(candidates[i + 1 :], i + 1):
            apart = not set(a.sources) & set(b.sources) and BY_HAND not in (a.source, b.source)
            if apart and (alike := iou(a.box, b.box)) > SAME_OBJECT:
                yield -alike, i, j


def _one(group: Sequence[Candidate]) -> Candidate:
    """One candidate of those of one object. The one whose label says most leads; the score is the highest."""
    if len(group) == 1:
        return group[0]
    first, *others = sorted(group, key=lambda c: (-len(c.label.split()), -len(c.label), c.source))
    scores = [c.score for c in group if c.score is not None]
    parts = tuple(part for c in others for part in (replace(c, others=()), *c.others))
    return replace(first, score=max(scores, default=None), others=(*first.others, *parts))


def shortened(candidates: Sequence[Candidate], most: int) -> list[Candidate]:
    """At most `most` of the candidates, in the order they have.

    What a person added is kept. Then proposers take turns; each gives its own answer first, then by turns one box that it
    labels as its answer, and one of another label, each other label in its turn: so both the subject's boxes and the
    landmarks stay.
    """
    if len(candidates) <= most:
        return list(candidates)
    sources = sorted({s for c in candidates for s in c.sources} - {BY_HAND})
    by_hand = [i for i, c in enumerate(candidates) if BY_HAND in c.sources]
    turns = [list(_by_importance(candidates, source)) for source in sources]
    order = [*by_hand, *(i for turn in zip_longest(*turns) for i in turn if i is not None)]
    kept = set(list(dict.fromkeys(order))[:most])
    return [c for i, c in enumerate(candidates) if i in kept]


def _by_importance(candidates: Sequence[Candidate], source: str) -> Iterator[int]:
    """Indices of a proposer's candidates, the first to be kept first."""
    own = [(part.rank, i, part.label) for i, c in enumerate(candidates) for part in (c, *c.others) if part.source == source]
    own.sort()
    groups: dict[str, list[int]] = {}
    for _, i, label in own:
        groups.setdefault(label, []).append(i)
    subject, *others = groups.values()
    rest = [i for turn in zip_longest(*others) for i in turn if i is not None]
    for pair in zip_longest(subject, rest):
        yield from (i for i in pair if i is not None)
