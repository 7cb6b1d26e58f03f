"""Detectors that are a function of one's own, or boxes in a file."""

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import supervision as sv
import torch
from PIL import Image

from wrapper.detectors import load_detector, parse_detectors
from wrapper.errors import DataError, ModelError
from wrapper.images import load_image
from wrapper.proposals import identity
from wrapper.proposers.file import BoxesFile

CPU = torch.device("cpu")
SOURCE = """
import numpy as np, supervision as sv
def one(image):
    return sv.Detections(xyxy=np.array([[0, 0, image.width / 2, 9]]), data={"class_name": np.array(["dog"])})
def two(image, expression):
    return sv.Detections(xyxy=np.array([[0, 0, 9, 9]]), confidence=np.array([0.5]), data={"class_name": np.array([expression])})
def three(a, b, c): ...
def named(image, *, key): ...
def wrong(image): return [1, 2]
def settings(image, model="yolo", *more, **rest):
    assert model == "yolo"
    return one(image)
def lacking(image): import no_such_package
def failing(image): raise KeyError("weights")
class Instance:
    def __call__(self, image): return one(image)
instance = Instance()
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "my_detector.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("my_detector", None)
    return "my_detector"


def picture(folder: Path, name: str = "a.jpg", size: tuple[int, int] = (100, 80)) -> Image.Image:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(folder / name)
    return load_image(folder / name)


def test_a_function_of_one_or_two_arguments_is_a_detector(module: str) -> None:
    one, two = (load_detector(name, f"python:{module}:{name}", CPU) for name in ("one", "two"))
    image = Image.new("RGB", (60, 40))
    assert [(c.label, c.box, c.score) for c in one.propose([image], ["a dog"])[0]] == [("dog", (0, 0, 30, 9), None)]
    assert [(c.label, c.score) for c in two.propose([image], ["a dog"])[0]] == [("a dog", 0.5)]


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("nowhere:f", "There is no function"),
        ("my_detector:four", "There is no function"),
        ("my_detector:three", "needs 3 arguments"),
        ("my_detector:named", "needs 2 arguments"),
    ],
)
def test_functions_that_are_none_are_named(module: str, place: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_detector("mine", f"python:{place}", CPU)


def test_a_function_that_gives_something_else_is_told_so(module: str) -> None:
    with pytest.raises(ModelError, match="gave a list"):
        load_detector("mine", f"python:{module}:wrong", CPU).propose([Image.new("RGB", (60, 40))], ["x"])


def written(folder: Path, form: str) -> str:
    """The same box of the same picture in one of the forms."""
    box, name = [10.0, 20.0, 50.0, 60.0], "photos/a.jpg"
    if form == "jsonl":
        (folder / "b.jsonl").write_text(json.dumps({"image": name, "boxes": [box], "labels": ["Cup"], "scores": [0.5]}) + "\n\n")
        return f"{folder}/b.jsonl"
    if form == "shares":
        (folder / "b.jsonl").write_text(json.dumps({"image": name, "boxes": [[0.1, 0.25, 0.5, 0.75]], "labels": ["cup"], "scores": [0.5]}))
        return f"{folder}/b.jsonl"
    if form in ("sink.json", "sink.csv"):
        sink: Any = (sv.JSONSink if form == "sink.json" else sv.CSVSink)(f"{folder}/{form}")
        with sink:
            sink.append(
                sv.Detections(xyxy=np.array([box]), confidence=np.array([0.5]), data={"class_name": np.array(["cup"])}), {"image": name}
            )
        return f"{folder}/{form}"
    names = {"images": [{"id": 7, "file_name": "a.jpg"}], "categories": [{"id": 3, "name": "cup"}]}
    one = {"image_id": 7, "category_id": 3, "bbox": [10, 20, 40, 40], "score": 0.5}
    (folder / "names.json").write_text(json.dumps(names | {"annotations": [one]}))
    (folder / "results.json").write_text(json.dumps([one]))
    return f"{folder}/names.json" if form == "coco" else f"{folder}/results.json,{folder}/names.json"


@pytest.mark.parametrize("form", ["jsonl", "shares", "sink.json", "sink.csv", "coco", "results"])
def test_every_form_gives_the_box_of_the_picture(tmp_path: Path, form: str) -> None:
    proposer = load_detector("closed", f"file:{written(tmp_path, form)}", CPU)
    [listed] = proposer.propose([picture(tmp_path)], ["x"])
    assert [(c.label, c.box, c.score) for c in listed] == [("cup", (10, 20, 50, 60), pytest.approx(0.5))]
    with pytest.raises(DataError, match=r"says nothing about b\.jpg"):
        proposer.propose([picture(tmp_path, "b.jpg")], ["x"])


def test_boxes_may_belong_to_an_expression(tmp_path: Path) -> None:
    rows = [
        {"image": "a.jpg", "expression": e, "boxes": [[n, 0, n + 9, 9]], "labels": [f"l{n}"]} for n, e in ((0, "The cup."), (20, "the dog"))
    ]
    (tmp_path / "b.jsonl").write_text(
        "\n".join(json.dumps(r) for r in [*rows, {"image": "a.jpg", "boxes": [[40, 0, 49, 9]], "labels": ["any"]}])
    )
    proposer = load_detector("closed", f"file:{tmp_path}/b.jsonl", CPU)
    assert [c.label for c in proposer.propose([picture(tmp_path)], ["the cup"])[0]] == ["l0", "any"]


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[50, 40, 20, 10], [60, 50, 20, 10]], "end before they begin"),  # x, y, width, height
        ([[100, 200, 500, 900], [0, 0, 999, 999]], "a grid"),
        ([[10, 10, 5000, 4000]], "lie outside it"),
    ],
)
def test_wrong_coordinates_are_caught(tmp_path: Path, boxes: list[list[float]], message: str) -> None:
    (tmp_path / "b.jsonl").write_text(json.dumps({"image": "a.jpg", "boxes": boxes, "labels": ["x"] * len(boxes)}))
    with pytest.raises(DataError, match=message):
        load_detector("closed", f"file:{tmp_path}/b.jsonl", CPU).propose([picture(tmp_path)], ["x"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("b.jsonl", "{"),
        ("b.jsonl", '{"image": "a.jpg"}'),
        ("b.jsonl", '{"image": "a.jpg", "boxes": [[1, 2, 3]], "labels": ["x"]}'),
        ("b.jsonl", '{"image": "a.jpg", "boxes": [[1, 2, 3, 4]], "labels": []}'),
        ("b.jsonl", "[]"),
        ("b.json", "7"),
        ("b.json", "[]"),
        ("b.json", '{"annotations": [{"bbox": [1, 2, 3, 4]}]}'),
        ("b.csv", "a,b\n1,2\n"),
        ("b.json", '[{"category_id": 1, "image_id": 2}]'),
        ("b.jsonl", '{"image": "a.jpg", "boxes": [["x", 2, 3, 4]], "labels": ["x"]}'),
        ("b.jsonl", "\x00\xff"),
    ],
)
def test_files_that_are_none_get_one_sentence(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="latin-1")
    with pytest.raises(DataError) as caught:
        BoxesFile.load(str(tmp_path / name))
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_picture_without_a_file_and_one_of_two_of_a_name_are_named(tmp_path: Path) -> None:
    rows = [{"image": f"{d}/a.jpg", "boxes": [[0, 0, 9, 9]], "labels": ["x"]} for d in ("one", "two")]
    (tmp_path / "b.jsonl").write_text("\n".join(map(json.dumps, rows)))
    proposer = load_detector("closed", f"file:{tmp_path}/b.jsonl", CPU)
    with pytest.raises(DataError, match="this picture has none"):
        proposer.propose([Image.new("RGB", (40, 40))], ["x"])
    with pytest.raises(DataError, match="does not tell which picture"):
        proposer.propose([picture(tmp_path, "three/a.jpg")], ["x"])


@pytest.mark.parametrize(
    "text", ["mine", "=onnx:x", "a b=onnx:x", "gdrec=onnx:x", "user=onnx:x", "mine=", "mine=yolo:x", "mine=onnx:", "ensemble=file:x"]
)
def test_what_names_no_detector_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match="Write NAME="):
        parse_detectors([text])


def test_sinks_of_supervision_are_read_as_they_are_written(tmp_path: Path) -> None:
    with (tmp_path / "d.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [
                ["x_min", "y_min", "x_max", "y_max", "class_id", "confidence", "tracker_id", "class_name", "image"],
                [1, 2, 30, 40, 0, "", "", "cup", "a.jpg"],
            ]
        )
    assert BoxesFile.load(str(tmp_path / "d.csv")).found["a.jpg",][0].score is None


@pytest.mark.parametrize("name", ["settings", "instance"])
def test_parameters_with_defaults_are_left_alone(module: str, name: str) -> None:
    assert load_detector("mine", f"python:{module}:{name}", CPU).propose([Image.new("RGB", (60, 40))], ["x"])[0][0].label == "dog"


@pytest.mark.parametrize(
    ("name", "kind", "message"), [("lacking", ModelError, "lacks a package"), ("failing", DataError, "KeyError: 'weights'")]
)
def test_a_function_that_fails_says_why(module: str, name: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        load_detector("mine", f"python:{module}:{name}", CPU).propose([Image.new("RGB", (60, 40))], ["x"])


def test_a_changed_function_is_another_detector(module: str, tmp_path: Path) -> None:
    before = identity(f"python:{module}:one")
    (tmp_path / "my_detector.py").write_text(SOURCE + "# changed\n")
    assert identity(f"python:{module}:one") != before and identity("python:nowhere.at.all:f") == "python:nowhere.at.all:f"


@pytest.mark.parametrize("name", ["C:\\pics\\Café.JPG", "pics/Cafe\u0301.jpg", "./café.jpg"])
def test_a_picture_is_known_whatever_the_slashes_capitals_and_accents(tmp_path: Path, name: str) -> None:
    (tmp_path / "b.jsonl").write_text(json.dumps({"image": name, "boxes": [[0, 0, 9, 9]], "labels": ["x"]}))
    assert len(load_detector("closed", f"file:{tmp_path}/b.jsonl", CPU).propose([picture(tmp_path, "café.jpg")], ["x"])[0]) == 1


def test_folders_tell_pictures_of_one_name_apart(tmp_path: Path) -> None:
    rows = [{"image": f"{d}/a.jpg", "boxes": [[0, 0, 9, 9]], "labels": [d]} for d in ("train", "val")]
    (tmp_path / "b.jsonl").write_text("\n".join(map(json.dumps, rows)))
    proposer = load_detector("closed", f"file:{tmp_path}/b.jsonl", CPU)
    assert [proposer.propose([picture(tmp_path, f"{d}/a.jpg")], ["x"])[0][0].label for d in ("train", "val")] == ["train", "val"]


def test_a_row_without_boxes_is_a_picture_without_boxes(tmp_path: Path) -> None:
    rows = [{"image": "a.jpg", "boxes": [], "labels": []}, {"image": "b.jpg", "boxes": [[0, 0, 9, 9]], "labels": ["x"]}]
    (tmp_path / "b.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert load_detector("closed", f"file:{tmp_path}/b.jsonl", CPU).propose([picture(tmp_path)], ["x"]) == [[]]


def test_one_share_beyond_the_edge_leaves_the_others_shares(tmp_path: Path) -> None:
    rows = [{"image": f"{i}.jpg", "boxes": [[0.1, 0.25, 0.5, 0.75 if i else 1.013]], "labels": ["x"]} for i in range(20)]
    (tmp_path / "b.jsonl").write_text("\n".join(map(json.dumps, rows)))
    [listed] = load_detector("closed", f"file:{tmp_path}/b.jsonl", CPU).propose([picture(tmp_path, "7.jpg")], ["x"])
    assert listed[0].box == (10, 20, 50, 60)


def test_a_function_is_another_one_when_a_file_that_it_names_changes(module: str, tmp_path: Path) -> None:
    (tmp_path / "my_detector.py").write_text(SOURCE + "DEPENDS_ON = ['best.pt', 'missing.pt']\n")
    (tmp_path / "best.pt").write_text("weights")
    spec = f"python:{module}:one"
    load_detector("one", spec, CPU)
    before = identity(spec)
    assert identity(spec) == before
    (tmp_path / "best.pt").write_text("trained on")
    assert identity(spec) != before


def test_an_expression_about_which_a_file_says_nothing_is_said(tmp_path: Path) -> None:
    """Found nothing, and not asked, are two things."""
    rows: list[dict[str, Any]] = [
        {"image": "a.jpg", "expression": "the cup", "boxes": [[1, 2, 30, 40]], "labels": ["cup"]},
        {"image": "a.jpg", "expression": "the dog", "boxes": [], "labels": []},
        {"image": "b.jpg", "boxes": [], "labels": []},
    ]
    (tmp_path / "boxes.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    detector = BoxesFile.load(str(tmp_path / "boxes.jsonl"))
    a, b = (picture(tmp_path, name) for name in ("a.jpg", "b.jpg"))
    assert [len(d) for d in detector.detect([a, a, b], ["the cup", "the dog", "anything"])] == [1, 0, 0]
    with pytest.raises(DataError, match=r"says nothing about “the cup, on the left” in a\.jpg"):
        detector.detect([a], ["the cup, on the left"])
