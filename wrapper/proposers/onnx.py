"""Detectors in ONNX files, run by onnxruntime: how a file is fed and read is written beside it, and nothing is guessed.

    python -m wrapper propose --detector mine=onnx:folder/detector.json --proposers mine ...

detector.json holds the fields of `OnnxSettings`; weights/photo/yolox-nano/detector.json is one. The layouts of the usual exports:

    yolox          (1, N, 5 + C), raw: centres and sizes by grid cell, objectness, classes (YOLOX's own export)
    yolov5         (1, N, 5 + C): cx, cy, w, h in pixels of the input, objectness, classes (YOLOv5, v7; YOLOX with its boxes decoded)
    yolov8         (1, 4 + C, N): cx, cy, w, h in pixels of the input, classes (YOLOv8, v9, v11, v12)
    yolo-end       (1, N, 6): x1, y1, x2, y2 in pixels of the input, score, class (exports with NMS in them, YOLOv10)
    detr           logits (1, Q, C) and boxes (1, Q, 4) as cx, cy, w, h from 0 to 1, each class a sigmoid (RT-DETR, D-FINE by transformers)
    detr-softmax   the same, with one more class for "nothing" and a softmax over all (DETR)
    detr-end       labels (1, Q), boxes (1, Q, 4) and scores (1, Q), with a second input for the picture's size (RT-DETR's, D-FINE's and
                   DEIM's own exports)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as state
from PIL import Image

from wrapper import checksums
from wrapper.errors import ModelError, is_of_one_row
from wrapper.proposers.detections import Detections, detections
from wrapper.settings_file import read_json

Layout = Literal["yolox", "yolov5", "yolov8", "yolo-end", "detr", "detr-softmax", "detr-end"]
Fit = Literal["corner", "center", "stretch"]
Array = NDArray[Any]


TROUBLE = (
    state.EPFail, state.EngineError, state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.ModelLoadCanceled,
    state.ModelRequiresCompilation, state.NoModel, state.NoSuchFile, state.NotFound, state.NotImplemented, state.RuntimeException,
    ValueError,
)  # fmt: skip
"""What onnxruntime raises for a model that cannot be read or run: a class for each of its status codes (onnxruntime's common/status.h), and
ValueError for inputs that lack."""
TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


@dataclass(frozen=True)
class OnnxSettings:
    """How an ONNX detector is fed and read.

    model: the file, beside this one. labels: the classes' names in their order. layout: of what comes out (see above). size: (width,
    height) of the input in pixels. channels: "RGB" or "BGR". scale: what pixels of 0-255 are multiplied by; then mean is taken away
    and the rest divided by std, a value a channel. fit: how a picture comes to that size: in its upper left corner or its middle, the
    rest being filled with `fill`, or stretched. threshold: least score of a box that is kept. same: IoU above which the weaker of two
    boxes of one class is dropped, same_place: of any two (1: none). tiles: besides the whole picture, so many a side overlapping parts of
    it are looked at (1: none).
    """

    model: str
    labels: tuple[str, ...]
    layout: Layout
    size: tuple[int, int]
    channels: Literal["RGB", "BGR"] = "RGB"
    scale: float = 1 / 255
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    fit: Fit = "center"
    fill: int = 114
    threshold: float = 0.25
    same: float = 0.5
    same_place: float = 1.0
    tiles: int = 1

    @classmethod
    def load(cls, file: Path) -> "OnnxSettings":
        """The settings in a detector.json; ModelError says what is wrong with one."""
        try:
            data = read_json(file)
        except FileNotFoundError as error:
            raise ModelError(f"There is no file {file}. Name the detector.json that says how the ONNX file is read.") from error
        except (OSError, ValueError) as error:
            raise ModelError(f"{file} is not a JSON file that can be read ({error}).") from error
        known = {f.name for f in fields(cls)}
        if not isinstance(data, dict) or not {"model", "labels", "layout", "size"} <= data.keys() <= known:
            raise ModelError(f"{file} has to say model, labels, layout and size, and may say {', '.join(sorted(known))}.")
        try:
            given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
            settings = cls(**given)
            settings.check()
        except (TypeError, ValueError) as error:
            raise ModelError(f"{file} cannot be used: {error}.") from error
        return settings

    def check(self) -> None:
        """ValueError where a value cannot be."""
        hints = get_type_hints(type(self))
        for name in ("layout", "channels", "fit"):
            if getattr(self, name) not in get_args(hints[name]):
                raise ValueError(f"{name} is one of {', '.join(get_args(hints[name]))}, not {getattr(self, name)!r}")
        if not isinstance(self.model, str):
            raise ValueError("model is a file's name")
        if not isinstance(self.size, tuple) or len(self.size) != 2 or not all(type(v) is int and 16 <= v <= 4096 for v in self.size):
            raise ValueError(f"size is a width and a height from 16 to 4,096, not {self.size}")
        if not isinstance(self.labels, tuple) or not self.labels or not all(isinstance(n, str) and n.strip() for n in self.labels):
            raise ValueError("labels are a list of names, one a class")
        if not (
            0 < self.threshold < 1 and 0 < self.same <= 1 and 0 < self.same_place <= 1 and type(self.tiles) is int and 1 <= self.tiles <= 4
        ):
            raise ValueError("threshold lies between 0 and 1, same and same_place above 0 and up to 1, tiles are 1 to 4")
        if type(self.fill) is not int or not 0 <= self.fill <= 255 or not self.scale > 0:
            raise ValueError("fill is a level from 0 to 255, scale a number above 0")
        for name in ("mean", "std"):
            three = getattr(self, name)
            if not isinstance(three, tuple) or len(three) != 3 or not all(isinstance(v, int | float) for v in three):
                raise ValueError(f"{name} is three numbers, one a channel")
        if not all(self.std):
            raise ValueError("std has no zeros: it is divided by")


@dataclass(frozen=True)
class OnnxDetector:
    """A loaded ONNX detector."""

    session: onnxruntime.InferenceSession
    settings: OnnxSettings
    reads_words: bool = False

    @classmethod
    def load(cls, file: str) -> "OnnxDetector":
        """Load what a detector.json describes. It runs on the GPU where onnxruntime has been installed for one."""
        path = Path(file)
        settings = OnnxSettings.load(path)
        model = path.parent / settings.model
        if model.resolve().parent != path.parent.resolve():
            raise ModelError(f"{path} names the model {settings.model}; it has to lie in the same folder.")
        if not model.is_file():
            raise ModelError(f"There is no file {model}, which {path.name} names.")
        checksums.check(model)
        offered = onnxruntime.get_available_providers()
        wanted = [p for p in ("CUDAExecutionProvider", "CPUExecutionProvider") if p in offered]
        try:
            session = onnxruntime.InferenceSession(str(model), providers=wanted)
        except TROUBLE as error:
            raise ModelError(f"{model} is not an ONNX model that can be run ({str(error).splitlines()[0]}).") from error
        _check_inputs(session, settings, model)
        return cls(session, settings)

    def detect(self, images: Sequence[Image.Image], expressions: Sequence[str]) -> list[Detections]:
        """The boxes of each picture, those of its tiles among them."""
        return [self._detect(image) for image in images]

    def _detect(self, image: Image.Image) -> Detections:
        boxes, scores = zip(*(self._look(image, part) for part in parts(image.size, self.settings.tiles)), strict=True)
        found, sure = np.concatenate(boxes), np.concatenate(scores)
        classes = sure.argmax(1) if len(sure) else np.zeros(0, int)
        best = sure.max(1) if len(sure) else np.zeros(0)
        kept = (best > self.settings.threshold) & np.isfinite(found).all(1)
        out = detections(found[kept], [self.settings.labels[c] for c in classes[kept]], best[kept])
        out.class_id = classes[kept]
        out = out.with_nms(threshold=self.settings.same) if self.settings.same < 1 else out
        return out.with_nms(threshold=self.settings.same_place, class_agnostic=True) if self.settings.same_place < 1 else out

    def _look(self, image: Image.Image, part: tuple[int, int, int, int]) -> tuple[Array, Array]:
        """Boxes (N, 4) xyxy in pixels of the whole picture and scores (N, classes) from one part of it."""
        s = self.settings
        tensor, (ratio_x, ratio_y), (left, top) = fed(image.crop(part), s)
        names, (first, *more) = [o.name for o in self.session.get_outputs()], self.session.get_inputs()
        given = {first.name: tensor.astype(TYPES[first.type])} | {i.name: np.array([s.size], np.int64) for i in more}
        try:
            outputs = dict(zip(names, self.session.run(None, given), strict=True))
        except TROUBLE as error:
            if not is_of_one_row(error):  # memory that is used up is no matter of settings
                raise
            raise ModelError(f"{s.model} cannot be run ({str(error).splitlines()[0]}). Check size and layout in its settings.") from error
        try:
            boxes, scores = read(outputs, s)
        except (ValueError, IndexError) as error:
            shapes = ", ".join(str(np.shape(o)) for o in outputs.values())
            raise ModelError(
                f"{s.model} gives arrays of shape {shapes}, which are not of the layout {s.layout} with {len(s.labels)} classes. "
                "Choose another layout, or mend labels."
            ) from error
        offset, ratio = np.array([left, top] * 2), np.array([ratio_x, ratio_y] * 2)
        whole = (boxes - offset) / ratio
        if part != (0, 0, *image.size):  # what is cut by a tile's inner edge is seen whole by another one
            whole_size = np.array([*image.size, *image.size])
            edge = np.array([part[2] - part[0], part[3] - part[1]])
            inner = [part[0] > 0, part[1] > 0, part[2] < whole_size[0], part[3] < whole_size[1]]
            near = np.stack([whole[:, 0] < 3, whole[:, 1] < 3, whole[:, 2] > edge[0] - 3, whole[:, 3] > edge[1] - 3], 1)
            uncut = ~(near & np.array(inner)).any(1)
            whole, scores = whole[uncut], scores[uncut]
        return whole + np.array([part[0], part[1]] * 2), scores


def parts(size: tuple[int, int], tiles: int) -> list[tuple[int, int, int, int]]:
    """The whole picture, and so many a side parts of it that overlap by a third of theirs."""
    width, height = size
    found = [(0, 0, width, height)]
    if tiles == 1:
        return found
    share = 1 / (tiles - (tiles - 1) / 3)
    w, h = round(width * share), round(height * share)
    for row in range(tiles):
        for column in range(tiles):
            x, y = round(column * (width - w) / (tiles - 1)), round(row * (height - h) / (tiles - 1))
            found.append((x, y, x + w, y + h))
    return found


def fed(image: Image.Image, s: OnnxSettings) -> tuple[Array, tuple[float, float], tuple[int, int]]:
    """The input (1, 3, H, W), by how much the picture was scaled, and where its corner lies in it."""
    width, height = s.size
    if s.fit == "stretch":
        scaled, corner = shrunk(image, s.size), (0, 0)
        ratios = width / image.width, height / image.height
        canvas = scaled
    else:
        ratio = min(width / image.width, height / image.height)
        scaled = shrunk(image, (max(1, int(image.width * ratio)), max(1, int(image.height * ratio))))
        ratios = scaled.width / image.width, scaled.height / image.height
        corner = ((width - scaled.width) // 2, (height - scaled.height) // 2) if s.fit == "center" else (0, 0)
        canvas = Image.new("RGB", s.size, (s.fill,) * 3)
        canvas.paste(scaled, corner)
    values: Array = np.asarray(canvas, dtype=np.float32)
    values = values[..., ::-1] if s.channels == "BGR" else values
    values = (values * s.scale - np.array(s.mean, np.float32)) / np.array(s.std, np.float32)
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None]), ratios, corner


def shrunk(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The picture at another size, each pixel from the four nearest, as OpenCV does it: that is what detectors were trained on."""
    x, y = image.width / size[0], image.height / size[1]
    return image.transform(size, Image.Transform.AFFINE, (x, 0, 0, 0, y, 0), Image.Resampling.BILINEAR)


def read(outputs: Mapping[str, Array], s: OnnxSettings) -> tuple[Array, Array]:
    """Boxes (N, 4) xyxy in pixels of the input, and scores (N, classes), from a model's outputs by name. ValueError where they are of
    another layout."""
    classes = len(s.labels)
    if s.layout in ("detr", "detr-softmax"):
        extra = s.layout == "detr-softmax"
        fours = [name for name in outputs if outputs[name].shape[-1] == 4]
        place = fours[0] if len(fours) == 1 else _only([name for name in fours if "box" in name.lower()])
        logits = outputs[_only([n for n, o in outputs.items() if n != place and o.ndim == 3 and o.shape[-1] == classes + extra])][0]
        boxes = outputs[place][0] * np.array([*s.size, *s.size])
        if extra:
            powers = np.exp(logits - logits.max(1, keepdims=True))
            return _corners(boxes), (powers / powers.sum(1, keepdims=True))[:, :classes]
        return _corners(boxes), 1 / (1 + np.exp(-logits))
    if s.layout == "detr-end":
        classes_of, sure = (outputs[_only([n for n in outputs if word in n.lower()])][0] for word in ("label", "score"))
        return outputs[_only([n for n in outputs if "box" in n.lower()])][0], _one_a_class(classes_of, sure, classes)
    out = np.asarray(next(iter(outputs.values())))[0]
    if s.layout == "yolo-end":
        _expect(out, 6)
        return out[:, :4], _one_a_class(out[:, 5], out[:, 4], classes)
    if s.layout == "yolov8":
        out = out.T
        _expect(out, 4 + classes)
        return _corners(out[:, :4]), out[:, 4:]
    _expect(out, 5 + classes)
    boxes = yolox_boxes(out, s.size) if s.layout == "yolox" else out[:, :4]
    return _corners(boxes), out[:, 4:5] * out[:, 5:]


def yolox_boxes(out: Array, size: tuple[int, int]) -> Array:
    """Boxes (N, 4) as cx, cy, w, h in pixels from YOLOX's raw ones (Ge et al. 2021): a centre is a cell of the grids of strides 8, 16
    and 32 and an offset, a size a power of e, both times the stride."""
    grids, strides = [], []
    for stride in (8, 16, 32):
        ys, xs = np.meshgrid(np.arange(size[1] // stride), np.arange(size[0] // stride), indexing="ij")
        grids.append(np.stack([xs.ravel(), ys.ravel()], 1))
        strides.append(np.full((xs.size, 1), stride))
    grid, stride_of = np.concatenate(grids), np.concatenate(strides)
    if len(grid) != len(out):
        raise ValueError(f"{len(out)} cells where the input's size makes {len(grid)}")
    return np.concatenate([(out[:, :2] + grid) * stride_of, np.exp(np.clip(out[:, 2:4], -20, 20)) * stride_of], 1)


def _one_a_class(classes_of: Array, sure: Array, classes: int) -> Array:
    """(N, classes) scores of boxes of one class each; those of no class have none."""
    found, scores = np.nan_to_num(classes_of, nan=-1).astype(int), np.zeros((len(classes_of), classes), np.float32)
    known = (found >= 0) & (found < classes)
    scores[np.flatnonzero(known), found[known]] = sure[known]
    return scores


def _check_inputs(session: onnxruntime.InferenceSession, s: OnnxSettings, model: Path) -> None:
    """ModelError where a model is not fed as its settings say: pictures (1, 3, H, W) as floats, and for detr-end their size."""
    first, *more = session.get_inputs()
    if len(more) != (s.layout == "detr-end"):
        raise ModelError(f"{model} has {1 + len(more)} inputs, which the layout {s.layout} has not. Choose another layout or export.")
    fixed = [(have, want) for have, want in zip(first.shape, (1, 3, s.size[1], s.size[0]), strict=False) if isinstance(have, int)]
    if first.type not in TYPES or len(first.shape) != 4 or any(have != want for have, want in fixed):
        raise ModelError(
            f"{model} takes {first.type} of shape {first.shape}; it is fed floats of shape [1, 3, {s.size[1]}, {s.size[0]}]. Mend size, or "
            "export it with that shape."
        )


def _only(names: Sequence[str]) -> str:
    """The one output that fits."""
    if len(names) != 1:
        raise ValueError(f"{len(names)} outputs fit")
    return names[0]


def _expect(out: Array, last: int) -> None:
    if out.ndim != 2 or out.shape[1] != last:
        raise ValueError(f"rows of {last} numbers expected, not {out.shape}")


def _corners(boxes: Array) -> Array:
    """cx, cy, w, h -> x1, y1, x2, y2."""
    return np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1)
