"""What every reader gives: examples, and the rows it had to leave out, each with its reason.

A reader states the box format of its source; boxes are converted and checked here, once, when all rows are there: whether
they are pixels at all can only be told from many of them.
"""

import hashlib
import io
import math
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from PIL import Image

from wrapper.candidates import Box
from wrapper.errors import DataError, at_the_cost_of_a_row
from wrapper.expressions import without_surrogates, written
from wrapper.images import DAMAGED, load_image, upright_size

BoxFormat = Literal["xyxy", "xywh"]
Four = tuple[float, float, float, float]
SLACK = 1.5
"""Pixels by which a box may stick out of its picture and is cut; annotators' boxes do by rounding."""


class PictureSource(Protocol):
    """Where a picture comes from. `key` is the same for the same picture, so that it is encoded once."""

    @property
    def key(self) -> str: ...

    @property
    def mark(self) -> str:
        """Another one where the picture at this place has been changed, as far as can be told without reading it."""
        ...

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

    @property
    def mark(self) -> str:
        return f"{self.path.name} {self.path.stat().st_size if self.path.is_file() else 'missing'}"

    def open(self) -> Image.Image:
        return load_image(self.path)


@dataclass(frozen=True)
class Example:
    """One picture, one expression about it, and the true box.

    box: x1, y1, x2, y2 in pixels. id: unique within the data set. category: what kind of expression or object it is,
    None where the data does not say.
    """

    image: PictureSource
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
        """The same for the same ids, expressions, boxes and pictures in the same order."""
        digest = hashlib.sha256()
        for e in self.examples:
            digest.update(f"{e.id}\t{e.expression}\t{','.join(f'{v:.2f}' for v in e.box)}\t{e.image.mark}\n".encode())
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class _Row:
    """A row whose box is still to be checked. number: its place among all rows, good or not."""

    number: int
    where: str
    image: PictureSource
    size: tuple[int, int]
    expression: str
    box: Four
    form: BoxFormat
    id: str
    category: str | None


class Collector:
    """Gathers a reader's rows: checks each, keeps the good ones, writes down the others."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._rows: list[_Row] = []
        self._skipped: list[tuple[int, Skipped]] = []
        self._count = 0
        self._seen: set[str] = set()

    @contextmanager
    def reading(self, where: str) -> Iterator[None]:
        """Around everything that is done with one row: whatever goes wrong there costs this row, and is written down."""
        with at_the_cost_of_a_row(lambda why: self.skip(where, why)):
            yield

    def add(
        self, where: str, image: PictureSource, size: tuple[int, int], expression: Any, box: Any, form: BoxFormat, id: str,
        category: Any = None,
    ) -> None:  # fmt: skip
        """Keep a row, or write down why not. size: the picture's (width, height) in pixels."""
        with self.reading(where):
            text, four, name = checked_expression(expression), numbers(box), without_surrogates(id)
            if name in self._seen:
                raise DataError(f"its id {name} was used before")
            self._seen.add(name)
            kind = None if category is None else without_surrogates(str(category))
            self._rows.append(_Row(self._next(), where, image, size, text, four, form, name, kind))

    @property
    def good(self) -> int:
        """How many rows are kept."""
        return len(self._rows)

    def skip(self, where: str, why: str) -> None:
        self._skipped.append((self._next(), Skipped(without_surrogates(where), without_surrogates(why))))

    def _next(self) -> int:
        self._count += 1
        return self._count

    def done(self, expected: int | None = None) -> Dataset:
        """The data set. expected: how many expressions the full split has, as published."""
        examples, skipped = [], list(self._skipped)
        in_pixels, notes = to_pixels(self.name, [(r.box, r.size, r.form) for r in self._rows])
        for row, box in zip(self._rows, in_pixels, strict=True):
            try:
                if box is None:
                    raise DataError(NO_SHARE.format(box=_short(row.box)))
                examples.append(Example(row.image, row.expression, checked_box(box, row.form, row.size), row.id, row.category))
            except DataError as error:
                skipped.append((row.number, Skipped(row.where, str(error))))
        left_out = [s for _, s in sorted(skipped, key=lambda pair: pair[0])]
        if not examples:
            reasons = "; ".join(f"{s.where}: {s.why}" for s in left_out[:3]) or "it is empty"
            raise DataError(f"{self.name} has no usable example ({reasons}). Check that the file and its format belong together.")
        if expected is not None and len(examples) != expected:
            notes.append(
                f"{self.name}: {len(examples):,} expressions were read, {expected:,} are published for this split; "
                f"{len(left_out):,} rows were left out."
            )
        return Dataset(self.name, examples, left_out, notes)


def checked_expression(expression: Any) -> str:
    """The expression on one line, as it was written; DataError or ExpressionError where it cannot be used."""
    if not isinstance(expression, str) or not expression.strip():
        raise DataError(f"its expression is {'empty' if not expression else repr(expression)[:60]}")
    return written(expression)


def numbers(box: Any) -> Four:
    """Four finite numbers; DataError for anything else."""
    if not isinstance(box, list | tuple) or len(box) != 4 or not all(_is_number(v) for v in box):
        raise DataError(f"its box is {str(box)[:60]}, not four numbers")
    x1, y1, x2, y2 = (float(v) for v in box)
    return x1, y1, x2, y2


def checked_box(box: Four, form: BoxFormat, size: tuple[int, int]) -> Box:
    """Four numbers of a stated format -> x1, y1, x2, y2 inside a picture of (width, height); DataError where it is no box."""
    x1, y1, x2, y2 = box
    if form == "xywh":
        x2, y2 = x1 + x2, y1 + y2
    if x2 <= x1 or y2 <= y1:
        raise DataError(f"its box {_short(box)} ({form}) has no area")
    width, height = size
    if x1 < -SLACK or y1 < -SLACK or x2 > width + SLACK or y2 > height + SLACK:
        raise DataError(f"its box {_short(box)} ({form}) lies outside the picture of {width} x {height} pixels")
    return max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))


WRONG_SHARE, FEW_WRONG = 0.1, 2
"""Share and number of boxes that do not fit their pictures, from which on another reading of all boxes is tried."""
MOST_FIT = 0.9
"""Share of boxes that another reading must fit; a few bad rows do not hide what the others are."""
SHARES = 0.01
"""By how much a share of the picture may lie outside of 0 to 1."""
MANY = 20
"""Boxes from which on it says something that none lies beyond 1,000 pixels."""
NO_SHARE = "its box {box} is no share of the picture, as those of the other rows are"


def to_pixels(name: str, rows: Sequence[tuple[Four, tuple[int, int], BoxFormat]]) -> tuple[list[Four | None], list[str]]:
    """The boxes of a data set in pixels, None for one that cannot be, and remarks.

    Shares of the picture, 0 to 1, are turned into pixels, with a note. DataError where most boxes fit their pictures only if
    they are read another way than stated (xywh for xyxy or the other way round, a middle with width and height, a grid of 0 to 1,000):
    read as stated they would be wrong without a word.
    """
    boxes = [box for box, _, _ in rows]
    are_shares = [all(-SHARES <= v <= 1 + SHARES for v in box) for box in boxes]
    if rows and sum(are_shares) >= MOST_FIT * len(rows):
        scaled = [_scaled(box, size) if share else None for (box, size, _), share in zip(rows, are_shares, strict=True)]
        _check_form(name, [(box, size, form) for box, (_, size, form) in zip(scaled, rows, strict=True) if box is not None])
        return scaled, [f"{name}: boxes lie between 0 and 1, so they were taken for shares of the picture and turned into pixels."]
    if _check_form(name, rows):
        return list(boxes), []
    far = max((max(size) for _, size, _ in rows), default=0)
    if len(rows) >= MANY and far > 1010 and 500 < max(v for box in boxes for v in box) <= 1000:
        note = f"{name}: no box reaches beyond 1,000, in pictures of up to {far:,} pixels. If that is a grid, turn it into pixels."
        return list(boxes), [note]
    return list(boxes), []


FORMS: tuple[BoxFormat | Literal["cxcywh"], ...] = ("xyxy", "xywh", "cxcywh")


def _check_form(name: str, rows: Sequence[tuple[Four, tuple[int, int], BoxFormat]]) -> bool:
    """Refuse boxes of pixels that nearly all fit their pictures only where they are read another way than stated. Gives whether many do
    not fit, for whatever reason."""
    wrong = sum(not _fits(box, form, size) for box, size, form in rows)
    if wrong < FEW_WRONG or wrong <= WRONG_SHARE * len(rows):
        return False
    stated = rows[0][2]
    fit = {other: sum(_fits(box, other, size) for box, size, _ in rows) for other in FORMS if other != stated}
    other = max(fit, key=fit.__getitem__)
    if fit[other] >= MOST_FIT * len(rows):
        read_so = "a middle, a width and a height (cxcywh)" if other == "cxcywh" else other
        raise DataError(
            f"{name}: {wrong:,} of {len(rows):,} boxes do not fit their pictures read as {stated}, and all or nearly all do as "
            f"{read_so}. Write them as {stated} in pixels."
        )
    if sum(_fits(box, form, (1000, 1000)) for box, _, form in rows) >= MOST_FIT * len(rows):
        raise DataError(
            f"{name}: {wrong:,} of {len(rows):,} boxes lie outside their pictures, and nearly all within 0 to 1,000: a grid, as some "
            "models write boxes. Turn them into pixels: divide by 1,000, and multiply by the picture's width and height."
        )
    return True


def _scaled(box: Four, size: tuple[int, int]) -> Four:
    x1, y1, x2, y2 = (min(max(v, 0.0), 1.0) for v in box)
    return x1 * size[0], y1 * size[1], x2 * size[0], y2 * size[1]


def _fits(box: Four, form: BoxFormat | Literal["cxcywh"], size: tuple[int, int]) -> bool:
    """Whether a box lies in its picture. cxcywh, YOLO's, is recognised only to be refused."""
    if form == "cxcywh":
        x, y, width, height = box
        return _fits((x - width / 2, y - height / 2, width, height), "xywh", size)
    try:
        checked_box(box, form, size)
    except DataError:
        return False
    return True


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e9 and math.isfinite(value)


def _short(box: Sequence[Any]) -> str:
    return "[" + ", ".join(f"{v:g}" for v in box) + "]"


def picture_size(source: Path | bytes) -> tuple[int, int]:
    """(width, height) of a picture as it stands upright, from its header alone; DataError where there is none."""
    what = f"its image {source}" if isinstance(source, Path) else "its image"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a bomb, or of odd metadata: the picture is not decoded here
            with Image.open(source if isinstance(source, Path) else io.BytesIO(source)) as image:
                return upright_size(image)
    except FileNotFoundError as error:
        raise DataError(missing(Path(str(source)))) from error
    except DAMAGED as error:
        raise DataError(f"{what} cannot be read as an image") from error


def missing(file: Path) -> str:
    """Why a picture is not there, as far as can be told."""
    folder = file.parent
    if packed := next((p for p in (folder.with_name(folder.name + ".zip"), *folder.glob("*.zip")) if p.is_file()), None):
        return f"its image {file} is not unpacked; unpack {packed}"
    return f"its image {file} is missing" if folder.is_dir() else f"its image {file} is missing, for there is no folder {folder}"


def summary(skipped: Sequence[Skipped], what: str = "left out", show: int = 10) -> str:
    """What was left out (or what else befell rows), for people: the first rows with their reasons, and how many more."""
    lines = [f"  {s.where}: {s.why}" for s in skipped[:show]]
    if len(skipped) > show:
        lines.append(f"  and {len(skipped) - show:,} more")
    return "\n".join([f"{what} {len(skipped):,} row{'s' if len(skipped) != 1 else ''}:", *lines])


def counted(items: Sequence[str]) -> str:
    """'3 a, 1 b' by falling count."""
    return ", ".join(f"{n:,} {name}" for name, n in Counter(items).most_common())
