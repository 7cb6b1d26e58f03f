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
from wrapper.proposers.grounding_dino import Detector, GroundingDino, GroundingDinoRec
from wrapper.scenes.dataset import scenes
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
