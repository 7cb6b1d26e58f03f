"""Times the page in a browser: from a press on Locate to the first boxes in the picture, and to the answer.

    python -m tests.press                      # twenty new questions; needs Chromium and Playwright

Every question is about a scene that nobody has asked about before. Prints medians and the slowest tenth, in milliseconds.
"""

import argparse
import shutil
import tempfile
from pathlib import Path
from statistics import median, quantiles

from playwright.sync_api import Page, sync_playwright

import app
from wrapper import datasets

TIMED = """() => new Promise((done) => {
  const began = performance.now();
  let boxes = 0;
  const look = () => {
    const passed = performance.now() - began;
    boxes ||= document.querySelector('#canvas .box') ? passed : 0;
    const answered = document.querySelector('#canvas .said h2') && document.querySelector('#canvas .stop').hidden;
    if (answered) done([boxes || passed, passed]);
    else requestAnimationFrame(look);
  };
  document.querySelector('#canvas .go').click();
  requestAnimationFrame(look);
})"""


def ask(page: Page, file: Path, words: str) -> tuple[float, float]:
    """Milliseconds to the first boxes and to the answer, for a picture that is uploaded before."""
    page.locator("#canvas input.file").set_input_files(str(file))
    page.get_by_text("Describe one object in words, then press Locate.").wait_for()
    page.get_by_label("Referring expression").fill(words)
    boxes, answer = page.evaluate(TIMED)
    return float(boxes), float(answer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20, help="questions")
    parser.add_argument("--seed", type=int, default=77, help="of the scenes")
    given = parser.parse_args()
    scenes = datasets.read(f"refscenes:val:{given.count + 2}:{given.seed}").examples
    times = []
    _, address, _ = app.build("bundled").launch(prevent_thread_lock=True, quiet=True, ssr_mode=False, **app.LOOKS)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.goto(address)
        page.locator("#canvas .said h2").wait_for()
        for i, scene in enumerate(scenes):
            file = Path(folder) / f"{i}.png"
            scene.image.open().save(file)
            times.append(ask(page, file, scene.expression))
        browser.close()
    for name, column in zip(("first boxes", "answer"), zip(*times[2:], strict=True), strict=True):  # two to warm up
        print(f"{name}: {median(column):.0f} ms, the slowest tenth from {quantiles(column, n=10)[-1]:.0f} ms on")


if __name__ == "__main__":
    main()
