"""Make wrapper/colors.txt: what people call each of 16 x 16 x 16 colours.

    python -m weights.recipes.color_words

The XKCD colour survey (2010, CC0) gave names to 949 colours, as matplotlib has them. Those whose last word is a basic colour term, or
a word for one of its shades, stand for that term; a colour is called as most of its five nearest in CIELAB are, the nearer the weightier.
The survey's white and black are a few points, so that colours with hardly any hue are told apart by how light they are.
"""

import numpy as np
from matplotlib.colors import XKCD_COLORS, to_rgb
from numpy.typing import NDArray

from wrapper.colors import COLORS, LEVELS, TABLE

SHADES = {
    "grey": "gray", "violet": "purple", "lavender": "purple", "magenta": "pink", "tan": "brown", "beige": "brown", "teal": "green",
    "olive": "green", "navy": "blue", "maroon": "red", "cream": "white",
}  # fmt: skip
NEAREST = 5
HUELESS, PALE = 10.0, 14.0
"""Chroma below which a colour has no hue, and below which a light one is white."""
DARK, LIGHT, VERY_LIGHT, NIGHT = 28.0, 74.0, 80.0, 12.0
"""Lightness: without hue it is black below the first and white above the second; pale colours are white above the third, and any colour is
black below the last."""


def lab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """sRGB from 0 to 1, (N, 3), as CIELAB under D65 (IEC 61966-2-1; CIE 15)."""
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    matrix = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
    xyz = linear @ matrix.T / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], -1)


def survey() -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """The survey's colours in CIELAB with the term that each stands for."""
    words = {name: name.removeprefix("xkcd:").split()[-1] for name in XKCD_COLORS}
    terms = {name: SHADES.get(word, word) for name, word in words.items()}
    kept = [name for name, term in terms.items() if term in COLORS]
    return lab(np.array([to_rgb(XKCD_COLORS[name]) for name in kept])), np.array([COLORS.index(terms[name]) for name in kept])


def main() -> None:
    points, terms = survey()
    level = (np.arange(LEVELS) + 0.5) / LEVELS
    named = []
    for color in lab(np.stack(np.meshgrid(level, level, level, indexing="ij"), -1).reshape(-1, 3)):
        distance = ((points - color) ** 2).sum(-1)
        near = np.argsort(distance, kind="stable")[:NEAREST]
        term = int(np.bincount(terms[near], 1 / (distance[near] + 25), len(COLORS)).argmax())
        light, chroma = float(color[0]), float(np.hypot(color[1], color[2]))
        if chroma < HUELESS or light < NIGHT:
            term = COLORS.index("black" if light < DARK else "white" if light > LIGHT else "gray")
        elif chroma < PALE and light > VERY_LIGHT:
            term = COLORS.index("white")
        named.append(f"{term:x}")
    TABLE.write_text("".join(named) + "\n", encoding="ascii")
    print(f"wrote {TABLE}")


if __name__ == "__main__":
    main()
