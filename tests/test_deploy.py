"""What goes to a Space."""

import base64
import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import yaml
from huggingface_hub import constants as hub_constants
from packaging.requirements import Requirement

from tests.hub import Hub, serving
from wrapper.deploy import ROOT, card, deploy, items, rewritten
from wrapper.errors import DataError, ModelError

LOGIN = "openai:https://service.example/v1#big-model"


def test_a_space_gets_what_it_needs_and_nothing_else() -> None:
    names = {i.name for i in items()}
    assert {
        "app.py",
        "README.md",
        "requirements.txt",
        "wrapper/pipeline.py",
        "wrapper/scenes/sprites.png",
        "examples/examples.json",
    } <= names
    assert {"weights/photo/yolox-nano/yolox_nano.onnx", "weights/photo/yolox-nano/NOTICE"} <= names
    assert any(n.startswith("weights/tiny/llama/") and n.endswith(".safetensors") for n in names)
    assert not any(n.startswith(("tests/", "weights/recipes/", "runs/", ".")) or "__pycache__" in n for n in names)


def test_a_copy_of_it_builds_the_page_draws_scenes_and_answers(tmp_path: Path) -> None:
    """Whatever the package reads while it works is among the files."""
    for item in items():
        (tmp_path / item.name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / item.name, tmp_path / item.name)
    program = (
        "import app\nfrom wrapper import Wrapper\nfrom wrapper.scenes.dataset import scenes\n"
        "app.build('tiny', tell=lambda part: None)\n"
        "[scene] = scenes('test', 1, 7)\n"
        "print(Wrapper.from_preset('tiny').locate(scene.picture(), scene.expression.text).reason.value)"
    )
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.stdout.strip() in ("chosen", "only_candidate"), ran.stderr


def test_a_space_gets_a_torch_that_zerogpu_offers() -> None:
    """Of the versions that the requirements admit, pip takes the newest, which ZeroGPU has not."""
    sent = rewritten("paper")["requirements.txt"].decode()
    here = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    [bound] = [line for line in sent.splitlines() if line.startswith("torch")]
    for version, there in (("2.8.0", True), ("2.9.1", True), ("2.10.0", True), ("2.11.0", True), ("2.12.0", False), ("2.7.1", False)):
        assert Requirement(bound).specifier.contains(version) == there
    [ours] = [line.split("#")[0] for line in here.splitlines() if line.startswith("torch")]
    assert all(Requirement(ours).specifier.contains(v) for v in ("2.8.0", "2.11.0", "2.13.0"))
    assert len(sent.splitlines()) == len(here.splitlines())


def test_large_files_are_refused_by_name(tmp_path: Path) -> None:
    for name in ("app.py", "README.md", "requirements.txt"):
        (tmp_path / name).write_text("")
    weights = tmp_path / "weights" / "tiny"
    weights.mkdir(parents=True)
    with (weights / "big.safetensors").open("wb") as file:
        file.truncate(11 * 2**20)
    with pytest.raises(DataError, match=r"big\.safetensors \(11\.0 MiB\)"):
        items(tmp_path)


def test_another_folder_is_no_app(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no app"):
        items(tmp_path)


def test_a_presets_space_fetches_its_ungated_models_while_it_is_built() -> None:
    plain, full = (yaml.safe_load(card(preset).split("---")[1]) for preset in ("tiny", "paper"))
    assert "preload_from_hub" not in plain
    assert full["preload_from_hub"] == ["florence-community/Florence-2-large", "IDEA-Research/grounding-dino-tiny"]
    assert full["models"] == [*full["preload_from_hub"], "meta-llama/Meta-Llama-3-8B-Instruct"]
    assert {k: v for k, v in full.items() if k not in ("models", "preload_from_hub")} == plain
    assert card("paper").split("---", 2)[2].strip() == card(None).split("---", 2)[2].strip()
    with pytest.raises(ModelError, match="no preset 'huge'"):
        card("huge")


def test_a_space_on_which_visitors_log_in_says_so_in_its_front_matter() -> None:
    """With any preset, and nothing else of it changes."""
    for preset in (None, "bundled", "paper"):
        with_login, plain = (yaml.safe_load(card(preset, login=login).split("---")[1]) for login in (True, False))
        assert (with_login.pop("hf_oauth"), with_login.pop("hf_oauth_scopes")) == (True, ["inference-api"])
        assert with_login == plain and "hf_oauth" not in plain
    with pytest.raises(ModelError, match=r"Write openai:URL#MODEL"):
        deploy("you/demo", private=True, login="no service")


def test_an_upload_sends_the_listed_files_and_sets_the_preset() -> None:
    with serving() as address:
        environment = os.environ | {"HF_ENDPOINT": address, "HF_TOKEN": "hf_none", "HF_HUB_OFFLINE": "0"}
        command = [sys.executable, "-W", "ignore", "-m", "wrapper", "deploy", "--space", "you/demo", "--preset", "paper", "--login", LOGIN]
        ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    made = Hub.sent["create"][0]
    assert made.get("private") or made.get("visibility") == "private"  # versions of huggingface_hub say it either way
    assert made["sdk"] == "gradio"
    variables = {v["key"]: v["value"] for v in Hub.sent["variables"]}
    assert variables == {"WRAPPER_PRESET": "paper", "WRAPPER_LLAMA": LOGIN, "WRAPPER_LOGIN": "1"}
    files = {o["value"]["path"]: base64.b64decode(o["value"]["content"]) for o in Hub.sent["commit"] if o["key"] == "file"}
    assert {name: len(data) for name, data in files.items()} == {i.name: i.size for i in items(preset="paper", login=True)}
    assert files["README.md"].decode() == card("paper", login=True)
    assert [o["value"]["path"] for o in Hub.sent["commit"] if o["key"] == "deletedFile"] == ["wrapper/old.py"]


def test_a_later_upload_goes_with_what_is_set_there_already() -> None:
    """Or visitors could log in to a Space whose README does not say so, which does not start."""
    with serving() as address:
        Hub.variables = {"WRAPPER_PRESET": "paper", "WRAPPER_LOGIN": "1"}
        try:
            with mock.patch.object(hub_constants, "ENDPOINT", address), mock.patch.object(hub_constants, "HF_HUB_OFFLINE", False):
                deploy("you/demo", private=True)
        finally:
            Hub.variables = {}
    files = {o["value"]["path"]: base64.b64decode(o["value"]["content"]) for o in Hub.sent["commit"] if o["key"] == "file"}
    assert files["README.md"].decode() == card("paper", login=True)


def test_no_connection_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(ModelError, match=r"The Space you/demo could not be written .* Check the connection"):
        deploy("you/demo", private=True)


@pytest.mark.skipif(not (ROOT / ".git").exists() or shutil.which("git") is None, reason="needs a git checkout")
def test_a_file_that_only_lies_there_is_not_sent() -> None:
    stray = ROOT / "examples" / "holiday.jpg"
    stray.write_bytes(b"private")
    try:
        assert "examples/holiday.jpg" not in {i.name for i in items()}
    finally:
        stray.unlink()


def test_the_front_matter_is_that_of_a_gradio_space() -> None:
    head = (ROOT / "README.md").read_text(encoding="utf-8").split("---")[1]
    fields = dict(line.split(": ", 1) for line in head.strip().splitlines() if ": " in line)
    assert fields["sdk"] == "gradio" and fields["app_file"] == "app.py"
    assert len(fields["short_description"]) <= 60
