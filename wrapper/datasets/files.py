"""Data sets in JSON files: ours (JSONL) and Talk2Car's."""

import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wrapper.datasets.base import Collector, Dataset, PictureFile, picture_size
from wrapper.errors import DataError

TALK2CAR_SIZES = {"train": 8_348, "val": 1_163, "test": 2_447}
"""Published numbers of commands a split (METHOD: Task)."""


PACKED = {b"PK\x03\x04": "a zip archive", b"\x1f\x8b": "a gzip archive"}
"""How packed files begin."""
WIDE = (b"\xff\xfe", b"\xfe\xff")
"""How UTF-16 begins, in which Windows PowerShell writes."""


def read_bytes(path: Path) -> bytes:
    """A file; DataError where it cannot be read or is still packed."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}. Check the path.") from error
    except IsADirectoryError as error:
        raise DataError(f"{path} is a folder. Name a file in it.") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}). Check its name and permissions.") from error
    for magic, what in PACKED.items():
        if data.startswith(magic):
            raise DataError(f"{path} is {what}. Unpack it first.")
    return data


def read_text(path: Path) -> str:
    """A text file, UTF-8 with or without a byte order mark, or UTF-16 with one; DataError where it cannot be read."""
    data = read_bytes(path)
    try:
        return data.decode("utf-16" if data.startswith(WIDE) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 ({error.reason} at byte {error.start:,}). Save it as UTF-8.") from error


def read_json(path: Path) -> Any:
    """A JSON file; DataError where it is none."""
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not a JSON file ({error}). Download or write it again.") from error


class Pictures:
    """The pictures in a folder that rows name; each is looked for and opened once, however many rows are about it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._found: dict[str, tuple[PictureFile, tuple[int, int]] | DataError] = {}

    def find(self, name: str) -> tuple[PictureFile, tuple[int, int]]:
        """The picture of a name with its (width, height); DataError where there is none, or it leads out of the folder."""
        if name not in self._found:
            try:
                file = inside(self.root, name)
                self._found[name] = PictureFile(file), picture_size(file)
            except DataError as error:
                self._found[name] = error
        found = self._found[name]
        if isinstance(found, DataError):
            raise DataError(str(found))
        return found


def read_jsonl(path: Path, most: int | None = None) -> Dataset:
    """Lines of {"image", "expression", "bbox": [x1, y1, x2, y2], "category", "id"}; the last two may be missing. A JSON list of
    such rows will do as well.

    Images are paths from the file's own folder, and may not lead out of it. This is what `wrapper scenes` writes. most: how many good rows
    are wanted; those behind them are not looked at.
    """
    rows, pictures = Collector(path.name), Pictures(path.parent.resolve())
    found: list[tuple[str, int, dict[str, Any]]] = []
    for where, number, text in _written_rows(path):
        with rows.reading(where):
            data = _json_row(text)
            if not isinstance(data, dict) or not isinstance(data.get("image"), str):
                raise DataError('it has no "image"')
            found.append((where, number, data))
    given = {str(data["id"]) for _, _, data in found if data.get("id") is not None}
    for where, number, data in found:
        if rows.good == most:
            break
        with rows.reading(where):
            picture, size = pictures.find(data["image"])
            own = data.get("id")
            name = str(own) if own is not None else str(number) if str(number) not in given else where
            box, category = data.get("bbox"), data.get("category")
            rows.add(where, picture, size, data.get("expression"), box, "xyxy", name, category)
    return rows.done()


def _written_rows(path: Path) -> Iterator[tuple[str, int, Any]]:
    """Where each row stands, its number from 1 on, and its text, or what it holds where the file is one list."""
    text = read_text(path)
    if text.lstrip().startswith("["):
        listed = read_json(path)
        yield from ((f"{path.name} row {number}", number, row) for number, row in enumerate(listed, 1))
        return
    for number, line in enumerate(text.split("\n"), 1):  # not splitlines: strings may hold U+2028 and the like
        if line.strip():
            yield f"{path.name} line {number}", number, line


def _json_row(row: Any) -> Any:
    if not isinstance(row, str):
        return row
    try:
        return json.loads(row)
    except RecursionError as error:
        raise DataError("it is nested too deeply") from error
    except ValueError as error:
        raise DataError("it is not valid JSON; perhaps the file was cut") from error


def inside(root: Path, name: str) -> Path:
    """The file of a name in a folder; DataError where the name leads out of it. A name may be written as Windows does, and its
    accents composed or not, as macOS does."""
    forms = dict.fromkeys(unicodedata.normalize(form, text) for text in (name, name.replace("\\", "/")) for form in ("NFC", "NFD"))
    files = [(root / text).resolve() for text in (name, *forms)]
    if any(not file.is_relative_to(root) for file in files):
        raise DataError(f"its image {name} lies outside {root.name}")
    return next((file for file in files if file.is_file()), files[0])


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
        with rows.reading(where):
            if not isinstance(command, dict) or not isinstance(command.get("t2c_img"), str):
                raise DataError('it has no "t2c_img"')
            file = images / Path(command["t2c_img"]).name
            token = str(command.get("command_token", number))
            text, box, kind = command.get("command"), command.get("2d_box"), command.get("obj_name")
            rows.add(where, PictureFile(file), picture_size(file), text, box, "xywh", token, kind)
    split = next((s for s in TALK2CAR_SIZES if s in path.stem), None)
    return rows.done(TALK2CAR_SIZES.get(split or ""))
