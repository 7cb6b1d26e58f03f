"""What every proposer is: one method, a batch in, lists of candidates out."""

from collections.abc import Sequence
from typing import Protocol

from PIL import Image

from wrapper.candidates import Box, Candidate


class Proposer(Protocol):
    """A frozen vision-language model seen from outside."""

    @property
    def name(self) -> str:
        """The name that candidates carry as their source."""
        ...

    def propose(self, images: Sequence[Image.Image], expressions: Sequence[str]) -> list[list[Candidate]]:
        """Candidates for each pair of picture (RGB) and expression; the model's own answer first, where it has one."""
        ...


def clipped(box: Sequence[float], size: tuple[int, int]) -> Box | None:
    """A box cut to a picture of (width, height); None where less than a pixel of it is left."""
    x1, x2 = (min(max(float(v), 0.0), float(size[0])) for v in (box[0], box[2]))
    y1, y2 = (min(max(float(v), 0.0), float(size[1])) for v in (box[1], box[3]))
    return (x1, y1, x2, y2) if x2 - x1 >= 1 and y2 - y1 >= 1 else None
