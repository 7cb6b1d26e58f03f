"""Layout -> picture: background, sprites and photographic wear, at any resolution.

The same layout and seed give the same pixels for one Pillow version. Everything is laid out in shares of the
picture, so that a picture drawn small looks like the large one scaled down.
"""

import io
import math
import random
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from wrapper.scenes.kinds import KINDS
from wrapper.scenes.layout import Layout, SceneObject, sprites

CELL, COLUMNS = 128, 10  # of the sprite sheet
RIM = 16  # empty sprite pixels around a sprite, for its smoothed edge
Floats = NDArray[Any]  # float32 or float64
Pair = tuple[int, int]


@cache
def _sheet() -> Image.Image:
    with files("wrapper.scenes").joinpath("sprites.png").open("rb") as file:
        return Image.open(file).convert("RGBA")


@cache
def _levels(name: str) -> tuple[Image.Image, ...]:
    """The sprite of a kind with an empty rim, full size, then halved again and again: an affine transform does not
    smooth when it shrinks, so it starts from the level nearest to what is needed. Premultiplied, as Pillow would make it for
    every transform."""
    index = next(i for i, kind in enumerate(KINDS) if kind.name == name)
    left, top = index % COLUMNS * CELL, index // COLUMNS * CELL
    width, height = sprites()[name].size
    padded = Image.new("RGBA", (CELL + 2 * RIM, CELL + 2 * RIM))
    padded.paste(_sheet().crop((left, top, left + width, top + height)), (RIM, RIM))
    return tuple(padded.resize((padded.width >> n,) * 2, Image.Resampling.BOX).convert("RGBa") for n in range(4))


def _color(rng: random.Random) -> Floats:
    return np.array([rng.uniform(60, 250) for _ in range(3)], np.float32)


def _grid(width: int, height: int) -> tuple[Floats, Floats]:
    """x and y of every pixel's centre, in shares of the picture, shapes (1, width) and (height, 1)."""
    x = (np.arange(width, dtype=np.float32) + 0.5) / width
    y = (np.arange(height, dtype=np.float32) + 0.5) / height
    return x[None, :], y[:, None]


def _mix(mask: Floats, first: Floats, second: Floats) -> Floats:
    """Blend two colours (3,) by a mask (height, width) in [0, 1] -> (height, width, 3)."""
    mixed: Floats = first + mask[..., None] * (second - first)
    return mixed


def _gradient(rng: random.Random, size: Pair) -> Floats:
    x, y = _grid(*size)
    angle = rng.uniform(0, 2 * math.pi)
    mask = 0.5 + 0.7 * (math.cos(angle) * (x - 0.5) + math.sin(angle) * (y - 0.5))
    return _mix(np.clip(mask, 0, 1), _color(rng), _color(rng))


def _stripes(rng: random.Random, size: Pair) -> Floats:
    x, y = _grid(*size)
    angle, count = rng.uniform(0, math.pi), rng.uniform(3, 14)
    wave = np.sin(2 * math.pi * count * (math.cos(angle) * x + math.sin(angle) * y))
    first = _color(rng)
    return _mix(np.clip(0.5 + wave * rng.uniform(0.5, 4), 0, 1), first, first + rng.uniform(-70, 70))


def _checks(rng: random.Random, size: Pair) -> Floats:
    x, y = _grid(*size)
    count = rng.randint(3, 10)
    mask = (np.floor(x * count) + np.floor(y * count)) % 2
    first = _color(rng)
    return _mix(mask, first, first + rng.uniform(-60, 60))


def _noise(rng: random.Random, size: Pair) -> Floats:
    cells = rng.choice((6, 12, 24, 48))
    values = np.frombuffer(rng.randbytes(cells * cells), np.uint8).reshape(cells, cells)
    mask = np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BICUBIC), np.float32) / 255
    first = _color(rng)
    return _mix(mask, first, np.clip(first + np.array([rng.uniform(-90, 90) for _ in range(3)], np.float32), 0, 255))


def _blobs(rng: random.Random, size: Pair) -> Floats:
    x, y = _grid(*size)
    canvas = _gradient(rng, size)
    for _ in range(rng.randint(2, 5)):
        cx, cy, rx, ry = rng.random(), rng.random(), rng.uniform(0.08, 0.4), rng.uniform(0.08, 0.4)
        distance = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2
        mask = np.clip((1 - distance) * rng.uniform(1, 6), 0, 1) * rng.uniform(0.3, 0.9)
        canvas = canvas + mask[..., None] * (_color(rng) - canvas)
    return canvas


def _floor(rng: random.Random, size: Pair) -> Floats:
    _, y = _grid(*size)
    horizon = rng.uniform(0.3, 0.8)
    painters = (_gradient, _noise, _stripes)
    sky, ground = rng.choice(painters)(rng, size), rng.choice(painters)(rng, size)
    mask = np.clip((y - horizon) * 60 + 0.5, 0, 1)[..., None]
    blended: Floats = sky + mask * (ground - sky)
    return blended


_BACKGROUNDS: tuple[Callable[[random.Random, Pair], Floats], ...] = (
    _gradient, _stripes, _checks, _noise, _blobs, _floor, _floor,
)  # fmt: skip


def _paste(canvas: Image.Image, thing: SceneObject, scale: tuple[float, float]) -> None:
    """Draw one object onto the canvas, whose pixels are `scale` times the layout's along x and y."""
    sprite = sprites()[thing.kind.name]
    shrink = max(sprite.size) / (thing.size * max(scale))  # sprite pixels a canvas pixel
    level = min(3, max(0, round(math.log2(max(shrink, 1e-6)))))
    cos, sin = math.cos(math.radians(thing.angle)), math.sin(math.radians(thing.angle))
    per_pixel = max(sprite.size) / thing.size  # level-0 sprite pixels a layout pixel
    half_width, half_height = sprite.size[0] / 2 + RIM, sprite.size[1] / 2 + RIM
    reach = (cos * half_width + abs(sin) * half_height) / per_pixel, (abs(sin) * half_width + cos * half_height) / per_pixel
    left, top = ((c - r) * s for c, r, s in zip(thing.center, reach, scale, strict=True))
    right, bottom = ((c + r) * s for c, r, s in zip(thing.center, reach, scale, strict=True))
    x0, y0 = max(0, math.floor(left)), max(0, math.floor(top))
    x1, y1 = min(canvas.width, math.ceil(right)), min(canvas.height, math.ceil(bottom))
    if x0 >= x1 or y0 >= y1:
        return
    flip = -1.0 if thing.mirrored else 1.0
    # canvas pixel -> layout offset from the centre -> rotated back -> sprite pixel of the chosen level
    a, b = cos * per_pixel * flip / scale[0], -sin * per_pixel * flip / scale[1]
    d, e = sin * per_pixel / scale[0], cos * per_pixel / scale[1]
    ox, oy = x0 - thing.center[0] * scale[0], y0 - thing.center[1] * scale[1]
    c = a * ox + b * oy + RIM + sprite.size[0] / 2
    f = d * ox + e * oy + RIM + sprite.size[1] / 2
    down = 2.0**-level
    patch = (
        _levels(thing.kind.name)[level]
        .transform(
            (x1 - x0, y1 - y0),
            Image.Transform.AFFINE,
            (a * down, b * down, c * down, d * down, e * down, f * down),
            Image.Resampling.BILINEAR,
        )
        .convert("RGBA")
    )
    canvas.paste(patch, (x0, y0), patch)


def _wear(rng: random.Random, picture: Image.Image) -> Image.Image:
    """Brightness, contrast, blur and JPEG damage as photographs have them."""
    picture = ImageEnhance.Brightness(picture).enhance(rng.uniform(0.75, 1.2))
    picture = ImageEnhance.Contrast(picture).enhance(rng.uniform(0.75, 1.2))
    blur, quality = rng.uniform(-0.0015, 0.0025), rng.randint(35, 160)
    if blur > 0:
        picture = picture.filter(ImageFilter.GaussianBlur(blur * max(picture.size)))
    if quality < 96:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality)
        picture = Image.open(buffer).convert("RGB")
    return picture


def render(layout: Layout, seed: str, size: Pair | None = None) -> Image.Image:
    """The picture of a layout, RGB.

    seed: chooses background and wear. size: width and height in pixels; the layout's own where None. Another aspect
    ratio stretches the picture, as an image processor with a fixed square input does.
    """
    rng = random.Random(seed)
    size = size or (layout.width, layout.height)
    background = np.clip(rng.choice(_BACKGROUNDS)(rng, size), 0, 255).astype(np.uint8)
    canvas = Image.fromarray(background)
    scale = size[0] / layout.width, size[1] / layout.height
    for thing in layout.objects:
        _paste(canvas, thing, scale)
    return _wear(rng, canvas)
