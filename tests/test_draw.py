"""What is drawn can be read: every label is whole, the pick stands out, and the picture given is left alone."""

import numpy as np
import pytest
from PIL import Image

from wrapper.candidates import Box, Candidate, Reason, Selection
from wrapper.draw import DIMMED, PICK, annotate


def selection(boxes: list[Box], index: int | None) -> Selection:
    candidates = tuple(Candidate(b, "cup", None, "gdrec" if i % 2 else "florence2") for i, b in enumerate(boxes))
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


@pytest.mark.parametrize(("size", "at_least"), [((64, 48), 11), ((640, 480), 14), ((4000, 3000), 90)])
def test_labels_grow_with_the_picture(size: tuple[int, int], at_least: int) -> None:
    """Shown at one height, labels are as large on a small as on a large picture; never too small to read."""
    w, h = size
    drawn = annotate(Image.new("RGB", size), selection([(0.3 * w, 0.4 * h, 0.9 * w, 0.9 * h)], None))
    rows = np.flatnonzero((np.asarray(drawn).min(2) > 100).any(1))  # the edges of letters, too
    assert rows[-1] - rows[0] + 1 >= 0.7 * at_least, "a digit is about 0.73 of its font's size"


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
