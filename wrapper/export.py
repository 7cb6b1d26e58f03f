"""A selection as files that other tools read: COCO, YOLO, CSV. JSON is `wrapper.trace`, the picture `wrapper.draw`."""

import csv
import io
from typing import Any

from wrapper.candidates import Box, Selection

COLUMNS = ("index", "sources", "labels", "score", "probability", "x1", "y1", "x2", "y2", "picked")


def as_coco(selection: Selection, expression: str, size: tuple[int, int], file_name: str) -> dict[str, Any]:
    """A COCO detection data set of one image (https://cocodataset.org/#format-data).

    Boxes are x, y, width, height in pixels. Beside the format's own fields every annotation says who proposed it
    ("sources"), with which words ("labels"; the category is the first), and whether it is the one meant ("picked"); the image
    carries the expression.
    """
    names = sorted({c.label for c in selection.candidates})
    return {
        "images": [{"id": 1, "file_name": file_name, "width": size[0], "height": size[1], "expression": expression}],
        "categories": [{"id": i, "name": name} for i, name in enumerate(names, 1)],
        "annotations": [
            {
                "id": i + 1,
                "image_id": 1,
                "category_id": names.index(c.label) + 1,
                **coco_box(c.box),
                "sources": list(c.sources),
                "labels": list(c.labels),
                "picked": i == selection.index,
            }
            | ({} if c.score is None else {"score": c.score})
            for i, c in enumerate(selection.candidates)
        ],
    }


def as_yolo(selection: Selection, size: tuple[int, int]) -> str:
    """A YOLO label file: class 0 is the object meant, class 1 every other candidate; centre, width, height as shares."""
    return "".join(yolo_line(int(i != selection.index), c.box, size) for i, c in enumerate(selection.candidates))


def coco_box(box: Box) -> dict[str, Any]:
    """What a COCO annotation says of a box: corner and size in pixels, and its area."""
    x1, y1, x2, y2 = box
    return {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0}


def yolo_line(kind: int, box: Box, size: tuple[int, int]) -> str:
    """A line of a YOLO label file: the class's number, then centre, width and height as shares of the picture."""
    (x1, y1, x2, y2), (width, height) = box, size
    shares = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
    return " ".join([str(kind), *(f"{v:.6f}" for v in shares)]) + "\n"


def as_csv(selection: Selection) -> str:
    """A row a candidate, several proposers' names and labels with " / " between them, boxes as x1, y1, x2, y2 in pixels;
    cells that a spreadsheet would take for formulas are quoted."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    probabilities = selection.probabilities or (None,) * len(selection.candidates)
    for i, (c, p) in enumerate(zip(selection.candidates, probabilities, strict=True)):
        writer.writerow(
            [i, plain_cell(" / ".join(c.sources)), plain_cell(" / ".join(c.labels)), c.score, p, *c.box, int(i == selection.index)]
        )
    return out.getvalue()


def plain_cell(text: str) -> str:
    """Text that no spreadsheet runs as a formula (OWASP, CSV injection)."""
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
