"""The two data types that cross every boundary: a candidate box, and the selection of one among several."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in absolute pixels, x to the right and y down, from the upper left corner of the picture."""

IOU_THRESHOLD = 0.5
"""A box is right when its IoU with the true box is greater than this, strictly, as in the paper's own evaluation."""


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0.0) * max(height, 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common
    return common / union if union > 0 else 0.0


def is_correct(box: Box | None, truth: Box) -> bool:
    """Whether a predicted box counts as right (P@1). No box is wrong."""
    return box is not None and iou(box, truth) > IOU_THRESHOLD


BY_HAND = "user"
"""The source of a candidate that a person added."""


@dataclass(frozen=True)
class Candidate:
    """A box that a vision-language model proposes, or that several propose of one object (`wrapper.merging`).

    label: the words the model gave it. score: its confidence between 0 and 1, None where the model gives none; of several
    models the highest. source: the proposer's name, such as "gdrec", or BY_HAND. rank: its place in that proposer's own
    list, from 0 on; 0 is the model's own answer. others: what other proposers say of the same object, each as it was proposed.
    colors: the colours that the picture shows there, the commonest first (`wrapper.colors`); none where nobody looked.
    """

    box: Box
    label: str
    score: float | None
    source: str
    rank: int = 0
    others: tuple["Candidate", ...] = ()
    colors: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.box) != 4 or not all(math.isfinite(v) for v in self.box):
            raise ValueError(f"a box is four finite numbers, not {self.box}")
        if not (self.box[0] < self.box[2] and self.box[1] < self.box[3]):
            raise ValueError(f"a box has x1 < x2 and y1 < y2, not {self.box}")
        if self.score is not None and not 0.0 <= self.score <= 1.0:
            raise ValueError(f"a score is between 0 and 1, not {self.score}")

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of all who propose it, that of `source` first."""
        return tuple(dict.fromkeys([self.source, *(c.source for c in self.others)]))

    @property
    def labels(self) -> tuple[str, ...]:
        """The different words that were given to it, `label` first; none whose words another one has too."""
        found: list[str] = []
        for label in (self.label, *(c.label for c in self.others)):
            if not any(set(label.lower().split()) <= set(kept.lower().split()) for kept in found):
                found.append(label)
        return tuple(found) or (self.label,)

    def is_answer_of(self, source: str) -> bool:
        """Whether it is that proposer's own answer, the first of its list."""
        return any(c.source == source and c.rank == 0 for c in (self, *self.others))


class Reason(StrEnum):
    """Why a selection is what it is."""

    CHOSEN = "chosen"
    CHOSEN_FROM_PART = "chosen_from_part"
    OWN_ANSWER = "own_answer"
    BEST_CANDIDATE = "best_candidate"
    ONLY_CANDIDATE = "only_candidate"
    NO_CANDIDATES = "no_candidates"
    FALLBACK_NOT_AN_INDEX = "fallback_not_an_index"
    FALLBACK_TOO_LONG = "fallback_too_long"
    ABSTAINED = "abstained"
    UNSEEN = "unseen"
    NOTHING_LIKE_IT = "nothing_like_it"
    NONE_MEANT = "none_meant"
    FAILED = "failed"


NOT_FOUND = (Reason.ABSTAINED, Reason.UNSEEN, Reason.NOTHING_LIKE_IT, Reason.NONE_MEANT)
"""Reasons of a selection that has candidates but no answer."""
BY_LLM = (Reason.CHOSEN, Reason.CHOSEN_FROM_PART)
"""Reasons of a selection that the LLM made."""


@dataclass(frozen=True)
class Selection:
    """One candidate picked from a list.

    index: its place in `candidates`, None where there is none or where the answer is "not found" (`abstain`).
    probabilities: one a candidate, empty where the selector gives none; they are the LLM's, and sum to 1 with `absent`. absent: the
    probability that none of the candidates is meant; None where the selector cannot say so. calibrated: whether they were fitted to be
    true on data of the LLM's own world. prompt: the exact text the LLM read, None where it was not asked. timings_ms: milliseconds by
    stage. left_out: how many boxes were proposed but stand on no list, because a prompt takes so many and no more.
    """

    candidates: tuple[Candidate, ...]
    index: int | None
    probabilities: tuple[float, ...]
    reason: Reason
    prompt: str | None = None
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    left_out: int = 0
    absent: float | None = None
    calibrated: bool = False

    def __post_init__(self) -> None:
        if (self.index is None) != (not self.candidates or self.reason in NOT_FOUND):
            raise ValueError(f"an index goes with candidates: {len(self.candidates)} candidates, index {self.index}")
        if self.index is not None and not 0 <= self.index < len(self.candidates):
            raise ValueError(f"index {self.index} is outside the {len(self.candidates)} candidates")
        if self.probabilities and len(self.probabilities) != len(self.candidates):
            raise ValueError(f"{len(self.probabilities)} probabilities for {len(self.candidates)} candidates")

    @property
    def chosen(self) -> Candidate | None:
        """The candidate picked."""
        return None if self.index is None else self.candidates[self.index]

    @property
    def box(self) -> Box | None:
        """Its box."""
        return None if self.chosen is None else self.chosen.box

    @property
    def guess(self) -> int | None:
        """The most probable candidate, also where it is not the answer; without probabilities the answer, else the first."""
        if self.probabilities:
            return max(range(len(self.probabilities)), key=self.probabilities.__getitem__)
        return 0 if self.index is None and self.candidates else self.index

    @property
    def support(self) -> float | None:
        """The probability of the guess's object: of all candidates that overlap with it by more than the threshold, as two
        proposers' boxes of one object share what the LLM gives it. None where there are no probabilities."""
        if not self.probabilities or self.guess is None:
            return None
        best = self.candidates[self.guess].box
        return sum(p for c, p in zip(self.candidates, self.probabilities, strict=True) if iou(c.box, best) > IOU_THRESHOLD)

    @property
    def best_score(self) -> float | None:
        """The highest score that a vision-language model gave any candidate: how sure the detectors are that something of
        the kind is there at all. None where no candidate has a score."""
        return max((c.score for c in self.candidates if c.score is not None), default=None)

    @property
    def margin(self) -> float | None:
        """How much more probable the most probable candidate is than the second; None where there are no two."""
        if len(self.probabilities) < 2:
            return None
        first, second = sorted(self.probabilities, reverse=True)[:2]
        return first - second


@dataclass(frozen=True)
class Thresholds:
    """Below which the answer is "not found", 0 to 1 each; 0 is never.

    probability: the LLM's for the picked object (`Selection.support`); score: the detectors' best (`Selection.best_score`).
    """

    probability: float = 0.0
    score: float = 0.0

    def __post_init__(self) -> None:
        if not (0.0 <= self.probability <= 1.0 and 0.0 <= self.score <= 1.0):
            raise ValueError(f"thresholds are between 0 and 1, not {self.probability} and {self.score}")


def abstain(selection: Selection, least: Thresholds) -> Selection:
    """The selection, or "not found" where it lies below one of the thresholds.

    The method itself always answers; this is an addition, and neither figure is calibrated. Where no candidate has a
    score, or the LLM was not asked (an only candidate), the threshold in question does nothing.
    """
    if selection.index is None:
        return selection
    if selection.best_score is not None and selection.best_score < least.score:
        return replace(selection, index=None, reason=Reason.UNSEEN)
    if selection.reason in BY_LLM and selection.support is not None and selection.support < least.probability:
        return replace(selection, index=None, reason=Reason.ABSTAINED)
    return selection
