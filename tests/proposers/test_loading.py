"""Checkpoints that cannot be loaded say why and what to do."""

import shutil
from pathlib import Path

import pytest
import torch

from wrapper.errors import ModelError
from wrapper.presets import TINY_WEIGHTS
from wrapper.proposers.loading import load_pretrained
from wrapper.selectors.llama import Llm


def test_a_checkpoint_cut_short_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "llama"
    shutil.copytree(TINY_WEIGHTS / "llama", folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100_000])
    with pytest.raises(ModelError, match="whole safetensors files"):
        Llm.load(str(folder), torch.device("cpu"), torch.float32)


def test_a_gated_model_names_its_licence_page() -> None:
    def gated(source: str) -> None:
        raise OSError("You are trying to access a gated repo.\nMake sure to have access to it")

    with pytest.raises(ModelError, match=r"gated repo.*huggingface\.co/meta-llama/Meta-Llama-3-8B-Instruct .*HF_TOKEN.*another preset"):
        load_pretrained("Llama", "meta-llama/Meta-Llama-3-8B-Instruct", gated)


@pytest.mark.parametrize(
    "error",
    [
        ImportError("\nTimmBackbone requires the timm library but it was not found in your environment."),
        ModuleNotFoundError("No module named 'timm'", name="timm"),
    ],
)
def test_a_package_that_a_checkpoint_needs_is_named(error: ImportError) -> None:
    """As DETR's published checkpoints do."""

    def needs_timm(source: str) -> None:
        raise error

    with pytest.raises(ModelError, match=r"facebook/detr-resnet-50\. It needs the package timm: pip install timm"):
        load_pretrained("The detector", "facebook/detr-resnet-50", needs_timm)
