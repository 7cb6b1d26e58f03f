"""Labels, each read back by a reader of the tool that they are for."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wrapper import datasets
from wrapper.draw import sv
from wrapper.labels import Label, as_coco, as_jsonl, as_label_studio, as_yolo, label_studio_config

CUP, BOOK = "the cup: “left”", 'a "green" book, <b>'
LABELS = [
    Label("küche 1.png", (64, 48), CUP, (10.0, 12.0, 30.0, 40.0), True, 0.9),
    Label("küche 1.png", (64, 48), BOOK, (0.0, 0.0, 64.0, 20.5), True, 0.8),
    Label("b.jpg", (40, 60), CUP, None, True, 0.4),
    Label("c.png", (30, 30), BOOK, (1.0, 2.0, 29.0, 28.0), True),
]
UNCHECKED = Label("d.png", (50, 50), CUP, (5.0, 5.0, 25.0, 45.0), False, 0.7)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for x in [*LABELS, UNCHECKED]:
        Image.new("RGB", x.size).save(tmp_path / "images" / x.picture)
    return tmp_path


def test_coco_is_read_by_coco(folder: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    file = folder / "labels.json"
    file.write_text(json.dumps(as_coco(LABELS)), encoding="utf-8")
    with contextlib.redirect_stdout(io.StringIO()):
        read = coco.COCO(str(file))
    names = {c["id"]: c["name"] for c in read.loadCats(read.getCatIds())}
    found = [(read.loadImgs(a["image_id"])[0]["file_name"], names[a["category_id"]], a["bbox"]) for a in read.loadAnns(read.getAnnIds())]
    assert found == [
        ("küche 1.png", CUP, [10, 12, 20, 28]), ("küche 1.png", BOOK, [0, 0, 64, 20.5]), ("c.png", BOOK, [1, 2, 28, 26]),
    ]  # fmt: skip
    assert len(read.getImgIds()) == 3 and read.getAnnIds(imgIds=[2]) == [], "nothing is meant in the second"


def test_yolo_is_read_by_supervision(folder: Path) -> None:
    for name, text in as_yolo(LABELS).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    read = sv.DetectionDataset.from_yolo(str(folder / "images"), str(folder / "labels"), str(folder / "data.yaml"))
    found = {Path(path).name: detections for path, _, detections in read}
    assert set(read.classes) == {CUP, BOOK}
    kitchen = found["küche 1.png"]
    assert [read.classes[i] for i in kitchen.class_id] == [CUP, BOOK]
    assert np.allclose(kitchen.xyxy, [[10, 12, 30, 40], [0, 0, 64, 20.5]], atol=0.01)
    assert len(found["b.jpg"]) == 0 and np.allclose(found["c.png"].xyxy, [[1, 2, 29, 28]], atol=0.01)


def test_jsonl_is_read_as_data_to_train_on(folder: Path) -> None:
    (folder / "images" / "labels.jsonl").write_text(as_jsonl(LABELS), encoding="utf-8")
    read = datasets.read(str(folder / "images" / "labels.jsonl"))
    assert [(e.expression, e.box) for e in read.examples] == [(x.expression, x.box) for x in LABELS if x.box] and not read.skipped


def test_label_studio_reads_its_tasks(folder: Path) -> None:
    """By its own converter, where its package is installed; it needs thirty others, so that the project's tests do without."""
    converter = pytest.importorskip("label_studio_sdk.converter")
    (folder / "tasks.json").write_text(json.dumps(as_label_studio([*LABELS, UNCHECKED])), encoding="utf-8")
    (folder / "config.xml").write_text(label_studio_config([*LABELS, UNCHECKED]), encoding="utf-8")
    read = converter.Converter(str(folder / "config.xml"), str(folder), download_resources=False)
    read.convert_to_coco(str(folder / "tasks.json"), str(folder / "out"), is_dir=False)
    found = json.loads((folder / "out" / "result.json").read_text(encoding="utf-8"))
    boxes = [[round(v, 3) for v in a["bbox"]] for a in found["annotations"]]
    assert boxes == [[10, 12, 20, 28], [0, 0, 64, 20.5], [1, 2, 28, 26]]


def test_label_studio_tells_what_was_looked_at_from_what_was_not() -> None:
    """Numbers are percents; https://labelstud.io/guide/export, rectanglelabels."""
    tasks = as_label_studio([*LABELS, UNCHECKED])
    first = tasks[0]["annotations"][0]["result"][0]
    assert first["value"]["x"] == pytest.approx(100 * 10 / 64) and first["value"]["height"] == pytest.approx(100 * 28 / 48)
    assert (first["original_width"], first["original_height"], first["value"]["rectanglelabels"]) == (64, 48, [CUP])
    assert tasks[2]["annotations"][0]["result"] == [], "nothing is meant, and that was looked at"
    assert "annotations" not in tasks[4] and tasks[4]["predictions"][0]["score"] == 0.7
    config = label_studio_config(LABELS)
    assert "<b>" not in config and config.count("<Label ") == 2


def test_yolo_tells_pictures_apart_whose_endings_only_differ() -> None:
    twins = [Label(f"a.{end}", (10, 10), CUP, (1.0, 1.0, 5.0, 5.0), True) for end in ("png", "jpg")]
    assert sorted(as_yolo(twins)) == ["data.yaml", "labels/a-2.txt", "labels/a.txt"]
