"""Which world a picture is of: a RefScenes scene, or a photograph. The bundled models know one each.

A linear rule on how smooth a picture is when it is made small: the backgrounds of scenes are painted and their objects have sharp
edges, photographs have texture everywhere. `weights/recipes/worlds.py` fitted it and prints how often it is right.
"""

from enum import StrEnum

import numpy as np
from PIL import Image

SIDE = 160
"""Pixels of the longer side at which a picture is looked at."""
STEPS = (2, 4, 8, 16, 32, 64)
"""Levels of 255 below which a difference between neighbouring pixels counts as small."""
WEIGHTS = (1.35, -0.13, 0.03, 0.1, -3.88, -2.25, 2.03, 1.47, 1.88, 3.61, 3.62, 9.67, -0.1, -4.88)
BIAS = -10.4


class World(StrEnum):
    """What a picture shows."""

    SCENE = "scene"
    PHOTOGRAPH = "photograph"


def measures(picture: Image.Image) -> list[float]:
    """Shares of the picture, 0 to 1: of pixels that differ by less than each of STEPS from their neighbours; that bend by less than each
    of them (second differences); that are vivid, grey."""
    scale = min(1.0, SIDE / max(picture.size))
    size = max(4, round(picture.width * scale)), max(4, round(picture.height * scale))
    a = np.asarray(picture.convert("RGB").resize(size, Image.Resampling.BOX), np.float32)
    slope = np.maximum(np.abs(np.diff(a, axis=1)).max(2)[:-1], np.abs(np.diff(a, axis=0)).max(2)[:, :-1])
    across = np.abs(a[:, 2:] - 2 * a[:, 1:-1] + a[:, :-2]).max(2)[1:-1]
    down = np.abs(a[2:] - 2 * a[1:-1] + a[:-2]).max(2)[:, 1:-1]
    bend, vivid = np.maximum(across, down), a.max(2) - a.min(2)
    shares = [slope < step for step in STEPS] + [bend < step for step in STEPS]
    return [float(s.mean()) for s in (*shares, vivid > 120, vivid < 20)]


def world_of(picture: Image.Image) -> World:
    """Which of the two a picture looks like."""
    return World.SCENE if float(np.dot(WEIGHTS, measures(picture))) + BIAS > 0 else World.PHOTOGRAPH
