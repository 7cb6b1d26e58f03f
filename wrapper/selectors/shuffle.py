"""Does a pick depend on the order in which the candidates are listed? Ask again in other orders."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from wrapper.candidates import Candidate
from wrapper.selectors.base import Selector, Size


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


def shuffle_check(
    selector: Selector, candidates: Sequence[Candidate], expression: str, size: Size, index: int | None, orders: int = 10, seed: int = 0
) -> Agreement:
    """Ask about the same candidates in `orders` random orders, in one batch, and compare with a pick."""
    rng = random.Random(seed)
    shuffled = [rng.sample(range(len(candidates)), len(candidates)) for _ in range(orders)]
    found = selector.select([[candidates[i] for i in order] for order in shuffled], [expression] * orders, [size] * orders)
    return Agreement(index, tuple(order[s.index] for order, s in zip(shuffled, found, strict=True) if s.index is not None))
