"""Released adapters: folders, archives and cut archives, trusted in nothing."""

import io
import json
import pickle
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from wrapper import adapters
from wrapper.adapter_import import Origin, import_adapter
from wrapper.errors import ModelError
from wrapper.presets import PRESETS, TINY_WEIGHTS
from wrapper.prompt import PromptTemplate
from wrapper.selectors.base import Question
from wrapper.selectors.llama import Llm

BASE = PRESETS["tiny"].llama
OURS = TINY_WEIGHTS / "adapters" / "florence2"
ORIGIN = Origin("a release page", "research only", ("florence2",))


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A bundled adapter as PEFT used to write them when lm_head is a target: a pickle, with layers of the base model."""
    folder = tmp_path / "released" / "checkpoint"
    folder.mkdir(parents=True)
    state = load_file(OURS / "adapter_model.safetensors")
    base = load_file(Path(BASE) / "model.safetensors")
    state["base_model.model.lm_head.base_layer.weight"] = base["lm_head.weight"]
    state["base_model.model.model.embed_tokens.weight"] = base["model.embed_tokens.weight"]
    torch.save(state, folder / "adapter_model.bin")
    shutil.copy(OURS / "adapter_config.json", folder)
    (folder / "optimizer.pt").write_bytes(b"not an adapter's")
    (folder / "trainer_state.json").write_text("{}")
    return folder


def packed(folder: Path, out: Path, parts: int = 1) -> list[Path]:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        archive.add(folder.parent, arcname="run")
    whole = data.getvalue()
    if parts == 1:
        out.write_bytes(whole)
        return [out]
    size = -(-len(whole) // parts)
    files = [out.with_name(f"{out.name}.part_{chr(97 + i // 26)}{chr(97 + i % 26)}") for i in range(parts)]
    for i, file in enumerate(files):
        file.write_bytes(whole[i * size : (i + 1) * size])
    return files


@pytest.mark.parametrize("form", ["folder", "archive", "parts", "one part", "many parts"])
def test_every_form_gives_the_same_adapter(released: Path, tmp_path: Path, form: str) -> None:
    paths = {
        "folder": lambda: [released],
        "archive": lambda: packed(released, tmp_path / "a.tar.gz"),
        "parts": lambda: packed(released, tmp_path / "a.tar.gz", 3)[::-1],
        "many parts": lambda: packed(released, tmp_path / "a.tar.gz", 30),
        "one part": lambda: packed(released, tmp_path / "a.tar.gz", 3)[1:2],
    }[form]()
    out = tmp_path / "imported"
    notes = import_adapter(paths, out, BASE, ORIGIN)
    assert {p.name for p in out.iterdir()} == {
        "adapter_model.safetensors", "adapter_config.json", "config.json", "prompt.json", "README.md",
    }  # fmt: skip
    ours, theirs = load_file(OURS / "adapter_model.safetensors"), load_file(out / "adapter_model.safetensors")
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)
    assert any("2 layers of the base model were left out" in n for n in notes) and any("usual wording" in n for n in notes)
    record = adapters.record(str(out))
    assert record is not None and adapters.in_words(record) == "from a release page, licence research only"
    assert adapters.misfit(record, ("gdrec",)) and not adapters.misfit(record, ("florence2",))


def test_it_answers_as_the_original(released: Path, tmp_path: Path) -> None:
    template = tmp_path / "wording.json"
    shutil.copy(OURS / "prompt.json", template)
    import_adapter([released], tmp_path / "imported", BASE, ORIGIN, template)
    llm = Llm.load(BASE, torch.device("cpu"), torch.float32)
    llm.add_adapter("ours", str(OURS))
    llm.add_adapter("imported", str(tmp_path / "imported"))
    assert llm.template_for("imported") == PromptTemplate.load(OURS)
    from tests.selectors.test_llama import ask
    from wrapper.scenes.dataset import scenes

    questions = [ask(s) for s in scenes("val", 4, 3)]
    assert [s.probabilities for s in llm.select([q_with(q, "ours") for q in questions])] == [
        s.probabilities for s in llm.select([q_with(q, "imported") for q in questions])
    ]


def q_with(q: Question, adapter: str) -> Question:
    return Question(q.candidates, q.expression, q.size, adapter)


class Evil:
    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return exec, ("raise SystemExit('code ran')",)


def test_a_pickle_that_would_run_code_is_not_opened(released: Path, tmp_path: Path) -> None:
    (released / "adapter_model.bin").write_bytes(pickle.dumps({"x": Evil()}))
    with pytest.raises(ModelError, match="holds more than tensors"):
        import_adapter([released], tmp_path / "imported", BASE, ORIGIN)
    torch.save({"x": Evil()}, released / "adapter_model.bin")
    with pytest.raises(ModelError, match="holds more than tensors"):
        import_adapter([released], tmp_path / "imported", BASE, ORIGIN)
    assert not (tmp_path / "imported").exists()


def test_nothing_is_written_outside(tmp_path: Path) -> None:
    """Paths that lead out of the archive, links and devices are of no use to it."""
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        for name in ("../../adapter_config.json", "/etc/adapter_config.json"):
            info = tarfile.TarInfo(name)
            info.size = 2
            archive.addfile(info, io.BytesIO(b"{}"))
        link = tarfile.TarInfo("adapter_model.safetensors")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(ModelError, match="holds no adapter"):
        import_adapter([tmp_path / "a.tar.gz"], tmp_path / "deep" / "imported", BASE, ORIGIN)
    assert {p.name for p in tmp_path.iterdir()} == {"a.tar.gz", "deep"} and not list((tmp_path / "deep").iterdir())


def test_a_missing_or_cut_part_is_said(released: Path, tmp_path: Path) -> None:
    first, second, third = packed(released, tmp_path / "a.tar.gz", 3)
    second.rename(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match=r"part_ab is missing"):
        import_adapter([first], tmp_path / "imported", BASE, ORIGIN)
    (tmp_path / "elsewhere").rename(second)
    third.unlink()
    with pytest.raises(ModelError, match="cut or a part is missing"):
        import_adapter([first], tmp_path / "imported", BASE, ORIGIN)


def test_an_adapter_of_another_model_is_refused_with_names(released: Path, tmp_path: Path) -> None:
    state = load_file(OURS / "adapter_model.safetensors")
    name = next(k for k in state if "q_proj.lora_A" in k)
    (released / "adapter_model.bin").unlink()
    for change, words in (
        ({name: state[name][:, :-8]}, "of another size: .*q_proj"),
        ({"base_model.model.model.layers.99.self_attn.q_proj.lora_A.weight": state[name]}, "no place in this LLM: .*layers.99"),
    ):
        save_file({**state, **{k: v.clone() for k, v in change.items()}}, released / "adapter_model.safetensors")
        with pytest.raises(ModelError, match=words):
            import_adapter([released], tmp_path / "imported", BASE, ORIGIN)
    save_file({k: v for k, v in state.items() if k != name}, released / "adapter_model.safetensors")
    with pytest.raises(ModelError, match=r"missing: .*q_proj"):
        import_adapter([released], tmp_path / "imported", BASE, ORIGIN)


def test_other_kinds_of_adapters_are_refused_in_a_sentence(released: Path, tmp_path: Path) -> None:
    config = json.loads((released / "adapter_config.json").read_text())
    (released / "adapter_config.json").write_text(json.dumps({"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 4}))
    with pytest.raises(ModelError, match="of the kind “prompt tuning”"):
        import_adapter([released], tmp_path / "imported", BASE, ORIGIN)
    (released / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": None}))
    with pytest.raises(ModelError, match="Name it with --base"):
        import_adapter([released], tmp_path / "imported", None, ORIGIN)


def test_a_damaged_configuration_is_said(released: Path, tmp_path: Path) -> None:
    (released / "adapter_config.json").write_text("{")
    with pytest.raises(ModelError, match="could not be loaded"):
        import_adapter([released], tmp_path / "imported", BASE, ORIGIN)


@pytest.mark.parametrize(
    ("change", "base"),
    [({"target_modules": ["c_attn"]}, BASE), ({}, PRESETS["tiny"].florence2), ({"peft_type": 7}, BASE), ({"r": "x"}, BASE)],
)
def test_what_does_not_go_together_is_one_sentence(released: Path, tmp_path: Path, change: dict[str, Any], base: str) -> None:
    config = json.loads((released / "adapter_config.json").read_text())
    (released / "adapter_config.json").write_text(json.dumps(config | change))
    with pytest.raises(ModelError) as caught:
        import_adapter([released], tmp_path / "imported", base, ORIGIN)
    assert "\n" not in str(caught.value) and not (tmp_path / "imported").exists()


def test_nothing_is_overwritten(released: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is there already"):
        import_adapter([released], tmp_path, BASE, ORIGIN)
