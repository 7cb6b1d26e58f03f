"""What colours a picture shows in a box, in words: for an LLM that reads lists, which sees no picture.

An addition to the method. The words are the eleven basic colour terms of English (Berlin & Kay, Basic Color Terms, 1969); which of them
a pixel is called was asked of people (the XKCD colour survey of 2010, public domain) and lies in colors.txt, a digit for each
of 16 x 16 x 16 colours, made by `weights/recipes/color_words.py`.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wrapper.candidates import Box, Candidate

COLORS = ("black", "white", "gray", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown")
SPOKEN = {color: color for color in COLORS} | {
    "grey": "gray", "silver": "gray", "tan": "brown", "beige": "brown", "khaki": "brown", "gold": "yellow", "golden": "yellow",
    "navy": "blue", "maroon": "red", "violet": "purple", "lavender": "purple",
}  # fmt: skip
"""What people call a colour, and which of the eleven it is. Without "cream", which is mostly eaten."""
_WORD = f"(?:{'|'.join(sorted(SPOKEN, key=len, reverse=True))})"
JOINED = re.compile(rf"(?<![^\W\d_]){_WORD}(?:(?:\s*(?:,|&|/|\+|-)\s*|\s+)(?:and[\s-]+)?{_WORD})+(?![^\W\d_])")
"""Words for colours with nothing between them but "and", a sign or a blank."""
TABLE = Path(__file__).with_name("colors.txt")
LEVELS = 16
"""Of each of red, green and blue in the table."""
LEAST = 0.15
"""Share of a box above which one of its colours is named."""
MOST = 3
"""Colours named of a box."""
SIDE = 24
"""Pixels a side to which a box is scaled before they are counted."""
SPREAD = (0.55, 0.7)
"""How fast a pixel's weight falls from a box's middle to its left and right and to its upper and lower end: towards its corners it shows
what stands behind the object."""
WHITE, GAIN = 245.0, 1.6
"""Dark pictures are brightened until their brightest parts have this value, at most so many times."""


def colors_named(text: str) -> tuple[str, ...]:
    """Which of the eleven colours a text names, by whatever word, each once.

    >>> colors_named("Grey dog beside the red-and-gray car")
    ('gray', 'red')
    """
    return tuple(dict.fromkeys(SPOKEN[word] for word in re.findall(r"[^\W\d_]+", text.lower()) if word in SPOKEN))


def colors_joined(text: str) -> list[tuple[str, ...]]:
    """Colours that a text names of one thing, several together: "black and white", "red/blue", "brown-and-white", "blue, white and red".

    >>> colors_joined("the black-and-white cat by a red box with a gray lid")
    [('black', 'white')]
    """
    return [found for run in JOINED.findall(text.lower()) if len(found := colors_named(run)) > 1]


@cache
def _table() -> NDArray[np.intp]:
    return np.array([int(digit, 16) for digit in TABLE.read_text(encoding="ascii").strip()])


@cache
def _weights() -> NDArray[np.float64]:
    at = (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
    x, y = (np.exp(-((at / spread) ** 2)) for spread in SPREAD)
    weights: NDArray[np.float64] = np.outer(y / y.sum(), x / x.sum()).ravel()
    return weights


def with_colors(image: Image.Image, candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates of an RGB picture with the colours that it shows in their boxes; those that have some keep them."""
    if all(c.colors for c in candidates):
        return list(candidates)
    gain = _gain(image)
    return [c if c.colors else replace(c, colors=name_colors(image, c.box, gain)) for c in candidates]


def _gain(image: Image.Image) -> float:
    """By how much a picture is to be brightened."""
    small = np.asarray(image.resize((64, 64), Image.Resampling.BOX))
    return min(GAIN, WHITE / max(1.0, float(np.percentile(small.max(-1), 97))))


def name_colors(image: Image.Image, box: Box, gain: float = 1.0) -> tuple[str, ...]:
    """The colours of a box, that of the largest share first; none where the box is not on the picture."""
    x1, y1 = max(0.0, box[0]), max(0.0, box[1])
    x2, y2 = min(float(image.width), box[2]), min(float(image.height), box[3])
    if x2 <= x1 or y2 <= y1:
        return ()
    part = image.resize((SIDE, SIDE), Image.Resampling.BOX, (x1, y1, x2, y2))
    levels = np.minimum(255, np.asarray(part) * gain).astype(np.intp) * LEVELS // 256
    named = _table()[(levels[..., 0] * LEVELS + levels[..., 1]) * LEVELS + levels[..., 2]]
    shares = np.bincount(named.ravel(), _weights(), len(COLORS))
    first = np.argsort(-shares, kind="stable")[:MOST]
    return tuple(COLORS[i] for i in first if shares[i] >= LEAST)
