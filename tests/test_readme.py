"""The documentation's Python runs as it stands, against the page where it asks one; and its links lead somewhere."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import app
from wrapper.candidates import is_correct

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.DOTALL)
TRUTH = (0.0, 145.0, 171.0, 339.0)
"""Of the dog that all of them ask for (examples/examples.json)."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    page = app.build("tiny")
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False, mcp_server=find_spec("mcp") is not None, **app.LOOKS)
    yield url.rstrip("/")
    page.close()


def test_there_are_three() -> None:
    assert [("Wrapper" in b, "gradio_client" in b, "mcp" in b) for b in BLOCKS] == [
        (True, False, False), (False, True, False), (False, False, True),
    ]  # fmt: skip


def found(text: str) -> tuple[float, float, float, float]:
    """The first box in what a program printed."""
    boxes = re.findall(r"[\[(](\d[\d.]*(?:, \d[\d.]*){3})[\])]", text)
    assert boxes, text
    x1, y1, x2, y2 = (float(v) for v in boxes[0].split(", "))
    return x1, y1, x2, y2


def test_the_packages_example_finds_the_dog(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    exec(compile(BLOCKS[0], "docs/api.md", "exec"), {})
    assert is_correct(found(capsys.readouterr().out), TRUTH)


@pytest.mark.parametrize("number", [1, pytest.param(2, marks=pytest.mark.skipif(find_spec("mcp") is None, reason="needs gradio[mcp]"))])
def test_a_clients_example_finds_the_dog(address: str, number: int) -> None:
    program = BLOCKS[number].replace("http://127.0.0.1:7860", address)
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert is_correct(found(done.stdout), TRUTH)


@pytest.mark.parametrize("file", ["README.md", *(f"docs/{p.name}" for p in sorted((ROOT / "docs").glob("*.md")))])
def test_links_lead_to_files_that_are_there(file: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / file).read_text(encoding="utf-8")):
        assert target.startswith("https://") or ((ROOT / file).parent / target).exists(), target


def test_the_front_door_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_the_benchmarks_in_the_docs_are_those_that_come_with_the_weights() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    results = json.loads((ROOT / "weights" / "tiny" / "results.json").read_text(encoding="utf-8"))
    for data in results["data"]:
        for method in data["methods"]:
            p = method["figures"]["p_at_1"]
            row = f"| {method['label']} | {100 * p['value']:.1f} ({100 * p['low']:.1f}-{100 * p['high']:.1f}) |"
            assert row in text, f"{data['name']}: {row}"
