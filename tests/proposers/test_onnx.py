"""ONNX detectors: each layout of the usual exports read rightly, whatever the picture's shape; and the bundled one on a photograph."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException
from PIL import Image

from wrapper.candidates import iou
from wrapper.errors import ModelError
from wrapper.presets import PHOTO_WEIGHTS
from wrapper.proposers.onnx import OnnxDetector, OnnxSettings, fed, parts

LABELS = ["cat", "wine glass", "dog"]
SIZE = (128, 128)
TRUE = np.array([16.0, 32.0, 80.0, 96.0])
"""The box that every model here gives, x1, y1, x2, y2 in pixels of the input."""
PHOTOS = Path(__file__).parents[3] / "shared" / "photos"


def constant(
    folder: Path, outputs: dict[str, NDArray[Any]], feed: "list[tuple[str, int, list[Any]]] | None" = None, **settings: Any
) -> OnnxDetector:
    """A model that gives these arrays whatever it sees, with its detector.json. feed: its inputs, by name, type and shape."""
    tensors = [numpy_helper.from_array(v.astype(np.float32), f"{k}_value") for k, v in outputs.items()]
    nodes = [helper.make_node("Constant", [], [k], value=t) for k, t in zip(outputs, tensors, strict=True)]
    graph = helper.make_graph(
        nodes,
        "constant",
        [helper.make_tensor_value_info(*one) for one in feed or [("images", TensorProto.FLOAT, [1, 3, SIZE[1], SIZE[0]])]],
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, list(v.shape)) for k, v in outputs.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), folder / "model.onnx")
    told = {"model": "model.onnx", "labels": LABELS, "size": list(SIZE), **settings}
    (folder / "detector.json").write_text(json.dumps(told))
    return OnnxDetector.load(str(folder / "detector.json"))


def centre(box: NDArray[Any]) -> list[float]:
    return [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0], box[3] - box[1]]


def yolox_raw() -> NDArray[Any]:
    """Raw cells of the three grids, one of which says TRUE."""
    out = np.full((16 * 16 + 8 * 8 + 4 * 4, 8), -5.0)
    out[:, 4] = 0
    cell = 16 * 16 + 3 * 8 + 2  # of stride 16: column 2, row 3
    x, y, w, h = centre(TRUE)
    out[cell] = [x / 16 - 2, y / 16 - 3, np.log(w / 16), np.log(h / 16), 0.9, 0, 0.8, 0.1]
    return out[None]


ROW = [*centre(TRUE), 0.9, 0.0, 0.8, 0.1]
LAYOUTS: dict[str, dict[str, NDArray[Any]]] = {
    "yolox": {"out": yolox_raw()},
    "yolov5": {"out": np.array([[ROW, [0] * 8]])},
    "yolov8": {"out": np.array([[[*centre(TRUE), 0.0, 0.72, 0.1], [0] * 7]]).transpose(0, 2, 1)},
    "yolo-end": {"out": np.array([[[*TRUE, 0.72, 1], [0] * 6]])},
    "detr": {"logits": np.array([[[-9, 0.9445, -2], [-9] * 3]]), "pred_boxes": np.array([[np.array(centre(TRUE)) / 128, [0.5] * 4]])},
    "detr-softmax": {"boxes": np.array([[np.array(centre(TRUE)) / 128, [0.5] * 4]]), "l": np.array([[[0, 3.0, 0, 2.0], [0, 0, 0, 9]]])},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("fit", ["corner", "center", "stretch"])
@pytest.mark.parametrize("size", [(256, 256), (320, 160), (90, 200)])
def test_every_layout_and_fit_gives_the_box_in_the_pictures_pixels(tmp_path: Path, layout: str, fit: str, size: tuple[int, int]) -> None:
    detector = constant(tmp_path, LAYOUTS[layout], layout=layout, fit=fit)
    [found] = detector.detect([Image.new("RGB", size)], [""])
    assert list(found.data["class_name"]) == ["wine glass"]
    assert found.confidence is not None and found.confidence[0] == pytest.approx(0.72 if layout != "detr-softmax" else 0.68, abs=0.03)
    ratio = min(128 / size[0], 128 / size[1])
    x = np.array([TRUE[0], TRUE[2]])
    y = np.array([TRUE[1], TRUE[3]])
    if fit == "stretch":
        expected = [x[0] * size[0] / 128, y[0] * size[1] / 128, x[1] * size[0] / 128, y[1] * size[1] / 128]
    else:
        left, top = ((128 - size[0] * ratio) / 2, (128 - size[1] * ratio) / 2) if fit == "center" else (0.0, 0.0)
        expected = [(x[0] - left) / ratio, (y[0] - top) / ratio, (x[1] - left) / ratio, (y[1] - top) / ratio]
    assert found.xyxy[0] == pytest.approx(expected, abs=1.5)


def test_what_a_model_is_fed() -> None:
    picture = Image.new("RGB", (40, 20), (200, 100, 0))
    settings = OnnxSettings("m", ("a",), "yolov8", (32, 32), channels="BGR", scale=1.0, fit="center", fill=7)
    tensor, ratio, corner = fed(picture, settings)
    assert tensor.shape == (1, 3, 32, 32) and tensor.dtype == np.float32 and ratio == (0.8, 0.8) and corner == (0, 8)
    assert tensor[0, :, 16, 16].tolist() == [0, 100, 200] and tensor[0, :, 2, 2].tolist() == [7, 7, 7]
    scaled, _, _ = fed(picture, OnnxSettings("m", ("a",), "yolov8", (32, 32), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)))
    assert scaled[0, :, 16, 16] == pytest.approx([2 * 200 / 255 - 1, 2 * 100 / 255 - 1, -1], abs=1e-5)


def test_a_model_that_breaks_down_gives_no_boxes(tmp_path: Path) -> None:
    broken = {"out": np.array([[[np.nan] * 4 + [0.9, 0.9, 0, 0], [np.inf, 0, 1, 1, 0.9, 0.9, 0, 0], [np.nan] * 8]])}
    [found] = constant(tmp_path, broken, layout="yolov5").detect([Image.new("RGB", SIZE)], [""])
    assert len(found) == 0


def test_overlapping_boxes_of_a_class_are_one_and_tiles_cover_the_picture(tmp_path: Path) -> None:
    twice = {"out": np.array([[ROW, [v + 1 for v in ROW[:4]] + [0.8, 0, 0.9, 0], [*ROW[:4], 0.9, 0.9, 0, 0]]])}
    found = constant(tmp_path, twice, layout="yolov5").detect([Image.new("RGB", SIZE)], [""])[0]
    assert sorted(found.data["class_name"]) == ["cat", "wine glass"]
    found = constant(tmp_path, twice, layout="yolov5", same_place=0.7).detect([Image.new("RGB", SIZE)], [""])[0]
    assert list(found.data["class_name"]) == ["cat"], "of two names for one place the surer one"
    covered = np.zeros((90, 130), int)
    for x1, y1, x2, y2 in parts((130, 90), 3)[1:]:
        covered[y1:y2, x1:x2] += 1
    assert covered.min() >= 1 and parts((130, 90), 1) == [(0, 0, 130, 90)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": "yolo9000"}, "layout is one of"),
        ({"labels": []}, "labels"),
        ({"size": [1, 2, 3]}, "size is a width"),
        ({"tiles": 9}, "tiles"),
        ({"threshold": 0}, "threshold"),
        ({"speed": 1}, "may say"),
        ({"model": "../model.onnx"}, "same folder"),
        ({"model": "other.onnx"}, "There is no file"),
    ],
)
def test_settings_that_cannot_be_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    constant(tmp_path, LAYOUTS["yolov5"], layout="yolov5")
    file = tmp_path / "detector.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ModelError, match=message):
        OnnxDetector.load(str(file))


def test_files_that_are_none_and_arrays_of_another_layout_are_named(tmp_path: Path) -> None:
    detector = constant(tmp_path, LAYOUTS["yolov8"], layout="yolov5")
    with pytest.raises(ModelError, match="not of the layout yolov5 with 3 classes"):
        detector.detect([Image.new("RGB", SIZE)], [""])
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError, match="not an ONNX model"):
        OnnxDetector.load(str(tmp_path / "detector.json"))
    (tmp_path / "detector.json").write_text("{")
    with pytest.raises(ModelError, match="not a JSON file"):
        OnnxDetector.load(str(tmp_path / "detector.json"))
    with pytest.raises(ModelError, match="There is no file"):
        OnnxDetector.load(str(tmp_path / "none.json"))


def test_the_bundled_detector_finds_what_stands_in_photographs() -> None:
    if not PHOTOS.is_dir():
        pytest.skip("the photographs are not at hand")
    detector = OnnxDetector.load(str(PHOTO_WEIGHTS / "yolox-nano" / "detector.json"))
    rows = [json.loads(line) for line in (PHOTOS / "photos.jsonl").read_text().splitlines()]
    found = total = 0
    for row in rows:
        [seen] = detector.detect([Image.open(PHOTOS / row["image"]).convert("RGB")], [""])
        for thing in row["objects"]:
            total += 1
            same = (
                iou(tuple(map(float, b)), tuple(thing["box"])) > 0.5
                for b, n in zip(seen.xyxy, seen.data["class_name"], strict=True)
                if n == thing["label"]
            )  # type: ignore[arg-type]
            found += any(same)
    assert found / total > 0.45, "recall of the 93 true boxes with the right kind; 0.53 when this was written"


IMAGES = ("images", TensorProto.FLOAT, [1, 3, SIZE[1], SIZE[0]])
ORIGINAL = ("orig_target_sizes", TensorProto.INT64, [1, 2])
ENDED = {"labels": np.array([[1, 7, -1]]), "boxes": np.array([[TRUE, TRUE + 1, TRUE + 2]]), "scores": np.array([[0.7, 0.9, 0.9]])}


def test_exports_that_want_the_pictures_size_are_given_it(tmp_path: Path) -> None:
    detector = constant(tmp_path, ENDED, [IMAGES, ORIGINAL], layout="detr-end", fit="stretch")
    [found] = detector.detect([Image.new("RGB", (256, 128))], [""])
    assert list(found.data["class_name"]) == ["wine glass"], "a class that has no name is no box"
    assert found.xyxy[0] == pytest.approx([TRUE[0] * 2, TRUE[1], TRUE[2] * 2, TRUE[3]], abs=0.5)


def test_dynamic_shapes_and_half_floats_are_fed(tmp_path: Path) -> None:
    detector = constant(tmp_path, LAYOUTS["yolov8"], [("images", TensorProto.FLOAT16, ["n", 3, "h", "w"])], layout="yolov8")
    assert len(detector.detect([Image.new("RGB", SIZE)], [""])[0]) == 1


@pytest.mark.parametrize(
    ("feed", "message"),
    [
        ([("images", TensorProto.FLOAT, [1, 3, 64, 64])], "Mend size"),
        ([("images", TensorProto.FLOAT, [4, 3, *SIZE])], "Mend size"),
        ([("images", TensorProto.FLOAT, [1, *SIZE, 3])], "Mend size"),
        ([("images", TensorProto.UINT8, [1, 3, *SIZE])], "Mend size"),
        ([IMAGES, ORIGINAL], "2 inputs"),
    ],
)
def test_models_that_are_fed_otherwise_are_named_when_they_are_loaded(
    tmp_path: Path, feed: list[tuple[str, int, list[Any]]], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        constant(tmp_path, LAYOUTS["yolov8"], feed, layout="yolov8")


@pytest.mark.parametrize(
    "change",
    [{"labels": "ab"}, {"mean": [1, 2]}, {"std": [1, 0, 1]}, {"scale": "x"}, {"fit": 1}, {"tiles": 2.0}, {"model": 7}, {"fill": 300}],
)
def test_settings_of_the_wrong_kind_are_refused_when_they_are_read(tmp_path: Path, change: dict[str, Any]) -> None:
    constant(tmp_path, LAYOUTS["yolov5"], layout="yolov5")
    file = tmp_path / "detector.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ModelError, match="cannot be used"):
        OnnxDetector.load(str(file))


def test_memory_that_is_used_up_is_no_matter_of_settings(tmp_path: Path) -> None:
    """No model here is too large, so onnxruntime's error is raised by hand."""
    detector = constant(tmp_path, LAYOUTS["yolov8"], layout="yolov8")

    class Full:
        def __getattr__(self, name: str) -> Any:
            return getattr(detector.session, name)

        def run(self, *given: Any) -> Any:
            raise RuntimeException("Failed to allocate memory for requested buffer of size 9")

    with pytest.raises(RuntimeException, match="allocate memory"):
        replace(detector, session=Full()).detect([Image.new("RGB", SIZE)], [""])
