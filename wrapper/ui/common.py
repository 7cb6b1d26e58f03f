"""What the tabs share: names, words, and turning errors into the page's messages."""

import html
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from wrapper.candidates import BY_HAND, Box
from wrapper.errors import DataError, ImageError, WrapperError
from wrapper.images import load_image
from wrapper.pipeline import AUTO, ZERO_SHOT
from wrapper.ui import models

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = {"florence2": "Florence-2", "gdrec": "GDrec", "gd": "Grounding DINO", BY_HAND: "you"}
ADAPTERS = {
    AUTO: "the fitting adapter",
    ZERO_SHOT: "none (zero-shot)",
    "gdrec": "GDrec's",
    "florence2": "Florence-2's",
    "ensemble": "the ensemble's",
}
MAX_UPLOAD = "60 MB"
"""Of a file, as Gradio reads it."""
PICTURE_HINT = f"# Drop, paste or choose a picture\nJPEG, PNG, WebP, GIF, BMP or TIFF, at most {MAX_UPLOAD}"
SHOWN_SIDE = 1600
"""Longest side, in pixels, of a picture on the page; downloads are full-size."""
SCENE_PREFIX = "refscenes-"
KEPT = 3600
"""Seconds for which files made for a visitor are kept, as Gradio keeps its own."""
_work = tempfile.TemporaryDirectory(prefix="llm-wrapper-")


@contextmanager
def told() -> Iterator[None]:
    """Errors that a person can act on become the page's messages, as they stand."""
    try:
        yield
    except WrapperError as error:
        raise gr.Error(html.escape(str(error)), title="That did not work", print_exception=False) from error


def opened(path: str | None) -> Image.Image:
    """The uploaded picture."""
    if path is None:
        raise ImageError("There is no picture. Upload one, paste one, choose an example, or draw a new scene.")
    if not Path(path).is_file():
        raise ImageError("The picture is not kept any longer; pictures are deleted after an hour. Upload it again.")
    return load_image(path)


def for_page(picture: Image.Image) -> Image.Image:
    """A picture small enough to be sent at once."""
    if max(picture.size) <= SHOWN_SIDE:
        return picture
    small = picture.copy()
    small.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
    return small


def scratch() -> Path:
    """An empty folder for files of one request; those of requests long past are deleted."""
    for old in Path(_work.name).iterdir():
        if time.time() - old.stat().st_mtime > KEPT:
            shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(dir=_work.name))


def adapter_choices() -> list[tuple[str, str]]:
    """What the LLM can be used with."""
    return [(ADAPTERS.get(name, name), name) for name in (AUTO, ZERO_SHOT, *models.adapters())]


def adapter_choice(name: str) -> Any:
    """Offers the adapters there are, with this one chosen where it is among them."""
    choices = adapter_choices()
    return gr.update(choices=choices, value=name if name in dict(choices).values() else AUTO)


def read_box(text: str, size: tuple[int, int]) -> Box | None:
    """'x1, y1, x2, y2' in pixels -> a box inside a picture of (width, height); None for nothing, DataError for anything else."""
    if not text.strip():
        return None
    try:
        x1, y1, x2, y2 = (float(part) for part in text.replace("[", " ").replace("]", " ").replace(",", " ").split())
    except ValueError as error:
        raise DataError(f"“{text[:60]}” is no box. Write four numbers: left, top, right, bottom, in pixels.") from error
    if not (0 <= x1 < x2 <= size[0] and 0 <= y1 < y2 <= size[1]):
        raise DataError(
            f"The box {x1:g}, {y1:g}, {x2:g}, {y2:g} does not fit a picture of {size[0]} x {size[1]} pixels. Write left, top, right, "
            "bottom, with left < right and top < bottom."
        )
    return x1, y1, x2, y2


def box_text(box: Box | None) -> str:
    """A box as it is typed."""
    return "" if box is None else ", ".join(f"{v:.0f}" for v in box)


def from_refscenes(path: str) -> bool:
    """Whether the page itself drew or brought this picture. Only a hint: a file may be called anything."""
    return Path(path).name.startswith(SCENE_PREFIX) or (EXAMPLES / Path(path).name).is_file()
