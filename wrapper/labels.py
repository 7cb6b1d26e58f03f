"""Boxes that people have looked at, one a picture and expression, as files that other tools read."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from wrapper.candidates import Box
from wrapper.export import coco_box, yolo_line


@dataclass(frozen=True)
class Label:
    """picture: its file's name; size: (width, height) in pixels; box: what the expression means there, None where it is nothing; checked:
    whether a person has looked at it; score: the LLM's probability, None where there is none."""

    picture: str
    size: tuple[int, int]
    expression: str
    box: Box | None
    checked: bool
    score: float | None = None


def as_jsonl(labels: Sequence[Label]) -> str:
    """A data set as `wrapper propose --data` reads it. Rows without a box are left out: it has no way to say that nothing is meant."""
    rows = [{"image": x.picture, "expression": x.expression, "bbox": list(x.box)} for x in labels if x.box is not None]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def as_coco(labels: Sequence[Label]) -> dict[str, Any]:
    """A COCO detection data set (https://cocodataset.org/#format-data), with a category an expression. A picture in which nothing is meant
    has no annotation."""
    sizes = {x.picture: x.size for x in labels}
    pictures, names = list(sizes), _expressions(labels)
    found = [x for x in labels if x.box is not None]
    return {
        "info": {"description": "Boxes of referring expressions, checked by a person"},
        "images": [{"id": i, "file_name": name, "width": sizes[name][0], "height": sizes[name][1]} for i, name in enumerate(pictures, 1)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(names, 1)],
        "annotations": [
            {"id": i, "image_id": pictures.index(x.picture) + 1, "category_id": names.index(x.expression) + 1, **coco_box(x.box)}
            for i, x in enumerate(found, 1) if x.box is not None
        ],
    }  # fmt: skip


def as_yolo(labels: Sequence[Label]) -> dict[str, str]:
    """A YOLO data set's files by name: data.yaml, and labels/NAME.txt for each picture, which belongs in images/
    (https://docs.ultralytics.com/datasets/detect). A class an expression; the file is empty where nothing is meant. Of pictures whose names
    differ in their endings only, which YOLO cannot tell apart, the later ones' labels get a number, and so must they."""
    names = _expressions(labels)
    files = {x.picture: "" for x in labels}
    for x in labels:
        if x.box is not None:
            files[x.picture] += yolo_line(names.index(x.expression), x.box, x.size)
    listed = "".join(f"  {i}: {json.dumps(name, ensure_ascii=False)}\n" for i, name in enumerate(names))
    written = {f"labels/{stem}.txt": text for stem, text in zip(_stems(list(files)), files.values(), strict=True)}
    return {"data.yaml": f"path: .\ntrain: images\nval: images\nnames:\n{listed}"} | written


def as_label_studio(labels: Sequence[Label]) -> list[dict[str, Any]]:
    """Label Studio's tasks (https://labelstud.io/guide/tasks): what was checked as annotations, the rest as predictions. The pictures are
    looked for where local files are served."""
    return [_task(i, x) for i, x in enumerate(labels, 1)]


def label_studio_config(labels: Sequence[Label]) -> str:
    """The labelling interface that belongs to `as_label_studio`."""
    names = "".join(f"    <Label value={quoteattr(name)}/>\n" for name in _expressions(labels))
    return (
        '<View>\n  <Text name="words" value="$expression"/>\n  <Image name="image" value="$image" zoom="true"/>\n'
        f'  <RectangleLabels name="box" toName="image">\n{names}  </RectangleLabels>\n</View>\n'
    )


def _task(i: int, x: Label) -> dict[str, Any]:
    result = [] if x.box is None else [_rectangle(x, x.box)]
    data = {"image": f"/data/local-files/?d={quote(x.picture)}", "expression": x.expression}
    if x.checked:
        return {"id": i, "data": data, "annotations": [{"id": i, "result": result}]}
    return {"id": i, "data": data, "predictions": [{"id": i, "model_version": "llm-wrapper", "score": x.score or 0.0, "result": result}]}


def _rectangle(x: Label, box: Box) -> dict[str, Any]:
    """A rectangle; its numbers are percents of the picture."""
    (x1, y1, x2, y2), (width, height) = box, x.size
    value = {
        "x": 100 * x1 / width, "y": 100 * y1 / height, "width": 100 * (x2 - x1) / width, "height": 100 * (y2 - y1) / height,
        "rotation": 0, "rectanglelabels": [x.expression],
    }  # fmt: skip
    return {
        "id": "box0", "from_name": "box", "to_name": "image", "type": "rectanglelabels", "value": value,
        "original_width": width, "original_height": height, "image_rotation": 0,
    }  # fmt: skip


def _stems(names: Sequence[str]) -> list[str]:
    """Names without their endings, each once."""
    found: list[str] = []
    for name in names:
        stem, number = name.rsplit(".", 1)[0] or name, 1
        own = stem
        while own in found:
            number += 1
            own = f"{stem}-{number}"
        found.append(own)
    return found


def _expressions(labels: Sequence[Label]) -> list[str]:
    return sorted({x.expression for x in labels})
