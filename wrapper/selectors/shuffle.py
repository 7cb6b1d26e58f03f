"""Does a pick depend on the order in which the candidates are listed? Ask again in other orders.

The list is always asked in one order (`wrapper.merging`), so this says how sure the LLM is, not what else might be answered.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from wrapper.selectors.base import Question, Selector


@dataclass(frozen=True)
class Agreement:
    """picks: for each order the candidate picked, by its index in the list as it stood; agree: how many are `index`."""

    index: int | None
    picks: tuple[int, ...]

    @property
    def agree(self) -> int:
        return sum(pick == self.index for pick in self.picks)

    @property
    def share(self) -> float:
        """Share of the orders that agree, 0 to 1."""
        return self.agree / max(1, len(self.picks))


def shuffle_check(selector: Selector, question: Question, index: int | None, orders: int = 10, seed: int = 0) -> Agreement:
    """Ask about the same candidates in `orders` random orders, in one batch, and compare with a pick."""
    rng, count = random.Random(seed), len(question.candidates)
    shuffled = [rng.sample(range(count), count) for _ in range(orders)]
    found = selector.select([_in_order(question, order) for order in shuffled])
    return Agreement(index, tuple(question.candidates.index(s.chosen) for s in found if s.chosen is not None))


def _in_order(question: Question, order: Sequence[int]) -> Question:
    return replace(question, candidates=tuple(question.candidates[i] for i in order))
