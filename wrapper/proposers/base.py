"""What every proposer is: one method, a batch in, lists of candidates out."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from PIL import Image

from wrapper.candidates import Box, Candidate, iou


class Proposer(Protocol):
    """A frozen vision-language model seen from outside."""

    @property
    def name(self) -> str:
        """The name that candidates carry as their source."""
        ...

    def propose(self, images: Sequence[Image.Image], expressions: Sequence[str]) -> list[list[Candidate]]:
        """Candidates for each pair of picture (RGB) and expression; the model's own answer first, where it has one."""
        ...


MOST_PROPOSED = 100
"""Candidates that a proposer gives at most; a prompt takes fewer (`wrapper.merging`)."""


def listed(candidates: Sequence[Candidate], same_box: float) -> list[Candidate]:
    """A proposer's own list, each candidate with its place in it: without those that repeat an earlier one (same label, IoU above
    `same_box`), and cut where it is very long.

    Detectors often find one object several times; a list for an LLM is short, and a repeated box says nothing new.
    1.0 keeps every candidate, as the paper does.
    """
    kept: list[Candidate] = []
    for candidate in candidates:
        if len(kept) == MOST_PROPOSED:
            break
        if not any(k.label == candidate.label and iou(k.box, candidate.box) > same_box for k in kept):
            kept.append(replace(candidate, rank=len(kept)))
    return kept


def once(images: Sequence[Image.Image]) -> tuple[list[Image.Image], list[int]]:
    """The different pictures among `images` (by identity), and for each image its place among them."""
    places: dict[int, int] = {}
    different: list[Image.Image] = []
    for image in images:
        if id(image) not in places:
            places[id(image)] = len(different)
            different.append(image)
    return different, [places[id(image)] for image in images]


def clipped(box: Sequence[float], size: tuple[int, int]) -> Box | None:
    """A box cut to a picture of (width, height); None where less than a pixel of it is left."""
    x1, x2 = (min(max(float(v), 0.0), float(size[0])) for v in (box[0], box[2]))
    y1, y2 = (min(max(float(v), 0.0), float(size[1])) for v in (box[1], box[3]))
    return (x1, y1, x2, y2) if x2 - x1 >= 1 and y2 - y1 >= 1 else None
