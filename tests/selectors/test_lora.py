"""Adapters: every tensor lands, or the adapter is refused with names, and the LLM is as it was."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from peft.tuners.lora.layer import Linear as LoraLinear
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from tests.selectors.test_llama import ask
from wrapper.errors import ModelError
from wrapper.presets import PRESETS, TINY_WEIGHTS
from wrapper.scenes.dataset import scenes
from wrapper.selectors.llama import Llm

BASE = PRESETS["tiny"].llama
CPU = torch.device("cpu")
QUESTIONS = [ask(s) for s in scenes("val", 3, 5)]


@pytest.fixture
def llm() -> Llm:
    return Llm.load(BASE, CPU, torch.float32)


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    shutil.copytree(TINY_WEIGHTS / "adapters" / "gdrec", folder)
    return folder


def change(folder: Path, edit: Any) -> None:
    file = folder / "adapter_model.safetensors"
    save_file({k: v.clone() for k, v in edit(load_file(file)).items()}, file)


def picks(llm: Llm, adapter: str | None = None) -> list[tuple[float, ...]]:
    return [s.probabilities for s in llm.select([ask_with(q, adapter) for q in QUESTIONS])]


def ask_with(question: Any, adapter: str | None) -> Any:
    from dataclasses import replace

    return replace(question, adapter=adapter)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda s: {k.replace("layers.0.", "layers.99."): v for k, v in s.items()}, "no place in this LLM.*layers.99.*missing.*layers.0"),
        (lambda s: {k.replace("base_model.model.", ""): v for k, v in s.items()}, "no place in this LLM"),
        (lambda s: dict(list(s.items())[:-1]), "missing"),
        (lambda s: {k: v[..., :-1] if "lora_A" in k else v for k, v in s.items()}, "of another size"),
        (lambda s: {}, "missing"),
    ],
)
@pytest.mark.parametrize("others", [0, 1])
def test_an_adapter_that_does_not_fit_is_refused_and_changes_nothing(llm: Llm, adapter: Path, edit: Any, words: str, others: int) -> None:
    for i in range(others):
        llm.add_adapter(f"good{i}", str(TINY_WEIGHTS / "adapters" / "florence2"))
    before = picks(llm), picks(llm, "good0" if others else None)
    change(adapter, edit)
    with pytest.raises(ModelError, match=words):
        llm.add_adapter("bad", str(adapter))
    assert (picks(llm), picks(llm, "good0" if others else None)) == before
    assert "bad" not in llm.adapters
    llm.add_adapter("good", str(TINY_WEIGHTS / "adapters" / "gdrec"))
    assert picks(llm, "good") != before[0] and picks(llm) == before[0]


def test_targets_that_the_llm_has_not_are_refused(llm: Llm, adapter: Path) -> None:
    before = picks(llm)
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"target_modules": ["w1", "w2"]}))
    with pytest.raises(ModelError, match="could not be put on this LLM"):
        llm.add_adapter("bad", str(adapter))
    assert picks(llm) == before


def test_a_pickle_is_never_opened(llm: Llm, adapter: Path) -> None:
    (adapter / "adapter_model.safetensors").unlink()
    torch.save({}, adapter / "adapter_model.bin")
    with pytest.raises(ModelError, match=r"a pickle, which may run code .* adapter import"):
        llm.add_adapter("bad", str(adapter))


def test_a_cut_file_is_said(llm: Llm, adapter: Path) -> None:
    file = adapter / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(ModelError, match="cannot be read"):
        llm.add_adapter("bad", str(adapter))


def trained(out: Path, **options: Any) -> str:
    """A PEFT adapter that does something, as another program would save it."""
    torch.manual_seed(1)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32), LoraConfig(task_type="CAUSAL_LM", **options))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter += 0.05 * torch.randn_like(parameter)
            assert parameter.requires_grad or "lora" not in name
    model.save_pretrained(out, save_embedding_layers=False)
    return str(out)


@pytest.mark.parametrize(
    "options",
    [
        {"r": 4, "target_modules": ["q_proj", "lm_head"]},
        {"r": 4, "target_modules": ["q_proj", "v_proj"], "use_dora": True},
        {"r": 4, "target_modules": ["down_proj"], "use_rslora": True},
        {"r": 4, "target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]},
        {"r": 4, "target_modules": ["q_proj", "v_proj"], "rank_pattern": {"v_proj": 2}},
    ],
    ids=lambda o: next((k for k in o if k not in ("r", "target_modules")), "plain"),
)
def test_kinds_of_lora_serve_beside_each_other(llm: Llm, tmp_path: Path, options: dict[str, Any]) -> None:
    """DoRA, fully trained modules and the rest, mixed with plain adapters in one batch; none touches another."""
    source = trained(tmp_path / "one", **options)
    alone = Llm.load(BASE, CPU, torch.float32)
    alone.add_adapter("one", source)
    llm.add_adapter("gdrec", str(TINY_WEIGHTS / "adapters" / "gdrec"))
    before = picks(llm), picks(llm, "gdrec")
    llm.add_adapter("one", source)
    mixed = llm.select([ask_with(q, name) for q in QUESTIONS for name in ("one", None, "gdrec")])
    assert [s.probabilities for s in mixed[0::3]] == [pytest.approx(p, abs=1e-5) for p in picks(alone, "one")]
    assert [s.probabilities for s in mixed[1::3]] == [pytest.approx(p, abs=1e-5) for p in before[0]]
    assert [s.probabilities for s in mixed[2::3]] == [pytest.approx(p, abs=1e-5) for p in before[1]]
    assert picks(llm, "one") != before[0]
    change(Path(source), lambda s: {k: v for k, v in s.items() if k != sorted(s)[-1]})
    with pytest.raises(ModelError, match="missing"):
        llm.add_adapter("again", source)


def test_what_cannot_stand_beside_the_others_is_refused_and_leaves_them(llm: Llm, tmp_path: Path) -> None:
    source = trained(tmp_path / "one", r=4, target_modules=["q_proj"], modules_to_save=["lm_head"])
    llm.add_adapter("gdrec", str(TINY_WEIGHTS / "adapters" / "gdrec"))
    before = picks(llm), picks(llm, "gdrec")
    with pytest.raises(ModelError, match="load it without the others"):
        llm.add_adapter("one", source)
    assert (picks(llm), picks(llm, "gdrec")) == before
    llm.add_adapter("florence2", str(TINY_WEIGHTS / "adapters" / "florence2"))
    assert (picks(llm), picks(llm, "gdrec")) == before


def test_biases_of_the_llm_itself_are_refused(llm: Llm, adapter: Path) -> None:
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"bias": "all"}))
    with pytest.raises(ModelError, match="own biases"):
        llm.add_adapter("bad", str(adapter))


def test_prompt_tuning_is_refused_in_a_sentence(llm: Llm, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)
    get_peft_model(model, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)).save_pretrained(tmp_path / "tuned")
    with pytest.raises(ModelError, match=r"of the kind “prompt tuning”\. Only LoRA"):
        llm.add_adapter("bad", str(tmp_path / "tuned"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"init_lora_weights": "pissa"}, "changes the LLM's own weights"),
        ({"init_lora_weights": "pissa_niter_4"}, "changes the LLM's own weights"),
        ({"init_lora_weights": "olora"}, "changes the LLM's own weights"),
        ({"layer_replication": [[0, 2], [1, 2]]}, "repeats layers"),
        ({"alora_invocation_tokens": [1, 2]}, "aLoRA"),
        ({"peft_type": None}, "could not be loaded|kind"),
    ],
)
def test_adapters_that_change_the_llm_or_do_nothing_are_refused(llm: Llm, adapter: Path, changes: dict[str, Any], words: str) -> None:
    llm.add_adapter("good", str(TINY_WEIGHTS / "adapters" / "florence2"))
    before = picks(llm), picks(llm, "good")
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({k: v for k, v in (config | changes).items() if v is not None}))
    with pytest.raises(ModelError, match=words):
        llm.add_adapter("bad", str(adapter))
    assert (picks(llm), picks(llm, "good")) == before


@pytest.mark.parametrize("edit", [lambda v: v.to(torch.int8), lambda v: v * float("nan"), lambda v: v / 0.0])
def test_tensors_that_are_no_numbers_are_refused(llm: Llm, adapter: Path, edit: Any) -> None:
    change(adapter, lambda s: {k: edit(v) for k, v in s.items()})
    with pytest.raises(ModelError, match="no finite numbers"):
        llm.add_adapter("bad", str(adapter))


def test_a_name_may_be_given_again_and_others_stay(llm: Llm) -> None:
    for name in ("a", "a", "b"):
        llm.add_adapter(name, str(TINY_WEIGHTS / "adapters" / "gdrec"))
    assert picks(llm, "a") == picks(llm, "b") != picks(llm)


@pytest.mark.parametrize("error", [RuntimeError, torch.OutOfMemoryError, KeyboardInterrupt])
@pytest.mark.parametrize("others", [0, 1])
def test_what_fails_half_way_is_taken_away(llm: Llm, adapter: Path, monkeypatch: pytest.MonkeyPatch, others: int, error: Any) -> None:
    for i in range(others):
        llm.add_adapter(f"good{i}", str(TINY_WEIGHTS / "adapters" / "florence2"))
    before = picks(llm), picks(llm, "good0" if others else None)
    update, calls = LoraLinear.update_layer, []

    def broken(self: Any, *args: Any, **kwargs: Any) -> None:
        calls.append(1)
        if len(calls) == 9:
            raise error("half-way")
        update(self, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(LoraLinear, "update_layer", broken)
        with pytest.raises(ModelError if error is RuntimeError else error):
            llm.add_adapter("bad", str(adapter))
    assert (picks(llm), picks(llm, "good0" if others else None)) == before
    llm.add_adapter("again", str(adapter))
    alone = Llm.load(BASE, CPU, torch.float32)
    alone.add_adapter("again", str(adapter))
    assert picks(llm, "again") == picks(alone, "again") and picks(llm) == before[0]
