"""The page, started for real and asked through its API."""

import asyncio
import io
import json
import random
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

import app
from tests import load
from wrapper.candidates import is_correct
from wrapper.proposers.grounding_dino import GroundingDinoRec
from wrapper.selectors.llama import Llm
from wrapper.ui import api
from wrapper.ui.canvas import text
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
        assert sentence.startswith("### Not found") is (trace["box"] is None)
        assert trace["box"] is None or not proposers or row["bbox"], "what is not in a photograph is not found"
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
        (None, "the cup", ["nobody"], "nobody"),
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
    words, pictures, table, overlaps, facts = client.predict(
        handle_file(str(EXAMPLES / row["image"])), row["expression"], "zero-shot", true_box, api_name="/compare"
    )
    assert words.startswith("### ") and len(pictures) == len(table["data"]) == len(overlaps["data"]) == len(facts["methods"]) == 7
    assert all(m["box"] == (None if m["index"] is None else m["candidates"][m["index"]]["box"]) for m in facts["methods"])
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


def test_a_program_that_knows_only_the_apis_own_description_gets_answers(client: Client) -> None:
    """As agents do it, by HTTP alone: what the description says of each parameter is sent as it stands, files after an upload."""
    base = f"{client.src.rstrip('/')}/gradio_api"
    endpoints = httpx.get(f"{base}/info").json()["named_endpoints"]
    for name, endpoint in endpoints.items():
        assert endpoint["description"] and all(p["python_type"]["description"] for p in endpoint["parameters"]), name
    for name in ("/locate", "/compare"):
        sent = {p["parameter_name"]: p["example_input"] for p in endpoints[name]["parameters"]}
        with (EXAMPLES.parent / sent["path"]["path"]).open("rb") as file:
            [sent["path"]["path"]] = httpx.post(f"{base}/upload", files={"files": file}).json()
        event = httpx.post(f"{base}/call/v2{name}", json=sent).json()["event_id"]
        told = httpx.get(f"{base}/call{name}/{event}", timeout=60).text
        assert "event: complete" in told and "the dog" in told.lower(), told[-500:]


@pytest.mark.parametrize("name", ["/locate", "/compare"])
def test_nothing_more_is_done_for_a_program_that_has_gone(client: Client, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The last detector looks until the program has gone; the LLM, whose turn it would be then, is not asked."""
    looking, gone, done, chosen = threading.Event(), threading.Event(), threading.Event(), threading.Event()
    propose, select = GroundingDinoRec.propose, Llm.select

    def looks_long(self: GroundingDinoRec, *given: Any) -> Any:
        looking.set()
        gone.wait(30)
        found = propose(self, *given)
        done.set()
        return found

    def chooses(self: Llm, questions: Any) -> Any:
        chosen.set()
        return select(self, questions)

    monkeypatch.setattr(api, "SOON", 0.0)
    monkeypatch.setattr(GroundingDinoRec, "propose", looks_long)
    monkeypatch.setattr(Llm, "select", chooses)
    base = f"{client.src.rstrip('/')}/gradio_api"
    with (EXAMPLES / "position-2.jpg").open("rb") as file:
        [path] = httpx.post(f"{base}/upload", files={"files": file}).json()
    sent = {"path": {"path": path, "meta": {"_type": "gradio.FileData"}}, "expression": f"the drum, asked by {name}"}
    event = httpx.post(f"{base}/call/v2{name}", json=sent).json()["event_id"]
    with httpx.stream("GET", f"{base}/call{name}/{event}"):
        assert looking.wait(30)
    time.sleep(1)  # the server hears of it
    gone.set()
    assert done.wait(30)
    assert not chosen.wait(2)
    locate(client, EXAMPLES / "position-2.jpg", f"the drum, as {name} has it")  # whoever asks next is answered
    assert chosen.is_set()


def test_who_is_at_work_is_told_before_the_answer(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "SOON", 0.0)
    job = client.submit(
        handle_file(str(EXAMPLES / "position-2.jpg")),
        "drum higher up shown in this picture",
        ["florence2", "gdrec"],
        "zero-shot",
        api_name="/locate",
    )
    *_, trace = job.result()
    said = [words for _, words, *_ in job.outputs()]
    assert ["is looking" in w for w in said[:2]] == [True, True] and said[2] == "The LLM is choosing …"
    assert trace["box"] and said[-1].startswith("### ")


def test_without_proposers_those_answer_who_know_the_picture(client: Client) -> None:
    for name, who in (("coffee.jpg", {"yolox"}), ("relation-7.jpg", {"florence2", "gdrec"})):
        *_, trace = client.predict(handle_file(str(EXAMPLES / name)), "the cup", api_name="/locate")
        assert set(trace["timings_ms"]) - {"llama"} == who


def test_every_control_has_a_hint(page: gr.Blocks) -> None:
    """Gradio's buttons have theirs from a table by the words on them, because the component takes none; ours in their own text."""
    sometimes = {"Cancel, keep what is done"}
    buttons = {b.value for b in page.blocks.values() if isinstance(b, gr.Button) and (b.visible or b.value in sometimes)}
    assert buttons == set(BUTTON_HINTS)
    asked = (gr.Textbox, gr.Dropdown, gr.Slider, gr.CheckboxGroup, gr.Number, gr.Radio)
    controls = [b for b in page.blocks.values() if isinstance(b, asked) and b.interactive is not False and b.visible]
    assert controls and [c.label for c in controls if not c.info] == []


def test_nothing_is_cancelled_by_gradio_itself(page: gr.Blocks) -> None:
    """Whose queue raises where a run ends while it is cancelled; the page has its own way (`wrapper.ui.turns`)."""
    listeners = page.get_config_file()["dependencies"]
    assert not any(d["cancels"] for d in listeners)
    halting = [d for d in listeners if _event(d) == "halt"]
    assert len(halting) == 3 and not any(d["queue"] for d in halting), (
        "of the canvas, the board and the folder; at once, whatever is being asked"
    )


ASKING = {
    "open", "ask", "again", "scene", "example", "upload", "replay", "take_box", "add_box", "move_box", "true_box", "shuffle", "compare",
}  # fmt: skip


def _event(listener: dict[str, Any]) -> str:
    return str(listener["targets"][0][1]) if listener["targets"] else ""


def test_every_event_of_the_components_is_listened_to(page: gr.Blocks) -> None:
    sent = set(re.findall(r"(?:ask|edit|trigger)\('(\w+)'", text("canvas.js") + text("board.js")))
    assert sent == ASKING | {"halt"}
    of_folder = set(re.findall(r"(?:send|trigger)\('(\w+)'", text("folder.js")))
    assert of_folder == {"run", "look", "decide", "halt"}
    listened = {_event(d) for d in page.get_config_file()["dependencies"]}
    assert sent | of_folder <= listened


@pytest.mark.parametrize("file", ["canvas.css", "board.css", "reel.css", "folder.css"])
def test_styles_say_nothing_that_a_template_would_read(file: str) -> None:
    """Gradio reads them as a Handlebars template inside a JavaScript one."""
    assert not re.search(r"\{\{|\}\}|\$\{|`|\\\\", text(file))


def test_visitors_at_once_are_told_what_one_alone_is(client: Client) -> None:
    """The long run is python -m tests.load."""

    async def everybody() -> load.Told:
        async with httpx.AsyncClient(timeout=300) as http:
            told = load.Told((await load.alone(client.src, http, load.questions(3, 5))).expected)
            visitors = [load.App(client.src, http, f"visitor{i}") for i in range(6)]
            await asyncio.gather(*(load.user(v, told, float("inf"), 3, random.Random(i)) for i, v in enumerate(visitors)))
            return told

    told = asyncio.run(everybody())
    assert (len(told.seconds), told.wrong, dict(told.other)) == (18, 0, {})
