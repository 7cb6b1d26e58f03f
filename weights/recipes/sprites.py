"""Render the sprite sheet of RefScenes from Noto Color Emoji, once.

    python weights/recipes/sprites.py /usr/share/fonts/truetype/noto/NotoColorEmoji.ttf

Writes wrapper/scenes/sprites.png (a grid of 128 px cells, in the order of KINDS) and sprites.json (for each kind the
sprite's size in its cell and the convex hull of what is opaque, from which boxes are computed without rendering).
Needs Debian's fonts-noto-color-emoji (SIL OFL 1.1, see wrapper/scenes/OFL.txt), Pillow with FreeType, SciPy.
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.spatial import ConvexHull

from wrapper.scenes.kinds import KINDS, Kind

CELL = 128
COLUMNS = 10
STRIKE = 109  # the one bitmap size the font has
OPAQUE = 96  # alpha from which a pixel counts as the object, not its soft edge


def draw(kind: Kind, font: ImageFont.FreeTypeFont) -> Image.Image:
    """The emoji of one kind, cropped to what is opaque, at most CELL on a side, RGBA."""
    canvas = Image.new("RGBA", (200, 200))
    ImageDraw.Draw(canvas).text((20, 20), kind.emoji, font=font, embedded_color=True)
    box = canvas.getchannel("A").point(lambda a: 255 if a >= OPAQUE else 0).getbbox()
    if box is None:
        raise SystemExit(f"the font shows nothing for {kind.name} ({kind.emoji})")
    sprite = canvas.crop(box)
    sprite.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
    return turn_hue(sprite, kind.hue) if kind.hue else sprite


def turn_hue(sprite: Image.Image, degrees: int) -> Image.Image:
    """The sprite with its saturated reds turned to another hue; greys and whites stay."""
    hsv = np.asarray(sprite.convert("RGB").convert("HSV")).copy()
    hue, saturation = hsv[..., 0].astype(int), hsv[..., 1]
    red = (np.minimum(hue, 256 - hue) < 28) & (saturation > 90)
    hsv[..., 0] = np.where(red, (hue + degrees * 256 // 360) % 256, hue)
    turned = Image.fromarray(hsv, "HSV").convert("RGB").convert("RGBA")
    turned.putalpha(sprite.getchannel("A"))
    return turned


def hull(sprite: Image.Image) -> list[list[int]]:
    """Corners of the convex hull of the opaque pixels, in sprite pixels."""
    ys, xs = np.nonzero(np.asarray(sprite.getchannel("A")) >= OPAQUE)
    corners = np.concatenate([np.stack([xs + dx, ys + dy], 1) for dx in (0, 1) for dy in (0, 1)])
    return corners[ConvexHull(corners).vertices].tolist()


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    font = ImageFont.truetype(sys.argv[1], STRIKE)
    sheet = Image.new("RGBA", (COLUMNS * CELL, -(-len(KINDS) // COLUMNS) * CELL))
    table = []
    for i, kind in enumerate(KINDS):
        sprite = draw(kind, font)
        sheet.paste(sprite, (i % COLUMNS * CELL, i // COLUMNS * CELL))
        table.append({"name": kind.name, "size": list(sprite.size), "hull": hull(sprite)})
    folder = Path(__file__).parents[2] / "wrapper" / "scenes"
    sheet.save(folder / "sprites.png", optimize=True)
    rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in table)
    (folder / "sprites.json").write_text(f"[\n{rows}\n]\n")
    print(f"{len(KINDS)} kinds, sheet {sheet.size}")


if __name__ == "__main__":
    main()
