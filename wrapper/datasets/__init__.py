"""Data sets of referring expressions. `read` opens any of them by a short name or a path."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

from wrapper.datasets.base import Dataset, Example, PictureSource, Skipped, counted, summary
from wrapper.datasets.files import read_jsonl, read_talk2car
from wrapper.datasets.hub import read_hub
from wrapper.datasets.refer import read_refer
from wrapper.datasets.refscenes import read_refscenes
from wrapper.errors import DataError
from wrapper.scenes.dataset import BENCHMARK_SEED
from wrapper.scenes.layout import Split

__all__ = ["Dataset", "Example", "PictureSource", "Skipped", "counted", "read", "summary"]

HELP = (
    "refscenes:SPLIT:N[:SEED]; a .jsonl or .json file; refer:FOLDER:SPLITTER:SPLIT (RefCOCO/+/g as the refer API ships them, "
    "with --images); hub:OWNER/NAME:SPLIT (jxu124/*, lmms-lab/*); talk2car:FILE (with --images)."
)


def read(name: str, images: Path | None = None, limit: int | None = None) -> Dataset:
    """The data set of a name.

    name: see HELP. images: the folder of pictures, for data that only names them. limit: only the first so many examples. Raises
    DataError where the name or the data cannot be used; rows that cannot be used are listed in the result.
    """
    data = _read(name, images)
    if limit is None or limit >= len(data.examples):
        return data
    return replace(data, name=f"{data.name}, the first {limit:,}", examples=data.examples[:limit])


def _read(name: str, images: Path | None) -> Dataset:
    kind, _, rest = name.partition(":")
    parts = rest.split(":")
    if kind == "refscenes":
        return _refscenes(name, parts)
    if kind == "refer" and len(parts) >= 3:  # the folder's own name may have a colon: C:\data
        folder, partition, split = rest.rsplit(":", 2)
        return read_refer(Path(folder), partition, split, _needed(images, name))
    if kind == "hub" and len(parts) == 2:
        return read_hub(parts[0], parts[1], images)
    if kind == "talk2car" and rest:
        return read_talk2car(Path(rest), _needed(images, name))
    if name.lower().endswith((".jsonl", ".json")):
        return read_jsonl(Path(name))
    raise DataError(f"There is no data set {name!r}. Give one of: {HELP}")


def _needed(images: Path | None, name: str) -> Path:
    if images is None:
        raise DataError(f"{name} only names its pictures. Say where they lie with --images.")
    return images


def _refscenes(name: str, parts: list[str]) -> Dataset:
    split = parts[0]
    if (
        split not in get_args(Split)
        or len(parts) not in (2, 3)
        or not all(p.isdecimal() and p.isascii() for p in parts[1:])
        or int(parts[1]) < 1
    ):
        raise DataError(
            f"{name!r} is no part of RefScenes. Write refscenes:SPLIT:N or refscenes:SPLIT:N:SEED, such as refscenes:test:1000."
        )
    return read_refscenes(split, int(parts[1]), int(parts[2]) if len(parts) == 3 else BENCHMARK_SEED)  # type: ignore[arg-type]
