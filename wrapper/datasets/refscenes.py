"""RefScenes as a data set: drawn when it is needed, no file involved."""

from dataclasses import dataclass

from PIL import Image

from wrapper.datasets.base import Dataset, Example
from wrapper.scenes.dataset import Scene, scenes
from wrapper.scenes.layout import Split


@dataclass(frozen=True)
class PictureOfScene:
    """A scene's picture, drawn each time it is opened."""

    scene: Scene

    @property
    def key(self) -> str:
        return self.scene.seed

    @property
    def mark(self) -> str:
        return self.scene.seed

    def open(self) -> Image.Image:
        return self.scene.picture()


def read_refscenes(split: Split, n: int, seed: int) -> Dataset:
    """The first n scenes of a split for a seed."""
    rows = [Example(PictureOfScene(s), s.expression.text, s.box, s.seed, s.expression.category) for s in scenes(split, n, seed)]
    return Dataset(f"RefScenes {split}, {n} expressions, seed {seed}", rows)
