"""Bundled weights are the published ones, or are not loaded."""

import hashlib
import shutil
from pathlib import Path

import pytest
import torch

from wrapper import checksums
from wrapper.errors import ModelError
from wrapper.proposers.grounding_dino import Detector
from wrapper.proposers.onnx import OnnxDetector

LISTED = checksums.published()


def test_every_bundled_file_of_weights_is_listed_with_its_sum() -> None:
    files = [p for p in checksums.WEIGHTS.rglob("*") if p.suffix in (".safetensors", ".onnx")]
    assert set(LISTED) == {p.resolve() for p in files} and len(files) >= 9
    assert all(hashlib.sha256(p.read_bytes()).hexdigest() == digest for p, digest in LISTED.items())


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The bundled weights somewhere else, with their list, which is the one that counts."""
    for name in ("tiny/grounding-dino", "tiny/adapters/gdrec", "photo/yolox-nano"):
        shutil.copytree(checksums.WEIGHTS / name, tmp_path / name)
    kept = [line for line in (checksums.WEIGHTS / "SHA256SUMS").read_text().splitlines() if (tmp_path / line.split()[1]).is_file()]
    (tmp_path / "SHA256SUMS").write_text("\n".join(kept) + "\n")
    found = checksums.published(tmp_path)
    monkeypatch.setattr(checksums, "published", lambda root: found)
    return tmp_path


def flip(path: Path) -> None:
    """One bit of a weight."""
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)


def test_one_changed_bit_is_seen(copy: Path) -> None:
    Detector.load(str(copy / "tiny/grounding-dino"), torch.device("cpu"))
    flip(copy / "tiny/grounding-dino/model.safetensors")
    with pytest.raises(ModelError, match="damaged or was changed"):
        Detector.load(str(copy / "tiny/grounding-dino"), torch.device("cpu"))
    OnnxDetector.load(str(copy / "photo/yolox-nano/detector.json"))
    flip(copy / "photo/yolox-nano/yolox_nano.onnx")
    with pytest.raises(ModelError, match="damaged or was changed"):
        OnnxDetector.load(str(copy / "photo/yolox-nano/detector.json"))
    (copy / "tiny/adapters/gdrec/adapter_model.safetensors").unlink()
    with pytest.raises(ModelError, match="is missing"):
        checksums.check(copy / "tiny/adapters/gdrec")


def test_a_strangers_weights_pass(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"mine")
    checksums.check(tmp_path)
    checksums.check("owner/name")
    assert checksums.published(tmp_path) == {}
