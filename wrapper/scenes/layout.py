"""What stands where in a RefScenes picture: objects, their places and their boxes, without a pixel drawn.

Only `random.Random` and rounded arithmetic are used, so a seed gives the same layout on every machine.
"""

import json
import math
import random
import zlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from wrapper.scenes.kinds import KINDS, NOUNS, Kind

Box = tuple[float, float, float, float]
Split = Literal["train", "val", "test"]

LONG_SIDE = 640
MIN_OBJECTS, MAX_OBJECTS = 3, 9
MIN_SIZE, MAX_SIZE = 0.08, 0.40  # of the short side
MAX_ROTATION = 18.0  # degrees
MAX_COVERED = 0.25  # of an object's box by any other one
MIN_VISIBLE = 0.72  # of a truncated object's box


@dataclass(frozen=True)
class SceneObject:
    """One object of a scene. Lengths are pixels of a picture whose long side is LONG_SIDE.

    box: the visible part, x1 y1 x2 y2, whole pixels. center, size (longest side of the unrotated sprite), angle
    (degrees, counter-clockwise) and mirrored say how the sprite is placed.
    """

    kind: Kind
    box: Box
    center: tuple[float, float]
    size: float
    angle: float
    mirrored: bool

    @property
    def middle(self) -> tuple[float, float]:
        """The centre of the visible box."""
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2

    @property
    def area(self) -> float:
        """The area of the visible box, in square pixels."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


@dataclass(frozen=True)
class Layout:
    """A scene before it is drawn: its size in pixels and its objects, those in front last.

    subject: the noun that two to four of the objects share and that expressions are about.
    """

    width: int
    height: int
    subject: str
    objects: tuple[SceneObject, ...]

    @property
    def fingerprint(self) -> int:
        """A number that depends on what stands where and on nothing else."""
        return zlib.crc32(repr([(o.kind.name, o.box) for o in self.objects]).encode())

    @property
    def split(self) -> Split:
        """The split this layout belongs to, by its fingerprint: no seed can put it into another one."""
        return {0: "test", 1: "val"}.get(self.fingerprint % 10, "train")  # type: ignore[return-value]


@dataclass(frozen=True)
class Sprite:
    """Size in pixels and convex hull of one kind's picture."""

    size: tuple[int, int]
    hull: tuple[tuple[int, int], ...]


@cache
def sprites() -> dict[str, Sprite]:
    """The sprite of every kind, by the kind's name."""
    table = json.loads(files("wrapper.scenes").joinpath("sprites.json").read_text())
    return {row["name"]: Sprite(tuple(row["size"]), tuple(map(tuple, row["hull"]))) for row in table}


@cache
def kinds_of(noun: str) -> tuple[Kind, ...]:
    """Every kind that a noun names: one, or one a colour."""
    return tuple(kind for kind in KINDS if kind.noun == noun)


COLORED_NOUNS = tuple(noun for noun in NOUNS if len(kinds_of(noun)) > 1)


def outline(kind: Kind, center: tuple[float, float], size: float, angle: float, mirrored: bool) -> Box:
    """The box around a placed sprite, whole pixels, not clipped to the picture."""
    sprite = sprites()[kind.name]
    width, height = sprite.size
    scale = size / max(width, height)
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    xs, ys = [], []
    for x, y in sprite.hull:
        u, v = (x - width / 2) * scale * (-1 if mirrored else 1), (y - height / 2) * scale
        xs.append(center[0] + u * cos + v * sin)
        ys.append(center[1] - u * sin + v * cos)
    return tuple(float(round(v)) for v in (min(xs), min(ys), max(xs), max(ys)))  # type: ignore[return-value]


def clip(box: Box, width: int, height: int) -> Box:
    """The part of a box that lies inside the picture."""
    x1, y1, x2, y2 = box
    return max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))


def _area(box: Box) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def _covered(a: Box, b: Box) -> float:
    """The share of the smaller box that the two boxes have in common."""
    common = (max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))
    return _area(common) / min(_area(a), _area(b))


def _place(rng: random.Random, kind: Kind, width: int, height: int, largest: float, placed: list[SceneObject]) -> bool:
    """Put one more object where it covers no other one too much; False where thirty tries found no room."""
    for attempt in range(30):
        largest_now = largest if attempt < 15 else (MIN_SIZE + largest) / 2
        size = round(rng.uniform(MIN_SIZE, largest_now) * min(width, height), 1)
        center = round(rng.uniform(0, width), 1), round(rng.uniform(0, height), 1)
        angle = round(rng.uniform(-MAX_ROTATION, MAX_ROTATION), 1)
        mirrored = rng.random() < 0.5
        whole = outline(kind, center, size, angle, mirrored)
        box = clip(whole, width, height)
        if _area(box) < MIN_VISIBLE * _area(whole) or min(box[2] - box[0], box[3] - box[1]) < 8:
            continue
        if all(_covered(box, other.box) <= MAX_COVERED for other in placed):
            placed.append(SceneObject(kind, box, center, size, angle, mirrored))
            return True
    return False


def _choose_kinds(rng: random.Random, colored: bool) -> tuple[str, list[Kind]]:
    """The subject's noun, and the kinds of all objects, two to four of them of that noun."""
    subject = rng.choice(COLORED_NOUNS if colored else NOUNS)
    count = rng.randint(MIN_OBJECTS, MAX_OBJECTS)
    same = min(rng.choice((2, 2, 3, 3, 4)), count - 1)
    palette = rng.sample(kinds_of(subject), min(rng.randint(2, 4), len(kinds_of(subject))))
    kinds = [rng.choice(palette) for _ in range(same)]
    others = rng.sample([noun for noun in NOUNS if noun != subject], 5)
    while len(kinds) < count:
        kinds.append(rng.choice(kinds_of(rng.choice(others))))
    return subject, kinds


def draw_layout(rng: random.Random, colored: bool = False) -> Layout:
    """A random layout.

    colored: take a subject that comes in several colours. Objects for which there is no room are left out; there
    are always at least MIN_OBJECTS, two of them of the subject's noun.
    """
    while True:
        short = rng.randint(LONG_SIDE * 3 // 4, LONG_SIDE)
        width, height = (LONG_SIDE, short) if rng.random() < 0.5 else (short, LONG_SIDE)
        subject, kinds = _choose_kinds(rng, colored)
        largest = min(MAX_SIZE, 1.15 / math.sqrt(len(kinds)))
        placed: list[SceneObject] = []
        for kind in kinds:
            _place(rng, kind, width, height, largest, placed)
        rng.shuffle(placed)
        if len(placed) >= MIN_OBJECTS and sum(o.kind.noun == subject for o in placed) >= 2:
            return Layout(width, height, subject, tuple(placed))
