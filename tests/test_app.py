"""The page, started for real and asked through its API."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

import app
from wrapper.candidates import is_correct
from wrapper.ui.theme import BUTTON_HINTS

EXAMPLES = Path(__file__).parents[1] / "examples"
ROWS = json.loads((EXAMPLES / "examples.json").read_text())


@pytest.fixture(scope="module")
def page() -> gr.Blocks:
    return app.build("bundled")


@pytest.fixture(scope="module")
def client(page: gr.Blocks) -> Iterator[Client]:
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
        proposers = ["yolox"] if row.get("world") == "photograph" else None
        picture, sentence, table, prompt, _, trace = locate(client, EXAMPLES / row["image"], row["expression"], proposers)
        with Image.open(picture if isinstance(picture, str) else picture["path"]) as shown:
            assert list(shown.size) == trace["image_size"]
        assert len(table["data"]) == len(trace["candidates"]) > 0
        assert sentence.startswith("### Not found" if proposers and row["bbox"] is None else "### Box")
        assert row["expression"] in prompt or trace["reason"] == "only_candidate"
        right += row["bbox"] is not None and is_correct(trace["box"] and tuple(trace["box"]), tuple(row["bbox"]))
    assert right >= 8


def test_examples_cover_every_category() -> None:
    assert {row["category"] for row in ROWS} == {
        "attribute", "size", "position", "ordinal", "relation", "negation", "combination", "absent", "photograph",
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
    _, sentence, table, prompt, _, trace = locate(client, file, "the zebra", ["gdrec"])
    assert sentence.startswith("### Nothing found")
    assert (trace["box"], trace["index"], trace["reason"]) == (None, None, "no_candidates")
    assert prompt == "The LLM was not asked."
    assert table["data"] == []


def test_compare_answers_by_every_method(client: Client) -> None:
    row = ROWS[2]
    true_box = ", ".join(str(v) for v in row["bbox"])
    words, pictures, table, overlaps, facts, slider = client.predict(
        handle_file(str(EXAMPLES / row["image"])), row["expression"], "zero-shot", true_box, api_name="/compare"
    )
    assert words.startswith("### ") and len(pictures) == len(table["data"]) == len(overlaps["data"]) == len(facts["methods"]) == 7
    assert all(m["box"] == (None if m["index"] is None else m["candidates"][m["index"]]["box"]) for m in facts["methods"])
    assert len(slider) == 2
    right = [m["box"] is not None and is_correct(tuple(m["box"]), tuple(row["bbox"])) for m in facts["methods"]]
    assert [p["caption"].startswith("right: ") for p in pictures] == right


def test_benchmark_measures_methods(client: Client) -> None:
    job = client.submit(None, 16, ["gdrec", "gdrec+llm"], "zero-shot", 5, api_name="/benchmark")
    progress, table, *_ = job.result()
    assert "16 of 16, done" in progress
    assert [r[0] for r in table["data"]] == ["GDrec alone", "GDrec + LLM zero-shot"]
    assert len(job.outputs()) == 2


def test_endpoints_are_the_three_that_are_documented(client: Client) -> None:
    assert set(client.view_api(return_format="dict")["named_endpoints"]) == {"/locate", "/compare", "/benchmark"}


def test_every_control_has_a_hint(page: gr.Blocks) -> None:
    """Buttons have theirs from a table by the words on them, because the component takes none."""
    buttons = {b.value for b in page.blocks.values() if isinstance(b, gr.Button) and b.visible}
    assert buttons == set(BUTTON_HINTS)
    asked = (gr.Textbox, gr.Dropdown, gr.Slider, gr.CheckboxGroup, gr.Number, gr.Radio)
    controls = [b for b in page.blocks.values() if isinstance(b, asked) and b.interactive is not False]
    assert [c.label for c in controls if not c.info] == []
    pictures = [b for b in page.blocks.values() if isinstance(b, gr.Image) and b.interactive is not False]
    assert len(pictures) == 2 and all("60 MB" in (p.placeholder or "") for p in pictures)
    assert any(b.elem_id == "upload-hint" for b in page.blocks.values())


def test_whatever_changes_the_question_drops_every_run_about_the_last_one(page: gr.Blocks) -> None:
    """Locate, Ask again, Delete and Add; besides the two other tabs' runs by their own buttons."""
    listeners = page.get_config_file()["dependencies"]
    asking = {"Locate", "Ask again", "Delete the candidate pointed out", "Add"}
    runs = {d["id"] for d in listeners if _names(page, d) & asking and d["backend_fn"]}
    assert len(runs) == 4
    dropping: set[str] = set()
    for d in listeners:
        if runs <= set(d["cancels"]):
            dropping |= _names(page, d)
    assert dropping == {
        "Cancel", "Picture", "Referring expression", "True box, if you know it", "Who proposes boxes", "LLM adapter", "New scene",
        "examples",
    }  # fmt: skip
    alone = [_names(page, d) for d in listeners if d["cancels"] and not runs & set(d["cancels"])]
    assert alone == [{"Cancel"}, {"Cancel, keep what is done"}]


def _names(page: gr.Blocks, listener: dict[str, Any]) -> set[str]:
    """What a listener listens to, by the words on it."""
    found = [page.blocks[i] for i, _ in listener["targets"] if i in page.blocks]
    return {b.elem_id if isinstance(b, gr.Dataset) else str(getattr(b, "label", None) or getattr(b, "value", "")) for b in found}


def test_a_run_is_cancelled_at_once_and_not_when_another_may_have_begun(page: gr.Blocks) -> None:
    """The browser works through a press's listeners one after the other and waits for each to answer."""
    listeners = page.get_config_file()["dependencies"]
    cancelling = [d for d in listeners if d["cancels"]]
    assert len(cancelling) >= 5
    for one in cancelling:
        earlier = [d for d in listeners if d["id"] < one["id"] and d["targets"] == one["targets"]]
        assert not any(d["backend_fn"] for d in earlier), one["targets"]
