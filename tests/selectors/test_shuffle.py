"""Whether a pick depends on the order of the list."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from wrapper.candidates import Candidate, Reason, Selection
from wrapper.selectors.base import Question
from wrapper.selectors.shuffle import shuffle_check

CUPS = Question(tuple(Candidate((10.0 * i, 0.0, 10.0 * i + 5, 5.0), f"cup {i}", None, "gd") for i in range(6)), "the left cup", (100, 100))


@dataclass(frozen=True)
class Leftmost:
    name: str = "leftmost"

    def select(self, questions: Sequence[Question]) -> list[Selection]:
        best = [min(range(len(q.candidates)), key=lambda i, q=q: q.candidates[i].box[0]) for q in questions]  # type: ignore[misc]
        return [Selection(q.candidates, i, (), Reason.CHOSEN) for q, i in zip(questions, best, strict=True)]


@dataclass(frozen=True)
class First:
    name: str = "first"

    def select(self, questions: Sequence[Question]) -> list[Selection]:
        return [Selection(q.candidates, 0 if q.candidates else None, (), Reason.CHOSEN) for q in questions]


def test_a_pick_by_content_agrees_in_every_order() -> None:
    found = shuffle_check(Leftmost(), CUPS, 0, orders=12)
    assert (found.agree, found.share, found.picks) == (12, 1.0, (0,) * 12)


def test_a_pick_by_place_does_not() -> None:
    found = shuffle_check(First(), CUPS, 0, orders=60)
    assert 0 < found.share < 0.5
    assert set(found.picks) == set(range(6))


def test_no_candidates_are_no_orders() -> None:
    assert shuffle_check(First(), replace(CUPS, candidates=()), None).share == 0.0


@dataclass(frozen=True)
class Short:
    """Leaves all but two candidates out, as a token limit does, and picks the leftmost of the others."""

    name: str = "short"

    def select(self, questions: Sequence[Question]) -> list[Selection]:
        return Leftmost().select([replace(q, candidates=q.candidates[-2:]) for q in questions])


def test_picks_are_named_by_their_place_in_the_whole_list() -> None:
    rng, found = random.Random(3), shuffle_check(Short(), CUPS, 0, orders=20, seed=3)
    assert list(found.picks) == [min(rng.sample(range(6), 6)[-2:]) for _ in range(20)]
