"""What goes to a Space."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from wrapper.deploy import ROOT, items
from wrapper.errors import DataError


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
    assert any(n.startswith("weights/tiny/llama/") and n.endswith(".safetensors") for n in names)
    assert not any(n.startswith(("tests/", "weights/recipes/", "runs/", ".")) or "__pycache__" in n for n in names)


def test_a_copy_of_it_draws_scenes_and_answers(tmp_path: Path) -> None:
    """Whatever the package reads while it works is among the files."""
    for item in items():
        (tmp_path / item.name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / item.name, tmp_path / item.name)
    program = (
        "from wrapper import Wrapper\nfrom wrapper.scenes.dataset import scenes\n"
        "[scene] = scenes('test', 1, 7)\n"
        "print(Wrapper.from_preset('tiny').locate(scene.picture(), scene.expression.text).reason.value)"
    )
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.stdout.strip() in ("chosen", "only_candidate"), ran.stderr


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


def test_the_front_matter_is_that_of_a_gradio_space() -> None:
    head = (ROOT / "README.md").read_text(encoding="utf-8").split("---")[1]
    fields = dict(line.split(": ", 1) for line in head.strip().splitlines() if ": " in line)
    assert fields["sdk"] == "gradio" and fields["app_file"] == "app.py"
    assert len(fields["short_description"]) <= 60
