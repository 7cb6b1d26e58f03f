"""What every selector is: one method, questions in, selections out. And the simplest one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from wrapper.candidates import Candidate, Reason, Selection
from wrapper.prompt import PromptTemplate

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


class LanguageModel(Selector, Protocol):
    """An LLM that selects: one of one's own, with adapters, or one that is a service."""

    @property
    def adapters(self) -> Mapping[str, Any]:
        """The adapters by name."""
        ...

    def template_for(self, adapter: str | None) -> PromptTemplate:
        """The wording that is read with an adapter; ModelError where there is none of that name."""
        ...

    def count_tokens(self, prompt: str, adapter: str | None) -> int | None:
        """Of a prompt, as it is read with an adapter; None where that cannot be told."""
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


def with_labels(candidate: Candidate, change: Callable[[str], str]) -> Candidate:
    """A candidate whose labels are changed, its others' as well."""
    others = tuple(replace(c, label=change(c.label)) for c in candidate.others)
    return replace(candidate, label=change(candidate.label), others=others)


def own_answer(candidates: Sequence[Candidate]) -> int:
    """The first of the vision-language models' own answers."""
    return min(range(len(candidates)), key=lambda i: min(c.rank for c in (candidates[i], *candidates[i].others)))
