"""Any detector as a proposer: whatever gives `supervision.Detections` for a picture is a black box that proposes.

A closed-set detector says the same of a picture whatever is asked, so it is asked once a picture; one that reads words is
asked once a pair. What supervision reads (ultralytics, rfdetr, inference, VLM texts) is a detector by one line of Python.
"""

import unicodedata
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wrapper.candidates import Candidate
from wrapper.errors import DataError, ModelError
from wrapper.expressions import singulars
from wrapper.proposers.base import clipped, listed, once

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="OpenCV")  # nothing here needs it
    from supervision import Detections as Detections


SHARE = 1.5
"""No box of a picture that is 16 pixels or more a side ends so near to its corner."""
SLACK = 1e-3
"""By how much a score may pass 0 and 1: what rounding does."""


class Detector(Protocol):
    """A detector seen from outside. reads_words: whether what it finds depends on the expression."""

    @property
    def reads_words(self) -> bool: ...

    def detect(self, images: Sequence[Image.Image], expressions: Sequence[str]) -> list[Detections]:
        """What is found in each picture (RGB): boxes xyxy in pixels, `confidence` where there is one, and names in
        `data["class_name"]`. Where it reads no words, each picture stands in a batch once."""
        ...


@dataclass(frozen=True)
class DetectorProposer:
    """A detector's boxes as candidates: those whose name the expression says first, then by falling score. same_box: as of a preset."""

    name: str
    detector: Detector
    same_box: float = 1.0

    def propose(self, images: Sequence[Image.Image], expressions: Sequence[str]) -> list[list[Candidate]]:
        """Candidates for each pair of picture and expression."""
        if not images:
            return []
        if self.detector.reads_words:
            found = self._asked(images, expressions)
        else:
            different, which = once(images)
            seen = self._asked(different, [""] * len(different))
            found = [seen[i] for i in which]
        return [self._candidates(d, i.size, e) for d, i, e in zip(found, images, expressions, strict=True)]

    def _asked(self, images: Sequence[Image.Image], expressions: Sequence[str]) -> list[Detections]:
        found = self.detector.detect(images, expressions)
        if len(found) != len(images):
            raise ModelError(
                f"The detector {self.name} gave {len(found)} results for {len(images)} pictures. It has to give one a picture."
            )
        return found

    def _candidates(self, found: Detections, size: tuple[int, int], expression: str) -> list[Candidate]:
        if _are_shares(found.xyxy):
            raise DataError(f"The detector {self.name} gives boxes within 0 and 1, as shares of the picture are. Turn them into pixels.")
        words = spoken(expression)
        rows = []
        for xyxy, label, score in zip(found.xyxy, names(found), scores(found), strict=True):
            box = clipped(xyxy, size)
            if box is not None and label:
                rows.append(Candidate(box, label, score, self.name))
        rows.sort(key=lambda c: (not is_named(c.label, words), -(c.score or 0.0)))
        return listed(rows, self.same_box)


def _are_shares(xyxy: NDArray[Any]) -> bool:
    """Whether boxes are shares of the picture. Whole numbers are not, such as the [0, 0, 1, 1] that some write where nothing was found."""
    return bool(len(xyxy)) and float(xyxy.max()) <= SHARE and bool((xyxy % 1).any())


def is_named(label: str, words: set[str]) -> bool:
    """Whether a label's words are all among these, or those of one of its names: "tv/monitor" has two."""
    return any(name and name <= words for name in (set(_words(part)) for part in label.split("/")))


def _words(text: str) -> list[str]:
    """The words of a text, by whatever they are held together: "stop_sign", "t-shirt". A sign that is written upon a letter, as Hindi's
    vowels are, belongs to its word."""
    kept = (c if c.isalnum() or unicodedata.category(c).startswith("M") else " " for c in text.lower())
    return "".join(kept).split()


def spoken(text: str) -> set[str]:
    """The words of a text, of a plural its singular as well: "cats" is "cat" too."""
    words = set(_words(text))
    return words | {one for w in words for one in singulars(w)}


def names(found: Detections) -> list[str]:
    """The name of each box; ModelError where the detections name nothing."""
    if "class_name" in found.data:
        if len(found.data["class_name"]) != len(found):
            raise ModelError(f"The detections have {len(found)} boxes and {len(found.data['class_name'])} names. Give one name a box.")
        return [" ".join(str(name).split()).lower() for name in found.data["class_name"]]
    if len(found) == 0:
        return []
    raise ModelError('The detections have no names. Put one a box into `data["class_name"]`, as supervision\'s own readers do.')


def scores(found: Detections) -> list[float | None]:
    """The confidence of each box, None where there is none: it is not made up. ModelError where they are no shares, as logits or per
    cents are: all would be 1 without a word."""
    if found.confidence is None:
        return [None] * len(found)
    if any(np.isfinite(c) and not -SLACK <= c <= 1 + SLACK for c in found.confidence):
        worst = max(found.confidence, key=abs)
        raise ModelError(f"A detector's scores lie between 0 and 1; one is {worst:g}. Turn logits or per cents into shares.")
    return [None if not np.isfinite(c) else float(min(max(c, 0.0), 1.0)) for c in found.confidence]


def detections(boxes: Any, labels: Sequence[str], confidence: Any = None) -> Detections:
    """Detections of boxes (N, 4) xyxy in pixels with a name each; those that are not finite are left out."""
    xyxy = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
    sound = np.isfinite(xyxy).all(1)
    return Detections(
        xyxy=xyxy[sound],
        confidence=None if confidence is None else np.asarray(confidence, dtype=np.float32)[sound],
        data={"class_name": np.array(labels, dtype=object)[sound]},
    )
