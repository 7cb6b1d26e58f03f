"""Whether a pick depends on the order of the list."""

from collections.abc import Sequence
from dataclasses import dataclass

from wrapper.candidates import Candidate, Reason, Selection
from wrapper.selectors.base import FirstCandidate, Size
from wrapper.selectors.shuffle import shuffle_check

CUPS = [Candidate((10.0 * i, 0.0, 10.0 * i + 5, 5.0), f"cup {i}", None, "gd") for i in range(6)]


@dataclass(frozen=True)
class Leftmost:
    name: str = "leftmost"

    def select(self, lists: Sequence[Sequence[Candidate]], expressions: Sequence[str], sizes: Sequence[Size]) -> list[Selection]:
        best = [min(range(len(c)), key=lambda i, c=c: c[i].box[0]) for c in lists]  # type: ignore[misc]
        return [Selection(tuple(c), i, (), Reason.CHOSEN) for c, i in zip(lists, best, strict=True)]


def test_a_pick_by_content_agrees_in_every_order() -> None:
    found = shuffle_check(Leftmost(), CUPS, "the left cup", (100, 100), 0, orders=12)
    assert (found.agree, found.share, found.picks) == (12, 1.0, (0,) * 12)


def test_a_pick_by_place_does_not() -> None:
    found = shuffle_check(FirstCandidate(), CUPS, "the left cup", (100, 100), 0, orders=60)
    assert 0 < found.share < 0.5
    assert set(found.picks) == set(range(6))


def test_no_candidates_are_no_orders() -> None:
    assert shuffle_check(FirstCandidate(), [], "the cup", (100, 100), None).share == 0.0
