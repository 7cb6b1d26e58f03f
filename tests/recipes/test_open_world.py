"""What the bundled LLM for photographs is taught: questions whose answers follow from the boxes."""

import random
from collections import Counter

import pytest

from weights.recipes import open_world as world
from wrapper.colors import colors_named


@pytest.fixture(scope="module")
def examples() -> list[world.Example]:
    rng = random.Random("tests")
    return [world.example(rng) for _ in range(400)]


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
    assert 0.05 < len(none) / sum(len(e.questions) for e in examples) < 0.4
    for e, a in none:
        if not a.pool:  # an ordinal beyond what is there has a pool
            assert not any(t.label == a.text.removeprefix("the ").removeprefix("a ") for t in e.listed), a.text


@pytest.mark.parametrize(
    ("words", "measure"),
    [("leftmost {}", lambda t: t.middle[0]), ("{} furthest to the right", lambda t: -t.middle[0]), ("biggest {}", lambda t: -t.area)],
)
def test_sides_and_sizes_mean_what_they_say(examples: list[world.Example], words: str, measure: "object") -> None:
    ends, tried, ordinals = words.format("").strip(), 0, {o for both in world.ORDER for o in both}
    for e in examples:
        for a in e.questions:
            if ordinals & set(a.text.split()) or a.pool != a.passing or a.landmarks or len(a.pool) < 2:
                continue
            if a.target is not None and ends in a.text:
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


def test_questions_name_the_colours_of_their_list_and_no_others(examples: list[world.Example]) -> None:
    colored = [e for e in examples if e.colors]
    assert 0.25 < len(colored) / len(examples) < 0.6
    for e in examples:
        for a in e.questions:
            assert set(colors_named(a.text)) == e.colors.keys(), a.text


def test_the_one_of_a_colour_is_of_it_and_where_none_is_nothing_is_meant() -> None:
    rng, there, gone = random.Random("colours"), 0, 0
    for _ in range(150):
        scene = world.Scene(rng, opened=False, most=12)
        listed = world.detected(rng, scene, clean=True, most=12)
        for color in sorted({t.palette.upper for t in listed}):
            asker = world.Asker(rng, listed, scene, {color: color})
            kind = rng.choice(listed).kind.name
            pool = asker.pool(kind)
            if found := asker.colored(kind, pool):
                there += 1
                assert found.target in found.passing and color in colors_named(found.text)
                assert found.passing == [t for t in pool if color in t.palette.named]
            if found := asker.miscolored(kind, pool):
                gone += 1
                assert found.target is None and not any(color in t.palette.named for t in pool)
    assert there > 100 and gone > 100


def test_who_is_said_to_be_of_two_colours_is_the_only_one_of_both() -> None:
    rng, asked, beside = random.Random("two colours"), 0, 0
    for _ in range(400):
        scene = world.Scene(rng, opened=False, most=12)
        listed = world.detected(rng, scene, clean=True, most=12)
        for thing in listed:
            if len(colors := sorted(thing.palette.named)) == 2:
                asker = world.Asker(rng, listed, scene, {c: c for c in colors})
                pool = asker.pool(thing.kind.name)
                if found := asker.two_colored(thing.kind.name, pool):
                    asked += 1
                    beside += any(len(t.palette.named & set(colors)) == 1 for t in pool)
                    assert found.passing == [found.target] == [t for t in pool if t.palette.named >= set(colors)]
                    assert set(colors_named(found.text)) >= set(colors)  # "orange" is a fruit too
    assert asked > 100 and beside > 20


def test_a_picture_shows_most_colours_that_things_have() -> None:
    rng, seen = random.Random("looks"), list[bool]()
    for _ in range(60):
        seen += [t.palette.upper in t.colors for t in world.example(rng).listed if t.palette.upper]
    assert 0.8 < sum(seen) / len(seen) < 0.98
