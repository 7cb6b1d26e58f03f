"""An LLM that has learnt "none": how probable it is that nothing on the list is meant, and what follows from it."""

import itertools
import math
from dataclasses import replace

import pytest
import torch

from wrapper.candidates import Candidate, Reason, Thresholds, abstain
from wrapper.colors import SPOKEN
from wrapper.pipeline import LIKELY, Wrapper, seen
from wrapper.presets import PRESETS
from wrapper.selectors.base import Question
from wrapper.selectors.llama import Llm
from wrapper.trace import explain

SIZE = (640, 480)
LIST = (
    Candidate((300.0, 100.0, 420.0, 400.0), "person", 0.9, "yolox"),
    Candidate((60.0, 200.0, 120.0, 260.0), "cup", 0.8, "yolox", 1),
    Candidate((20.0, 250.0, 280.0, 460.0), "dining table", 0.7, "yolox", 2),
)


@pytest.fixture(scope="module")
def llm() -> Llm:
    return Llm.load(PRESETS["photo"].llama, torch.device("cpu"), torch.float32)


def test_what_is_there_is_picked_and_what_is_not_is_none(llm: Llm) -> None:
    there = llm.select([Question(LIST, words, SIZE) for words in ("the cup", "man", "the mug on the table", "table")])
    assert [s.chosen and s.chosen.label for s in there] == ["cup", "person", "cup", "dining table"]
    gone = llm.select([Question(LIST, words, SIZE) for words in ("the giraffe", "a red bus", "zebra next to the man")])
    for s in [*there, *gone]:
        assert s.absent is not None and sum(s.probabilities) + s.absent == pytest.approx(1, abs=1e-5)
    assert all((s.absent or 0) < LIKELY for s in there) and all((s.absent or 0) > LIKELY for s in gone)


CARS = tuple(
    Candidate((x, 200.0, x + 110.0, 265.0), "car", score, "yolox", rank, colors=colors)
    for rank, (x, score, colors) in enumerate([(20.0, 0.8, ("gray",)), (220.0, 0.9, ("red", "black")), (450.0, 0.7, ("white", "blue"))])
)


@pytest.mark.parametrize(
    ("words", "meant"),
    [("the red car", 1), ("White car", 2), ("car that is blue", 2), ("the grey car", 0), ("silver vehicle", 0), ("black car", 1)],
)
def test_of_several_the_one_of_the_colour_is_picked(llm: Llm, words: str, meant: int) -> None:
    """In every order of the list, and "none" is less probable than with a colour that none of them is of."""
    for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
        listed = tuple(CARS[i] for i in order)
        [there, gone] = llm.select([Question(listed, words, SIZE), Question(listed, "the green car", SIZE)])
        assert there.guess is not None and order[there.guess] == meant and (there.absent or 0) < LIKELY, (words, order)
        assert (there.absent or 0) < (gone.absent or 0)


@pytest.mark.parametrize("words", ["man in red", "the person in the red jacket", "woman wearing red", "guy with a red shirt"])
def test_people_are_told_by_the_colour_of_what_they_wear(llm: Llm, words: str) -> None:
    people = [replace(c, label="person", box=(c.box[0], 120.0, c.box[2], 430.0)) for c in CARS]
    for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
        [found] = llm.select([Question(tuple(people[i] for i in order), words, SIZE)])
        assert found.guess is not None and order[found.guess] == 1 and (found.absent or 0) < LIKELY


@pytest.mark.parametrize(("words", "color"), [("man in red", "red"), ("the person in green", "green")])
def test_a_colour_that_none_of_the_kind_has_is_none_though_another_thing_has_it(llm: Llm, words: str, color: str) -> None:
    people = [
        replace(c, label="person", box=(c.box[0], 120.0, c.box[2], 430.0), colors=colors)
        for c, colors in zip(CARS, [("gray",), ("blue",), ("white",)], strict=True)
    ]
    kite = Candidate((300.0, 20.0, 360.0, 80.0), "kite", 0.8, "yolox", 3, colors=(color,))
    for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
        [gone] = llm.select([Question((kite, *(people[i] for i in order)), words, SIZE)])
        assert (gone.absent or 0) > LIKELY
        worn = tuple(replace(people[i], colors=(color,)) if i == 1 else people[i] for i in order)
        [there] = llm.select([Question((kite, *worn), words, SIZE)])
        assert (there.absent or 0) < LIKELY and there.guess == 1 + order.index(1)


@pytest.mark.parametrize("word", SPOKEN)
def test_whatever_a_colour_is_called_the_one_of_it_is_picked(llm: Llm, word: str) -> None:
    """Words that the LLM reads in pieces among them."""
    other = "red" if SPOKEN[word] != "red" else "blue"
    for label, words in (("car", f"the {word} car"), ("person", f"man in a {word} shirt")):
        for meant in range(3):
            listed = tuple(replace(c, label=label, colors=(SPOKEN[word] if i == meant else other,)) for i, c in enumerate(CARS))
            [found] = llm.select([Question(listed, words, SIZE)])
            assert found.guess == meant, (words, meant)


def test_without_a_colour_in_the_words_colours_change_nothing(llm: Llm) -> None:
    bare = tuple(replace(c, colors=()) for c in CARS)
    for words in ("the car on the left", "biggest vehicle", "second car from the right"):
        colored, plain = llm.select([Question(CARS, words, SIZE), Question(bare, words, SIZE)])
        assert colored.prompt == plain.prompt and colored.probabilities == pytest.approx(plain.probabilities)


def test_one_candidate_is_asked_about_too(llm: Llm) -> None:
    cat, rocket, nothing = llm.select(
        [Question(LIST[1:2], "the cup", SIZE), Question(LIST[1:2], "the elephant", SIZE), Question((), "cup", SIZE)]
    )
    assert (cat.reason, rocket.reason, nothing.reason) == (Reason.CHOSEN, Reason.CHOSEN, Reason.NO_CANDIDATES)
    assert explain(cat) == "the LLM took the only candidate, which it might have refused"
    assert abstain(cat, Thresholds(0.9999)).reason is Reason.ABSTAINED, "a threshold holds for one candidate as for several"
    assert (cat.absent or 0) < LIKELY < (rocket.absent or 0) and cat.prompt is not None and nothing.absent is None
    assert seen(cat, {}).index == 0 and seen(rocket, {}).reason is Reason.NONE_MEANT and seen(rocket, {}).guess == 0


def test_an_llm_without_such_an_answer_says_nothing_of_it(llm: Llm) -> None:
    plain = Llm(llm.model, llm.tokenizer, replace(llm.template, none="", temperature=0.0))
    [s] = plain.select([Question(LIST, "the giraffe", SIZE)])
    assert s.absent is None and not s.calibrated and seen(s, {}).reason is Reason.CHOSEN
    [only] = plain.select([Question(LIST[:1], "the giraffe", SIZE)])
    assert only.prompt is None and only.reason is Reason.ONLY_CANDIDATE


def test_a_bias_makes_none_more_or_less_probable_and_changes_no_pick(llm: Llm) -> None:
    template, found = llm.template, []
    try:
        for bias in (-2.0, 0.0, 2.0):
            llm.template = replace(template, none_bias=bias)
            found += llm.select([Question(LIST, "the cup", SIZE)])
    finally:
        llm.template = template
    absent = [s.absent or 0.0 for s in found]
    assert absent[0] < absent[1] < absent[2] and len({s.index for s in found}) == 1
    odds = [p / (1 - p) for p in absent]
    assert odds[2] / odds[1] == pytest.approx(math.exp(2), rel=1e-3)
    assert all(sum(s.probabilities) + p == pytest.approx(1) for s, p in zip(found, absent, strict=True))


def test_a_temperature_changes_probabilities_and_no_pick(llm: Llm) -> None:
    asked = [Question(LIST, words, SIZE) for words in ("the cup", "the giraffe", "thing on the right")]
    template, found = llm.template, {}
    try:
        for temperature in (0.0, 1.0, 3.0):
            llm.template = replace(template, temperature=temperature)
            found[temperature] = llm.select(asked)
    finally:
        llm.template = template
    assert [s.calibrated for s in found[0.0]] == [False] * 3 and [s.calibrated for s in found[3.0]] == [True] * 3
    for raw, one, three in zip(found[0.0], found[1.0], found[3.0], strict=True):
        assert raw.probabilities == one.probabilities and raw.guess == three.guess
        assert max(three.probabilities) < max(one.probabilities) or (three.absent or 0) < (one.absent or 0)


def test_the_bundled_llm_for_photographs_is_calibrated(llm: Llm) -> None:
    assert llm.template.none == "none" and llm.template.temperature > 0


def test_asking_again_about_a_list_can_end_in_none_too(llm: Llm) -> None:
    wrapper = Wrapper({}, llm)
    assert wrapper.choose(LIST, "The Giraffe.", SIZE, None).reason is Reason.NONE_MEANT
    chosen = wrapper.choose(LIST, "the cup", SIZE, None).chosen
    assert chosen is not None and chosen.label == "cup"


@pytest.mark.parametrize("words", ["man in red", "woman in green", "the kid in yellow", "person in the purple jacket"])
def test_a_colour_that_nothing_shows_is_mostly_none(llm: Llm, words: str) -> None:
    """Of one that a person has it is not."""
    color = next(c for c in ("red", "green", "yellow", "purple") if c in words)
    shares = []
    for order in itertools.permutations([("gray",), ("blue", "black"), ("white",)]):
        people = tuple(
            replace(c, label="person", box=(c.box[0], 120.0, c.box[2], 430.0), colors=k) for c, k in zip(CARS, order, strict=True)
        )
        worn = (replace(people[0], colors=(color,)), *people[1:])
        nobody, somebody = llm.select([Question(people, words, SIZE), Question(worn, words, SIZE)])
        assert nobody.absent is not None and somebody.absent is not None and somebody.guess == 0 and somebody.absent < 0.2
        shares.append(nobody.absent)
    assert sum(shares) / len(shares) > 0.45


@pytest.mark.parametrize("noun", ["cat", "dog", "cow", "bus"])
@pytest.mark.parametrize(("one", "other"), [("black", "white"), ("red", "blue"), ("brown", "white")])
def test_of_two_colours_named_together_what_has_both_is_picked(llm: Llm, noun: str, one: str, other: str) -> None:
    for order in itertools.permutations([(one,), (other,), (other, one)]):
        listed = tuple(replace(c, label=noun, colors=k) for c, k in zip(CARS, order, strict=True))
        [s] = llm.select([Question(listed, f"the {one} and {other} {noun}", SIZE)])
        assert s.guess == order.index((other, one)) and (s.absent or 0.0) < 0.4
