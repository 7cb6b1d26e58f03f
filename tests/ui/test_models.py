"""What the page says about the models behind it, and what it does when they cannot be loaded."""

import asyncio
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
import torch

import app
from tests.ui.visits import visit_of
from wrapper import presets
from wrapper.adapters import parse_adapters
from wrapper.errors import DataError, ModelError
from wrapper.ui import answers, common, locate, models, view
from wrapper.ui.session import Settings
from wrapper.worlds import World


def test_a_missing_preset_leaves_the_bundled_models_at_work_and_says_why() -> None:
    loaded = models.load("cpu")  # its checkpoints are not here, and the Hub is off in tests
    assert loaded.name == "bundled"
    assert loaded.trouble is not None and loaded.trouble.startswith("The preset cpu could not be loaded: ")
    assert loaded.proposers == ("florence2", "gdrec", "gd", "yolox")


def test_an_adapter_of_ones_own_is_offered_beside_the_presets() -> None:
    folder = presets.PRESETS["tiny"].adapters["gdrec"]
    said: list[str] = []
    loaded = models.load("tiny", {"mine": folder}, said.append)
    assert ("mine", "mine") in common.adapter_choices()
    assert loaded.preset.adapters["mine"] == folder and {"gdrec", "mine"} <= loaded.wrapper.llm.adapters.keys()
    assert any("Florence-2" in s for s in said) and any("adapter mine" in s for s in said)


def test_an_adapter_that_cannot_be_loaded_leaves_the_bundled_models_at_work() -> None:
    loaded = models.load("tiny", {"mine": "./nowhere"})
    assert loaded.trouble is not None and "nowhere" in loaded.trouble
    assert "mine" not in loaded.wrapper.llm.adapters
    assert common.adapter_choice("mine")["value"] == "auto" and common.adapter_choice("gdrec")["value"] == "gdrec"


@pytest.mark.parametrize("text", ["gdrec", "=x", "gdrec=", "auto=x", "zero-shot=x", "a b=x"])
def test_adapters_are_named_or_refused(text: str) -> None:
    with pytest.raises(ModelError, match="NAME=SOURCE"):
        parse_adapters([text])
    assert parse_adapters(["gdrec=you/a", "mine=./b"]) == {"gdrec": "you/a", "mine": "./b"}


def test_an_adapter_without_a_record_is_not_called_zero_shot(tmp_path: Path) -> None:
    folder = shutil.copytree(presets.PRESETS["tiny"].adapters["gdrec"], tmp_path / "bare")
    (folder / "config.json").unlink()
    models.load("tiny", {"gdrec": str(folder)})
    s = answers.settled(locate.of_example(2, Settings(("gdrec",))))
    assert dict(view.read(s, s.answer))["Adapter"] == "gdrec"
    bare = answers.settled(locate.of_example(2, Settings(("gdrec",), "zero-shot")))
    assert dict(view.read(bare, bare.answer))["Adapter"] == "none: zero-shot"


def test_no_two_loads_share_a_number_even_where_the_first_is_gone() -> None:
    numbers = [models.load("tiny", tell=lambda part: None).serial for _ in range(4)]
    assert len(set(numbers)) == 4, "answers remembered from models that are gone must not be given for others"


def test_status_says_what_is_loaded_where() -> None:
    words = models.status(models.start("tiny"))
    for part in ("**tiny**", "florence-2", "CPU", "loaded in", "--preset"):
        assert part in words
    assert "yolox" in models.status(models.start("bundled")), "the models for photographs are named too"


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A preset "slow" of the bundled models, which are loaded no further than the gate allows."""
    monkeypatch.setitem(presets.PRESETS, "slow", replace(presets.PRESETS["tiny"], adapters={}))
    opened = threading.Event()
    yield opened
    opened.set()
    models.now()


def steps(count: int) -> list[tuple[str, str]]:
    async def some() -> list[tuple[str, str]]:
        return [step async for step in app.watch()][-count:]

    return asyncio.run(some())


def test_the_page_is_there_while_models_are_loaded_and_says_how_far_they_are(gate: threading.Event) -> None:
    app.build("slow", {"mine": presets.PRESETS["tiny"].adapters["gdrec"]}, lambda part: gate.wait(60) and None)
    loading = models.asked()
    assert not loading.done.done()
    assert "part 1 of 4" in models.notice(loading) and "Grounding DINO" in models.notice(loading)
    assert models.status(loading) == "Preset **slow** is being loaded."
    assert ("mine", "mine") in common.adapter_choices(), "known before it is loaded"
    threading.Timer(0.3, gate.set).start()
    before, (notice, status) = steps(2)
    assert "being loaded" in before[0]
    assert notice == "" and status.startswith("Preset **slow**: florence-2") and "LLM adapters: mine" in status


def test_a_question_waits_for_the_models(gate: threading.Event) -> None:
    models.start("slow", tell=lambda part: gate.wait(60) and None)
    threading.Timer(0.3, gate.set).start()
    assert answers.settled(locate.of_example(2, Settings())).answer.index is not None


def test_a_gpu_that_is_too_small_leaves_the_bundled_models_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """No GPU is here to be too small, so its error is raised by hand."""
    load = models.Wrapper.from_preset

    def full(preset: presets.Preset, *rest: Any) -> models.Wrapper:
        if preset not in (presets.PRESETS["bundled"], presets.PRESETS["photo"]):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 4 GiB.")
        return load(preset, *rest)

    monkeypatch.setattr(models.Wrapper, "from_preset", full)
    loaded = models.load("cpu")
    assert loaded.name == "bundled" and loaded.trouble == "The preset cpu could not be loaded: CUDA out of memory. Tried to allocate 4 GiB."
    words = models.notice(models.asked())
    assert "The bundled models serve instead" in words and "These are the small bundled models" in models.status(models.asked())


def test_whatever_cannot_be_loaded_is_said_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(presets.PRESETS, "bundled", replace(presets.PRESETS["bundled"], llama="./nowhere"))
    with pytest.raises(ModelError):
        models.load("cpu")
    assert "No models could be loaded" in models.notice(models.asked()) and "nowhere" in models.notice(models.asked())
    assert models.status(models.asked()) == "No models are loaded." and common.adapter_choices()
    answers_ = locate.answering(locate.example)(gr.EventData(None, {"example": 2}), visit_of(), None, [], "auto", 0, 0)
    [found] = [v for v in answers_ if "error" in v]
    assert "nowhere" in found["error"]


def test_broken_bundled_models_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = presets.PRESETS["tiny"].__class__(florence2="nowhere", grounding_dino="nowhere", llama="nowhere")
    monkeypatch.setitem(presets.PRESETS, "tiny", broken)
    with pytest.raises(ModelError):
        models.load("tiny")


def test_auto_is_the_bundled_preset_without_a_gpu() -> None:
    import torch

    if not torch.cuda.is_available():
        assert presets.best_preset() == "bundled"


def test_each_worlds_models_are_asked_about_its_pictures_and_never_both() -> None:
    loaded = models.load("bundled")
    assert models.fitting(World.SCENE) == ("florence2", "gdrec") and models.fitting(World.PHOTOGRAPH) == ("yolox",)
    assert loaded.asked_by(["yolox"]) is loaded.photographs and loaded.asked_by(["gdrec"]) is loaded.wrapper
    with pytest.raises(DataError, match="different worlds"):
        loaded.asked_by(["gdrec", "yolox"])


def test_a_detector_of_ones_own_is_offered_and_a_broken_one_leaves_the_bundled_models(tmp_path: Path) -> None:
    (tmp_path / "boxes.jsonl").write_text('{"image": "a.jpg", "boxes": [[0, 0, 9, 9]], "labels": ["cup"]}')
    loaded = models.load("bundled", detectors={"mine": f"file:{tmp_path}/boxes.jsonl"})
    assert loaded.trouble is None and loaded.proposers[-2:] == ("yolox", "mine") and ("mine", "mine") in locate.choices()
    broken = models.load("bundled", detectors={"mine": "onnx:nowhere/detector.json"})
    assert broken.trouble is not None and "nowhere" in broken.trouble and "mine" not in broken.proposers


def test_an_adapter_named_as_a_detector_is_of_that_detectors_llm(tmp_path: Path) -> None:
    (tmp_path / "boxes.jsonl").write_text('{"image": "a.jpg", "boxes": [[0, 0, 9, 9]], "labels": ["cup"]}')
    detectors = {"mine": f"file:{tmp_path}/boxes.jsonl"}
    loading = models.start("bundled", {"mine": "./nowhere", "other": "./nowhere"}, detectors=detectors)
    assert loading.done.result().trouble is not None, "there is no such adapter"
    asked: list[models.Preset] = []

    def remember(part: str) -> None:
        asked.extend(p for p in (models.asked().preset, models.asked().preset_for_photographs) if p)

    models.start("bundled", {"mine": "./nowhere"}, remember, detectors).done.result()
    assert "mine" in asked[1].adapters and "mine" not in asked[0].adapters
