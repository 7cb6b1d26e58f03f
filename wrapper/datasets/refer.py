"""RefCOCO, RefCOCO+ and RefCOCOg as the refer API ships them: refs(SPLITTER).p, instances.json, and COCO's pictures.

The refs file is a pickle. It is read by an unpickler that builds lists, dicts, sets, strings and numbers and refuses
whatever else it names, so that opening one can run no code.
"""

import io
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wrapper.datasets.base import Collector, Dataset, PictureFile
from wrapper.datasets.files import read_json
from wrapper.errors import DataError

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


class PlainUnpickler(pickle.Unpickler):
    """Builds plain data and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """The only way in which a pickle can reach code."""
        if (module, name) in PLAIN:
            return {"set": set, "frozenset": frozenset}[name]
        raise DataError(f"it names {module}.{name}, which plain data never does")


def read_plain_pickle(path: Path) -> Any:
    """Plain data out of a pickle; DataError for any other pickle and for what is none."""
    try:
        if path.stat().st_size > MAX_PICKLE:
            raise DataError(f"{path} has more than {MAX_PICKLE // 1_000_000} MB, more than any refs file. Check that it is the right one.")
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}. Check the folder and the splitter (unc, umd, google).") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}). Check its permissions.") from error
    try:
        return PlainUnpickler(io.BytesIO(data), encoding="utf-8").load()
    except DataError as error:
        raise DataError(f"{path} was not opened: {error}. Download it again from the refer project.") from error
    except (
        pickle.UnpicklingError,
        EOFError,
        ValueError,
        TypeError,
        IndexError,
        KeyError,
        AttributeError,
        OverflowError,
        MemoryError,
    ) as error:
        raise DataError(f"{path} is damaged or no pickle ({error}). Download it again.") from error


def read_refer(folder: Path, splitter: str, split: str, images: Path) -> Dataset:
    """One split of a folder such as refcocog/, which holds refs(umd).p and instances.json.

    images: the folder of COCO's train2014 pictures. Boxes are COCO's xywh. Every sentence of a ref is an example.
    """
    refs_file = folder / f"refs({splitter}).p"
    refs = read_plain_pickle(refs_file)
    coco = read_json(folder / "instances.json")
    try:
        boxes = {a["id"]: a["bbox"] for a in coco["annotations"]}
        sizes = {i["id"]: (int(i["width"]), int(i["height"])) for i in coco["images"]}
        kinds = {c["id"]: c["name"] for c in coco["categories"]}
    except (KeyError, TypeError) as error:
        raise DataError(f"{folder / 'instances.json'} lacks {error}. Give COCO's own file, as the refer project ships it.") from error
    if not isinstance(refs, list):
        raise DataError(f"{refs_file} is not a list of refs. Download it again from the refer project.")
    name = folder.name.lower()
    rows = Collector(f"{name} {splitter} {split}")
    known: set[str] = set()
    for number, ref in enumerate(refs):
        where = f"{refs_file.name} ref {number}"
        try:
            known.add(str(ref["split"]))
            if ref["split"] != split:
                continue
            file = images / image_name(ref["file_name"])
            box, size, sentences = boxes.get(ref["ann_id"]), sizes.get(ref["image_id"]), ref["sentences"]
            texts = [(s["sent_id"], s.get("raw") or s.get("sent")) for s in sentences]
        except (KeyError, TypeError, AttributeError) as error:
            rows.skip(where, f"it lacks {error}")
            continue
        if size is None or not file.is_file():
            rows.skip(where, f"its image {file} is missing")
            continue
        for sentence, text in texts:
            rows.add(
                f"{where}, sentence {sentence}",
                PictureFile(file),
                size,
                text,
                box,
                "xywh",
                str(sentence),
                kinds.get(ref.get("category_id")),
            )
    if split not in known:
        raise DataError(f"{refs_file.name} has no split {split!r}; it has {', '.join(sorted(known)) or 'none'}.")
    return rows.done(SPLIT_SIZES.get((name, splitter, split)))


def image_name(file_name: str) -> str:
    """COCO_train2014_000000000025_598548.jpg -> COCO_train2014_000000000025.jpg: refs add the object's id."""
    return re.sub(r"^(COCO_[a-z]+\d{4}_\d{12})_\d+(\.\w+)$", r"\1\2", Path(file_name).name)
