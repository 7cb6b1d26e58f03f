"""What the bundled detector can name: an expression whose subject is something else is told so, and no other."""

import json
from pathlib import Path

import pytest

from wrapper.presets import PHOTO_WEIGHTS
from wrapper.proposers.onnx import OnnxSettings
from wrapper.vocabulary import detector_words, unknown_subject

SAMPLE = Path(__file__).parents[2] / "shared" / "reference" / "refexps-sample.jsonl"


@pytest.mark.parametrize(
    "expression",
    [
        "man",
        "the guy in red",
        "Women on the left",
        "left bird",
        "the second pigeon from the left",
        "a rucksack",
        "telly",
        "loo",
        "wash basin",
        "the one on the left",
        "what she is holding",
        "him",
        "people in back",
        "glasses of wine",
        "the biggest animal",
        "a red double decker",
        "buses",
        "the knives on the left",
        "computer mice",
        "sheep by the fence",
        "three benches",
        "wine glasses",
        "puppies",
        "the scissors",
    ],
)
def test_what_the_detector_knows_is_not_complained_about(expression: str) -> None:
    assert unknown_subject(expression, detector_words()) is None


@pytest.mark.parametrize(
    ("expression", "unknown"),
    [
        ("the rocket", "rocket"),
        ("shelf above the sink", "shelf"),
        ("a big red lighthouse", "lighthouse"),
        ("window behind the man", "window"),
        ("lighthouses", "lighthouses"),
        ("the loaves", "loaves"),
    ],
)
def test_what_it_does_not_know_is_named(expression: str, unknown: str) -> None:
    assert unknown_subject(expression, detector_words()) == unknown


def test_the_words_are_of_the_detectors_own_names() -> None:
    assert list(detector_words()) == list(OnnxSettings.load(PHOTO_WEIGHTS / "yolox-nano" / "detector.json").labels)


def test_few_real_expressions_about_its_kinds_are_called_unknown() -> None:
    if not SAMPLE.is_file():
        pytest.skip("the sample of real expressions is not at hand")
    rows = [json.loads(line) for line in SAMPLE.read_text().splitlines()]
    wrong = [r["expression"] for r in rows if unknown_subject(r["expression"], detector_words())]
    assert len(wrong) < 0.2 * len(rows), f"{len(wrong)} of {len(rows)}, such as {wrong[:40]}"
