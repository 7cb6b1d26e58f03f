"""What every reader gives: examples, and the rows it had to leave out, each with its reason.

A reader states the box format of its source; boxes are converted and checked here, once.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from PIL import Image, UnidentifiedImageError

from wrapper.candidates import Box
from wrapper.errors import DataError, ExpressionError
from wrapper.images import load_image
from wrapper.subject import check_expression

BoxFormat = Literal["xyxy", "xywh"]
SLACK = 1.5
"""Pixels by which a box may stick out of its picture and is cut; annotators' boxes do by rounding."""


class Picture(Protocol):
    """Where a picture comes from. `key` is the same for the same picture, so that it is encoded once."""

    @property
    def key(self) -> str: ...

    def open(self) -> Image.Image:
        """The picture, RGB and upright; ImageError where it cannot be used."""
        ...


@dataclass(frozen=True)
class PictureFile:
    """A picture in a file."""

    path: Path

    @property
    def key(self) -> str:
        return str(self.path)

    def open(self) -> Image.Image:
        return load_image(self.path)


@dataclass(frozen=True)
class Example:
    """One picture, one expression about it, and the true box.

    box: x1, y1, x2, y2 in pixels. id: unique within the data set. category: what kind of expression or object it is,
    None where the data does not say.
    """

    image: Picture
    expression: str
    box: Box
    id: str
    category: str | None = None


@dataclass(frozen=True)
class Skipped:
    """A row that was left out: where it stands, and why."""

    where: str
    why: str


@dataclass(frozen=True)
class Dataset:
    """Examples in their order, what was left out, and remarks about the whole."""

    name: str
    examples: list[Example]
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def fingerprint(self) -> str:
        """The same for the same ids, expressions and boxes in the same order."""
        digest = hashlib.sha256()
        for e in self.examples:
            digest.update(f"{e.id}\t{e.expression}\t{','.join(f'{v:.2f}' for v in e.box)}\n".encode())
        return digest.hexdigest()[:16]


class Collector:
    """Gathers a reader's rows: checks each, keeps the good ones, writes down the others."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.examples: list[Example] = []
        self.skipped: list[Skipped] = []
        self._seen: set[str] = set()

    def add(
        self, where: str, image: Picture, size: tuple[int, int], expression: Any, box: Any, form: BoxFormat, id: str, category: Any = None
    ) -> None:
        """Keep a row, or write down why not. size: the picture's (width, height) in pixels."""
        try:
            text = checked_expression(expression)
            good = checked_box(box, form, size)
            if id in self._seen:
                raise DataError(f"its id {id} was used before")
        except (DataError, ExpressionError) as error:
            self.skip(where, str(error))
            return
        self._seen.add(id)
        self.examples.append(Example(image, text, good, id, None if category is None else str(category)))

    def skip(self, where: str, why: str) -> None:
        self.skipped.append(Skipped(where, why))

    def done(self, expected: int | None = None) -> Dataset:
        """The data set. expected: how many expressions the full split has, as published."""
        if not self.examples:
            reasons = "; ".join(f"{s.where}: {s.why}" for s in self.skipped[:3]) or "it is empty"
            raise DataError(f"{self.name} has no usable example ({reasons}). Check that the file and its format belong together.")
        notes = []
        if expected is not None and len(self.examples) != expected:
            notes.append(
                f"{self.name}: {len(self.examples):,} expressions were read, {expected:,} are published for this split; "
                f"{len(self.skipped):,} rows were left out."
            )
        return Dataset(self.name, self.examples, self.skipped, notes)


def checked_expression(expression: Any) -> str:
    """The expression on one line; DataError or ExpressionError where it cannot be used."""
    if not isinstance(expression, str) or not any(c.isalnum() for c in expression):
        raise DataError(f"its expression is {'empty' if not expression else repr(expression)[:60]}")
    return check_expression(expression)


def checked_box(box: Any, form: BoxFormat, size: tuple[int, int]) -> Box:
    """Four numbers of a stated format -> x1, y1, x2, y2 inside a picture of (width, height); DataError where it is no box."""
    if not isinstance(box, list | tuple) or len(box) != 4 or not all(_is_number(v) for v in box):
        raise DataError(f"its box is {str(box)[:60]}, not four numbers")
    x1, y1, x2, y2 = (float(v) for v in box)
    if form == "xywh":
        x2, y2 = x1 + x2, y1 + y2
    if x2 <= x1 or y2 <= y1:
        raise DataError(f"its box {_short(box)} ({form}) has no area")
    width, height = size
    if x1 < -SLACK or y1 < -SLACK or x2 > width + SLACK or y2 > height + SLACK:
        raise DataError(f"its box {_short(box)} ({form}) lies outside the picture of {width} x {height} pixels")
    return max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _short(box: Sequence[Any]) -> str:
    return "[" + ", ".join(f"{v:g}" for v in box) + "]"


def picture_size(path: Path) -> tuple[int, int]:
    """(width, height) of a picture file as it stands upright, from its header alone; DataError where there is none."""
    try:
        with Image.open(path) as image:
            turned = image.getexif().get(0x0112, 1) >= 5  # the orientation tag's values 5 to 8 swap width and height
            return (image.height, image.width) if turned else image.size
    except FileNotFoundError as error:
        raise DataError(f"its image {path} is missing") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"its image {path} cannot be read") from error


def summary(skipped: Sequence[Skipped], what: str = "left out", show: int = 10) -> str:
    """What was left out (or what else befell rows), for people: the first rows with their reasons, and how many more."""
    lines = [f"  {s.where}: {s.why}" for s in skipped[:show]]
    if len(skipped) > show:
        lines.append(f"  and {len(skipped) - show:,} more")
    return "\n".join([f"{what} {len(skipped):,} row{'s' if len(skipped) != 1 else ''}:", *lines])


def counted(items: Sequence[str]) -> str:
    """'3 a, 1 b' by falling count."""
    return ", ".join(f"{n:,} {name}" for name, n in Counter(items).most_common())
