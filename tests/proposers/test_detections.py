"""Any detector's boxes as candidates: names, scores, order, and what a detector must not get away with."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from PIL import Image

from wrapper.errors import DataError, ModelError
from wrapper.proposers.detections import Detections, DetectorProposer, detections


@dataclass
class Told:
    """A detector that says what it was told to, and remembers what it was asked."""

    found: Detections
    reads_words: bool = False
    asked: list[int] = field(default_factory=list)

    def detect(self, images: Sequence[Image.Image], expressions: Sequence[str]) -> list[Detections]:
        self.asked.append(len(images))
        return [self.found] * len(images)


PICTURE = Image.new("RGB", (100, 80))


def test_the_kind_that_is_asked_for_comes_first_then_the_surest() -> None:
    found = detections([[0, 0, 9, 9], [10, 10, 30, 30], [40, 40, 60, 60]], ["Wine  Glass", "dog", "dog"], [0.9, 0.3, 0.6])
    [listed] = DetectorProposer("mine", Told(found)).propose([PICTURE], ["dog left of the cat"])
    assert [(c.label, c.score, c.source, c.rank) for c in listed] == [
        ("dog", pytest.approx(0.6), "mine", 0), ("dog", pytest.approx(0.3), "mine", 1), ("wine glass", pytest.approx(0.9), "mine", 2),
    ]  # fmt: skip


def test_a_picture_is_looked_at_once_unless_words_are_read() -> None:
    closed, reading = Told(detections([[0, 0, 9, 9]], ["dog"])), Told(detections([[0, 0, 9, 9]], ["dog"]), reads_words=True)
    for told in (closed, reading):
        DetectorProposer("mine", told).propose([PICTURE, PICTURE, PICTURE], ["a", "b", "c"])
    assert (closed.asked, reading.asked) == ([1], [3])


def test_scores_that_are_missing_stay_missing_and_odd_ones_are_cut() -> None:
    odd = detections([[0, 0, 9, 9], [20, 20, 30, 30], [40, 40, 50, 50]], ["a", "b", "c"], [1.0005, np.nan, -0.0005])
    [listed] = DetectorProposer("mine", Told(odd)).propose([PICTURE], ["x"])
    assert {c.label: c.score for c in listed} == {"a": 1.0, "b": None, "c": 0.0}
    [listed] = DetectorProposer("mine", Told(detections([[0, 0, 9, 9]], ["a"]))).propose([PICTURE], ["x"])
    assert listed[0].score is None


@pytest.mark.parametrize("score", [7.5, 87.0, -3.0])
def test_scores_that_are_no_shares_are_refused(score: float) -> None:
    with pytest.raises(ModelError, match="between 0 and 1"):
        DetectorProposer("mine", Told(detections([[0, 0, 9, 9]], ["a"], [score]))).propose([PICTURE], ["x"])


def test_shares_of_the_picture_are_refused_for_pixels() -> None:
    shares = detections([[0.1, 0.2, 0.5, 0.9], [0.0, 0.0, 1.0, 1.0]], ["a", "b"])
    with pytest.raises(DataError, match="Turn them into pixels"):  # which costs its row: one small box in a corner may look so
        DetectorProposer("mine", Told(shares)).propose([PICTURE], ["x"])


@pytest.mark.parametrize(
    ("words", "label"), [("knives", "knife"), ("computer mice", "mouse"), ("benches", "bench"), ("the people", "person")]
)
def test_a_plural_names_its_kind_however_it_is_made(words: str, label: str) -> None:
    found = detections([[0, 0, 9, 9], [10, 10, 30, 30]], ["dog", label], [0.8, 0.4])
    assert DetectorProposer("mine", Told(found)).propose([PICTURE], [words])[0][0].label == label


@pytest.mark.parametrize("words", ["the cat, on the left", "one of the cats", "girl's cat;", "the wine glasses"])
def test_a_kind_is_known_beside_signs_and_in_the_plural(words: str) -> None:
    found = detections([[0, 0, 9, 9], [10, 10, 30, 30], [40, 40, 60, 60]], ["dog", "cat", "wine glass"], [0.8, 0.4, 0.3])
    [listed] = DetectorProposer("mine", Told(found)).propose([PICTURE], [words])
    assert listed[0].label == ("wine glass" if "wine" in words else "cat")


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("stop_sign", "the stop sign"), ("stop sign", "the stop-sign on the left"), ("t-shirt", "the blue t-shirt"),
        ("tv/monitor", "the tv"), ("tv/monitor", "monitor on the desk"), ("dog", "the_dog"), ("कुत्ता", "काला कुत्ता"),
        ("собака", "большая собака"),
    ],
)  # fmt: skip
def test_a_kind_is_known_however_its_words_are_held_together_and_in_any_script(label: str, words: str) -> None:
    found = detections([[0, 0, 9, 9], [10, 10, 30, 30]], ["person", label], [0.9, 0.6])
    [listed] = DetectorProposer("mine", Told(found)).propose([PICTURE], [words])
    assert listed[0].label == label


@pytest.mark.parametrize("box", [[0, 0, 0, 0], [0, 0, 1, 1], [-1, -1, -1, -1]])
def test_what_some_write_where_nothing_was_found_is_no_share_of_the_picture(box: list[float]) -> None:
    [listed] = DetectorProposer("mine", Told(detections([box], ["a"]))).propose([PICTURE], ["x"])
    assert len(listed) <= 1


def test_boxes_are_cut_to_the_picture_and_nonsense_is_dropped() -> None:
    boxes = [[-5, -5, 200, 90], [np.nan, 0, 5, 5], [30, 30, 30.5, 60], [300, 300, 320, 320], [0, 0, np.inf, 9]]
    [listed] = DetectorProposer("mine", Told(detections(boxes, list("abcde")))).propose([PICTURE], ["x"])
    assert [(c.label, c.box) for c in listed] == [("a", (0.0, 0.0, 100.0, 80.0))]


def test_a_detector_that_names_nothing_or_answers_too_little_is_told_so() -> None:
    nameless = Detections(xyxy=np.array([[0, 0, 9, 9]], np.float32))
    with pytest.raises(ModelError, match="no names"):
        DetectorProposer("mine", Told(nameless)).propose([PICTURE], ["x"])

    class Short(Told):
        def detect(self, images: Sequence[Image.Image], expressions: Sequence[str]) -> list[Detections]:
            return []

    with pytest.raises(ModelError, match="gave 0 results for 1 pictures"):
        DetectorProposer("mine", Short(nameless)).propose([PICTURE], ["x"])
    assert DetectorProposer("mine", Told(Detections.empty())).propose([PICTURE], ["x"]) == [[]]
    assert DetectorProposer("mine", Told(nameless)).propose([], []) == []
