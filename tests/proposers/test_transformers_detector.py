"""Object detectors of transformers, small ones with random weights: what the class gives is what is proposed, in the picture's pixels."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from tests import small_models
from wrapper.detectors import load_detector
from wrapper.errors import ModelError
from wrapper.presets import PRESETS
from wrapper.proposers.detections import DetectorProposer
from wrapper.proposers.grounding_dino import GroundingDinoRec
from wrapper.proposers.transformers_detector import ClosedSetDetector, load, queries

CPU = torch.device("cpu")
PICTURES = [Image.effect_noise((90, 60), 60).convert("RGB"), Image.effect_noise((40, 100), 90).convert("RGB")]


@pytest.mark.parametrize("kind", ["detr", "rt-detr", "d-fine", "yolos"])
def test_closed_set_detectors_propose_what_they_know(tmp_path: Path, kind: str) -> None:
    torch.manual_seed(0)
    detector = load(small_models.object_detector(tmp_path / kind, kind), CPU, threshold=0.0)
    assert isinstance(detector, ClosedSetDetector) and not detector.reads_words
    found = DetectorProposer("mine", detector).propose([*PICTURES, PICTURES[0]], ["the cat", "the cat", "the dog"])
    assert all(found) and {c.label for one in found for c in one} <= {"cat", "dog", "wine glass"}
    for one, picture in zip(found, [*PICTURES, PICTURES[0]], strict=True):
        assert all(c.box[2] <= picture.width and c.box[3] <= picture.height and c.score is not None for c in one)
    alone = DetectorProposer("mine", detector).propose([PICTURES[1]], ["the cat"])[0]
    assert [c.label for c in alone] == [c.label for c in found[1]], "a picture's boxes do not depend on its neighbours in the batch"
    assert [c.box for c in alone] == [pytest.approx(c.box, abs=0.05) for c in found[1]]


def test_zero_shot_detectors_are_asked_about_the_noun_groups(tmp_path: Path) -> None:
    proposer = load_detector("owl", f"transformers:{small_models.owlv2(tmp_path / 'owl')}", CPU)
    detector = getattr(proposer, "detector")  # noqa: B009  a DetectorProposer's
    assert detector.reads_words
    [one, other] = load(str(tmp_path / "owl"), CPU, threshold=0.0).detect(PICTURES, ["the red cup left of the dog", "it"])
    assert set(one.data["class_name"]) <= {"red cup", "dog"} and set(other.data["class_name"]) == {"it"}
    assert len(one) == len(other) == 16
    assert queries("a cup left of a cup") == ["cup"]


def test_grounding_dino_is_read_as_gdrec_under_its_own_name(tmp_path: Path) -> None:
    small_models.needs_tokenizers()
    proposer = load_detector("mm", f"transformers:{small_models.grounding_dino(tmp_path / 'mm', True)}", CPU)
    assert isinstance(proposer, GroundingDinoRec) and proposer.name == "mm"
    assert all(c.source == "mm" for c in proposer.propose(PICTURES[:1], ["the cup"])[0])


@pytest.mark.parametrize("source", [PRESETS["tiny"].llama, "/no/such/folder"])
def test_what_is_no_detector_is_named(source: str) -> None:
    with pytest.raises(ModelError, match=r"not know as an object detector|There is no folder|no folder"):
        load_detector("mine", f"transformers:{source}", CPU)


@pytest.mark.parametrize(("kind", "passes"), [("yolos", [1, 1, 1]), ("detr", [3]), ("rt-detr", [3])])
def test_pictures_of_other_sizes_are_padded_only_for_models_that_are_told(tmp_path: Path, kind: str, passes: list[int]) -> None:
    """YOLOS is not: its boxes would be shares of the padded picture."""
    detector = load(small_models.object_detector(tmp_path / kind, kind), CPU, threshold=0.0)
    assert isinstance(detector, ClosedSetDetector)
    seen: list[torch.Size] = []
    detector.model.register_forward_pre_hook(lambda _, given, named: seen.append(named["pixel_values"].shape), with_kwargs=True)
    detector.detect([*PICTURES, PICTURES[0]], [""] * 3)
    *whole, padded = [shape[0] for shape in seen]
    assert [*whole, padded][-len(passes) :] == passes
    seen.clear()
    detector.detect([PICTURES[0]] * 3, [""] * 3)
    assert [shape[0] for shape in seen] == [3], "pictures of one size are not padded"
