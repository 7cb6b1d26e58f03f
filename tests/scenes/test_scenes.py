"""RefScenes: same for everyone, no shared scenes, one right answer to every expression."""

import hashlib
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wrapper.scenes import render
from wrapper.scenes.dataset import Scene, row, scenes, write
from wrapper.scenes.expressions import CATEGORIES, NextTo, Not, answer, passes
from wrapper.scenes.kinds import KINDS
from wrapper.scenes.layout import MAX_OBJECTS, MIN_OBJECTS, sprites


@pytest.fixture(scope="module")
def many() -> list[Scene]:
    return list(scenes("train", 700, 3))


def test_every_kind_has_a_sprite() -> None:
    assert {k.name for k in KINDS} == set(sprites())
    assert 70 <= len(KINDS) <= 100


def test_texts_and_boxes_are_the_same_everywhere() -> None:
    """A digest computed once; it changes only when the world changes, and then every figure has to be measured anew."""
    lines = [f"{s.expression.text}|{s.box}" for s in scenes("test", 40, 7)]
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] == "d55bf20a5ab3e20e"


def test_same_pixels_twice() -> None:
    first, second = (next(scenes("val", 1, 5)).picture((96, 96)) for _ in range(2))
    assert np.array_equal(np.asarray(first), np.asarray(second))


def test_splits_share_no_scene_whatever_the_seed() -> None:
    for split in ("train", "val", "test"):
        assert all(s.layout.split == split for seed in (0, 1) for s in scenes(split, 20, seed))  # type: ignore[arg-type]


def test_the_target_alone_fits_the_expression(many: list[Scene]) -> None:
    """Every other object of the noun gets a clear no from the filters, or loses the superlative to the target."""
    for scene in many:
        layout, question = scene.layout, scene.expression.question
        target = layout.objects[scene.expression.target]
        assert target.kind.noun == question.noun
        assert answer(layout, question) is target
        for other in layout.objects:
            if other is target or other.kind.noun != question.noun:
                continue
            verdict = passes(layout, question, other)
            assert verdict is not None
            assert question.rank is not None or verdict is False


def test_a_pixel_does_not_change_the_answer(many: list[Scene]) -> None:
    """Moving all boxes' right edges by a pixel leaves each answer as it is: no expression sits on the fence."""
    for scene in many[:200]:
        moved = tuple(replace(o, box=(o.box[0], o.box[1], o.box[2] + 1, o.box[3])) for o in scene.layout.objects)
        layout = replace(scene.layout, objects=moved)
        question = scene.expression.question
        if question.rank is None and not question.filters:
            continue
        found = [o for o in moved if o.kind.noun == question.noun and passes(layout, question, o)]
        assert moved[scene.expression.target] in found


def test_categories_are_even_and_expressions_about_eight_words(many: list[Scene]) -> None:
    counts = {c: sum(s.expression.category == c for s in many) for c in CATEGORIES}
    assert min(counts.values()) > 0.6 * len(many) / len(CATEGORIES)
    words = [len(s.expression.text.split()) for s in many]
    assert 7 <= sum(words) / len(words) <= 9


def test_object_counts(many: list[Scene]) -> None:
    for scene in many:
        objects = scene.layout.objects
        assert MIN_OBJECTS <= len(objects) <= MAX_OBJECTS
        assert 2 <= sum(o.kind.noun == scene.expression.question.noun for o in objects) <= 4


def test_boxes_lie_in_the_picture(many: list[Scene]) -> None:
    for scene in many:
        for o in scene.layout.objects:
            assert 0 <= o.box[0] < o.box[2] <= scene.layout.width and 0 <= o.box[1] < o.box[3] <= scene.layout.height


def test_boxes_are_where_the_pixels_are() -> None:
    """Erasing one object changes pixels inside its box and (all but) none outside."""
    scene = next(scenes("val", 1, 21))
    for i, thing in enumerate(scene.layout.objects):
        canvas = [Image.new("RGB", (scene.layout.width, scene.layout.height), "white") for _ in range(2)]
        render._paste(canvas[1], thing, (1.0, 1.0))
        changed = np.argwhere(np.abs(np.asarray(canvas[0], int) - np.asarray(canvas[1], int)).max(2) > 100)
        (top, left), (bottom, right) = changed.min(0), changed.max(0) + 1
        assert np.allclose((left, top, right, bottom), thing.box, atol=3), (i, thing.kind.name)


def test_phrases_name_what_they_cover(many: list[Scene]) -> None:
    for scene in many:
        subject = scene.expression.phrases[0]
        assert subject.fits(scene.layout.objects[scene.expression.target].kind)
        for phrase in scene.expression.phrases:
            words = scene.expression.text[phrase.start : phrase.end]
            assert phrase.color is None or words.startswith(phrase.color)
            assert any(phrase.fits(o.kind) for o in scene.layout.objects)


def test_negations_are_clear(many: list[Scene]) -> None:
    negated = [s for s in many if any(isinstance(f, Not) and isinstance(f.inner, NextTo) for f in s.expression.question.filters)]
    assert negated
    for scene in negated:
        assert any(word in scene.expression.text for word in ("not", "isn't", "away"))


def test_drawing_is_fast_enough_for_training() -> None:
    drawn = list(scenes("train", 60, 9))
    drawn[0].picture((160, 160))
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        for scene in drawn:
            scene.picture((160, 160))
        best = min(best, (time.process_time() - began) / len(drawn))
    assert best < 0.008, f"{best * 1000:.1f} ms a scene"


def test_written_data_set_is_whole(tmp_path: Path) -> None:
    made = list(write("val", 2, 1, tmp_path))
    lines = [json.loads(line) for line in (tmp_path / "data.jsonl").read_text().splitlines()]
    assert [line["expression"] for line in lines] == [s.expression.text for s in made]
    assert lines[0] == row(made[0], lines[0]["image"])
    with Image.open(tmp_path / lines[0]["image"]) as picture:
        assert picture.size == (made[0].layout.width, made[0].layout.height)
        assert max(picture.size) >= 640
    assert not list(tmp_path.glob("*.part"))
