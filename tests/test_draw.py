"""What is drawn can be read: every label is whole, the pick stands out, and the picture given is left alone."""

import numpy as np
import pytest
from PIL import Image

from wrapper.candidates import Box, Candidate, Reason, Selection
from wrapper.draw import COLORS, DIMMED, FRAME, LETTERS, OTHER, PICK, annotate, draw_candidates


def selection(boxes: list[Box], index: int | None) -> Selection:
    candidates = tuple(Candidate(b, "cup", None, "florence2") for b in boxes)
    return Selection(candidates, index, (), Reason.ABSTAINED if index is None else Reason.CHOSEN)


def white(picture: Image.Image) -> int:
    """How much there is of the labels' letters, which are all that is white on a black picture."""
    return int((np.asarray(picture) == 255).all(2).sum())


def painted(picture: Image.Image, color: str) -> np.ndarray:
    return np.asarray((np.asarray(picture) == [int(color[i : i + 2], 16) for i in (1, 3, 5)]).all(2))


@pytest.mark.parametrize("index", [None, 0, 4])
def test_labels_of_boxes_upon_each_other_can_all_be_read(index: int | None) -> None:
    """The pick's longer label among them."""
    black = Image.new("RGB", (640, 480))
    apart = selection([(40.0 + 110 * i, 200.0, 90.0 + 110 * i, 260.0) for i in range(5)], index)
    upon = selection([(300.0 + 3 * i, 200.0 + 2 * i, 360.0 + 3 * i, 260.0 + 2 * i) for i in range(5)], index)
    assert white(annotate(black, upon)) == white(annotate(black, apart)) > 0


def test_no_label_is_hidden_behind_the_true_box() -> None:
    black, one = Image.new("RGB", (640, 480)), selection([(300.0, 200.0, 360.0, 260.0), (500.0, 300.0, 600.0, 400.0)], 0)
    plain, cornered = annotate(black, one), annotate(black, one, truth=(300.0, 180.0, 372.0, 270.0))
    letters = (np.asarray(plain) == 255).all(2)
    assert (np.asarray(cornered)[letters] == 255).all()
    assert white(cornered) > white(plain), "and its corners are drawn"


@pytest.mark.parametrize("size", [(64, 48), (640, 480), (480, 640), (1600, 1200), (1600, 160), (160, 1600)])
def test_labels_can_be_read_where_the_picture_is_fitted_into_the_page(size: tuple[int, int]) -> None:
    w, h = size
    drawn = annotate(Image.new("RGB", size), selection([(0.3 * w, 0.5 * h, 0.9 * w, 0.9 * h)], None))
    rows = np.flatnonzero((np.asarray(drawn).min(2) > 100).any(1))  # the edges of letters, too
    fitted = (rows[-1] - rows[0] + 1) / max(w / FRAME[0], h / FRAME[1])
    assert fitted >= 8, "pixels of a digit, which is about 0.73 of its font's size"


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_boxes_are_drawn_where_they_are_on_a_scaled_picture(factor: float) -> None:
    one, size = selection([(100.0, 200.0, 300.0, 400.0)], 0), (640, 480)
    drawn = annotate(Image.new("RGB", (round(640 * factor), round(480 * factor))), one, (100, 200, 300, 400), size=size)
    frame = np.argwhere(painted(drawn, PICK))
    assert abs(frame[:, 1].max() - 300 * factor) <= 8 and abs(frame[:, 0].min() - 200 * factor) <= 8
    before = draw_candidates(Image.new("RGB", drawn.size), one.candidates, size)
    lines = np.argwhere(painted(before, COLORS["florence2"]))
    assert abs(lines[:, 1].max() - 300 * factor) <= 4


def contrast(one: str, other: str) -> float:
    """WCAG 2.1, relative luminance and contrast ratio."""

    def light(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        r, g, b = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


def test_letters_stand_out_from_every_label() -> None:
    assert all(contrast(a, b) >= 4.5 for a, b in zip([*COLORS.values(), OTHER], LETTERS, strict=True))


def test_the_best_guess_of_a_not_found_is_told_from_the_others() -> None:
    black, boxes = Image.new("RGB", (640, 480)), [(40.0, 200.0, 90.0, 260.0), (300.0, 200.0, 360.0, 260.0)]
    unsure = Selection(selection(boxes, None).candidates, None, (0.1, 0.9), Reason.ABSTAINED)
    other = Selection(unsure.candidates, None, (0.9, 0.1), Reason.ABSTAINED)
    change = np.argwhere((np.asarray(annotate(black, unsure)) != np.asarray(annotate(black, other))).any(2))[:, 1]
    assert change.min() < 130 and change.max() > 290, "its question mark is at another box"
    assert np.array_equal(np.asarray(annotate(black, unsure))[:, :150], np.asarray(draw_candidates(black, unsure.candidates))[:, :150])


def test_the_pick_is_spotlighted_and_framed() -> None:
    drawn = annotate(Image.new("RGB", (400, 300), (200, 200, 200)), selection([(20.0, 60.0, 120.0, 160.0), (200.0, 60.0, 360.0, 260.0)], 1))
    pixels = np.asarray(drawn)
    assert pixels[200, 280].tolist() == [200, 200, 200], "the pick is as bright as it was"
    assert pixels[200, 60].tolist() == [round(200 * DIMMED)] * 3, "the rest is dark"
    frame = np.argwhere(painted(drawn, PICK))
    assert abs(frame[:, 0].max() - 260) <= 8 and abs(frame[:, 1].min() - 200) <= 8


def test_the_marked_candidate_has_a_white_ring() -> None:
    black, two = Image.new("RGB", (400, 300)), selection([(20.0, 60.0, 120.0, 160.0), (200.0, 60.0, 360.0, 260.0)], None)
    added = (np.asarray(annotate(black, two, marked=1)) == 255).all(2) & ~(np.asarray(annotate(black, two)) == 255).all(2)
    assert added[:, 190:].any() and not added[:, :150].any()


@pytest.mark.parametrize("index", [None, 0])
def test_the_picture_given_is_left_alone(index: int | None) -> None:
    given = Image.new("RGB", (200, 100), "gray")
    before = given.tobytes()
    drawn = annotate(given, selection([(20.0, 20.0, 90.0, 80.0)], index), truth=(10.0, 10.0, 50.0, 50.0), marked=0)
    assert given.tobytes() == before and drawn.size == given.size and drawn.tobytes() != before
    nothing = annotate(given, Selection((), None, (), Reason.NO_CANDIDATES))
    assert nothing.tobytes() == before and nothing is not given
