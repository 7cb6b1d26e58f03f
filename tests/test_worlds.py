"""Which world a picture is of: photographs are never taken for scenes, scenes hardly ever for photographs, whatever the file."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wrapper.scenes.dataset import scenes
from wrapper.worlds import World, world_of

PHOTOS = Path(__file__).parents[2] / "shared" / "photos"


@pytest.mark.parametrize("size", [(640, 480), (320, 240)])
def test_scenes_look_like_scenes_at_any_size_and_as_jpeg(size: tuple[int, int]) -> None:
    pictures = [scene.picture(size) for scene in scenes("val", 20, 31)]
    saved = []
    for picture in pictures:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=75)
        saved.append(Image.open(file))
    assert sum(world_of(p) is World.SCENE for p in [*pictures, *saved]) >= 0.8 * 40


def test_photographs_look_like_photographs_also_small_and_grey() -> None:
    if not PHOTOS.is_dir():
        pytest.skip("the photographs are not at hand")
    for path in PHOTOS.glob("*.jpg"):
        photo = Image.open(path)
        small, grey = photo.resize((photo.width // 3, photo.height // 3)), photo.convert("L")
        assert [world_of(p) for p in (photo, small, grey)] == [World.PHOTOGRAPH] * 3, path.name


@pytest.mark.parametrize("size", [(16, 16), (16, 190), (190, 16), (3000, 20)])
def test_pictures_of_any_shape_have_a_world(size: tuple[int, int]) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))
    assert world_of(noise) is World.PHOTOGRAPH and world_of(Image.new("RGB", size, "white")) in World
