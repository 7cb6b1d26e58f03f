"""The page, started for real and asked through its API."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

import app
from wrapper.candidates import is_correct

EXAMPLES = Path(__file__).parents[1] / "examples"
ROWS = json.loads((EXAMPLES / "examples.json").read_text())


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    page = app.build("tiny")
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False)
    found = Client(url, verbose=False)
    yield found
    found.close()
    page.close()


def locate(client: Client, path: Path | str, expression: str, proposers: list[str] | None = None) -> Any:
    return client.predict(handle_file(str(path)), expression, proposers or ["florence2", "gdrec"], api_name="/locate")


def test_every_example_runs(client: Client) -> None:
    right = 0
    for row in ROWS:
        picture, sentence, table, prompt, trace = locate(client, EXAMPLES / row["image"], row["expression"])
        with Image.open(picture if isinstance(picture, str) else picture["path"]) as shown:
            assert list(shown.size) == trace["image_size"]
        assert len(table["data"]) == len(trace["candidates"]) > 0
        assert sentence.startswith("### Box")
        assert row["expression"] in prompt or trace["reason"] == "only_candidate"
        right += is_correct(trace["box"] and tuple(trace["box"]), tuple(row["bbox"]))
    assert right >= 2


def test_examples_cover_every_category() -> None:
    assert {row["category"] for row in ROWS} == {
        "attribute", "size", "position", "ordinal", "relation", "negation", "combination",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("data", "expression", "proposers", "words"),
    [
        (b"no image", "the cup", ["gdrec"], "not an image"),
        (b"", "the cup", ["gdrec"], "empty"),
        (None, "  ", ["gdrec"], "no expression"),
        (None, "a " * 1000, ["gdrec"], "at most 500"),
        (None, "the cup", [], "No model is chosen"),
    ],
)
def test_bad_input_gets_its_sentence(
    client: Client, tmp_path: Path, data: bytes | None, expression: str, proposers: list[str], words: str
) -> None:
    if data is None:
        buffer = io.BytesIO()
        Image.new("RGB", (60, 60)).save(buffer, "PNG")
        data = buffer.getvalue()
    file = tmp_path / "upload.png"
    file.write_bytes(data)
    with pytest.raises(AppError, match=words):
        client.predict(handle_file(str(file)), expression, proposers, api_name="/locate")


def test_no_picture_gets_its_sentence(client: Client) -> None:
    with pytest.raises(AppError, match="no picture"):
        client.predict(None, "the cup", ["gdrec"], api_name="/locate")


def test_nothing_found_is_said(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "white.png"
    Image.new("RGB", (300, 200), "white").save(file)
    _, sentence, table, prompt, trace = locate(client, file, "the zebra", ["gdrec"])
    assert sentence.startswith("### Nothing found")
    assert (trace["box"], trace["index"], trace["reason"]) == (None, None, "no_candidates")
    assert prompt == "The LLM was not asked."
    assert table["data"] == []
