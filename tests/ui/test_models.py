"""What the page says about the models behind it, and what it does when they cannot be loaded."""

import pytest

from wrapper import presets
from wrapper.errors import ModelError
from wrapper.ui import models


def test_a_missing_preset_leaves_the_bundled_models_at_work_and_says_why() -> None:
    loaded = models.load("cpu")  # its checkpoints are not here, and the Hub is off in tests
    assert loaded.name == "tiny"
    assert loaded.trouble is not None and loaded.trouble.startswith("The preset cpu could not be loaded: ")
    assert loaded.wrapper.proposers.keys() == {"florence2", "gdrec", "gd"}


def test_status_says_what_is_loaded_where() -> None:
    words = models.status(models.load("tiny"))
    for part in ("**tiny**", "florence-2", "CPU", "loaded in", "--preset"):
        assert part in words


def test_broken_bundled_models_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = presets.PRESETS["tiny"].__class__(florence2="nowhere", grounding_dino="nowhere", llama="nowhere")
    monkeypatch.setitem(presets.PRESETS, "tiny", broken)
    with pytest.raises(ModelError):
        models.load("tiny")


def test_auto_is_the_bundled_preset_without_a_gpu() -> None:
    import torch

    if not torch.cuda.is_available():
        assert presets.best_preset() == "tiny"
