"""What every selector is: one method, questions in, selections out. And the simplest one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from wrapper.candidates import Candidate, Reason, Selection

Size = tuple[int, int]


@dataclass(frozen=True)
class Question:
    """One list of candidates, and what is asked about it.

    expression: as `expressions.normalise` gives it. size: the picture's (width, height) in pixels. adapter: the name of one of
    the LLM's adapters; None for the LLM as it is. left_out: how many boxes were proposed but stand on no list.
    """

    candidates: tuple[Candidate, ...]
    expression: str
    size: Size
    adapter: str | None = None
    left_out: int = 0


class Selector(Protocol):
    """Picks one candidate of each list."""

    @property
    def name(self) -> str:
        """The name of its stage in timings."""
        ...

    def select(self, questions: Sequence[Question]) -> list[Selection]:
        """One selection a question."""
        ...


@dataclass(frozen=True)
class OwnAnswer:
    """A proposer's own answer: the first of its own list, wherever that stands in the list at hand."""

    source: str
    name: str = "alone"

    def select(self, questions: Sequence[Question]) -> list[Selection]:
        """The proposer's own answer in each list, without probabilities."""
        return [self._answer(q) for q in questions]

    def _answer(self, q: Question) -> Selection:
        index = next((i for i, c in enumerate(q.candidates) if c.is_answer_of(self.source)), None)
        if index is None:
            return Selection((), None, (), Reason.NO_CANDIDATES)
        return Selection(q.candidates, index, (), Reason.OWN_ANSWER, left_out=q.left_out)


def without_asking(candidates: Sequence[Candidate]) -> Selection:
    """The selection from at most one candidate, which needs no LLM."""
    if not candidates:
        return Selection((), None, (), Reason.NO_CANDIDATES)
    [only] = candidates
    return Selection((only,), 0, (1.0,), Reason.ONLY_CANDIDATE)
