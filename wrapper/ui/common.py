"""What the tabs share: names, words, and turning errors into the page's messages."""

import base64
import hashlib
import io
import json
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache, wraps
from itertools import zip_longest
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import gradio as gr
from gradio.utils import get_upload_folder
from PIL import Image, ImageOps

from wrapper.adapters import AUTO, ZERO_SHOT
from wrapper.candidates import BY_HAND, Box, Candidate
from wrapper.errors import DataError, ImageError, WrapperError
from wrapper.images import FORMATS, load_image
from wrapper.proposals import fingerprint
from wrapper.selectors.llama import Llm
from wrapper.ui import models
from wrapper.worlds import World, world_of
from wrapper.writing import appearing

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = {"florence2": "Florence-2", "gdrec": "GDrec", "gd": "Grounding DINO", "yolox": "YOLOX", BY_HAND: "you"}
ADAPTERS = {
    AUTO: "the fitting adapter",
    ZERO_SHOT: "none (zero-shot)",
    "gdrec": "GDrec's",
    "florence2": "Florence-2's",
    "ensemble": "the ensemble's",
}
MAX_UPLOAD = "60 MB"
"""Of a file, as Gradio reads it."""
MOST_BYTES_SHOWN = 8_000_000
"""Of an upload that is shown as it is; a larger one is shown as a JPEG."""
HARMLESS = frozenset(("jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "progressive", "progression", "gamma", "srgb"))
"""What a picture's file may say besides its pixels and be shown as it is: not where it was taken, or by whom."""
THUMBNAIL = (96, 72)
"""Pixels that an example's small picture fits into."""
DRAWN = 10_000
"""Scenes that the page remembers to have drawn."""
KEPT = 3600
"""Seconds for which files made for a visitor are kept, as Gradio keeps its own."""


def _served() -> str:
    """The folder of which Gradio serves files to whoever knows their names, which cannot be guessed."""
    folder = get_upload_folder()
    Path(folder).mkdir(parents=True, exist_ok=True)
    return folder


_work = tempfile.TemporaryDirectory(prefix="llm-wrapper-", dir=_served())
_SECRET = secrets.token_hex(16)
"""In the names of folders, so that nobody who knows what is in one can name it."""
_sweeping = threading.Lock()
P = ParamSpec("P")
T = TypeVar("T")
DID_NOT_WORK = "That did not work"


def _words(error: WrapperError) -> str:
    """Its message, in which nothing is a tag for a browser and nothing an entity for a program."""
    return str(error).replace("<", "‹").replace(">", "›")


@contextmanager
def as_page_errors() -> Iterator[None]:
    """For endpoints and GPU workers: errors that a person can act on become Gradio's, which keep their message everywhere."""
    try:
        yield
    except WrapperError as error:
        raise gr.Error(_words(error), title=DID_NOT_WORK, print_exception=False) from error


def warn(error: WrapperError | gr.Error) -> Any:
    """For the page: say what is wrong, and change nothing. An error of Gradio's would cover the answer that is there."""
    gr.Warning(str(error.message) if isinstance(error, gr.Error) else _words(error), title=DID_NOT_WORK)
    return gr.skip()


def keep_page(handler: Callable[P, T]) -> Callable[P, T | Any]:
    """A handler of the page that leaves everything as it is where the input cannot be used."""

    @wraps(handler)
    def call(*args: P.args, **kwargs: P.kwargs) -> T | Any:
        try:
            return handler(*args, **kwargs)
        except (WrapperError, gr.Error) as error:
            return warn(error)

    return call


def open_upload(path: str | None) -> Image.Image:
    """The uploaded picture."""
    if path is None:
        raise ImageError("There is no picture. Upload one, paste one, choose an example, or draw a new scene.")
    if not Path(path).is_file():
        raise ImageError("The picture is not kept any longer; pictures are deleted after an hour. Upload it again.")
    return load_image(path)


def fingerprint_of_upload(path: str | None) -> str:
    """What tells an uploaded file from others; nothing for one that is not there."""
    return fingerprint(Path(path)) if path is not None and Path(path).is_file() else ""


def scroll_to(element: str) -> str:
    """JavaScript that brings an element into view where it is out of sight, as on a phone."""
    return """() => {
  const shown = document.getElementById('ELEMENT'), place = shown.getBoundingClientRect();
  const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
  if (place.top > innerHeight * 0.6 || place.bottom < innerHeight * 0.3)
    shown.scrollIntoView({behavior: still ? 'auto' : 'smooth', block: 'start'});
}""".replace("ELEMENT", element)


def proposers_of(candidate: Candidate) -> str:
    """Who proposes it, in words."""
    return " + ".join(name_of(name) for name in candidate.sources)


def method_name(text: str) -> str:
    """A method in words, whatever adapter is chosen beside it: "GDrec alone", "Florence-2 + GDrec + LLM"."""
    proposers, plus, _ = text.partition("+")
    names = " + ".join({"gd": "GD"}.get(p, name_of(p)) for p in proposers.split(","))
    return f"{names} + LLM" if plus else f"{names} alone"


def name_of(proposer: str) -> str:
    """A proposer's name for people; a detector of one's own goes by the name it was given."""
    return NAMES.get(proposer, proposer)


def labels_of(candidate: Candidate) -> str:
    """What it is called, by all who propose it."""
    return " / ".join(candidate.labels)


def times(ms: Mapping[str, float]) -> str:
    """Milliseconds by stage, in words."""
    return " + ".join(f"{v:.0f} {'LLM' if k == Llm.name else name_of(k)}" for k, v in ms.items())


def take_in(path: str) -> str:
    """An uploaded file in a folder of ours, where it stays as long as a session about it is kept, under its own name: a file of boxes may
    know it by that. Nobody is shown it."""
    taken = kept("upload", path, str(Path(path).stat().st_mtime_ns)) / Path(path).name
    if not taken.is_file():
        with appearing(taken) as partial:
            shutil.copy(path, partial)
    return str(taken)


def touch(path: str) -> None:
    """The picture is in use."""
    folder = Path(path).parent
    if folder.parent == Path(_work.name):
        with suppress(FileNotFoundError):
            os.utime(folder)


def for_browser(path: str) -> Path:
    """A file of the picture that a browser shows as the models see it, and that says nothing besides its pixels: a copy of the file, where
    that is so already, else a JPEG."""
    if not Path(path).is_file():
        open_upload(path)
    touch(path)
    folder = kept("shown", path, str(Path(path).stat().st_mtime_ns))
    if there := next(folder.glob("picture.*"), None):
        return there
    with Image.open(path, formats=FORMATS) as found:
        plain = found.format in ("JPEG", "PNG", "WEBP") and found.mode in ("RGB", "L") and getattr(found, "n_frames", 1) == 1
        bare = set(found.info) <= HARMLESS and not found.getexif() and Path(path).stat().st_size <= MOST_BYTES_SHOWN
        suffix = f".{(found.format or '').lower()}"
    whole = plain and bare
    shown = folder / (f"picture{suffix}" if whole else "picture.jpg")
    with appearing(shown) as partial:
        if whole:
            shutil.copy(path, partial)
        else:
            open_upload(path).save(partial, quality=95)
    return shown


def kept(*key: str) -> Path:
    """The folder for what is made of something, made once: by what it is made of. It is deleted like those of `scratch`."""
    folder = Path(_work.name) / hashlib.sha256("\0".join((_SECRET, *key)).encode("utf-8", "replace")).hexdigest()[:40]
    if not folder.exists():
        sweep()
    folder.mkdir(exist_ok=True)
    os.utime(folder)
    return folder


def scratch() -> Path:
    """An empty folder for files of one request; those that nobody has touched for long are deleted."""
    sweep()
    return Path(tempfile.mkdtemp(dir=_work.name))


def sweep() -> None:
    """Delete the folders that nobody has touched for long."""
    with _sweeping:
        for old in Path(_work.name).iterdir():
            with suppress(FileNotFoundError):  # its owner has just deleted it
                if time.time() - old.stat().st_mtime > KEPT:
                    shutil.rmtree(old, ignore_errors=True)


def adapter_choices() -> list[tuple[str, str]]:
    """What the LLM can be used with."""
    return [(ADAPTERS.get(name, name), name) for name in (AUTO, ZERO_SHOT, *models.adapters())]


def adapter_choice(chosen: str | list[str]) -> Any:
    """Offers the adapters there are, with this one, or these, chosen where they are among them."""
    choices = adapter_choices()
    there = dict(choices).values()
    if isinstance(chosen, list):
        return gr.update(choices=choices, value=[name for name in chosen if name in there])
    return gr.update(choices=choices, value=chosen if chosen in there else AUTO)


def read_box(text: str | None, size: tuple[int, int]) -> Box | None:
    """'x1, y1, x2, y2' in pixels -> a box inside a picture of (width, height); None for nothing, DataError for anything else."""
    if not text or not text.strip():
        return None
    try:
        x1, y1, x2, y2 = (float(part) for part in text.replace("[", " ").replace("]", " ").replace(",", " ").split())
    except ValueError as error:
        raise DataError(f"“{text[:60]}” is no box. Write four numbers: left, top, right, bottom, in pixels.") from error
    if not (0 <= x1 < x2 <= size[0] and 0 <= y1 < y2 <= size[1]):
        raise DataError(
            f"The box {x1:g}, {y1:g}, {x2:g}, {y2:g} does not fit a picture of {size[0]} x {size[1]} pixels. Write left, top, right, "
            "bottom, with left smaller than right and top smaller than bottom."
        )
    return x1, y1, x2, y2


def box_text(box: Box | None) -> str:
    """A box as it is typed."""
    return "" if box is None else ", ".join(f"{v:.0f}" for v in box)


_drawn: deque[str] = deque(maxlen=DRAWN)


def remember_scene(file: Path) -> None:
    """The page has drawn this scene."""
    _drawn.append(fingerprint(file))


def world_of_file(path: str | None, picture: Image.Image | None = None) -> World:
    """Which world an uploaded picture is of: what the page drew or brought itself is known by its bytes, anything else by its pixels.
    picture: what is in the file, where it is open already."""
    if path is None:
        return World.SCENE
    digest = fingerprint(Path(path))
    if digest in _drawn:
        return World.SCENE
    return examples_worlds().get(digest) or world_of(picture or open_upload(path))


def example_rows() -> list[dict[str, Any]]:
    """The bundled examples, in the order in which links number them."""
    file = EXAMPLES / "examples.json"
    return list(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else []


def shown_examples() -> list[int]:
    """The numbers of those about worlds that the models know: by turns a scene (the last ones are the hardest), a photograph, and something
    that is not there."""
    rows = example_rows()
    known = [i for i, row in enumerate(rows) if models.knows(World(row.get("world", "scene")))]
    absent = [i for i in known if rows[i]["bbox"] is None]
    photographs = [i for i in known if i not in absent and rows[i].get("world") == World.PHOTOGRAPH.value]
    scenes = [i for i in reversed(known) if i not in absent and i not in photographs]
    return [i for turn in zip_longest(scenes, photographs, absent) for i in turn if i is not None]


def example(number: int) -> dict[str, Any] | None:
    """A bundled example by its number; None where there is none."""
    rows = example_rows()
    return rows[number] if 0 <= number < len(rows) else None


def number_of_example(path: str, words: str) -> int | None:
    """The number of the example that a picture and words are; None where they are none."""
    if Path(path).parent != EXAMPLES:
        return None
    found = (i for i, row in enumerate(example_rows()) if row["image"] == Path(path).name and row["expression"] == words)
    return next(found, None)


@cache
def thumbnail(file: str) -> str:
    """An example's small picture, as a data URL: the page is there before any of the pictures is."""
    with Image.open(EXAMPLES / file) as picture:
        small = ImageOps.fit(picture.convert("RGB"), THUMBNAIL)
    kept = io.BytesIO()
    small.save(kept, "WEBP", quality=60)
    return f"data:image/webp;base64,{base64.b64encode(kept.getvalue()).decode()}"


def uploaded(path: str) -> str:
    """The path of an uploaded file as the browser names it; ImageError where it is none of those that Gradio took in."""
    folder = Path(get_upload_folder()).resolve()
    try:
        found = Path(path).resolve()
        there = found.is_relative_to(folder) and found.is_file()
    except (ValueError, OSError):  # a name that is none
        there = False
    if not there:
        raise ImageError("This picture is not here. Upload it again.")
    return take_in(str(found))


@cache
def examples_worlds() -> dict[str, World]:
    """The worlds of the bundled examples, by the digests of their files."""
    return {fingerprint(EXAMPLES / row["image"]): World(row.get("world", "scene")) for row in example_rows()}
