"""The RefCOCO family as data sets of the Hugging Face Hub, or as parquet files downloaded from there.

Two uploads are in common use, and their boxes differ: `jxu124/refcoco*` has x1, y1, x2, y2 and only names its pictures;
`lmms-lab/RefCOCO*` has x, y, width, height and carries them.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from wrapper.datasets.base import BoxFormat, Collector, Dataset, PictureFile, PictureSource, picture_size
from wrapper.datasets.refer import SPLIT_SIZES, image_name
from wrapper.errors import DataError
from wrapper.images import load_image


@dataclass(frozen=True)
class Format:
    """How one upload is laid out. image: the column of the picture or of its path; expressions: a list of texts, or of
    {"raw"}; id: what identifies a row."""

    box: BoxFormat
    image: str
    expressions: str
    id: str


FORMATS = {
    "jxu124": Format("xyxy", "image_path", "sentences", "ref_id"),
    "lmms-lab": Format("xywh", "image", "answer", "question_id"),
}
"""By the owner of the upload."""
SPLITTERS = {"jxu124/refcoco": ("refcoco", "unc"), "jxu124/refcocoplus": ("refcoco+", "unc"), "jxu124/refcocog": ("refcocog", "umd")}
"""Data set and splitter of the uploads whose splits are the published ones; lmms-lab's RefCOCOg val mixes two splitters'."""
ONE_TEST = {"validation": "val"}
TWO_TESTS = {"validation": "val", "test": "testA"}
"""What the published splits are called there."""


@dataclass(frozen=True)
class PictureBytes:
    """A picture carried by a row of a data set."""

    data: bytes

    @property
    def key(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def mark(self) -> str:
        return self.key

    def open(self) -> Image.Image:
        return load_image(self.data)


def read_hub(source: str, split: str, images: Path | None = None) -> Dataset:
    """A split of `owner/name` from the Hub, or of a folder owner/name with parquet files.

    images: the folder of COCO's train2014 pictures, for uploads that only name them.
    """
    owner = Path(source).parent.name
    if owner not in FORMATS:
        raise DataError(f"The layout of {source} is not known. Data sets of {' and '.join(FORMATS)} can be read; or write JSONL.")
    form = FORMATS[owner]
    rows = Collector(f"{source} {split}")
    for number, row in enumerate(_load(source, split)):
        where = f"{source} {split} row {number}"
        with rows.reading(where):
            missing = [name for name in (form.image, form.expressions) if row.get(name) is None]
            if missing:
                raise DataError(f"it lacks {' and '.join(missing)}")
            picture, size = _picture(row[form.image], images)
            said = row[form.expressions]
            texts = [t if isinstance(t, str) else t["raw"] for t in ([said] if isinstance(said, str) else said)]
            own = row.get(form.id)
            identity = str(number if own is None else own)
            for i, text in enumerate(texts):
                rows.add(where, picture, size, text, row.get("bbox"), form.box, f"{identity}-{i}", None)
    return rows.done(published(f"{owner}/{Path(source).name}", split))


def published(name: str, split: str) -> int | None:
    """How many expressions a split has as published; None where it is not one of the published splits."""
    data, splitter = SPLITTERS.get(name, ("", ""))
    names = TWO_TESTS if splitter == "unc" else ONE_TEST
    return SPLIT_SIZES.get((data, splitter, names.get(split, split)))


def _load(source: str, split: str) -> Iterator[dict[str, Any]]:
    from datasets import Image as ImageColumn
    from datasets import load_dataset
    from datasets.exceptions import DatasetGenerationError

    try:
        if Path(source).is_dir():
            files = sorted(str(p) for p in Path(source).rglob(f"{split}-*.parquet"))
            if not files:
                raise DataError(f"{source} has no {split}-*.parquet. Check the folder and the split.")
            data = load_dataset("parquet", data_files={split: files}, split=split)
        else:
            data = load_dataset(source, split=split)
    except (OSError, ValueError, DatasetGenerationError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(f"{source} could not be read ({reason}). Check the name, the split and the connection.") from error
    for name, kind in data.features.items():
        if isinstance(kind, ImageColumn):
            data = data.cast_column(name, ImageColumn(decode=False))  # our own decoder opens pictures
    yield from data


def _picture(value: Any, images: Path | None) -> tuple[PictureSource, tuple[int, int]]:
    if isinstance(value, dict) and value.get("bytes"):
        return PictureBytes(value["bytes"]), picture_size(value["bytes"])
    if images is None:
        raise DataError("it only names its picture; say where COCO's train2014 pictures lie with --images")
    path = value["path"] if isinstance(value, dict) else value
    file = images / image_name(str(path))
    return PictureFile(file), picture_size(file)
