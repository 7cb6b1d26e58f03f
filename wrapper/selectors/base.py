"""What every selector is: one method, lists of candidates in, selections out. And the simplest one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from wrapper.candidates import Candidate, Reason, Selection

Size = tuple[int, int]


class Selector(Protocol):
    """Picks one candidate of each list."""

    @property
    def name(self) -> str:
        """The name of its stage in timings."""
        ...

    def select(self, lists: Sequence[Sequence[Candidate]], expressions: Sequence[str], sizes: Sequence[Size]) -> list[Selection]:
        """One selection a list; sizes are the pictures' (width, height) in pixels."""
        ...


@dataclass(frozen=True)
class FirstCandidate:
    """The first candidate of the list, which is the first vision-language model's own answer."""

    name: str = "alone"

    def select(self, lists: Sequence[Sequence[Candidate]], expressions: Sequence[str], sizes: Sequence[Size]) -> list[Selection]:
        """The first of each list, without probabilities."""
        return [Selection(tuple(c), 0, (), Reason.OWN_ANSWER) if c else without_asking(c) for c in lists]


def without_asking(candidates: Sequence[Candidate]) -> Selection:
    """The selection from at most one candidate, which needs no LLM."""
    if not candidates:
        return Selection((), None, (), Reason.NO_CANDIDATES)
    [only] = candidates
    return Selection((only,), 0, (1.0,), Reason.ONLY_CANDIDATE)
