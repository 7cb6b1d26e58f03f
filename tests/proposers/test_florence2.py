"""Florence-2 as a proposer: its own answer, and labels that say what is seen."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from wrapper.candidates import Candidate, is_correct
from wrapper.kept import Kept
from wrapper.pipeline import Wrapper
from wrapper.proposers.florence2 import KEPT, LOOKS, WRITTEN, Florence2
from wrapper.proposers.tasks import DENSE_REGIONS, OPEN_VOCABULARY, PAPER_TASKS
from wrapper.scenes.dataset import Scene, scenes


@pytest.fixture(scope="module")
def florence(wrapper: Wrapper) -> Florence2:
    found = wrapper.proposers["florence2"]
    assert isinstance(found, Florence2)
    return found


@pytest.fixture(scope="module")
def colored() -> list[Scene]:
    """Scenes whose expression leaves out or denies a colour that tells the objects of its noun apart."""
    chosen = [s for s in scenes("val", 400, 13) if " not " in s.expression.text and s.layout.objects[s.expression.target].kind.color]
    return chosen[:16]


def test_region_captions_leave_the_models_own_answer_first(florence: Florence2, val_scenes: list[Scene]) -> None:
    pictures, texts = [s.picture() for s in val_scenes[:8]], [s.expression.text for s in val_scenes[:8]]
    paper = replace(florence, tasks=PAPER_TASKS).propose(pictures, texts)
    with_captions = florence.propose(pictures, texts)
    assert [c[0].box for c in paper if c] == [w[0].box for c, w in zip(paper, with_captions, strict=True) if c]
    assert sum(map(len, with_captions)) > sum(map(len, paper))


def test_labels_name_what_the_expression_does_not(florence: Florence2, colored: list[Scene]) -> None:
    """ "the square that is not black" alone would call every square a square."""
    pictures, texts = [s.picture() for s in colored], [s.expression.text for s in colored]
    named = dict.fromkeys((PAPER_TASKS, florence.tasks), 0)
    for tasks in named:
        for scene, found in zip(colored, replace(florence, tasks=tasks).propose(pictures, texts), strict=True):
            color = scene.layout.objects[scene.expression.target].kind.color
            named[tasks] += any(is_correct(c.box, scene.box) and f"{color} " in c.label for c in found)
    assert named[florence.tasks] >= 0.7 * len(colored) > named[PAPER_TASKS]


def test_nothing_is_merged_where_every_box_is_kept(florence: Florence2, val_scenes: list[Scene]) -> None:
    everything = replace(florence, tasks=(OPEN_VOCABULARY, DENSE_REGIONS), same_box=1.0)
    scene = val_scenes[0]
    own = replace(everything, tasks=(OPEN_VOCABULARY,)).propose([scene.picture()], [scene.expression.text])[0]
    captions = replace(everything, tasks=(DENSE_REGIONS,)).propose([scene.picture()], [scene.expression.text])[0]
    both = everything.propose([scene.picture()], [scene.expression.text])[0]
    assert [(c.box, c.label) for c in both] == [(c.box, c.label) for c in [*own, *captions]]


def test_a_box_that_was_not_written_whole_is_dropped(florence: Florence2) -> None:
    """The processor reads `<loc_1><loc_2><loc_3>a ball<loc_4>...` as a box whose label holds the missing location."""
    one = replace(florence, tasks=(DENSE_REGIONS,))
    answers = [{"boxes": [[0, 0, 9, 9], [20, 20, 40, 40]], "labels": ["loc_999>a ball", "a cup"]}]
    assert [c.label for c in one.candidates(Image.new("RGB", (50, 50)), answers)] == ["a cup"]


def test_a_picture_is_looked_at_once_and_described_once(florence: Florence2, val_scenes: list[Scene]) -> None:
    """Also where it comes again as another object, and whoever asks; what is found is the same as of a model that knows nothing of it."""
    picture, texts = val_scenes[0].picture(), [s.expression.text for s in val_scenes[:3]]
    looked, wrote = [], []
    fresh = replace(florence, looks=Kept(LOOKS, KEPT), written=Kept(WRITTEN, KEPT))
    alone = [replace(florence, looks=Kept(0, KEPT), written=Kept(0, KEPT)).propose([picture], [t])[0] for t in texts]
    with watched(florence.model.model.vision_tower, looked), watched(florence.model.get_encoder(), wrote):
        together = fresh.propose([picture] * 3, texts)
        again = fresh.propose([picture.copy()], texts[:1])
    assert looked == [1], "one picture, once"
    assert wrote == [3 * 2 + 1, 2], "two prompts an expression, and the picture's own only the first time"
    assert [boxes(found) for found in together] == [boxes(found) for found in alone] and boxes(again[0]) == boxes(alone[0])


def test_what_other_settings_wrote_is_not_taken(florence: Florence2, val_scenes: list[Scene]) -> None:
    """A copy with other beams or fewer tokens shares the memory."""
    picture, text = val_scenes[1].picture(), val_scenes[1].expression.text
    whole = florence.propose([picture], [text])[0]
    short = replace(florence, max_new_tokens=12).propose([picture], [text])[0]
    assert len(short) < len(whole)
    assert boxes(florence.propose([picture], [text])[0]) == boxes(whole)


def boxes(found: list[Candidate]) -> list[tuple[int, ...]]:
    return [tuple(round(v) for v in c.box) for c in found]


@contextmanager
def watched(module: Any, seen: list[int]) -> Iterator[None]:
    """Notes the rows of each batch that comes through a module."""

    def note(_: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        seen.append(len(given[0] if given else next(v for v in named.values() if v is not None)))

    handle = module.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
