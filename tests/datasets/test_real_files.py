"""Files as people really have them: odd encodings, odd names, odd boxes; and one bad row costs that row."""

import io
import json
import pickle
import random
import struct
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from wrapper.datasets.archive import read_zip
from wrapper.datasets.base import picture_size
from wrapper.datasets.files import read_json, read_jsonl
from wrapper.datasets.hub import read_hub
from wrapper.datasets.refer import read_plain_pickle, read_refer
from wrapper.errors import DataError
from wrapper.images import load_image, open_picture

SIZE = (64, 48)


def png(size: tuple[int, int] = SIZE) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "gray").save(out, "PNG")
    return out.getvalue()


def row(**changes: Any) -> dict[str, Any]:
    return {"image": "a.png", "expression": "the cup", "bbox": [5, 5, 30, 30]} | changes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.png").write_bytes(png())
    return tmp_path


def write(folder: Path, data: bytes | str, name: str = "d.jsonl") -> Path:
    file = folder / name
    file.write_bytes(data if isinstance(data, bytes) else data.encode())
    return file


LINES = "\n".join(json.dumps(row(expression=t)) for t in ("the cup", "the book"))


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + LINES.encode(),
        LINES.encode("utf-16"),
        LINES.replace("\n", "\r\n").encode(),
        ("\n\n" + LINES + "\n \n").encode(),
        json.dumps([row(), row(expression="the book")], indent=2).encode(),
        b"\xef\xbb\xbf" + json.dumps([row(), row(expression="the book")], indent=4).replace("\n", "\r\n").encode(),
    ],
    ids=["byte order mark", "UTF-16", "CRLF", "blank lines", "a pretty list", "a pretty list from Windows"],
)
def test_ways_to_write_rows(folder: Path, data: bytes) -> None:
    assert [e.expression for e in read_jsonl(write(folder, data)).examples] == ["the cup", "the book"]


def test_separators_inside_strings_do_not_end_a_line(folder: Path) -> None:
    text = json.dumps(row(expression="the cup\u2028on\u0085the\u2029table\x0bthere"), ensure_ascii=False)
    assert [e.expression for e in read_jsonl(write(folder, text)).examples] == ["the cup on the table there"]


def test_ids_of_any_kind(folder: Path) -> None:
    rows = [row(id=None), row(id=3), row(), row(id="x"), row()]
    found = read_jsonl(write(folder, "\n".join(map(json.dumps, rows))))
    assert len(found.examples) == 5 and len({e.id for e in found.examples}) == 5
    assert [found.examples[i].id for i in (0, 1, 3)] == ["1", "3", "x"]


def test_a_file_that_is_no_utf_8_or_is_packed_says_so(folder: Path) -> None:
    with pytest.raises(DataError, match="is not UTF-8"):
        read_jsonl(write(folder, '{"expression": "café"}'.encode("latin-1")))
    for data in (b"PK\x03\x04....", b"\x1f\x8b...."):
        with pytest.raises(DataError, match="Unpack it first"):
            read_jsonl(write(folder, data))
        with pytest.raises(DataError, match="Unpack it first"):
            read_plain_pickle(write(folder, data, "refs(umd).p"))


BAD = {
    "a number of 400 digits": '{"image": "a.png", "expression": "x", "bbox": [0, 0, 1' + "0" * 400 + ", 5]}",
    "a number of 5000 digits": '{"image": "a.png", "expression": "x", "bbox": [0, 0, 1' + "0" * 5000 + ", 5]}",
    "infinity": '{"image": "a.png", "expression": "x", "bbox": [0, 0, Infinity, 5]}',
    "an overflow": '{"image": "a.png", "expression": "x", "bbox": [0, 0, 1e999, 5]}',
    "NUL in a path": json.dumps(row(image="a\0.png")),
    "half a character in a path": '{"image": "\\ud800.png", "expression": "x", "bbox": [0, 0, 9, 9]}',
    "a path too long": json.dumps(row(image="a" * 5000 + ".png")),
    "deep nesting": "[" * 100_000,
    "deep nesting in a row": '{"a": ' * 50_000,
    "a list": "[1, 2]",
    "no JSON": '{"image": ',
    "a folder": json.dumps(row(image=".")),
    "outside": json.dumps(row(image="../../etc/passwd")),
    "no words": json.dumps(row(expression="?!")),
    "a number for words": json.dumps(row(expression=5)),
    "an empty box": json.dumps(row(bbox=[])),
    "booleans": json.dumps(row(bbox=[False, False, True, True])),
    "a box as text": json.dumps(row(bbox="5, 5, 30, 30")),
}


@pytest.mark.parametrize("name", BAD)
def test_one_bad_row_costs_that_row(folder: Path, name: str) -> None:
    good = json.dumps(row())
    found = read_jsonl(write(folder, "\n".join([good, BAD[name], json.dumps(row(expression="the book"))])))
    assert [e.expression for e in found.examples] == ["the cup", "the book"]
    [skipped] = found.skipped
    assert skipped.where == "d.jsonl line 2" and skipped.why and "\n" not in skipped.why


def test_half_a_character_in_an_expression_does_no_harm(folder: Path) -> None:
    text = '{"image": "a.png", "expression": "the cup \\ud83e", "bbox": [5, 5, 30, 30]}'
    [example] = read_jsonl(write(folder, text)).examples
    example.expression.encode()


# ---- boxes


def many(boxes: list[list[float]], size: tuple[int, int], folder: Path) -> Path:
    (folder / "a.png").write_bytes(png(size))
    return write(folder, "\n".join(json.dumps(row(bbox=b)) for b in boxes))


def test_shares_of_the_picture_become_pixels_with_a_note(folder: Path) -> None:
    found = read_jsonl(many([[0.25, 0.5, 0.5, 1.0], [0, 0, 1, 1]], (200, 100), folder))
    assert [e.box for e in found.examples] == [(50, 50, 100, 100), (0, 0, 200, 100)]
    assert "taken for shares of the picture" in found.notes[0]


def test_corner_and_size_taken_for_two_corners_is_refused(folder: Path) -> None:
    boxes = [[100, 50, 30, 20], [20, 10, 60, 40], [150, 60, 40, 30], [90, 30, 100, 60]]
    with pytest.raises(DataError, match=r"2 of 4 boxes do not fit .* read as xyxy, and .* do as xywh"):
        read_jsonl(many(boxes, (200, 100), folder))


@pytest.mark.parametrize("shares", [True, False])
@pytest.mark.parametrize("form", ["xywh", "cxcywh"])
def test_boxes_of_another_form_are_refused_in_shares_as_in_pixels(folder: Path, form: str, shares: bool) -> None:
    rng, boxes = random.Random(form), list[list[float]]()
    for _ in range(20):
        w, h = rng.uniform(0.05, 0.4), rng.uniform(0.05, 0.4)
        x, y = rng.uniform(0, 1 - w), rng.uniform(0, 1 - h)
        box = [x, y, w, h] if form == "xywh" else [x + w / 2, y + h / 2, w, h]
        boxes.append(box if shares else [v * side for v, side in zip(box, (200, 100, 200, 100), strict=True)])
    with pytest.raises(DataError, match=rf"read as xyxy, and all or nearly all do as .*{form}"):
        read_jsonl(many(boxes, (200, 100), folder))


def test_two_corners_taken_for_corner_and_size_is_refused(tmp_path: Path) -> None:
    folder, pictures = refer_folder(tmp_path, [[400, 100, 600, 300], [10, 10, 300, 400], [320, 200, 630, 470]])
    with pytest.raises(DataError, match="nearly all do as xyxy"):
        read_refer(folder, "umd", "val", pictures)


def test_a_grid_of_a_thousand_is_refused(folder: Path) -> None:
    boxes = [[100.0 * i, 300, 100.0 * i + 90, 900] for i in range(9)]
    with pytest.raises(DataError, match="a grid, as some models"):
        read_jsonl(many(boxes, (640, 480), folder))
    wide = [[10.0 * i, 30, 10.0 * i + 90, 900] for i in range(25)]
    assert "If that is a grid" in read_jsonl(many(wide, (4000, 3000), folder)).notes[0]


def test_a_few_bad_boxes_are_only_left_out(folder: Path) -> None:
    boxes = [[5.0, 5, 60, 40]] * 30 + [[150, 60, 40, 30], [5, 5, 900, 900]]
    found = read_jsonl(many(boxes, (200, 100), folder))
    assert (len(found.examples), len(found.skipped)) == (30, 2)


# ---- refer


def refer_folder(tmp_path: Path, boxes: list[list[float]], said: tuple[int, int] = (640, 480)) -> tuple[Path, Path]:
    folder, pictures = tmp_path / "refcocog", tmp_path / "train2014"
    folder.mkdir()
    pictures.mkdir()
    (pictures / "COCO_train2014_000000000025.jpg").write_bytes(png((640, 480)))
    refs = [
        {"ref_id": i, "ann_id": i, "image_id": 25, "split": "val", "category_id": 1, "file_name": f"COCO_train2014_000000000025_{i}.jpg",
         "sentences": [{"sent_id": i, "raw": "the cup"}]}
        for i in range(len(boxes))
    ]  # fmt: skip
    (folder / "refs(umd).p").write_bytes(pickle.dumps(refs, protocol=0))
    coco = {
        "annotations": [{"id": i, "bbox": b} for i, b in enumerate(boxes)],
        "images": [{"id": 25, "width": said[0], "height": said[1]}],
        "categories": [{"id": 1, "name": "cup"}],
    }
    (folder / "instances.json").write_text(json.dumps(coco))
    return folder, pictures


def test_a_pickle_that_went_through_windows_is_read(tmp_path: Path) -> None:
    folder, pictures = refer_folder(tmp_path, [[5, 5, 20, 20]])
    file = folder / "refs(umd).p"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert len(read_refer(folder, "umd", "val", pictures).examples) == 1


def test_boxes_are_checked_against_the_picture_itself(tmp_path: Path) -> None:
    folder, pictures = refer_folder(tmp_path, [[5, 5, 20, 20]], said=(1280, 960))
    with pytest.raises(DataError, match=r"has 640 x 480 pixels, and instances\.json says 1280 x 960"):
        read_refer(folder, "umd", "val", pictures)


def test_pictures_that_are_still_packed_are_said_to_be(tmp_path: Path) -> None:
    folder, pictures = refer_folder(tmp_path, [[5, 5, 20, 20]])
    (pictures / "COCO_train2014_000000000025.jpg").unlink()
    with pytest.raises(DataError, match="is missing"):
        read_refer(folder, "umd", "val", pictures)
    (tmp_path / "train2014.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"is not unpacked; unpack .*train2014\.zip"):
        read_refer(folder, "umd", "val", pictures)
    with pytest.raises(DataError, match="there is no folder"):
        read_refer(folder, "umd", "val", tmp_path / "elsewhere")


# ---- the Hub


def test_one_undecodable_picture_of_a_parquet_costs_its_row(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    folder = tmp_path / "lmms-lab" / "RefCOCO"
    folder.mkdir(parents=True)
    pictures = [png(), b"not a picture", None, png()]
    table = {
        "question_id": ["a", None, "c", None], "image": [None if p is None else {"bytes": p, "path": None} for p in pictures],
        "answer": [["the cup"]] * 4, "bbox": [[5.0, 5.0, 20.0, 20.0]] * 4,
    }  # fmt: skip
    features = datasets.Features(
        {"question_id": datasets.Value("string"), "image": datasets.Image(decode=False), "answer": datasets.List(datasets.Value("string")),
         "bbox": datasets.List(datasets.Value("float64"))}
    )  # fmt: skip
    datasets.Dataset.from_dict(table, features=features).to_parquet(folder / "val-00000.parquet")
    found = read_hub(str(folder), "val")
    assert [e.id for e in found.examples] == ["a-0", "3-0"]
    assert ["cannot be read as an image" in found.skipped[0].why, "lacks image" in found.skipped[1].why] == [True, True]


# ---- zips


@pytest.mark.parametrize("utf8", [True, False])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_of_macos(tmp_path: Path, utf8: bool, form: str) -> None:
    name = unicodedata.normalize(form, "café.png")
    rows = json.dumps(row(image="café.png")).encode()
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as out:
        for member, data in (
            (name, png()),
            ("data.jsonl", rows),
            (f"__MACOSX/._{name}", b"?"),
            (f"._{name}", b"?"),
            ("._data.jsonl", b"?"),
        ):
            out.writestr(Named(member, utf8), data)
    with zipfile.ZipFile(path) as made:
        assert utf8 == any(i.flag_bits & 0x800 for i in made.infolist())
    out_folder = tmp_path / "out"
    out_folder.mkdir()
    assert len(read_zip(path, out_folder).examples) == 1


class Named(zipfile.ZipInfo):
    """A member with a name in UTF-8, said or unsaid."""

    def __init__(self, name: str, utf8: bool) -> None:
        super().__init__(name)
        self._utf8 = utf8

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:
        plain = self.filename.isascii()
        return self.filename.encode(), self.flag_bits | (0x800 if self._utf8 and not plain else 0)


def test_names_of_windows_powershell_and_names_with_colons(tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    rows = "\n".join(json.dumps(row(image=n)) for n in ("pics\\a.png", "pics/at 12:30.jfif"))
    with zipfile.ZipFile(path, "w") as out:
        for name, data in (("set\\pics\\a.png", png()), ("set\\data.jsonl", rows.encode()), ("set\\pics\\at 12:30.jfif", png())):
            info = zipfile.ZipInfo("x")
            info.filename = name
            out.writestr(info, data)
    folder = tmp_path / "out"
    folder.mkdir()
    found = read_zip(path, folder)
    assert len(found.examples) == 2 and not found.skipped


# ---- pictures


def exif(orientation: object) -> bytes:
    """EXIF with one orientation entry, of whatever type."""
    kind, count, value = {
        "text": (2, 2, b"6\0\0\0"), "two": (3, 2, struct.pack("<HH", 6, 6)), "nine": (3, 1, struct.pack("<HH", 9, 0)),
        "long": (4, 1, struct.pack("<I", 6)), "rational": (5, 1, struct.pack("<I", 9999)), "short": (3, 1, struct.pack("<HH", 6, 0)),
    }[str(orientation)]  # fmt: skip
    return b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHI", 0x112, kind, count) + value + b"\0\0\0\0"


@pytest.mark.filterwarnings("ignore:Truncated File Read:UserWarning")  # of this test's own Image.open
@pytest.mark.parametrize("kind", ["text", "two", "nine", "long", "rational", "short"])
def test_odd_orientations_do_not_stop_a_picture(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "a.jpg"
    Image.new("RGB", (60, 40)).save(file, exif=exif(kind))
    size = load_image(file).size
    assert kind not in ("long", "short") or size == (40, 60)
    assert picture_size(file) == size == picture_size(file.read_bytes())
    with Image.open(file) as opened:
        assert open_picture(opened).size == size


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["TIFF", "JPEG", "PNG", "WEBP"])
def test_the_size_of_a_turned_picture_is_that_of_its_pixels(tmp_path: Path, kind: str, orientation: int) -> None:
    data = Image.Exif()
    data[0x112] = orientation
    file = tmp_path / "a"
    Image.new("RGB", (60, 40)).save(file, kind, exif=data)
    size = load_image(file).size
    assert picture_size(file) == size == ((40, 60) if orientation >= 5 else (60, 40))


def test_json_that_is_nested_too_deeply_is_said(folder: Path) -> None:
    with pytest.raises(DataError, match="is not a JSON file"):
        read_json(write(folder, "[" * 100_000, "a.json"))


# ---- a few bad rows do not hide what the others are


def test_one_odd_share_does_not_make_the_others_pixels(folder: Path) -> None:
    shares = [[0.1, 0.1, 0.5, 0.9]] * 30
    for odd, left_out in (([0.2, 0.2, 1.0008, 0.9], 0), ([-0.001, 0.2, 0.9, 0.9], 0), ([10, 10, 50, 50], 1)):
        found = read_jsonl(many([*shares, odd], (640, 480), folder))
        assert found.examples[0].box == (64, 48, 320, 432) and found.notes
        assert len(found.skipped) == left_out and all("is no share of the picture" in s.why for s in found.skipped)


def test_one_bad_box_does_not_hide_a_wrong_format(folder: Path) -> None:
    xywh = [[300.0, 200, 30, 20], [20, 10, 60, 40], [350, 260, 40, 30], [190, 130, 100, 60]] * 5
    with pytest.raises(DataError, match="do as xywh"):
        read_jsonl(many([*xywh, [600, 10, 100, 30]], (640, 480), folder))
    grid = [[50.0 * i, 300, 50.0 * i + 90, 900] for i in range(18)]
    with pytest.raises(DataError, match="a grid, as some models"):
        read_jsonl(many([*grid, [10, 10, 1100, 1100]], (640, 480), folder))


@pytest.mark.parametrize("part", [{"id": "\ud800"}, {"category": "\ud800"}, {"bbox": "\ud800"}, {"expression": "\ud800"}])
def test_half_a_character_anywhere_is_harmless(folder: Path, part: dict[str, Any]) -> None:
    found = read_jsonl(write(folder, "\n".join([json.dumps(row()), json.dumps(row(expression="the book") | part)])))
    found.fingerprint()
    "".join(s.why + s.where for s in found.skipped).encode()
    assert len(found.examples) + len(found.skipped) == 2


def test_another_picture_in_the_same_place_is_other_data(folder: Path) -> None:
    data = read_jsonl(write(folder, json.dumps(row())))
    before = data.fingerprint()
    (folder / "a.png").write_bytes(png((128, 96)))
    assert data.fingerprint() != before


def test_one_annotation_without_a_box_costs_its_own_row(tmp_path: Path) -> None:
    folder, pictures = refer_folder(tmp_path, [[5, 5, 20, 20], [8, 8, 20, 20]])
    coco = json.loads((folder / "instances.json").read_text())
    del coco["annotations"][1]["bbox"]
    coco["images"][0] = {"id": 25, "width": "wide"}
    (folder / "instances.json").write_text(json.dumps(coco))
    found = read_refer(folder, "umd", "val", pictures)
    assert len(found.examples) == 1 and "not four numbers" in found.skipped[0].why


def test_a_hub_row_with_one_text_in_place_of_a_list(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    folder = tmp_path / "lmms-lab" / "RefCOCO"
    folder.mkdir(parents=True)
    image = [{"bytes": png(), "path": None}]
    features = datasets.Features(
        {"image": datasets.Image(decode=False), "answer": datasets.Value("string"), "bbox": datasets.List(datasets.Value("float64"))}
    )
    table = {"image": image, "answer": ["the cup"], "bbox": [[5.0, 5.0, 20.0, 20.0]]}
    datasets.Dataset.from_dict(table, features=features).to_parquet(folder / "val-0.parquet")
    assert [e.expression for e in read_hub(str(folder), "val").examples] == ["the cup"]
