"""Data sets in JSON files: ours (JSONL) and Talk2Car's."""

import json
from pathlib import Path
from typing import Any

from wrapper.datasets.base import Collector, Dataset, PictureFile, picture_size
from wrapper.errors import DataError

TALK2CAR_SIZES = {"train": 8_348, "val": 1_163, "test": 2_447}
"""Published numbers of commands a split (METHOD: Task)."""


def read_text(path: Path) -> str:
    """A text file, UTF-8; DataError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}. Check the path.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text ({error}). Check that it is the right file.") from error


def read_json(path: Path) -> Any:
    """A JSON file; DataError where it is none."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path} is not a JSON file ({error}). Download or write it again.") from error


def read_jsonl(path: Path) -> Dataset:
    """Lines of {"image", "expression", "bbox": [x1, y1, x2, y2], "category", "id"}; the last two may be missing.

    Images are paths from the file's own folder, and may not lead out of it. This is what `wrapper scenes` writes.
    """
    rows, root = Collector(path.name), path.parent.resolve()
    for number, line in enumerate(read_text(path).splitlines(), 1):
        where = f"{path.name} line {number}"
        if not line.strip():
            continue
        try:
            data = json.loads(line)
        except json.JSONDecodeError:
            rows.skip(where, "it is not valid JSON; perhaps the file was cut")
            continue
        if not isinstance(data, dict) or not isinstance(data.get("image"), str):
            rows.skip(where, 'it has no "image"')
            continue
        file = (root / data["image"]).resolve()
        try:
            if not file.is_relative_to(root):
                raise DataError(f"its image {data['image']} lies outside {path.parent}")
            size = picture_size(file)
        except DataError as error:
            rows.skip(where, str(error))
            continue
        rows.add(
            where,
            PictureFile(file),
            size,
            data.get("expression"),
            data.get("bbox"),
            "xyxy",
            str(data.get("id", number)),
            data.get("category"),
        )
    return rows.done()


def read_talk2car(path: Path, images: Path) -> Dataset:
    """Talk2Car's {split}_commands.json: {"commands": [{"command", "2d_box" (xywh), "t2c_img", "command_token"}]}.

    Written from the published format; the real files were not at hand. images: the folder of the frames.
    """
    rows = Collector(path.name)
    data = read_json(path)
    commands = data.get("commands") if isinstance(data, dict) else None
    if not isinstance(commands, list):
        raise DataError(f'{path} has no list "commands". Give one of Talk2Car\'s command files.')
    for number, command in enumerate(commands):
        where = f"{path.name} command {number}"
        if not isinstance(command, dict) or not isinstance(command.get("t2c_img"), str):
            rows.skip(where, 'it has no "t2c_img"')
            continue
        file = images / Path(command["t2c_img"]).name
        try:
            size = picture_size(file)
        except DataError as error:
            rows.skip(where, str(error))
            continue
        token = str(command.get("command_token", number))
        rows.add(where, PictureFile(file), size, command.get("command"), command.get("2d_box"), "xywh", token, command.get("obj_name"))
    split = next((s for s in TALK2CAR_SIZES if s in path.stem), None)
    return rows.done(TALK2CAR_SIZES.get(split or ""))
