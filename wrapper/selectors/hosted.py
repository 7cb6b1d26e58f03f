"""A hosted LLM that is asked with the token of whoever asks, and an LLM of this machine for everybody else.

For a Space without a GPU: visitors who log in have a larger LLM choose, on their own account; for others the bundled one does.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from wrapper.candidates import Selection
from wrapper.prompt import PromptTemplate
from wrapper.selectors.base import LanguageModel, Question
from wrapper.selectors.endpoint import Endpoint, asking


@contextmanager
def asked_with(token: str | None) -> Iterator[None]:
    """Whatever is asked in this block, in this thread, is asked with this token; with None by somebody who has not logged in."""
    before = asking.set(token)
    try:
        yield
    finally:
        asking.reset(before)


def logged_in() -> bool:
    """Whether whoever asks has logged in."""
    return asking.get() is not None


@dataclass(frozen=True)
class Hosted:
    """Two LLMs as one: `service` for those who have logged in (`asked_with`), `own` for others. service: made with `of_visitors`."""

    own: LanguageModel
    service: Endpoint

    @property
    def now(self) -> LanguageModel:
        """The one that chooses for whoever asks."""
        return self.service if logged_in() else self.own

    @property
    def name(self) -> str:
        """The name of its stage in timings, the same for both."""
        return self.own.name

    @property
    def adapters(self) -> Mapping[str, Any]:
        """Those of the LLM that chooses."""
        return self.now.adapters

    def template_for(self, adapter: str | None) -> PromptTemplate:
        """The wording of the LLM that chooses."""
        return self.now.template_for(adapter)

    def count_tokens(self, prompt: str, adapter: str | None) -> int | None:
        """Of a prompt, as the LLM that chooses reads it."""
        return self.now.count_tokens(prompt, adapter)

    def select(self, questions: Sequence[Question]) -> list[Selection]:
        """What the LLM that chooses picks."""
        return self.now.select(questions)
