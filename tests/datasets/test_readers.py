"""Readers give checked examples, and name every row they leave out."""

import json
import pickle
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from wrapper import datasets
from wrapper.datasets.base import checked_box, picture_size, summary
from wrapper.datasets.files import read_jsonl, read_talk2car
from wrapper.datasets.hub import published, read_hub
from wrapper.datasets.refer import SPLIT_SIZES, image_name, read_plain_pickle, read_refer
from wrapper.errors import DataError
from wrapper.scenes.dataset import BENCHMARK_SEED, write


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "train2014"
    folder.mkdir()
    for number in (25, 26):
        Image.new("RGB", (640, 480), "gray").save(folder / f"COCO_train2014_{number:012d}.jpg")
    return folder


def refs(**changes: Any) -> list[dict[str, Any]]:
    one = {
        "ref_id": 1, "ann_id": 598548, "image_id": 25, "split": "val", "category_id": 25, "sent_ids": [10, 11],
        "file_name": "COCO_train2014_000000000025_598548.jpg",
        "sentences": [
            {"sent_id": 10, "raw": "the tall giraffe", "sent": "the tall giraffe", "tokens": ["the", "tall", "giraffe"]},
            {"sent_id": 11, "raw": "giraffe on the left", "sent": "giraffe on the left", "tokens": []},
        ],
    }  # fmt: skip
    return [one | changes]


def refer_folder(tmp_path: Path, rows: list[dict[str, Any]], protocol: int = 2) -> Path:
    folder = tmp_path / "refcocog"
    folder.mkdir()
    (folder / "refs(umd).p").write_bytes(pickle.dumps(rows, protocol=protocol))
    coco = {
        "annotations": [{"id": 598548, "bbox": [383.0, 31.0, 181.0, 368.0]}],
        "images": [{"id": 25, "width": 640, "height": 480}, {"id": 99, "width": 640, "height": 480}],
        "categories": [{"id": 25, "name": "giraffe"}],
    }
    (folder / "instances.json").write_text(json.dumps(coco))
    return folder


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_refer_boxes_become_corners_and_every_sentence_an_example(tmp_path: Path, pictures: Path, protocol: int) -> None:
    data = read_refer(refer_folder(tmp_path, refs(), protocol), "umd", "val", pictures)
    assert [e.expression for e in data.examples] == ["the tall giraffe", "giraffe on the left"]
    assert data.examples[0].box == (383.0, 31.0, 564.0, 399.0)
    assert {e.category for e in data.examples} == {"giraffe"}
    assert [e.id for e in data.examples] == ["10", "11"]
    assert data.examples[0].image.open().size == (640, 480)
    assert data.notes == ["refcocog umd val: 2 expressions were read, 4,896 are published for this split; 0 rows were left out."]


def test_published_sizes_are_those_of_the_facts() -> None:
    assert sum(n for (name, _, _), n in SPLIT_SIZES.items() if name == "refcocog") == 80_512 + 4_896 + 9_602


def test_a_pickle_that_names_code_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Bad:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (marker,)

    file = tmp_path / "refs(umd).p"
    file.write_bytes(pickle.dumps([Bad()]))
    with pytest.raises(DataError, match="was not opened: it names"):
        read_plain_pickle(file)
    assert not marker.exists()


def test_a_small_pickle_takes_no_large_room(tmp_path: Path) -> None:
    """It may say that it remembers its two-thousand-millionth thing, or begins a bytearray of gigabytes."""
    file = tmp_path / "refs(umd).p"
    file.write_bytes(b"\x80\x02]r\xff\xff\xff\x7f.")
    began = time.perf_counter()
    assert read_plain_pickle(file) == []
    file.write_bytes(b"\x80\x05\x96" + (2**36).to_bytes(8, "little") + b"x.")
    with pytest.raises(DataError, match="damaged or no pickle"):
        read_plain_pickle(file)
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize("data", [b"", b"\x80\x04", b"not a pickle", pickle.dumps([1, 2, 3])[:-3]])
def test_a_damaged_pickle_is_one_sentence(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "refs(umd).p"
    file.write_bytes(data)
    with pytest.raises(DataError, match="damaged or no pickle"):
        read_plain_pickle(file)


def test_plain_data_with_sets_is_read(tmp_path: Path) -> None:
    file = tmp_path / "x.p"
    file.write_bytes(pickle.dumps({"a": {1, 2}, "b": [1.5, "é", None, True]}, protocol=2))
    assert read_plain_pickle(file) == {"a": {1, 2}, "b": [1.5, "é", None, True]}


def test_refer_names_what_it_leaves_out(tmp_path: Path, pictures: Path) -> None:
    rows = refs() + refs(image_id=99, file_name="COCO_train2014_000000000099_1.jpg") + refs(sentences=None) + refs(ann_id=5)
    data = read_refer(refer_folder(tmp_path, rows), "umd", "val", pictures)
    assert len(data.examples) == 2
    why = " ".join(s.why for s in data.skipped)
    assert "is missing" in why and "not four numbers" in why and len(data.skipped) == 4
    with pytest.raises(DataError, match="no split 'testA'; it has val"):
        read_refer(tmp_path / "refcocog", "umd", "testA", pictures)


def test_the_object_is_stripped_from_image_names() -> None:
    assert image_name("COCO_train2014_000000000025_598548.jpg") == "COCO_train2014_000000000025.jpg"
    assert image_name("COCO_train2014_000000000025.jpg") == "COCO_train2014_000000000025.jpg"


def test_jsonl_as_written_by_scenes_is_read_back(tmp_path: Path) -> None:
    scenes = list(write("val", 3, 5, tmp_path))
    data = read_jsonl(tmp_path / "data.jsonl")
    assert [e.box for e in data.examples] == [s.box for s in scenes]
    assert [e.category for e in data.examples] == [s.expression.category for s in scenes]


GOOD = {"image": "a.png", "expression": "the cup", "bbox": [1, 2, 30, 40]}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (json.dumps(GOOD | {"image": "none.png"}), "is missing"),
        (json.dumps(GOOD | {"image": "text.png"}), "cannot be read"),
        (json.dumps(GOOD | {"image": "../outside.png"}), "lies outside"),
        (json.dumps(GOOD | {"bbox": [30, 2, 1, 40]}), "has no area"),
        (json.dumps(GOOD | {"bbox": [1, 2, 300, 40]}), "lies outside the picture of 64 x 48"),
        (json.dumps(GOOD | {"bbox": [1, 2, 30]}), "not four numbers"),
        ('{"image": "a.png", "expression": "x", "bbox": [NaN, 0, 1, 1]}', "not four numbers"),
        (json.dumps(GOOD | {"expression": "  "}), "its expression is"),
        (json.dumps(GOOD | {"expression": "x " * 400}), "at most 500"),
        (json.dumps(GOOD | {"id": "first"}), "was used before"),
        (json.dumps(GOOD)[:20], "not valid JSON"),
        ("[1, 2]", 'no "image"'),
    ],
)
def test_a_bad_line_is_left_out_by_name_and_the_others_stay(tmp_path: Path, line: str, why: str) -> None:
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    (tmp_path / "text.png").write_text("no picture")
    first, last = json.dumps(GOOD | {"id": "first"}), json.dumps(GOOD | {"id": "last"})
    (tmp_path / "d.jsonl").write_text("\n".join([first, line, last]) + "\n")
    data = read_jsonl(tmp_path / "d.jsonl")
    assert [e.id for e in data.examples] == ["first", "last"]
    assert [s.where for s in data.skipped] == ["d.jsonl line 2"] and why in data.skipped[0].why
    assert "d.jsonl line 2" in summary(data.skipped)


def test_boxes_a_pixel_outside_are_cut() -> None:
    assert checked_box([-1, 0, 65, 20], "xyxy", (64, 48)) == (0.0, 0.0, 64.0, 20.0)


def test_sizes_are_those_of_the_upright_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(tmp_path / "turned.jpg", exif=exif)
    assert picture_size(tmp_path / "turned.jpg") == (20, 40)


def test_talk2car(tmp_path: Path) -> None:
    Image.new("RGB", (1600, 900)).save(tmp_path / "img_val_0.jpg")
    command = {"command": "park next to that truck", "2d_box": [100, 200, 50, 60], "t2c_img": "img_val_0.jpg", "command_token": "t0"}
    file = tmp_path / "val_commands.json"
    file.write_text(json.dumps({"commands": [command, command | {"t2c_img": "img_val_1.jpg"}], "scene_tokens": []}))
    data = read_talk2car(file, tmp_path)
    assert data.examples[0].box == (100.0, 200.0, 150.0, 260.0)
    assert len(data.skipped) == 1 and "1,163 are published" in data.notes[0]


def test_hub_layouts_state_their_box_format(tmp_path: Path, pictures: Path) -> None:
    """The two uploads hold one object's box in different formats; both are read as the same box."""
    from datasets import Dataset, Features, Value
    from datasets import Image as ImageColumn

    one = tmp_path / "jxu124" / "refcocog" / "data"
    one.mkdir(parents=True)
    row = {
        "ref_id": [1], "image_path": ["coco/train2014/COCO_train2014_000000000025.jpg"], "bbox": [[100.0, 50.0, 300.0, 250.0]],
        "sentences": [[{"raw": "the cup", "sent_id": 1}, {"raw": "a cup on the left", "sent_id": 2}]],
    }  # fmt: skip
    Dataset.from_dict(row).to_parquet(one / "validation-00000.parquet")
    first = read_hub(str(one.parent), "validation", pictures)
    assert [e.expression for e in first.examples] == ["the cup", "a cup on the left"]
    assert "2 expressions were read, 4,896 are published" in first.notes[0]

    two = tmp_path / "lmms-lab" / "RefCOCOg" / "data"
    two.mkdir(parents=True)
    data = (pictures / "COCO_train2014_000000000025.jpg").read_bytes()
    carried = {
        "question_id": ["7"],
        "image": [{"bytes": data, "path": None}],
        "bbox": [[100.0, 50.0, 200.0, 200.0]],
        "answer": [["the cup"]],
    }
    text = Value("string")
    features = Features({"question_id": text, "image": ImageColumn(), "bbox": [Value("float64")], "answer": [text]})
    Dataset.from_dict(carried, features=features).to_parquet(two / "val-00000.parquet")
    second = read_hub(str(two.parent), "val")
    assert second.examples[0].box == first.examples[0].box == (100.0, 50.0, 300.0, 250.0)
    assert second.examples[0].image.open().size == (640, 480) and second.notes == []
    with pytest.raises(DataError, match="--images"):
        read_hub(str(one.parent), "validation")
    with pytest.raises(DataError, match=r"no test-\*\.parquet"):
        read_hub(str(one.parent), "test", pictures)


@pytest.mark.parametrize(
    ("name", "split", "count"),
    [
        ("jxu124/refcocog", "test", 9602),
        ("jxu124/refcoco", "test", 5657),
        ("jxu124/refcocoplus", "testB", 4889),
        ("lmms-lab/RefCOCOg", "val", None),
    ],
)
def test_published_sizes_are_found_by_the_uploads_split_names(name: str, split: str, count: int | None) -> None:
    assert published(name, split) == count


def test_names_open_data_sets() -> None:
    data = datasets.read("refscenes:val:3")
    assert len(data.examples) == 3 and data.fingerprint() == datasets.read(f"refscenes:val:3:{BENCHMARK_SEED}").fingerprint()
    assert data.fingerprint() != datasets.read("refscenes:val:3:8").fingerprint()


@pytest.mark.parametrize(
    "name", ["refscenes:dev:3", "refscenes:val:x", "refscenes:val:0", "coco", "refer:a", "hub:x/y:val", "", "nothing.jsonl"]
)
def test_a_name_that_is_none_says_what_is(name: str) -> None:
    with pytest.raises(DataError, match=r"refscenes:|cannot be|known|no file"):
        datasets.read(name)


def test_data_that_only_names_pictures_asks_for_them() -> None:
    with pytest.raises(DataError, match="--images"):
        datasets.read("refer:refcocog:umd:val")


@pytest.mark.parametrize(
    ("name", "said"),
    [(r"refer:C:\data\refcocog:umd:val", r"C:\\data\\refcocog"), (r"talk2car:C:\data\commands.json", r"C:\\data\\commands\.json")],
)
def test_a_folder_may_have_a_colon_in_its_name(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=said) as caught:
        datasets.read(name, tmp_path)
    assert "There is no data set" not in str(caught.value)
