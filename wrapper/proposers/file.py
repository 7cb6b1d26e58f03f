"""Boxes that were made elsewhere, from a file: a closed model's boxes are enough to train an adapter and to evaluate.

    file:boxes.jsonl                    one picture, or one picture and expression, a line:
                                        {"image": "a.jpg", "boxes": [[x1, y1, x2, y2], ...], "labels": ["cup", ...]}, and "scores" and
                                        "expression" where there are any
    file:detections.json                as supervision's JSONSink writes it, with the custom data "image" and "class_name"
    file:detections.csv                 the same from its CSVSink
    file:instances.json                 COCO annotations
    file:results.json,instances.json    COCO results, and the annotations that say which pictures and categories their numbers mean

Boxes are in pixels of the upright picture; shares from 0 to 1 are turned into pixels. A picture is known by its file's name.
"""

import csv
import json
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from wrapper.errors import DataError, ExpressionError
from wrapper.expressions import normalise, without_surrogates
from wrapper.images import name_of
from wrapper.proposers.detections import Detections, detections

OUTSIDE = 0.02
"""By how much of a picture's side a box may reach beyond it: detectors do that."""
MOST_SHARES = 0.9
"""Share of boxes within 0 and 1 from which on all are taken for shares of their pictures."""
TURNED = 0.2
"""Share of boxes with their right edge left of the left one, or their lower one above the upper, from which on they are taken for
x, y, width and height."""


@dataclass(frozen=True)
class Found:
    """One box. expression: the only one that it was found for; None where it was found whatever was asked."""

    box: tuple[float, float, float, float]
    label: str
    score: float | None
    expression: str | None = None


@dataclass(frozen=True)
class BoxesFile:
    """A file's boxes by picture, whose names are `parts_of` file names. asked: for each picture the expressions about which the file says
    something, boxes or that there are none; None among them where it speaks of the picture as a whole. shares: boxes are shares of the
    picture."""

    path: str
    found: Mapping[tuple[str, ...], Sequence[Found]]
    asked: Mapping[tuple[str, ...], Collection[str | None]]
    shares: bool
    reads_words: bool = True

    @classmethod
    def load(cls, place: str) -> "BoxesFile":
        """Read a file (see above). DataError says what is wrong with one."""
        first, _, second = place.partition(",")
        path, found, asked = (
            Path(first),
            defaultdict[tuple[str, ...], list[Found]](list),
            defaultdict[tuple[str, ...], set[str | None]](set),
        )
        try:
            for name, several, words in _rows(path, Path(second) if second else None):
                found[parts_of(name)] += several
                asked[parts_of(name)].add(words)
        except (OSError, UnicodeDecodeError, json.JSONDecodeError, csv.Error) as error:
            raise DataError(f"{path} cannot be read ({error}).") from error
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError) as error:
            raise DataError(
                f"{path} is not written as a file of boxes is ({type(error).__name__}: {error}). docs/detectors.md shows how."
            ) from error
        every = [one.box for several in found.values() for one in several]
        if not every:
            raise DataError(f"{path} holds no boxes.")
        turned = sum(x2 <= x1 or y2 <= y1 for x1, y1, x2, y2 in every)
        if turned > TURNED * len(every):
            raise DataError(
                f"{path}: {turned:,} of {len(every):,} boxes end before they begin, as x, y, width and height do when they are read as "
                "corners. Write x1, y1, x2, y2."
            )
        shares = sum(all(-0.01 <= v <= 1.01 for v in box) for box in every)
        return cls(str(path), dict(found), dict(asked), shares >= MOST_SHARES * len(every))

    def detect(self, images: Sequence[Image.Image], expressions: Sequence[str]) -> list[Detections]:
        """The boxes of each picture, those of another expression left out. DataError where they cannot be of the picture."""
        return [self._detect(image, expression) for image, expression in zip(images, expressions, strict=True)]

    def _detect(self, image: Image.Image, expression: str) -> Detections:
        name = name_of(image)
        if name is None:
            raise DataError(f"The boxes in {self.path} are found by the picture's file name, and this picture has none. Give a file.")
        picture = self._of(name)
        if not {None, expression} & set(self.asked[picture]):
            raise DataError(
                f"{self.path} says nothing about “{expression}” in {parts_of(name)[-1]}. Write each expression as the data have it, also "
                "where nothing was found; a row without an expression is about all."
            )
        found = [f for f in self.found[picture] if f.expression is None or f.expression == expression]
        width, height = image.size if self.shares else (1, 1)
        boxes = [(f.box[0] * width, f.box[1] * height, f.box[2] * width, f.box[3] * height) for f in found]
        far = [
            b
            for b in boxes
            if b[2] > image.width * (1 + OUTSIDE) + 1 or b[3] > image.height * (1 + OUTSIDE) + 1 or min(b) < -OUTSIDE * max(image.size) - 1
        ]
        if len(far) > len(boxes) / 2:
            grid = (
                " They lie within 0 to 1,000: a grid, as some models write boxes; turn it into pixels."
                if max(map(max, far)) <= 1000
                else ""
            )
            raise DataError(
                f"{self.path}: {len(far)} of {len(boxes)} boxes of {name} lie outside it ({image.width} x {image.height} pixels).{grid}"
            )
        have = [f.score is not None for f in found]
        return detections(
            boxes, [f.label for f in found], [f.score if f.score is not None else float("nan") for f in found] if any(have) else None
        )

    def _of(self, name: str) -> tuple[str, ...]:
        """The picture whose name ends alike in most parts. DataError where there is none, or no telling."""
        own = parts_of(name)
        alike = {key: _same_end(key, own) for key in self.found}
        most = max(alike.values(), default=0)
        best = [key for key, n in alike.items() if n == most]
        if most == 0:
            raise DataError(
                f"{self.path} says nothing about {own[-1]}. Write each picture's file name as it is, also where it has no boxes."
            )
        if len(best) > 1:
            others = ", ".join("/".join(key) for key in sorted(best)[:3])
            raise DataError(f"{self.path} does not tell which picture {'/'.join(own[-2:])} is: it has {others}. Name the folders alike.")
        return best[0]


def parts_of(name: str) -> tuple[str, ...]:
    """The parts of a file's name by which it is known: with either slash, whatever the case and the form of accents."""
    parts = unicodedata.normalize("NFC", name).casefold().replace("\\", "/").split("/")
    return tuple(part for part in parts if part not in ("", "."))


def _same_end(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    """How many parts at the end are the same."""
    count = 0
    for one, other in zip(reversed(a), reversed(b), strict=False):
        if one != other:
            break
        count += 1
    return count


Row = tuple[str, list[Found], str | None]


def _rows(path: Path, names: Path | None) -> Iterator[Row]:
    """Pictures with their boxes, of which there may be none, and the expression that they were found for, None for any."""
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield from _sink(csv.DictReader(file))
        return
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".jsonl":
        for line in text.split("\n"):
            if line.strip():
                yield _line(json.loads(line))
        return
    data = json.loads(text)
    if isinstance(data, dict):
        yield from _coco(data["annotations"], data)
    elif data and "category_id" in data[0] and "image_id" in data[0]:
        if names is None:
            raise DataError(f"{path} holds COCO results, whose pictures and categories are numbers. Write file:{path.name},instances.json.")
        yield from _coco(data, json.loads(names.read_text(encoding="utf-8-sig")))
    else:
        yield from _sink(data)


def _found(box: Any, label: Any, score: Any, expression: str | None = None) -> Found:
    x1, y1, x2, y2 = (float(v) for v in box)
    if not isinstance(label, str | int) or not str(label).strip():
        raise ValueError(f"a label is text, not {label!r}")
    given = None if score in (None, "") else float(score)
    return Found((x1, y1, x2, y2), without_surrogates(str(label)), given, expression)


def _line(row: Mapping[str, Any]) -> Row:
    boxes, labels = row["boxes"], row["labels"]
    scores = row.get("scores") or [None] * len(boxes)
    try:
        asked = normalise(row["expression"]) if row.get("expression") else None
    except ExpressionError as error:
        raise ValueError(str(error)) from error
    return str(row["image"]), [_found(b, n, s, asked) for b, n, s in zip(boxes, labels, scores, strict=True)], asked


def _sink(rows: Any) -> Iterator[Row]:
    for row in rows:
        box = [row[key] for key in ("x_min", "y_min", "x_max", "y_max")]
        yield str(row["image"]), [_found(box, row["class_name"], row.get("confidence"))], None


def _coco(found: Any, names: Mapping[str, Any]) -> Iterator[Row]:
    files = {i["id"]: str(i["file_name"]) for i in names["images"]}
    labels = {c["id"]: str(c["name"]) for c in names["categories"]}
    yield from ((name, [], None) for name in files.values())
    for one in found:
        if one["image_id"] not in files or one["category_id"] not in labels:
            raise ValueError(f"the picture {one['image_id']} or the category {one['category_id']} is not among those that are named")
        x, y, w, h = (float(v) for v in one["bbox"])
        yield files[one["image_id"]], [_found((x, y, x + w, y + h), labels[one["category_id"]], one.get("score"))], None
