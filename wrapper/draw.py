"""A selection -> a picture with numbered boxes, through supervision."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wrapper.candidates import BY_HAND, NOT_FOUND, Box, Candidate, Selection

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="OpenCV")  # nothing drawn here needs it
    import supervision as sv

# Okabe & Ito's palette, told apart with any colour vision. The pick is told by its thick white-and-black frame too.
SEVERAL = "several"
"""Candidates that more than one model proposes."""
COLORS = {"florence2": "#0072B2", "gdrec": "#D55E00", "gd": "#009E73", "yolox": "#E69F00", BY_HAND: "#CC79A7", SEVERAL: "#56B4E9"}
OTHER = "#BBBBBB"
LETTERS = ["#FFFFFF", "#000000", "#000000", "#000000", "#000000", "#000000", "#000000"]
"""Of labels on those colours, in their order: contrast 4.5 at least (WCAG 2.1, 1.4.3)."""
FRAME = (640, 380)
"""Pixels that the page has for a picture."""
PICK = "#F0E442"
Paper = NDArray[np.uint8]
"""A picture that is drawn on, (height, width, 3), blue before green before red."""
DIMMED = 0.55
"""Brightness left outside the pick."""


def font_path() -> Path:
    """DejaVu Sans, which comes with supervision's own dependency matplotlib and has accents."""
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"


def detections(candidates: Sequence[Candidate]) -> sv.Detections:
    """Candidates as supervision knows them, with "class_name" and "source" (all names, with " + " between them) as data; class ids
    number the sources, SEVERAL for candidates of more than one."""
    if not candidates:
        return sv.Detections.empty()
    return sv.Detections(
        xyxy=np.array([c.box for c in candidates], dtype=np.float32),
        class_id=np.array([_class(c) for c in candidates]),
        data={
            "class_name": np.array([c.label for c in candidates]),
            "source": np.array([" + ".join(c.sources) for c in candidates]),
        },
    )


def _class(candidate: Candidate) -> int:
    names = list(COLORS)
    if len(candidate.sources) > 1:
        return names.index(SEVERAL)
    return names.index(candidate.source) if candidate.source in names else len(names)


def _palette() -> sv.ColorPalette:
    return sv.ColorPalette.from_hex([*COLORS.values(), OTHER])


def annotate(
    image: Image.Image,
    selection: Selection,
    truth: Box | None = None,
    marked: int | None = None,
    corner: tuple[float, float] | None = None,
    size: tuple[int, int] | None = None,
) -> Image.Image:
    """The picture (RGB) with every candidate's box and index, coloured by source, and the pick spotlighted; a new picture.

    truth: the true box where it is known; its corners are marked in white. marked: a candidate to be pointed out. corner: a
    point to be marked, (x, y) in pixels. size: (width, height) of the picture that boxes and points are in pixels of, where
    `image` is that one scaled. Where the answer is "not found", the best guess is labelled with a question mark.
    """
    factor = 1.0 if size is None else image.width / size[0]
    candidates = _scaled(selection.candidates, factor)
    pick, guess = selection.index, selection.guess if selection.reason in NOT_FOUND else None
    order = sorted(range(len(candidates)), key=lambda i: i == pick)  # the pick on top
    scene = _paper(_spotlight(image, None if pick is None else candidates[pick].box))
    scene = _boxes(scene, [candidates[i] for i in order])
    if pick is not None:
        scene = _frame(scene, candidates[pick])
    if marked is not None:
        scene = _ring(scene, candidates[marked])
    if truth is not None:
        scene = _corners(scene, _times(truth, factor))
    if corner is not None:
        scene = _dot(scene, (corner[0] * factor, corner[1] * factor))
    words = [f"{i} {candidates[i].label[:40]}" if i == pick else f"{i}?" if i == guess else str(i) for i in order]
    return _labels(_picture(scene), [candidates[i] for i in order], words)


def draw_candidates(image: Image.Image, candidates: Sequence[Candidate], size: tuple[int, int] | None = None) -> Image.Image:
    """The picture (RGB) with candidates' boxes and indices, before one is chosen; a new picture. size: as in `annotate`."""
    found = _scaled(candidates, 1.0 if size is None else image.width / size[0])
    return _labels(_picture(_boxes(_paper(image), found)), found, [str(i) for i in range(len(found))])


def _paper(image: Image.Image) -> Paper:
    """A copy of a picture to draw on, as supervision does: it would turn a PIL image into such an array and back for each drawing."""
    return np.ascontiguousarray(np.asarray(image)[..., ::-1])


def _picture(paper: Paper) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(paper[..., ::-1]))


def _scaled(candidates: Sequence[Candidate], factor: float) -> list[Candidate]:
    return [replace(c, box=_times(c.box, factor)) for c in candidates]


def _times(box: Box, factor: float) -> Box:
    return box[0] * factor, box[1] * factor, box[2] * factor, box[3] * factor


def _line(paper: Paper) -> int:
    """Pixels of a box's line, so that it is as thick in a small as in a large picture."""
    height, width = paper.shape[:2]
    return max(2, round(int(min(height, width)) / 200))


def _boxes(scene: Paper, candidates: Sequence[Candidate]) -> Paper:
    return sv.BoxAnnotator(_palette(), _line(scene)).annotate(scene, detections(candidates))


def _frame(scene: Paper, pick: Candidate) -> Paper:
    found = detections([pick])
    scene = sv.BoxAnnotator(sv.Color.BLACK, 3 * _line(scene)).annotate(scene, found)
    return sv.BoxAnnotator(sv.Color.from_hex(PICK), 2 * _line(scene)).annotate(scene, found)


def _ring(scene: Paper, marked: Candidate) -> Paper:
    found, thickness = detections([marked]), max(3, round(min(scene.shape[:2]) / 120))
    scene = sv.BoxAnnotator(sv.Color.WHITE, 2 * thickness).annotate(scene, found)
    return sv.BoxAnnotator(_palette(), thickness).annotate(scene, found)


def _corners(scene: Paper, box: Box) -> Paper:
    found = sv.Detections(xyxy=np.array([box], dtype=np.float32), class_id=np.array([0]))
    side, length = max(2, round(min(scene.shape[:2]) / 160)), max(8, round(min(scene.shape[:2]) / 24))
    scene = sv.BoxCornerAnnotator(sv.Color.BLACK, side + 3, length).annotate(scene, found)
    return sv.BoxCornerAnnotator(sv.Color.WHITE, side, length).annotate(scene, found)


def _dot(scene: Paper, point: tuple[float, float]) -> Paper:
    found = sv.Detections(xyxy=np.array([[*point, *point]], dtype=np.float32), class_id=np.array([0]))
    return sv.DotAnnotator(sv.Color.WHITE, 3 * _line(scene), outline_thickness=_line(scene)).annotate(scene, found)


def _labels(scene: Image.Image, candidates: Sequence[Candidate], words: list[str]) -> Image.Image:
    """A label a candidate, above all lines. In one go, as supervision keeps only those off each other that are drawn together."""
    if not candidates:
        return scene
    # As large as 12 points would be where the picture is fitted into the page's frame
    points = max(11, round(12 * max(scene.width / FRAME[0], scene.height / FRAME[1])))
    annotator = sv.RichLabelAnnotator(
        color=_palette(), text_color=sv.ColorPalette.from_hex(LETTERS), font_path=str(font_path()), font_size=points,
        text_padding=max(2, points // 4), smart_position=True,
    )  # fmt: skip
    return annotator.annotate(scene, detections(candidates), words)


def _spotlight(image: Image.Image, box: Box | None) -> Image.Image:
    """A new picture, dark outside the box; as bright as before where there is none."""
    if box is None:
        return image.copy()
    dark = image.point(lambda v: round(v * DIMMED))
    corner = (int(box[0]), int(box[1]))
    dark.paste(image.crop((*corner, round(box[2]), round(box[3]))), corner)
    return dark
