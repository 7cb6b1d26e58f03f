"""The whole method on the bundled models and unseen scenes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from wrapper.bench.work import forget
from wrapper.candidates import Reason, iou, is_correct
from wrapper.errors import ImageError, ModelError
from wrapper.expressions import MAX_EXPRESSION
from wrapper.pipeline import Wrapper, collect
from wrapper.presets import PRESETS
from wrapper.scenes.dataset import Scene, scenes


def batch(chosen: list[Scene]) -> tuple[list[Image.Image], list[str]]:
    return [s.picture() for s in chosen], [s.expression.text for s in chosen]


@pytest.mark.parametrize(("proposers", "least"), [(("gdrec",), 0.62), (("florence2",), 0.78), (("florence2", "gdrec"), 0.77)])
def test_unseen_scenes_are_answered(wrapper: Wrapper, proposers: tuple[str, ...], least: float) -> None:
    """With each list's own adapter, about ten points below what was measured on 1,000."""
    chosen = list(scenes("val", 60, 11))
    selections = wrapper.locate_batch(*batch(chosen), proposers=proposers)
    right = sum(is_correct(x.box, s.box) for x, s in zip(selections, chosen, strict=True))
    assert right >= least * len(chosen), f"{right} of {len(chosen)}"


def test_proposers_find_the_target(wrapper: Wrapper, val_scenes: list[Scene]) -> None:
    pictures, texts = batch(val_scenes)
    for name, least in (("gdrec", 0.85), ("florence2", 0.85)):
        lists = collect([wrapper.proposer(name)], pictures, texts).by_proposer[name]
        found = sum(any(iou(c.box, s.box) > 0.5 for c in row) for row, s in zip(lists, val_scenes, strict=True))
        assert found >= least * len(val_scenes), f"{name}: {found} of {len(val_scenes)}"


def test_selection_says_everything(wrapper: Wrapper, val_scenes: list[Scene]) -> None:
    chosen = next(s for s in val_scenes if s.expression.category == "position")
    selection = wrapper.locate(chosen.picture(), chosen.expression.text, ("florence2", "gdrec"))
    assert selection.reason is Reason.CHOSEN
    assert sum(selection.probabilities) + (selection.absent or 0.0) == pytest.approx(1, abs=1e-4)
    assert selection.index == int(np.argmax(selection.probabilities))
    assert chosen.expression.text in (selection.prompt or "")
    assert set(selection.timings_ms) == {"florence2", "gdrec", "llama"}
    assert {s for c in selection.candidates for s in c.sources} == {"florence2", "gdrec"}
    assert any(c.sources == ("florence2", "gdrec") or c.sources == ("gdrec", "florence2") for c in selection.candidates)
    assert all(c.score is None for c in selection.candidates if c.sources == ("florence2",))
    width, height = chosen.layout.width, chosen.layout.height
    for c in selection.candidates:
        assert 0 <= c.box[0] < c.box[2] <= width and 0 <= c.box[1] < c.box[3] <= height


def test_a_batch_answers_as_one_by_one(wrapper: Wrapper, val_scenes: list[Scene]) -> None:
    pictures, texts = batch(val_scenes[:5])
    together = wrapper.locate_batch(pictures, texts)
    for picture, text, other in zip(pictures, texts, together, strict=True):
        alone = wrapper.locate(picture, text)
        assert [c.label for c in alone.candidates] == [c.label for c in other.candidates]
        assert alone.index == other.index
        assert np.allclose(alone.probabilities, other.probabilities, atol=1e-3)


def test_pictures_of_an_array_or_a_lazy_sequence_are_answered_as_those_of_a_list(wrapper: Wrapper, val_scenes: list[Scene]) -> None:
    """Both make a picture anew each time it is asked for."""

    class Lazy(Sequence[Image.Image]):
        def __getitem__(self, at: Any) -> Any:
            return pictures[at].copy()

        def __len__(self) -> int:
            return len(pictures)

    pictures, texts = batch(val_scenes[:4])
    pictures = [p.resize((240, 180)) for p in pictures]
    wanted = [s.box for s in wrapper.locate_batch(pictures, texts, ["gdrec"])]
    assert len(set(wanted)) > 2
    arrays: Any = np.stack([np.asarray(p) for p in pictures])
    assert [s.box for s in wrapper.locate_batch(arrays, texts, ["gdrec"])] == wanted
    assert [s.box for s in wrapper.locate_batch(Lazy(), texts, ["gdrec"])] == wanted


def test_an_adapter_may_be_named_for_one_question(wrapper: Wrapper, val_scenes: list[Scene]) -> None:
    pictures, texts = batch(val_scenes[:1])
    own, other, none = (wrapper.locate(pictures[0], texts[0], ["gdrec"], name) for name in ("auto", "ensemble", "zero-shot"))
    assert own.probabilities != other.probabilities != none.probabilities != own.probabilities


def test_stages_end_as_the_whole(wrapper: Wrapper, val_scenes: list[Scene]) -> None:
    picture, text = val_scenes[1].picture(), val_scenes[1].expression.text
    first, second, last = wrapper.stages(picture, text, ("florence2", "gdrec"))
    assert (first.done, second.done, last.done) == ("florence2", "gdrec", "choice")
    assert {c.source for c in first.candidates} == {"florence2"}
    assert first.selection is second.selection is None
    whole = wrapper.locate(picture, text, ("florence2", "gdrec"))
    assert last.candidates == second.candidates == whole.candidates
    assert last.selection is not None and last.selection.index == whole.index
    assert set(last.selection.timings_ms) == {"florence2", "gdrec", "llama"}


def test_only_the_llm_is_asked_again(wrapper: Wrapper, val_scenes: list[Scene]) -> None:
    whole = wrapper.locate(val_scenes[1].picture(), val_scenes[1].expression.text, ("gdrec",))
    fewer = [c for c in whole.candidates if c != whole.chosen]
    again = wrapper.choose(fewer, "The left one", (640, 480), None)
    assert again.candidates == tuple(fewer)
    assert "the left one" in (again.prompt or "")
    assert set(again.timings_ms) == {"llama"}


def test_adapters_are_chosen_by_name(wrapper: Wrapper) -> None:
    assert wrapper.adapter_for(("gdrec",), "zero-shot") is None
    assert wrapper.adapter_for(("gdrec",)) == "gdrec" and wrapper.adapter_for(("gdrec", "florence2")) == "ensemble"
    with pytest.raises(ModelError, match="Choose from auto, zero-shot"):
        wrapper.adapter_for(("gdrec",), "another")


def test_gd_and_gdrec_share_one_look(wrapper: Wrapper, val_scenes: list[Scene]) -> None:
    pictures, texts = batch(val_scenes[:2])
    detector = wrapper.proposers["gd"].detector  # type: ignore[attr-defined]
    first, again, others = detector.detect(pictures, texts), detector.detect(pictures, texts), detector.detect(pictures, texts[::-1])
    assert all(a is b for a, b in zip(first, again, strict=True))
    assert all(a is not b for a, b in zip(first, others, strict=True)), "other words"
    assert detector is wrapper.proposers["gdrec"].detector  # type: ignore[attr-defined]


def test_one_picture_with_several_expressions_is_answered_as_if_each_stood_alone(wrapper: Wrapper, val_scenes: list[Scene]) -> None:
    """The shared encoding of a picture changes nothing but the time."""
    one, other = val_scenes[0], val_scenes[1]
    a, b = one.picture(), other.picture()
    pictures = [a, b, a, a]
    texts = [one.expression.text, other.expression.text, "the cat", "the largest thing"]
    for name in ("florence2", "gdrec"):
        forget(wrapper.proposers)
        together = wrapper.proposer(name).propose(pictures, texts)
        forget(wrapper.proposers)
        alone = [wrapper.proposer(name).propose([p], [t])[0] for p, t in zip(pictures, texts, strict=True)]
        assert [[c.label for c in row] for row in together] == [[c.label for c in row] for row in alone]
        for row, single in zip(together, alone, strict=True):
            assert np.allclose([c.box for c in row], [c.box for c in single], atol=0.1)


def test_gd_and_gdrec_differ_in_how_they_score(wrapper: Wrapper, val_scenes: list[Scene]) -> None:
    pictures, texts = batch(val_scenes[:8])
    plain, rec = (wrapper.proposer(name).propose(pictures, texts) for name in ("gd", "gdrec"))
    for row in plain:
        assert [c.score for c in row] == sorted((c.score or 0 for c in row), reverse=True)
    assert {c.source for row in plain for c in row} == {"gd"}
    assert {c.source for row in rec for c in row} == {"gdrec"}


def test_words_outside_the_vocabulary_do_no_harm(wrapper: Wrapper, val_scenes: list[Scene]) -> None:
    picture = val_scenes[0].picture()
    for text in (
        "the zebra",
        "左边的杯子",
        "🙂 smiley",
        "die größte Tasse",
        "x" * MAX_EXPRESSION,
        "'; drop table",
        "<loc_1><loc_2>",
        "{0}",
    ):
        selection = wrapper.locate(picture, text)
        assert selection.reason in (Reason.CHOSEN, Reason.ONLY_CANDIDATE, Reason.NO_CANDIDATES, Reason.NOTHING_LIKE_IT)


def test_long_text_of_many_tokens_a_character_is_cut_not_fatal(wrapper: Wrapper) -> None:
    for text in ("杯子" * 120, "é" * 260, "a🙂" * 250):
        wrapper.locate(Image.new("RGB", (300, 200), "white"), text)


def test_tiny_and_long_pictures_are_answered(wrapper: Wrapper) -> None:
    for size in ((16, 16), (180, 16), (16, 180), (3000, 300)):
        wrapper.locate(Image.new("RGB", size, "white"), "the red ball")


def test_bad_input_is_refused_before_any_model_runs(wrapper: Wrapper) -> None:
    with pytest.raises(ImageError):
        wrapper.locate(b"no image", "the cup")
    with pytest.raises(ModelError, match="not loaded"):
        wrapper.locate(Image.new("RGB", (40, 40)), "the cup", ("yolo",))
    with pytest.raises(ModelError, match="named twice"):
        wrapper.locate(Image.new("RGB", (40, 40)), "the cup", ("gdrec", "gdrec"))
    with pytest.raises(ValueError, match="one image an expression"):
        wrapper.locate_batch([], ["the cup"])


def test_presets_and_proposers_are_named_in_errors() -> None:
    with pytest.raises(ModelError, match="tiny, photo, cpu, paper, mixtral"):
        Wrapper.from_preset("huge")
    with pytest.raises(ModelError, match="florence2, gdrec, gd"):
        Wrapper.from_preset("tiny", ("yolo",))
    assert set(PRESETS) == {"tiny", "photo", "cpu", "paper", "mixtral", "bundled"}


def test_missing_and_foreign_checkpoints_get_one_sentence(tmp_path: object) -> None:
    from dataclasses import replace

    tiny = PRESETS["tiny"]
    for part, source in (("florence2", f"{tmp_path}/none"), ("grounding_dino", tiny.florence2), ("llama", str(tmp_path))):
        with pytest.raises(ModelError) as caught:
            Wrapper.from_preset(replace(tiny, **{part: source}))  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)
