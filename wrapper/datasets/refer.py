"""RefCOCO, RefCOCO+ and RefCOCOg as the refer API ships them: refs(SPLITTER).p, instances.json, and COCO's pictures.

The refs file is a pickle. It is read by an unpickler that builds lists, dicts, sets, strings and numbers and refuses
whatever else it names, so that opening one can run no code.
"""

import io
import pickle
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from wrapper.datasets.base import Collector, Dataset, PictureFile, picture_size
from wrapper.datasets.files import read_bytes, read_json
from wrapper.errors import DataError, in_a_line

SPLIT_SIZES: Mapping[tuple[str, str, str], int] = {
    ("refcocog", "umd", "train"): 80_512,
    ("refcocog", "umd", "val"): 4_896,
    ("refcocog", "umd", "test"): 9_602,
    ("refcoco", "unc", "train"): 120_624,
    ("refcoco", "unc", "val"): 10_834,
    ("refcoco", "unc", "testA"): 5_657,
    ("refcoco", "unc", "testB"): 5_095,
    ("refcoco+", "unc", "train"): 120_191,
    ("refcoco+", "unc", "val"): 10_758,
    ("refcoco+", "unc", "testA"): 5_726,
    ("refcoco+", "unc", "testB"): 4_889,
}
"""Published numbers of expressions (METHOD: Task). Splits are disjoint by picture in all of them."""
MAX_PICKLE = 500_000_000
PLAIN = {("builtins", n) for n in ("set", "frozenset")} | {("__builtin__", n) for n in ("set", "frozenset")}

BROKEN = (
    pickle.UnpicklingError, EOFError, ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, MemoryError,
    RecursionError, struct.error,
)  # fmt: skip
"""What unpickling raises for what is damaged or made to be."""


class PlainUnpickler(pickle._Unpickler):
    """Builds plain data and nothing else.

    Python's own unpickler and not C's, which is faster: told to remember something as its two-thousand-millionth, C's makes room for as
    many, tens of gigabytes for a file of a hundred bytes. Both make room for a bytearray before they see how long it is; no refs file
    has one.
    """

    dispatch: ClassVar = {code: load for code, load in pickle._Unpickler.dispatch.items() if code != pickle.BYTEARRAY8[0]}

    def find_class(self, module: str, name: str) -> Any:
        """The only way in which a pickle can reach code."""
        if (module, name) in PLAIN:
            return {"set": set, "frozenset": frozenset}[name]
        raise DataError(f"it names {module}.{name}, which plain data never does")


def read_plain_pickle(path: Path) -> Any:
    """Plain data out of a pickle; DataError for any other pickle and for what is none."""
    if not path.is_file():
        raise DataError(f"There is no file {path}. Check the folder and the splitter (unc, umd, google).")
    if path.stat().st_size > MAX_PICKLE:
        raise DataError(f"{path} has more than {MAX_PICKLE // 1_000_000} MB, more than any refs file. Check that it is the right one.")
    data = read_bytes(path)
    if not data.startswith(pickle.PROTO):  # a pickle in text, as the published ones are, may have been through Windows
        data = data.replace(b"\r\n", b"\n")
    try:
        return PlainUnpickler(io.BytesIO(data), encoding="utf-8").load()
    except DataError as error:
        raise DataError(f"{path} was not opened: {error}. Download it again from the refer project.") from error
    except BROKEN as error:
        raise DataError(f"{path} is damaged or no pickle ({in_a_line(error)}). Download it again.") from error


def read_refer(folder: Path, splitter: str, split: str, images: Path) -> Dataset:
    """One split of a folder such as refcocog/, which holds refs(umd).p and instances.json.

    images: the folder of COCO's train2014 pictures. Boxes are COCO's xywh. Every sentence of a ref is an example.
    """
    refs_file = folder / f"refs({splitter}).p"
    refs = read_plain_pickle(refs_file)
    coco = read_json(folder / "instances.json")
    try:
        boxes = {a.get("id"): a.get("bbox") for a in coco["annotations"]}
        sizes = {i.get("id"): (i.get("width"), i.get("height")) for i in coco["images"]}
        kinds = {c.get("id"): c.get("name") for c in coco["categories"]}
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{folder / 'instances.json'} lacks {error}. Give COCO's own file, as the refer project ships it.") from error
    if not isinstance(refs, list):
        raise DataError(f"{refs_file} is not a list of refs. Download it again from the refer project.")
    name = folder.name.lower()
    rows = Collector(f"{name} {splitter} {split}")
    known: set[str] = set()
    for number, ref in enumerate(refs):
        where = f"{refs_file.name} ref {number}"
        with rows.reading(where):
            known.add(str(_part(ref, "split")))
            if ref["split"] != split:
                continue
            file, stated = images / image_name(_part(ref, "file_name")), sizes.get(_part(ref, "image_id"))
            texts = [(_part(s, "sent_id"), s.get("raw") or s.get("sent")) for s in _part(ref, "sentences")]
            box, kind, size = boxes.get(_part(ref, "ann_id")), kinds.get(ref.get("category_id")), picture_size(file)
            if stated is not None and None not in stated and stated != size:
                raise DataError(f"its image {file} has {size[0]} x {size[1]} pixels, and instances.json says {stated[0]} x {stated[1]}")
            for sentence, text in texts:
                rows.add(f"{where}, sentence {sentence}", PictureFile(file), size, text, box, "xywh", str(sentence), kind)
    if split not in known:
        raise DataError(f"{refs_file.name} has no split {split!r}; it has {', '.join(sorted(known)) or 'none'}.")
    return rows.done(SPLIT_SIZES.get((name, splitter, split)))


def _part(data: Any, name: str) -> Any:
    """What a ref or a sentence must have; DataError names it where it is not there."""
    if not isinstance(data, dict) or name not in data:
        raise DataError(f"it lacks {name!r}")
    return data[name]


def image_name(file_name: str) -> str:
    """COCO_train2014_000000000025_598548.jpg -> COCO_train2014_000000000025.jpg: refs add the object's id."""
    return re.sub(r"^(COCO_[a-z]+\d{4}_\d{12})_\d+(\.\w+)$", r"\1\2", Path(file_name).name)
