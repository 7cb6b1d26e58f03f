"""Grounding DINO and its relatives: labels that are words, one precision, one forward."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests import small_models
from wrapper.errors import ModelError
from wrapper.pipeline import Wrapper
from wrapper.presets import PRESETS
from wrapper.proposers import grounding_dino
from wrapper.proposers.grounding_dino import Detector, GroundingDino, GroundingDinoRec
from wrapper.scenes.dataset import Scene, scenes
from wrapper.subject import parse

CPU = torch.device("cpu")
TEXTS = [
    "automobile nearest to a cat", "the zebra's reflection", "a motorcyclist riding a dirtbike", "gorgeous embroidered cushion",
    "second-largest ball", "the one on the left", "the big, red, shiny, polished ball",
]  # fmt: skip


def test_gds_labels_are_whole_noun_groups(wrapper: Wrapper) -> None:
    """No pieces of words, no articles, no two nouns in one, whatever tokens are above the threshold."""
    detector = wrapper.proposers["gd"].detector  # type: ignore[attr-defined]
    lenient = GroundingDino(detector, threshold=0.01)
    for scene in scenes("val", 3, 61):
        picture = scene.picture()
        for text, found in zip(TEXTS, lenient.propose([picture] * len(TEXTS), TEXTS), strict=True):
            groups = [g.text for g in parse(text).groups] or [text]
            assert found and {c.label for c in found} <= set(groups), text
            assert [c.rank for c in found] == list(range(len(found)))


def test_the_detector_computes_in_single_precision_whatever_its_file_has() -> None:
    """bfloat16 would move edges by 1.4 pixels in the median; the bundled file is in half precision."""
    assert Detector.load(PRESETS["tiny"].grounding_dino, CPU).model.dtype == torch.float32


@pytest.mark.parametrize("mm", [False, True], ids=["Grounding DINO", "MM-Grounding-DINO and LLMDet"])
def test_relatives_load_and_propose(tmp_path: Path, mm: bool) -> None:
    small_models.needs_tokenizers()
    torch.manual_seed(0)
    detector = Detector.load(small_models.grounding_dino(tmp_path / "model", mm), CPU)
    picture = Image.effect_noise((200, 160), 80).convert("RGB")
    for reader in (GroundingDino(detector, threshold=0.0), GroundingDinoRec(detector, 0.0, 0.0)):
        together = reader.propose([picture, picture], TEXTS[:2])
        alone = [reader.propose([picture], [t])[0] for t in TEXTS[:2]]
        assert all(together) and [[c.label for c in row] for row in together] == [[c.label for c in row] for row in alone]


def test_another_model_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match="Choose one of type grounding-dino or mm-grounding-dino"):
        Detector.load(PRESETS["tiny"].llama, CPU)


def test_full_stops_inside_do_not_part_the_text(wrapper: Wrapper) -> None:
    detector: Any = wrapper.proposers["gd"].detector  # type: ignore[attr-defined]
    picture = Image.new("RGB", (100, 80), "white")
    [found] = detector.detect([picture], ["no. 5? the ball"])
    assert found.text == "no, 5, the ball"
    assert found.tokens_of(found.text.index("ball"), len(found.text))


def test_a_picture_is_looked_at_once_and_found_the_same(wrapper: Wrapper, val_scenes: list[Scene], monkeypatch: pytest.MonkeyPatch) -> None:
    """By both ways of reading, in one batch or several passes, and where the picture comes again."""
    whole = wrapper.proposers["gdrec"].detector  # type: ignore[attr-defined]
    pictures, texts = [val_scenes[0].picture(), val_scenes[1].picture()], [s.expression.text for s in val_scenes[:4]]
    alone = {(i, t): Detector(whole.model, whole.processor).detect([pictures[i]], [t])[0] for i in (0, 1) for t in texts}
    fresh, looked = Detector(whole.model, whole.processor), list[int]()
    handle = whole.model.model.backbone.backbone.register_forward_pre_hook(lambda _, given: looked.append(len(given[0])))
    try:
        pairs = [(i, t) for t in texts for i in (0, 1)]
        for room in (10**9, 1):
            monkeypatch.setattr(grounding_dino, "AT_ONCE_ON_CPU", room)
            fresh.forget()
            found = fresh.detect([pictures[i] for i, _ in pairs], [t for _, t in pairs])
            for pair, one in zip(pairs, found, strict=True):
                assert torch.allclose(one.boxes, alone[pair].boxes, atol=0.5), "half a pixel"
        assert looked == [2, 2]
        rec, plain = GroundingDinoRec(fresh), GroundingDino(fresh)
        copy = pictures[0].copy()
        for text in (*texts, "the zebra"):
            rec.propose([copy], [text])
            plain.propose([copy], [text])
        assert looked == [2, 2, 1], "only for the words that are new, and then kept"
    finally:
        handle.remove()
