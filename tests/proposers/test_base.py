"""What every proposer does with its boxes."""

from dataclasses import replace

from wrapper.candidates import Candidate
from wrapper.proposers.base import MOST_PROPOSED, clipped, listed


def cup(x: float, label: str = "cup") -> Candidate:
    return Candidate((x, 0.0, x + 100, 100.0), label, None, "gd")


def test_boxes_are_cut_to_the_picture() -> None:
    assert clipped((-5, -5, 700, 20.5), (640, 480)) == (0, 0, 640, 20.5)


def test_boxes_of_which_nothing_is_left_are_none() -> None:
    assert clipped((650, 0, 700, 20), (640, 480)) is None
    assert clipped((10, 10, 10, 20), (640, 480)) is None
    assert clipped((30, 10, 10, 20), (640, 480)) is None


def test_the_first_of_repeated_boxes_stays() -> None:
    assert listed([cup(0), cup(3), cup(90)], 0.7) == [cup(0), replace(cup(90), rank=1)]


def test_another_label_is_no_repetition() -> None:
    assert listed([cup(0), cup(3, "mug")], 0.7) == [cup(0), replace(cup(3, "mug"), rank=1)]


def test_one_keeps_everything() -> None:
    assert listed([cup(0), cup(0)], 1.0) == [cup(0), replace(cup(0), rank=1)]
    assert len(listed([cup(200.0 * i) for i in range(500)], 1.0)) == MOST_PROPOSED
