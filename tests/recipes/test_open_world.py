"""What the bundled LLM for photographs is taught: questions whose answers follow from the boxes."""

import random
from collections import Counter

import pytest

from weights.recipes import open_world as world


@pytest.fixture(scope="module")
def examples() -> list[world.Example]:
    rng = random.Random("tests")
    return [world.example(rng) for _ in range(150)]


def test_lists_are_within_their_pictures_and_short_enough(examples: list[world.Example]) -> None:
    for e in examples:
        assert 1 <= len(e.listed) <= 20 and e.questions
        for c in e.candidates:
            assert 0 <= c.box[0] < c.box[2] <= e.size[0] and 0 <= c.box[1] < c.box[3] <= e.size[1]


def test_an_answer_is_on_the_list_passes_its_conditions_and_is_no_copy(examples: list[world.Example]) -> None:
    for e in examples:
        for a in e.questions:
            if a.target is not None:
                assert a.target in e.listed and a.target in a.pool and a.target in a.passing and a.target.copy_of is None


def test_nothing_that_the_words_fit_is_on_the_list_where_the_answer_is_none(examples: list[world.Example]) -> None:
    none = [(e, a) for e in examples for a in e.questions if a.target is None]
    assert 0.05 < len(none) / sum(len(e.questions) for e in examples) < 0.35
    for e, a in none:
        if not a.pool:  # an ordinal beyond what is there has a pool
            assert not any(t.label == a.text.removeprefix("the ").removeprefix("a ") for t in e.listed), a.text


@pytest.mark.parametrize(
    ("words", "measure"),
    [("leftmost {}", lambda t: t.middle[0]), ("{} furthest to the right", lambda t: -t.middle[0]), ("biggest {}", lambda t: -t.area)],
)
def test_sides_and_sizes_mean_what_they_say(examples: list[world.Example], words: str, measure: "object") -> None:
    ends, tried = words.format("").strip(), 0
    for e in examples:
        for a in e.questions:
            if a.target is not None and ends in a.text and a.pool == a.passing and not a.landmarks and len(a.pool) > 1:
                tried += 1
                assert min(a.pool, key=measure) is a.target, a.text  # type: ignore[arg-type]
    assert tried >= 2


def test_questions_are_of_many_kinds_and_words(examples: list[world.Example]) -> None:
    texts = [a.text for e in examples for a in e.questions]
    assert len(set(texts)) > 0.8 * len(texts)
    said = Counter(w for t in texts for w in t.split())
    for word in ("left", "right", "second", "next", "with", "middle", "behind", "biggest", "background", "red", "wearing"):
        assert said[word] >= 2, word


def test_scores_tell_what_is_there_from_what_is_made_up() -> None:
    rng, real, made = random.Random("scores"), [], []
    for _ in range(200):
        for t in world.example(rng, clean_share=0.0).listed:
            if t.score is not None:
                (real if t.real and t.copy_of is None else made).append(t.score)
    assert sum(real) / len(real) > sum(made) / len(made) + 0.2
