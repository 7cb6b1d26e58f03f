"""What a preset needs is known, and said with numbers, before anything is loaded."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from huggingface_hub import constants as hub_constants

from wrapper import inventory
from wrapper.errors import ModelError
from wrapper.inventory import check_room, count_weights, parts
from wrapper.model_list import as_text, fetch
from wrapper.pipeline import Wrapper
from wrapper.presets import PRESETS, REVISIONS, TINY_WEIGHTS
from wrapper.ui import models

CPU = torch.device("cpu")
FULL_SIZE = [name for name in PRESETS if name not in ("tiny", "photo", "bundled")]


@pytest.mark.parametrize("name", FULL_SIZE)
def test_every_published_part_is_pinned_and_known(name: str) -> None:
    preset = PRESETS[name]
    for part in parts(preset, on_cuda=False):
        assert part.revision == REVISIONS[part.source] and len(part.revision) == 40
        assert part.published is not None and part.weights is not None
        assert 2 <= part.weights.stored <= 4.01
    text = as_text({name: preset})
    for words in (preset.llama, "licence", "here", "on the CPU", "on a GPU", "Free memory: CPU"):
        assert words in text


def test_another_checkpoint_has_no_revision_of_ours() -> None:
    assert replace(PRESETS["paper"], llama="you/llama").revision("you/llama") is None


def test_the_cpu_preset_is_open_to_anyone() -> None:
    assert not any(p.published and p.published.gated for p in parts(PRESETS["cpu"], on_cuda=False))


def test_weights_are_counted_in_their_files(wrapper: Wrapper) -> None:
    found = count_weights(TINY_WEIGHTS / "llama")
    assert found is not None
    model = wrapper.llm.model.get_base_model()
    assert found.count == sum(p.numel() for n, p in model.named_parameters() if "lora" not in n)
    assert found.file_bytes == (TINY_WEIGHTS / "llama" / "model.safetensors").stat().st_size
    assert 0 < found.quantised < found.count and not found.experts
    assert count_weights(TINY_WEIGHTS / "adapters" / "gdrec") is None


def test_nf4_takes_an_eighth_of_single_precision_where_it_applies() -> None:
    [llm] = parts(PRESETS["paper"], True, ["LLM"])
    plain = replace(llm, four_bit=False, bytes_each=4)
    small, large = llm.need(True), plain.need(True)
    assert small is not None and large is not None
    assert 5.5e9 < small.least < 6.5e9 and 32e9 < large.least < 33e9
    [mixtral] = parts(PRESETS["mixtral"], True, ["LLM"])
    need = mixtral.need(True)
    assert need is not None and need.least < 27e9 and need.host > 90e9, "experts are put together in main memory first"


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A machine with little memory left."""

    def have(free: float) -> None:
        state: Any = psutil.virtual_memory()
        monkeypatch.setattr(inventory.psutil, "virtual_memory", lambda: state._replace(available=free))

    return have


def test_what_does_not_fit_is_refused_with_numbers(little: Callable[[float], None]) -> None:
    little(3e9)
    with pytest.raises(ModelError, match=r"need 15\.\d GB of main memory \(Florence-2 3\.5, .* LLM 9\.\d\), and 3\.0 GB are free"):
        check_room(parts(PRESETS["paper"], False), CPU)
    with pytest.raises(ModelError, match=r"and 3\.0 GB are free"):
        Wrapper.from_preset("cpu")
    check_room(parts(PRESETS["tiny"], False), CPU)


def test_the_page_serves_the_bundled_models_and_says_the_numbers(little: Callable[[float], None]) -> None:
    little(3e9)
    loaded = models.load("paper")
    assert loaded.name == "bundled" and loaded.trouble is not None
    assert "GB of main memory" in loaded.trouble and "3.0 GB are free" in loaded.trouble
    models.load("tiny")


def test_on_zerogpu_the_gpu_that_will_be_lent_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """While models are loaded there, none is at hand to be asked."""
    monkeypatch.setenv("SPACES_ZERO_GPU", "1")
    check_room(parts(PRESETS["paper"], True), torch.device("cuda"))
    with pytest.raises(ModelError, match=r"of the GPU .* and 48\.0 GB are free"):
        check_room(
            parts(replace(PRESETS["paper"], llama="mistralai/Mixtral-8x7B-Instruct-v0.1", four_bit=False), True), torch.device("cuda")
        )


def test_models_of_unknown_size_are_not_refused(little: Callable[[float], None]) -> None:
    little(1e9)
    unknown = replace(PRESETS["paper"], llama="you/llama")
    check_room(parts(unknown, False, ["LLM"]), CPU)
    assert "unknown" in as_text({"mine": unknown})


def test_what_cannot_be_fetched_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hub_constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match=r"Florence-2-base could not be fetched .* run this again"):
        fetch(PRESETS["cpu"])
    assert threading.active_count() >= 1
    fetch(PRESETS["tiny"])


def test_a_download_that_was_cut_is_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path), raising=False)
    [florence, _, llm] = parts(PRESETS["paper"], False)
    folders = {}
    for part in (florence, llm):
        folders[part.kind] = tmp_path / f"models--{part.source.replace('/', '--')}" / "snapshots" / str(part.revision)
        folders[part.kind].mkdir(parents=True)
        (folders[part.kind] / "config.json").write_text("{}")
    assert not florence.here and not llm.here
    (folders["Florence-2"] / "model.safetensors").write_bytes(b"")
    shards = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    (folders["LLM"] / "model.safetensors.index.json").write_text(json.dumps({"weight_map": dict(zip("ab", shards, strict=True))}))
    (folders["LLM"] / shards[0]).write_bytes(b"")
    assert florence.here and not llm.here
    (folders["LLM"] / shards[1]).write_bytes(b"")
    assert llm.here
