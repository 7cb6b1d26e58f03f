"""RefScenes as a data set: scenes with one expression each, for any split, number and seed."""

import json
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from wrapper.scenes.expressions import CATEGORIES, Category, Expression, ask, wants_color
from wrapper.scenes.layout import Box, Layout, Split, draw_layout
from wrapper.scenes.render import render

BENCHMARK_SEED = 307
"""The seed of the scenes that every published figure on val and test is measured on."""


@dataclass(frozen=True)
class Scene:
    """A layout, one expression about it, and the seed its picture is drawn with."""

    layout: Layout
    expression: Expression
    seed: str

    @property
    def box(self) -> Box:
        """The box of the object meant, x1 y1 x2 y2 in pixels of the full-size picture."""
        return self.layout.objects[self.expression.target].box

    def picture(self, size: tuple[int, int] | None = None) -> Image.Image:
        """The picture, RGB, full-size where no (width, height) is given."""
        return render(self.layout, self.seed, size)


def draw_scene(rng: random.Random, split: Split, seed: str, category: Category | None = None) -> Scene:
    """One scene of a split; its category is drawn evenly where none is given."""
    wanted: Category = rng.choice(CATEGORIES) if category is None else category
    colored = wants_color(wanted, rng)
    while True:
        layout = draw_layout(rng, colored)
        if layout.split == split and (expression := ask(rng, layout, wanted)):
            return Scene(layout, expression, seed)


def scenes(split: Split, n: int, seed: int) -> Iterator[Scene]:
    """The first n scenes of a split for a seed.

    The same arguments give the same texts and boxes everywhere, and the same pixels for one Pillow version. Splits
    share no scene, whatever the seeds: a scene's split follows from what stands where in it.
    """
    for i in range(n):
        key = f"refscenes/{split}/{seed}/{i}"
        yield draw_scene(random.Random(key), split, key)


def row(scene: Scene, image: str) -> dict[str, Any]:
    """The line of data.jsonl for a scene."""
    return {
        "image": image,
        "expression": scene.expression.text,
        "bbox": list(scene.box),
        "category": scene.expression.category,
        "objects": [{"label": o.kind.name, "bbox": list(o.box)} for o in scene.layout.objects],
    }


def write(split: Split, n: int, seed: int, out: Path) -> Iterator[Scene]:
    """Write n scenes as PNG files and data.jsonl under a folder, yielding each one as it is done.

    data.jsonl appears under its own name only when it is whole.
    """
    out.mkdir(parents=True, exist_ok=True)
    partial = out / "data.jsonl.part"
    with partial.open("w", encoding="utf-8") as file:
        for i, scene in enumerate(scenes(split, n, seed)):
            name = f"{split}-{seed}-{i:05d}.png"
            scene.picture().save(out / name)
            file.write(json.dumps(row(scene, name)) + "\n")
            yield scene
    os.replace(partial, out / "data.jsonl")
