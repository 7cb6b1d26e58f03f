"""What the page says about the models behind it, and what it does when they cannot be loaded."""

import shutil
from pathlib import Path

import pytest

import app
from wrapper import presets
from wrapper.errors import ModelError
from wrapper.ui import answer, common, locate, models


def test_a_missing_preset_leaves_the_bundled_models_at_work_and_says_why() -> None:
    loaded = models.load("cpu")  # its checkpoints are not here, and the Hub is off in tests
    assert loaded.name == "tiny"
    assert loaded.trouble is not None and loaded.trouble.startswith("The preset cpu could not be loaded: ")
    assert loaded.wrapper.proposers.keys() == {"florence2", "gdrec", "gd"}


def test_an_adapter_of_ones_own_is_offered_beside_the_presets() -> None:
    folder = presets.PRESETS["tiny"].adapters["gdrec"]
    said: list[str] = []
    loaded = models.load("tiny", {"mine": folder}, said.append)
    assert ("mine", "mine") in common.adapter_choices()
    assert loaded.preset.adapters["mine"] == folder and {"gdrec", "mine"} <= loaded.wrapper.adapted.keys()
    assert any("Florence-2" in s for s in said) and any("adapter mine" in s for s in said)


def test_an_adapter_that_cannot_be_loaded_leaves_the_bundled_models_at_work() -> None:
    loaded = models.load("tiny", {"mine": "./nowhere"})
    assert loaded.trouble is not None and "nowhere" in loaded.trouble
    assert "mine" not in loaded.wrapper.adapted


@pytest.mark.parametrize("text", ["gdrec", "=x", "gdrec=", "auto=x", "zero-shot=x", "a b=x"])
def test_adapters_are_named_or_refused(text: str) -> None:
    with pytest.raises(ModelError, match="NAME=SOURCE"):
        app.named([text])
    assert app.named(["gdrec=you/a", "mine=./b"]) == {"gdrec": "you/a", "mine": "./b"}


def test_an_adapter_without_a_record_is_not_called_zero_shot(tmp_path: Path) -> None:
    folder = shutil.copytree(presets.PRESETS["tiny"].adapters["gdrec"], tmp_path / "bare")
    (folder / "config.json").unlink()
    models.load("tiny", {"gdrec": str(folder)})
    path, expression, _ = locate.example("2") or ("", "", "")
    *_, (*_, session) = locate.live(path, expression, ["gdrec"])
    assert session is not None
    words = answer.remarks(session)
    assert "Adapter: gdrec, which does not say what it was trained on" in words and "No adapter" not in words


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
