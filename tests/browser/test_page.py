"""The page in a browser, as people use it. Skipped where Playwright or Chromium is not there."""

import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import app
from wrapper import presets
from wrapper.ui import models

sync_api = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
EXAMPLES = Path(__file__).parents[2] / "examples"
ROW = next(r for r in json.loads((EXAMPLES / "examples.json").read_text()) if r["category"] == "position")
SECONDS = 1000
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--no-first-run"]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    page = app.build("tiny")
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False, **app.LOOKS)
    yield address.rstrip("/")
    page.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield found
        found.close()


@pytest.fixture(params=["light", "dark", "phone"])
def look(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def visit(browser: Any, url: str) -> Iterator[Any]:
    """Opens the page; at the end no error may be on the console and no request may have left the machine."""
    contexts, errors, strangers = [], [], []

    def open_page(look: str = "light", query: str = "") -> Any:
        width, height = (390, 844) if look == "phone" else (1280, 900)
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme="dark" if look == "dark" else "light")
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60 * SECONDS)
        page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        page.on(
            "response", lambda r: errors.append(f"{r.status} {r.url} {r.request.post_data} {r.text()[:300]}") if r.status >= 400 else None
        )
        page.on("request", lambda r: None if r.url.startswith((url, "data:", "blob:")) else strangers.append(r.url))
        page.goto(url + query, wait_until="domcontentloaded")
        page.get_by_role("button", name="Locate", exact=True).wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []
    assert strangers == []


def upload(page: Any) -> None:
    page.locator("input[type=file]").first.set_input_files(str(EXAMPLES / ROW["image"]))
    page.get_by_role("button", name="Remove Image").or_(page.get_by_label("Clear")).first.wait_for()
    page.get_by_label("Referring expression").first.fill(ROW["expression"])


def located(page: Any) -> Any:
    page.get_by_role("button", name="Locate", exact=True).click()
    answer = page.locator("#answer h3", has_text="Box")
    answer.wait_for()
    return answer


def test_upload_to_pick_in_every_look(visit: Any, look: str) -> None:
    page = visit(look)
    upload(page)
    assert located(page).is_visible()
    page.get_by_test_id("cell-1-0").wait_for()
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0, "the page scrolls sideways"


def test_a_row_the_picture_and_the_list_point_out_a_candidate(visit: Any) -> None:
    page = visit()
    upload(page)
    located(page)
    listed = page.locator("#pointed input")
    page.get_by_test_id("cell-1-2").click()
    page.get_by_test_id("cell-1-0").get_by_text("1 ▶").wait_for()
    page.wait_for_function("document.querySelector('#pointed input').value.startsWith('1: ')")
    box = [float(v) for v in page.get_by_test_id("cell-0-5").inner_text().split(",")]
    image = page.locator("#shown img")
    place, natural = image.bounding_box(), image.evaluate("i => [i.naturalWidth, i.naturalHeight]")
    scale = min(place["width"] / natural[0], place["height"] / natural[1])  # the picture is fitted into its element
    left, top = (place["width"] - scale * natural[0]) / 2, (place["height"] - scale * natural[1]) / 2
    image.click(position={"x": left + scale * (box[0] + box[2]) / 2, "y": top + scale * (box[1] + box[3]) / 2})
    page.wait_for_function("!document.querySelector('#pointed input').value.startsWith('1: ')")
    pointed = int(listed.input_value().split(":")[0])
    page.get_by_test_id(f"cell-{pointed}-0").get_by_text("▶").wait_for()
    x1, y1, x2, y2 = (float(v) for v in page.get_by_test_id(f"cell-{pointed}-5").inner_text().split(","))
    assert x1 <= (box[0] + box[2]) / 2 <= x2 and y1 <= (box[1] + box[3]) / 2 <= y2, "the box that was pressed"


def test_it_works_with_the_keyboard_alone(visit: Any) -> None:
    """From the words to the answer, and on to another candidate."""
    page = visit()
    upload(page)
    page.get_by_label("Referring expression").first.focus()
    page.keyboard.press("Enter")
    page.locator("#answer h3", has_text="Box").wait_for()
    page.locator("#pointed input").focus()
    for key in ("ArrowDown", "Enter"):
        page.keyboard.press(key)
    page.locator("#rows", has_text="▶").wait_for()


def test_downloads_are_files(visit: Any) -> None:
    page = visit()
    upload(page)
    located(page)
    page.get_by_role("button", name="Downloads").click()
    with page.expect_download() as waiting:
        page.get_by_role("link", name="KB").or_(page.locator("a[download]")).first.click()
    assert Path(waiting.value.path()).stat().st_size > 100


def test_errors_are_words_and_leave_the_answer_to_work_with(visit: Any) -> None:
    page = visit()
    page.get_by_role("button", name="Locate", exact=True).click()
    page.get_by_text("There is no picture").first.wait_for()
    upload(page)
    answer = located(page).inner_text()
    page.get_by_role("button", name="Change the list and ask again").click()
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_text("A candidate needs a label and a box").first.wait_for()
    assert page.locator("#answer h3").inner_text() == answer
    assert page.get_by_text("Error", exact=True).count() == 0
    page.get_by_test_id("cell-1-2").click()
    page.get_by_test_id("cell-1-0").get_by_text("▶").wait_for()


def test_pictures_are_decoded_by_us_and_not_by_the_page(visit: Any, tmp_path: Path) -> None:
    """No image gets our sentence, in a session whose components Gradio has made anew, which loading the page does."""
    page = visit()
    (tmp_path / "text.png").write_text("no image")
    page.locator("input[type=file]").first.set_input_files(str(tmp_path / "text.png"))
    page.get_by_text("This file is not an image that can be read.").wait_for()


def test_a_copied_link_opens_the_very_answer_to_work_with(visit: Any, url: str) -> None:
    """Of an uploaded picture, with another adapter and an edited list."""
    page = visit()
    upload(page)
    page.locator("button", has_text="Settings").first.click()
    page.get_by_label("LLM adapter").first.click()
    page.get_by_role("option", name="none (zero-shot)").click()
    located(page)
    page.get_by_test_id("cell-1-2").click()
    page.get_by_test_id("cell-1-0").get_by_text("▶").wait_for()
    page.get_by_role("button", name="Change the list and ask again").click()
    page.get_by_role("button", name="Delete the candidate pointed out").click()
    page.wait_for_function("document.querySelector('#pointed input').value === ''")
    answer = page.locator("#answer span.prose").inner_text()
    page.get_by_role("button", name="Copy a link").click()
    field = page.locator("#link textarea, #link input").first
    field.wait_for()
    page.wait_for_function("document.querySelector('#link textarea, #link input').value.startsWith('http')")
    link = field.input_value()
    assert link.startswith(f"{url}/?answer=")
    other = visit(query=link.removeprefix(url))
    other.locator("#answer h3", has_text="Box").wait_for()
    assert other.locator("#answer span.prose").inner_text() == answer
    assert other.get_by_label("Referring expression").first.input_value() == ROW["expression"]
    other.locator("button", has_text="Settings").first.click()
    assert other.get_by_label("LLM adapter").first.input_value() == "none (zero-shot)"
    other.locator("a[download]").first.wait_for(state="attached")
    other.get_by_test_id("cell-1-2").click()
    other.get_by_test_id("cell-1-0").get_by_text("▶").wait_for()


def test_a_link_that_is_not_kept_says_so(visit: Any) -> None:
    visit(query="/?answer=gone").get_by_text("not kept any longer").first.wait_for()


def test_other_words_are_not_judged_by_the_examples_true_box(visit: Any) -> None:
    page = visit(query="/?example=2")
    page.locator("#answer", has_text="with the true box").wait_for()
    page.get_by_label("Referring expression").first.fill("the mushroom")
    page.locator("button", has_text="Settings").first.click()
    page.wait_for_function("document.querySelector('#truth textarea, #truth input').value === ''")
    page.get_by_role("button", name="Locate", exact=True).click()
    page.locator("#answer", has_text="“the mushroom”").wait_for()
    assert "true box" not in page.locator("#answer span.prose").inner_text()


def test_on_a_phone_the_answer_comes_into_view(visit: Any) -> None:
    page = visit("phone")
    page.get_by_role("button", name="attribute: ").click()
    page.locator("#answer h3", has_text="Box").wait_for()
    place = "document.getElementById('shown').getBoundingClientRect()"
    page.wait_for_function(f"{place}.top > -50 && {place}.bottom < innerHeight + 50")
    order = page.evaluate("['answer', 'examples'].map(id => document.getElementById(id).getBoundingClientRect().top)")
    assert order[0] < order[1], "the answer stands above the examples"


@pytest.fixture
def slow(browser: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, threading.Event]]:
    """The address of a page whose models are not loaded, and so answer nothing, before the event is set."""
    monkeypatch.setitem(presets.PRESETS, "slow", replace(presets.PRESETS["tiny"], adapters={}))
    gate = threading.Event()
    blocks = app.build("slow", tell=lambda part: gate.wait(120) and None)
    _, address, _ = blocks.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False, **app.LOOKS)
    yield address, gate
    gate.set()
    blocks.close()
    models.load("tiny")


def test_the_page_is_served_while_models_are_loaded(browser: Any, slow: tuple[str, threading.Event]) -> None:
    address, gate = slow
    page = browser.new_page()
    page.goto(f"{address}?example=2", wait_until="domcontentloaded")
    page.locator("#notice", has_text="being loaded, part 1 of 3").wait_for()
    page.wait_for_function("document.querySelector('textarea')?.value.length > 3")
    gate.set()
    page.locator("#answer h3", has_text="Box").wait_for()
    page.locator("#status", has_text="Preset slow: florence-2").wait_for()
    assert page.locator("#notice").inner_text() == ""
    page.close()


def test_only_the_last_question_is_answered(browser: Any, slow: tuple[str, threading.Event]) -> None:
    """Whether another one is typed, uploaded, drawn or chosen while one is being answered; or none, after Cancel."""
    address, gate = slow
    page = browser.new_page()
    page.goto(f"{address}?example=2", wait_until="domcontentloaded")
    expression, answer, busy = (
        page.get_by_label("Referring expression").first,
        page.locator("#answer"),
        page.locator("#shown .progress-text"),
    )
    page.wait_for_function("document.querySelector('textarea')?.value.length > 3")
    busy.wait_for()
    expression.fill("the drum on the left")
    busy.wait_for(state="detached")
    for press in ("ordinal: ", "New scene", "position: "):
        page.get_by_role("button", name=press).click()
        busy.wait_for()
        page.wait_for_timeout(300)
    page.locator("input[type=file]").first.set_input_files(str(EXAMPLES / ROW["image"]))
    busy.wait_for(state="detached")
    page.get_by_role("button", name="size: ").click()
    busy.wait_for()
    page.get_by_role("button", name="Cancel", exact=True).click()
    busy.wait_for(state="detached")
    page.get_by_role("button", name="attribute: ").click()
    wanted = next(r for r in json.loads((EXAMPLES / "examples.json").read_text()) if r["category"] == "attribute")["expression"]
    page.wait_for_function(f"document.querySelector('textarea').value === {wanted!r}")
    gate.set()
    answer.locator("h3", has_text="Box").wait_for()
    page.wait_for_timeout(2 * SECONDS)  # time for any other to come late
    assert f"“{wanted}”" in answer.inner_text()
    page.close()


def test_an_example_is_answered_at_a_press(visit: Any) -> None:
    page = visit()
    page.get_by_role("button", name=f"position: {ROW['expression']}"[:40]).click()
    page.locator("#answer h3", has_text="Box").wait_for()
    page.locator("#answer", has_text="with the true box").wait_for()
    page.locator("a[download]").first.wait_for(state="attached")


def test_compare_takes_over_and_answers(visit: Any) -> None:
    page = visit()
    upload(page)
    page.get_by_role("tab", name="Compare").click()
    page.wait_for_timeout(1.5 * SECONDS)
    page.get_by_role("button", name="Compare", exact=True).click()
    page.locator("#agreement h3").wait_for()
    page.locator("#sides img").nth(6).wait_for()


def test_a_benchmark_can_be_cancelled_and_keeps_what_is_done(visit: Any) -> None:
    page = visit()
    page.get_by_role("tab", name="Benchmark").click()
    page.get_by_label("number input for Expressions").fill("400")
    page.get_by_role("button", name="Run", exact=True).click()
    page.locator("#progress", has_text=" of 400, about").wait_for()
    page.get_by_role("button", name="Cancel, keep what is done").click()
    page.locator("a[download]").nth(1).wait_for()
    page.locator("#progress", has_text=" of 400, cancelled; the figures are of these").wait_for()
    page.get_by_role("button", name="P@1 by kind of expression as a table").click()
    page.locator("#kinds", has_text="GDrec alone").wait_for()


def test_no_serious_barrier_for_people_with_disabilities(visit: Any, look: str) -> None:
    """axe-core's serious and critical rules."""
    page = visit(look)
    upload(page)
    located(page)
    serious = []
    for tab in ("Locate", "Compare", "Benchmark"):
        page.get_by_role("tab", name=tab).click()
        page.get_by_role("tab", name=tab, selected=True).wait_for()
        page.wait_for_timeout(SECONDS / 2)  # until its parts have moved to their places
        found = axe.Axe().run(page).response["violations"]
        serious += [
            (tab, v["id"], n["html"][:150], n["failureSummary"][-120:])
            for v in found if v["impact"] in ("serious", "critical") for n in v["nodes"]
        ]  # fmt: skip
    assert serious == []
