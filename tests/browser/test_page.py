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
    page = app.build("bundled")
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
        width, height = {"phone": (390, 844), "narrow": (360, 740)}.get(look, (1280, 720))
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if look == "dark" else "light", has_touch=width < 500,
        )  # fmt: skip
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60 * SECONDS)
        page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        page.on(
            "response", lambda r: errors.append(f"{r.status} {r.url} {r.request.post_data} {r.text()[:300]}") if r.status >= 400 else None
        )
        page.on("request", lambda r: None if r.url.startswith((url, "data:", "blob:")) else strangers.append(r.url))
        page.goto(url + query, wait_until="domcontentloaded")
        answer(page).wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []
    assert strangers == []


def answer(page: Any) -> Any:
    return page.locator("#canvas .said h2")


def settled(page: Any) -> str:
    """The answer, once nothing is being asked any longer."""
    page.locator("#canvas .stop").wait_for(state="hidden")
    answer(page).wait_for()
    return str(page.locator("#canvas .said").inner_text())


def until_quiet(page: Any) -> None:
    """Waits until the page has asked the server for nothing for a second: what it asks for by itself when it is opened is done then."""
    page.wait_for_function(
        """() => {
          const count = performance.getEntriesByType('resource').length;
          if (count !== window.countOfRequests) [window.countOfRequests, window.quietSince] = [count, performance.now()];
          return performance.now() - window.quietSince > 1000;
        }"""
    )


def ask(page: Any, words: str) -> str:
    page.get_by_label("Referring expression").fill(words)
    page.get_by_role("button", name="Locate", exact=True).click()
    return settled(page)


def upload(page: Any, file: Path) -> None:
    page.locator("#canvas input.file").set_input_files(str(file))
    page.get_by_text("Describe one object in words, then press Locate.").wait_for()


def rows(page: Any) -> int:
    return int(page.locator("#canvas .row").count())


def middle(page: Any, i: int) -> tuple[float, float]:
    """Where a box's middle is on the screen."""
    place = page.locator(f"#box-{i}").bounding_box()
    return place["x"] + place["width"] / 2, place["y"] + place["height"] / 2


def drag(page: Any, start: tuple[float, float], by: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(start[0] + by[0], start[1] + by[1], steps=4)
    page.mouse.up()


@pytest.fixture(params=["light", "dark", "phone", "narrow"])
def size(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_page_opens_answered_with_everything_in_view(visit: Any, size: str) -> None:
    """Words, button, picture and answer; few words, few things to press."""
    page = visit(size)
    height = page.viewport_size["height"]
    for selector in (".thumbs", ".words", ".go", ".view", ".said h2"):
        place = page.locator(f"#canvas {selector}").bounding_box()
        assert place["y"] + (place["height"] if selector != ".view" else 100) <= height, selector
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0, "the page scrolls sideways"
    counted = page.evaluate(SEEN)
    assert counted["words"] <= 120 and counted["controls"] <= 15, counted


SEEN = """() => {
  const seen = (e) => { const r = e.getBoundingClientRect(); return r.width && r.height && r.top < innerHeight && r.left < innerWidth
    && getComputedStyle(e).visibility !== 'hidden' && !e.closest('.visually-hidden'); };  // Gradio measures its tabs by copies
  const pressed = 'button, a, input:not([type=file]), select, textarea, summary, [role=listbox]';
  const controls = [...document.querySelectorAll(pressed)].filter(seen);
  let words = 0;
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode())
    if (seen(walk.currentNode.parentElement)) words += walk.currentNode.textContent.split(/\\s+/).filter(Boolean).length;
  return { words, controls: controls.length };
}"""


def test_a_picture_of_ones_own_to_its_answer(visit: Any, size: str) -> None:
    page = visit(size)
    upload(page, EXAMPLES / ROW["image"])
    assert page.get_by_label("Referring expression").input_value() == ""
    ask(page, ROW["expression"])
    assert rows(page) > 1 and page.locator("#canvas .crop").is_visible()


def test_pointing_at_a_box_lights_its_row_and_the_other_way_round_without_a_request(visit: Any) -> None:
    page = visit()
    settled(page)
    until_quiet(page)
    requests: list[str] = []
    page.on("request", lambda r: requests.append(r.url))
    page.mouse.move(*middle(page, 4))
    assert page.locator(".row.lit").get_attribute("data-i") == "4" and page.locator(".tag.lit").inner_text().startswith("4 ")
    page.locator("#row-0").hover()
    assert "lit" in page.locator("#box-0").get_attribute("class")
    took = page.evaluate(
        """() => new Promise((done) => {
          const row = document.getElementById('row-2'), box = document.getElementById('box-2'), began = performance.now();
          row.dispatchEvent(new PointerEvent('pointerover', {bubbles: true}));
          requestAnimationFrame(() => done(box.classList.contains('lit') ? performance.now() - began : Infinity));
        })"""
    )
    assert took < 500, "far above 50 ms, for machines that are busy with other tests"
    page.mouse.move(*middle(page, 4))
    page.mouse.down()
    page.mouse.up()
    assert page.locator(".row[aria-selected=true]").get_attribute("data-i") == "4" and page.locator(".handle").count() == 4
    assert requests == []


def test_boxes_that_overlap_can_all_be_reached(visit: Any) -> None:
    page = visit()
    settled(page)
    page.locator("#canvas svg").focus()
    reached = set()
    for _ in range(rows(page)):
        page.keyboard.press("ArrowDown")
        reached.add(page.locator("#canvas svg").get_attribute("aria-activedescendant"))
    assert reached == {f"box-{i}" for i in range(rows(page))}, "by the keyboard"
    small, large = middle(page, 1), page.locator("#box-0").bounding_box()
    assert large["x"] < small[0] < large["x"] + large["width"] and large["y"] < small[1] < large["y"] + large["height"]
    held = []
    for _ in range(2):
        page.mouse.move(*small)
        page.mouse.down()
        page.mouse.up()
        held.append(page.locator(".row[aria-selected=true]").get_attribute("data-i"))
    assert len(set(held)) == 2, "the next one below, pressed again"


def test_the_list_is_changed_in_the_picture(visit: Any) -> None:
    """A box taken out, brought back, drawn, resized; each time the LLM is asked again."""
    page = visit()
    settled(page)
    count = rows(page)
    page.locator("#canvas svg").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Delete")
    page.wait_for_function(f"document.querySelectorAll('#canvas .row').length === {count - 1}")
    page.get_by_role("button", name="Undo").click()
    page.wait_for_function(f"document.querySelectorAll('#canvas .row').length === {count}")
    stage = page.locator("#canvas .stage").bounding_box()
    start = (stage["x"] + stage["width"] * 0.6, stage["y"] + stage["height"] * 0.4)
    drag(page, start, (60, 50))
    page.keyboard.type("cat")
    page.keyboard.press("Enter")
    page.wait_for_function(f"document.querySelectorAll('#canvas .row').length === {count + 1}")
    page.locator("#canvas .row", has_text="you").click()
    before = page.locator(".box.held").bounding_box()
    handle = page.locator(".handle[data-corner=se]").bounding_box()
    drag(page, (handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2), (40, 30))
    page.locator("#canvas .stop").wait_for(state="hidden")
    page.locator("#canvas .row", has_text="you").click()
    after = page.locator(".box.held").bounding_box()
    assert after["width"] > before["width"] + 20 and after["height"] > before["height"] + 15


def test_a_drawn_box_can_be_the_true_one(visit: Any) -> None:
    page = visit()
    settled(page)
    stage = page.locator("#canvas .stage").bounding_box()
    drag(page, (stage["x"] + stage["width"] * 0.6, stage["y"] + stage["height"] * 0.4), (50, 50))
    page.locator("#canvas .menu").wait_for()
    page.keyboard.press("Escape")
    assert page.locator("#canvas .menu").is_hidden() and page.locator(".drawn").count() == 0
    drag(page, (stage["x"] + stage["width"] * 0.6, stage["y"] + stage["height"] * 0.4), (50, 50))
    page.get_by_role("button", name="It is the true box").first.click()
    page.locator("#canvas .said .wrong").wait_for()
    assert "The detectors failed" in page.locator("#canvas .said").inner_text()


def test_wheel_and_keys_zoom_in_the_picture_and_escape_lets_go(visit: Any) -> None:
    page = visit()
    settled(page)
    width = page.locator("#canvas .stage").bounding_box()["width"]
    page.mouse.move(*middle(page, 4))
    page.mouse.wheel(0, -300)
    assert page.locator("#canvas .stage").bounding_box()["width"] == width, "before it is pressed, the wheel scrolls the page"
    page.mouse.down()
    page.mouse.up()
    page.mouse.wheel(0, -300)
    page.wait_for_function(f"document.querySelector('#canvas .stage').getBoundingClientRect().width > {1.3 * width}")
    page.keyboard.press("Escape")
    page.wait_for_function(f"Math.abs(document.querySelector('#canvas .stage').getBoundingClientRect().width - {width}) < 1")
    assert page.locator(".row[aria-selected=true]").count() == 0
    page.keyboard.press("+")
    assert page.locator("#canvas .fit").is_visible()


def test_it_works_with_the_keyboard_alone(visit: Any) -> None:
    """From an example to words to another candidate."""
    page = visit()
    settled(page)
    page.locator("#canvas .thumbs").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#canvas .words').value === 'the cup'")
    settled(page)
    page.locator("#canvas .words").focus()
    page.keyboard.press("Control+a")
    page.keyboard.type("the spoon")
    page.keyboard.press("Enter")
    settled(page)
    page.locator("#canvas .rows").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.locator(".row[aria-selected=true]").count() == 1


def test_downloads_are_of_the_answer_in_view(visit: Any) -> None:
    page = visit()
    settled(page)
    ask(page, "the clock")
    page.get_by_text("Downloads and link").click()
    found = {}
    for name in ("Annotated picture", "Trace (JSON)", "COCO", "YOLO", "CSV"):
        with page.expect_download() as waiting:
            page.get_by_role("button", name=name).click()
        found[waiting.value.suggested_filename] = Path(waiting.value.path())
    assert set(found) == {"annotated.png", "trace.json", "coco.json", "yolo.txt", "candidates.csv"}
    assert json.loads(found["trace.json"].read_text())["expression"] == "the clock"


def test_errors_are_words_beside_the_picture_and_lose_nothing(visit: Any, tmp_path: Path) -> None:
    page = visit()
    before = settled(page)
    (tmp_path / "text.png").write_text("no image")
    page.locator("#canvas input.file").set_input_files(str(tmp_path / "text.png"))
    page.get_by_text("This file is not an image that can be read.").wait_for()
    page.locator("#canvas .words").fill("  ")
    page.get_by_role("button", name="Locate", exact=True).click()
    page.get_by_text("There is no expression.").wait_for()
    assert settled(page) == before and rows(page) > 1


def test_a_new_scene_that_is_cancelled_leaves_no_answer_about_the_last_picture(visit: Any) -> None:
    """As soon as there is a Cancel: the old answer must not stand beside the new words."""
    page = visit()
    settled(page)
    page.evaluate("""() => {
        const stop = document.querySelector('#canvas .stop');
        const seen = new MutationObserver(() => { if (!stop.hidden) { seen.disconnect(); setTimeout(() => stop.click()); } });
        seen.observe(stop, { attributes: true });
    }""")
    page.locator("#canvas .scene").click()
    page.wait_for_timeout(SECONDS)
    state = page.evaluate("[document.querySelector('#canvas .words').value, document.querySelector('#canvas .said h2')?.textContent ?? '']")
    old = "the dog nearest to the clock"
    assert (state[0] == old) == bool(state[1]), "the question before with its answer, or the new one without"
    page.get_by_role("button", name="Locate", exact=True).click()
    assert "right" in settled(page) or "wrong" in settled(page)


def test_whatever_is_pressed_while_one_is_answered_the_last_counts(visit: Any) -> None:
    page = visit()
    settled(page)
    for place in (1, 3, 5, 2, 0, 4):
        page.locator("#canvas .thumb").nth(place).click()
        page.wait_for_timeout(40)
    page.wait_for_timeout(SECONDS)
    settled(page)
    wanted = page.locator("#canvas .thumb").nth(4).get_attribute("aria-label").partition(": ")[2]
    assert page.locator("#canvas .words").input_value() == wanted
    page.get_by_text("Details", exact=True).click()
    assert wanted in page.locator("#canvas .about dl").inner_text()


def test_changes_made_in_a_row_are_all_made(visit: Any) -> None:
    """Without waiting for the LLM in between; each is of the box that was meant, whatever its number has become."""
    page = visit()
    settled(page)
    boxes = page.locator("#canvas .box")
    places = middles(boxes)
    page.locator("#canvas .rows").focus()
    page.evaluate("""() => {
        const list = document.querySelector('#canvas .rows');
        for (const key of ['ArrowDown', 'Delete', 'ArrowDown', 'Delete', 'ArrowDown', 'Delete', 'Delete'])
            list.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));
    }""")
    page.wait_for_function(f"document.querySelectorAll('#canvas .row').length === {len(places) - 3}")
    page.locator("#canvas .stop").wait_for(state="hidden")
    page.wait_for_timeout(SECONDS)
    assert rows(page) == len(places) - 3, "a box that is gone already takes no other one with it"
    assert all(any(abs(x - u) + abs(y - v) < 3 for u, v in places) for x, y in middles(boxes))


def middles(boxes: Any) -> list[tuple[float, float]]:
    """The middles of elements on the screen, in pixels."""
    found = [boxes.nth(i).bounding_box() for i in range(boxes.count())]
    return [(b["x"] + b["width"] / 2, b["y"] + b["height"] / 2) for b in found]


def test_a_reload_and_a_link_bring_back_the_very_answer(visit: Any, url: str) -> None:
    """Of an uploaded picture, with an edited list; a link that is not kept says so."""
    page = visit()
    upload(page, EXAMPLES / ROW["image"])
    ask(page, ROW["expression"])
    page.locator("#canvas svg").focus()
    page.keyboard.press("ArrowUp")
    count = rows(page)
    page.keyboard.press("Delete")
    page.wait_for_function(f"document.querySelectorAll('#canvas .row').length === {count - 1}")
    said = settled(page)
    page.reload(wait_until="domcontentloaded")
    assert settled(page) == said and rows(page) == count - 1
    page.get_by_text("Downloads and link").click()
    page.get_by_role("button", name="Copy a link").click()
    link = page.get_by_label("The link").input_value()
    assert link.startswith(f"{url}/?answer=")
    other = visit(query=link.removeprefix(url))
    assert settled(other) == said and other.locator("#canvas .words").input_value() == ROW["expression"]
    visit(query="/?answer=gone").get_by_text("not kept any longer").wait_for()


def test_other_words_ask_everything_or_only_the_llm(visit: Any) -> None:
    page = visit()
    settled(page)
    assert page.locator("#canvas .again").is_hidden()
    page.locator("#canvas .words").fill("the clock")
    page.get_by_role("button", name="Ask about these boxes").click()
    page.locator("#canvas .again").wait_for(state="hidden")
    assert "right" not in settled(page) and "wrong" not in settled(page), "the true box was of other words"


def test_words_that_are_being_written_stay_whatever_is_done_to_the_list(visit: Any) -> None:
    page = visit()
    settled(page)
    page.locator("#canvas .words").fill("the clo")
    page.locator("#canvas svg").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Delete")
    page.locator("#canvas .undo").wait_for()
    assert page.locator("#canvas .words").input_value() == "the clo" and page.locator("#canvas .again").is_visible()


def test_cancel_brings_back_the_answer_about_the_same_picture(visit: Any) -> None:
    page = visit()
    before = settled(page)
    page.evaluate("new MutationObserver(() => document.querySelector('#canvas .busy') && document.querySelector('#canvas .stop').click())"
                  ".observe(document.querySelector('#canvas .said'), {childList: true})")  # fmt: skip
    page.locator("#canvas .words").fill("the lowest one of all the dogs in this picture")
    page.keyboard.press("Enter")
    page.locator("#canvas .stop").wait_for(state="hidden")
    page.wait_for_timeout(SECONDS)
    assert page.locator("#canvas .said").inner_text() == before and rows(page) > 1
    assert page.locator("#canvas .words").input_value() == "the lowest one of all the dogs in this picture"


def test_a_file_may_be_dropped_anywhere_and_a_trace_is_opened_with_its_picture(visit: Any, tmp_path: Path) -> None:
    page = visit()
    said = settled(page)
    page.get_by_text("Downloads and link").click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Trace (JSON)").click()
    waiting.value.save_as(tmp_path / "trace.json")
    ask(page, "the clock")
    page.locator("#canvas input.file").set_input_files([str(tmp_path / "trace.json"), str(EXAMPLES / "relation-7.jpg")])
    page.wait_for_function("document.querySelector('#canvas .words').value === 'the dog nearest to the clock'")
    assert settled(page).startswith(said.split(" ✓")[0]), "what was picked and how sure that was; the true box is not in a trace"
    prevented = page.evaluate(
        """() => { const event = new DragEvent('drop', {bubbles: true, cancelable: true, dataTransfer: new DataTransfer()});
          event.dataTransfer.items.add(new File(['no image'], 'a.png', {type: 'image/png'}));
          document.querySelector('#title').dispatchEvent(event); return event.defaultPrevented; }"""
    )
    assert prevented
    page.get_by_text("This file is not an image that can be read.").wait_for()


@pytest.mark.parametrize("opened", [True, False])
def test_words_sent_while_a_picture_is_on_its_way_are_about_that_picture(browser: Any, url: str, opened: bool) -> None:
    """On a slow line, and where the picture is brought before the page is open."""
    page, held = browser.new_page(), list[Any]()
    page.set_default_timeout(60 * SECONDS)
    page.route("**/upload*", lambda route: held.append(route))
    page.goto(url, wait_until="domcontentloaded")
    if opened:
        answer(page).wait_for()
    page.locator("#canvas input.file").set_input_files(str(EXAMPLES / "chelsea.jpg"))
    words = page.get_by_label("Referring expression")
    words.fill("the cat")
    words.press("Enter")
    for _ in range(200):
        page.wait_for_timeout(50)
        if held:
            break
    page.wait_for_timeout(300)  # the words would be on their way by now
    held[0].continue_()
    page.get_by_text("In photographs YOLOX can name").wait_for()
    page.locator(".box.pick").wait_for()
    assert "cat" in settled(page) and "YOLOX" in page.locator("#canvas").inner_text() and words.input_value() == "the cat"
    page.close()


def test_what_can_be_named_is_said_at_upload_and_what_not_in_the_answer(visit: Any) -> None:
    page = visit()
    upload(page, EXAMPLES / "coffee.jpg")
    page.get_by_text("In photographs YOLOX can name 80 kinds of thing").wait_for()
    assert "lighthouse" in ask(page, "the lighthouse") and page.locator(".box.pick").count() == 0


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
    models.load("bundled")


def test_the_page_is_there_while_models_are_loaded(browser: Any, slow: tuple[str, threading.Event]) -> None:
    """With its example, whose answer comes with them; what is asked meanwhile is answered last."""
    address, gate = slow
    page = browser.new_page()
    page.goto(f"{address}?example=2", wait_until="domcontentloaded")
    page.locator("#notice", has_text="being loaded, part 1 of 3").wait_for()
    page.wait_for_function("document.querySelector('#canvas .words').value.length > 3")
    page.locator("#canvas .busy", has_text="is looking").wait_for()
    page.locator("#canvas .words").fill("the drum on the left")
    page.locator("#canvas .stop").wait_for(state="hidden")
    page.get_by_role("button", name="Locate", exact=True).click()
    page.locator("#canvas .busy").wait_for()
    gate.set()
    answer(page).wait_for()
    page.locator("#status", has_text="Preset slow: florence-2").wait_for()
    assert page.locator("#notice").inner_text() == ""
    assert page.locator("#canvas .words").input_value() == "the drum on the left"
    page.close()


def test_compare_answers_the_same_question_side_by_side(visit: Any) -> None:
    page = visit()
    settled(page)
    page.get_by_role("tab", name="Compare").click()
    page.locator("#board .question", has_text="the dog nearest to the clock").wait_for()
    page.locator("#board .go").click()
    page.locator("#board .matrix").wait_for()
    assert page.locator("#board .card").count() == page.locator("#board tbody tr").count() == 7
    assert page.locator("#board td.right").count() + page.locator("#board td.wrong").count() == 7
    page.locator("#board .split").focus()
    before = page.locator("#board .line").bounding_box()["x"]
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    assert page.locator("#board .line").bounding_box()["x"] > before, "the slider works with the keyboard"
    page.get_by_role("tab", name="Locate").click()
    ask(page, "the clock")
    page.get_by_role("tab", name="Compare").click()
    page.locator("#board .question", has_text="the clock").wait_for()
    page.wait_for_function("document.querySelectorAll('#board .card').length === 0")


def measure(page: Any, count: int) -> None:
    """Begin to measure so many expressions."""
    page.get_by_label("number input for Expressions").fill(str(count))
    page.get_by_role("button", name="Run", exact=True).click()


def test_a_benchmark_can_be_cancelled_and_run_again(visit: Any) -> None:
    """What is done is kept, and the next press counts at once."""
    page = visit()
    page.get_by_role("tab", name="Benchmark").click()
    assert not page.get_by_role("button", name="Cancel, keep what is done").is_visible()
    measure(page, 400)
    page.locator("#progress", has_text=" of 400, about").wait_for()
    page.get_by_role("button", name="Cancel, keep what is done").click()
    page.locator("#progress", has_text=" of 400, cancelled; the figures are of these").wait_for()
    page.locator("a[download]").nth(1).wait_for()
    measure(page, 8)
    page.locator("#progress", has_text="8 of 8, done").wait_for()
    page.get_by_role("button", name="Cancel, keep what is done").wait_for(state="hidden")


def test_wrong_answers_are_stepped_through_and_opened_in_locate(visit: Any) -> None:
    page = visit()
    page.get_by_role("tab", name="Benchmark").click()
    measure(page, 16)
    page.locator("#progress", has_text="16 of 16, done").wait_for()
    page.locator("#reel .order").select_option("margin")
    page.locator("#reel .place", has_text="1 of 16").wait_for()
    page.locator("#reel .frame").focus()
    page.keyboard.press("ArrowRight")
    page.locator("#reel .place", has_text="2 of 16").wait_for()
    words = page.locator("#reel .words").inner_text().strip("“”")
    assert page.locator("#reel .box").count() > 1
    page.keyboard.press("Enter")
    page.wait_for_function("words => document.querySelector('#canvas .words').value === words", arg=words)
    page.locator("#canvas .said h2").wait_for(state="visible")
    assert page.get_by_role("tab", name="Locate", selected=True).is_visible() and rows(page) > 1
    assert "right" in settled(page) or "wrong" in settled(page)


def find_in_all(page: Any) -> None:
    names = ("size-1.jpg", "relation-7.jpg", "coffee.jpg")
    page.locator("#folder input.files").set_input_files([str(EXAMPLES / name) for name in names])
    page.locator("#folder .bring .words").fill(
        "size-1.jpg: the smallest book\nrelation-7.jpg: the dog nearest to the clock\ncoffee.jpg: the cup"
    )
    page.get_by_role("button", name="Find in all").click()
    page.get_by_text("3 of 3 answered").wait_for()


def test_many_pictures_are_looked_at_by_keyboard_and_taken_away_as_labels(visit: Any, tmp_path: Path) -> None:
    """Also after the page was loaded again."""
    page = visit()
    page.get_by_role("tab", name="Folder").click()
    page.get_by_role("button", name="Find in all").click()
    page.get_by_text("There are no pictures.").wait_for()
    find_in_all(page)
    page.locator("#folder .frame").focus()
    shown = page.locator("#folder .words-of")
    first = shown.inner_text()
    page.keyboard.press("Enter")
    page.get_by_text("1 approved").wait_for()
    assert shown.inner_text() != first
    corner = page.locator("#folder .shot").bounding_box()
    drag(page, (corner["x"] + 20, corner["y"] + 20), (90, 70))
    page.keyboard.press("Enter")
    page.get_by_text("2 approved").wait_for()
    page.reload(wait_until="domcontentloaded")
    answer(page).wait_for()
    page.get_by_role("tab", name="Folder").click()
    page.get_by_text("3 of 3 answered, 2 approved").wait_for()
    page.locator("#folder .frame").focus()
    page.keyboard.press("n")
    page.get_by_text("3 approved").wait_for()
    page.locator("#folder .bring .words").fill("size-1.jpg: the book")
    page.locator("#folder input.files").set_input_files([str(EXAMPLES / name) for name in ("size-1.jpg", "coffee.jpg")])
    page.get_by_role("button", name="Find in all").click()
    page.get_by_text("Nothing is asked about coffee.jpg").wait_for()
    assert "3 approved" in page.locator("#folder .far").inner_text(), "what was there stays"
    with page.expect_download() as download:
        page.locator("#folder").get_by_role("button", name="COCO").click()
    download.value.save_as(tmp_path / "labels.json")
    found = json.loads((tmp_path / "labels.json").read_text(encoding="utf-8"))
    assert len(found["images"]) == 3 and len(found["annotations"]) == 2


def test_no_serious_barrier_for_people_with_disabilities(visit: Any, look: str) -> None:
    """axe-core's serious and critical rules."""
    page = visit(look)
    settled(page)
    page.locator("#canvas .rows").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    serious = []
    for tab in ("Locate", "Compare", "Folder", "Benchmark"):
        page.get_by_role("tab", name=tab).click()
        page.get_by_role("tab", name=tab, selected=True).wait_for()
        if tab == "Compare":
            page.locator("#board .go").click()
            page.locator("#board .matrix").wait_for()
        if tab == "Folder":
            find_in_all(page)
        page.wait_for_timeout(SECONDS / 2)  # until its parts have moved to their places
        found = axe.Axe().run(page).response["violations"]
        serious += [
            (tab, v["id"], n["html"][:150], n["failureSummary"][-120:])
            for v in found if v["impact"] in ("serious", "critical") for n in v["nodes"]
        ]  # fmt: skip
    assert serious == []


def test_the_first_load_is_small_and_moves_nothing(visit: Any) -> None:
    """On a phone: bytes as they come over the line, and how far things jump (CLS, web.dev/cls)."""
    page = visit("phone")
    settled(page)
    came = page.evaluate("['navigation', 'resource'].flatMap(k => performance.getEntriesByType(k)).reduce((n, e) => n + e.transferSize, 0)")
    assert 100_000 < came <= 600_000
    shift = page.evaluate(
        """() => new Promise((done) => {
          let sum = 0;
          new PerformanceObserver((list) => { for (const e of list.getEntries()) if (!e.hadRecentInput) sum += e.value; })
            .observe({type: 'layout-shift', buffered: true});
          setTimeout(() => done(sum), 300);
        })"""
    )
    assert shift < 0.1
