"""The README's whole recipe for adapting a closed model, rehearsed on small models of the published layouts and tokenizers.

Weights are random: what is tested is that every step runs, takes what the step before has written, and leaves no table empty.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants as hub_constants
from PIL import Image

from tests import small_models
from tests.hub import Hub, serving
from wrapper import cli
from wrapper.candidates import Reason
from wrapper.pipeline import Wrapper
from wrapper.presets import PRESETS, Preset
from wrapper.ui import api, models

FAMILIES = {"llama": small_models.llama, "mixtral": small_models.mixtral, "smollm": small_models.smollm}
SMALL = ("--rank", "4", "--alpha", "8", "--check-rows", "4", "--orders", "1")


def run(*arguments: str | Path) -> None:
    cli.app([str(a) for a in arguments], standalone_mode=False)


@pytest.fixture(scope="module")
def vlms(tmp_path_factory: pytest.TempPathFactory) -> Preset:
    small_models.needs_tokenizers()
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("vlms")
    florence2, grounding_dino = small_models.florence(folder / "florence-2"), small_models.grounding_dino(folder / "grounding-dino")
    return replace(PRESETS["paper"], florence2=florence2, grounding_dino=grounding_dino, max_new_tokens=40)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures with the two things that the small Florence-2 sees everywhere."""
    folder = tmp_path_factory.mktemp("data")
    rows = []
    for i in range(4):
        width, height = 320 + 40 * i, 240 + 20 * i
        Image.effect_noise((width, height), 80).convert("RGB").save(folder / f"{i}.png")
        for words, (x1, y1, x2, y2) in (("The cup left of the green book.", (100, 200, 300, 400)), ("green book", (500, 200, 700, 500))):
            box = [x1 * width / 1000, y1 * height / 1000, x2 * width / 1000, y2 * height / 1000]
            rows.append({"image": f"{i}.png", "expression": words, "bbox": box, "category": "any"})
    (folder / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder / "data.jsonl"


@pytest.fixture(scope="module", params=list(FAMILIES))
def preset(request: pytest.FixtureRequest, vlms: Preset, tmp_path_factory: pytest.TempPathFactory) -> Preset:
    torch.manual_seed(0)
    return replace(vlms, llama=FAMILIES[request.param](tmp_path_factory.mktemp("llm") / request.param))


@pytest.fixture(scope="module", autouse=True)
def in_place_of_paper(preset: Preset) -> Iterator[None]:
    """`--preset paper` means the small models."""
    published = PRESETS["paper"]
    PRESETS["paper"] = preset
    yield
    PRESETS["paper"] = published


@pytest.fixture(scope="module")
def candidates(vlms: Preset, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("candidates") / "train.jsonl"
    run("propose", "--data", data, "--proposers", "florence2,gdrec", "--preset", "paper", "--out", out, "--batch", "4")
    return out


@pytest.fixture(scope="module")
def adapter(preset: Preset, candidates: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained as the paper does: NF4, activations computed again, LoRA on lm_head among others."""
    out = tmp_path_factory.mktemp("adapter") / "ensemble"
    run("train", "--candidates", candidates, "--validation", candidates, "--preset", "paper", "--out", out, *SMALL)
    return out


def test_training_leaves_a_whole_adapter(adapter: Path) -> None:
    record = json.loads((adapter / "config.json").read_text())
    assert record["rows"]["examples"] == 8
    assert record["curve"][0]["rows"] == 0 and record["losses"] is not None


def test_evaluation_and_report_fill_every_table_with_it(adapter: Path, data: Path, tmp_path: Path) -> None:
    named = [part for name in ("gdrec", "florence2", "ensemble") for part in ("--adapter", f"{name}={adapter}")]
    run("evaluate", "--data", data, "--preset", "paper", "--out", tmp_path, *named)
    run("report", tmp_path)
    text = (tmp_path / "report.md").read_text()
    for table, rows in (("### Table 1", 3), ("### Table 2", 2), ("### Table 3", 2)):
        lines = text.split(table)[1].split("\n\n")[1].splitlines()[2:]
        assert len(lines) == rows, table
        assert "–" not in " ".join(lines[1:] if table == "### Table 2" else lines), f"{table} has an empty cell"
    assert "## Figure 2" in text and "### P@1 by kind" in text


def test_an_adapter_can_be_pushed(adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_none")
    with serving() as address:
        monkeypatch.setattr(hub_constants, "ENDPOINT", address)
        run("adapter", "push", adapter, "you/adapter")
    sent = {o["value"]["path"] for o in Hub.sent["commit"] if o["key"] == "file"}
    assert {"adapter_model.safetensors", "adapter_config.json", "prompt.json", "config.json", "README.md"} <= sent


def test_the_page_answers_with_it(adapter: Path, data: Path) -> None:
    loaded = models.load("paper", {"ensemble": str(adapter)})
    assert loaded.trouble is None
    *_, (*_, facts) = api.locate(str(data.parent / "0.png"), "The cup, left of the green book!", ["gdrec", "florence2"])
    assert facts["reason"] in (Reason.CHOSEN, Reason.CHOSEN_FROM_PART)
    assert facts["expression"] == "The cup, left of the green book!"
    assert 2 <= len(facts["candidates"]) <= 20


def test_it_trains_and_serves_unquantised(preset: Preset, candidates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "paper", replace(preset, four_bit=False))
    run("train", "--candidates", candidates, "--preset", "paper", "--out", tmp_path / "plain", *SMALL, "--no-bf16")
    wrapper = Wrapper.from_preset(replace(preset, four_bit=False, adapters={"ensemble": str(tmp_path / "plain")}))
    selection = wrapper.locate(Image.new("RGB", (320, 240), "white"), "the cup left of the green book")
    assert selection.reason in (Reason.CHOSEN, Reason.CHOSEN_FROM_PART) and sum(selection.probabilities) == pytest.approx(1, abs=1e-3)


def test_nothing_large_stays_in_16_bits(preset: Preset) -> None:
    """Of a mixture of experts neither, whose experts are no linear layers."""
    model: Any = Wrapper.from_preset(preset, ("gdrec",)).llm.model
    large = [(n, p.dtype) for n, p in model.named_parameters() if p.dim() > 2 or "proj" in n]
    assert large and {dtype for _, dtype in large} == {torch.uint8}


def test_tomorrow_the_prompt_is_the_same(preset: Preset) -> None:
    """Llama 3.2's template names a date: today's, where none is given."""
    llm: Any = Wrapper.from_preset(preset, ("gdrec",)).llm
    words = llm.tokenizer.decode(llm.encode("Which?"))
    assert "Today Date: " not in words or "Today Date: 26 Jul 2024" in words
