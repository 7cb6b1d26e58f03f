"""Decoding untrusted images: a right picture or one clear sentence."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from wrapper.errors import ImageError
from wrapper.images import MAX_PIXELS, load_image, open_picture


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def huge_png(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


RED = Image.new("RGB", (60, 40), (200, 30, 30))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"])
def test_usual_formats_decode(kind: str) -> None:
    picture = load_image(encoded(RED, kind))
    assert picture.mode == "RGB"
    assert picture.size == (60, 40)
    assert np.abs(np.asarray(picture, int) - (200, 30, 30)).max() < 12


def test_a_path_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(RED))
    assert load_image(tmp_path / "a.png").size == load_image(str(tmp_path / "a.png")).size == (60, 40)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"not an image at all", "not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
        (encoded(Image.effect_noise((200, 200), 90))[:3000], "cut short"),
        (encoded(Image.effect_noise((200, 200), 90).convert("RGB"), "JPEG")[:3000], "cut short"),
        (encoded(RED)[:20], "damaged|not an image"),
        (huge_png(10_000, 5_001), "50 megapixels"),
        (huge_png(20_000, 20_000), "50 megapixels"),
        (huge_png(200, 200), "cut short"),
        (encoded(Image.new("RGB", (1, 1))), "1 x 1"),
        (encoded(Image.new("RGB", (2000, 20))), "Crop it"),
    ],
)
def test_unusable_files_get_one_sentence(data: bytes, words: str) -> None:
    with pytest.raises(ImageError, match=words) as caught:
        load_image(data)
    assert "\n" not in str(caught.value)
    assert MAX_PIXELS == 50_000_000


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no file"):
        load_image(tmp_path / "none.png")
    with pytest.raises(ImageError, match="folder"):
        load_image(tmp_path)
    with pytest.raises(ImageError):
        load_image("a\0b.png")


def test_exif_rotation_is_applied() -> None:
    exif = Image.Exif()
    exif[274] = 6  # to be turned by 90 degrees
    assert load_image(encoded(RED, "JPEG", exif=exif)).size == (40, 60)


def test_transparency_is_laid_on_white() -> None:
    clear = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    assert load_image(encoded(clear)).getpixel((5, 5)) == (255, 255, 255)
    palette = Image.new("P", (40, 40), 0)
    palette.putpalette([10, 20, 30] + [0] * 765)
    assert load_image(encoded(palette, transparency=0)).getpixel((5, 5)) == (255, 255, 255)
    assert load_image(encoded(palette)).getpixel((5, 5)) == (10, 20, 30)


def test_sixteen_bits_are_scaled_not_cut() -> None:
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    picture = np.asarray(load_image(encoded(Image.fromarray(ramp))))
    assert picture.min() == 0
    assert picture.max() == 255
    assert abs(float(picture.mean()) - 127.5) < 2


@pytest.mark.parametrize(("most", "kind"), [(200, np.int32), (255, np.uint16), (4095, np.uint16), (4095, np.int32), (65535, np.int32)])
def test_greys_are_scaled_by_the_bits_that_they_take(most: int, kind: type) -> None:
    """Cameras of 12 bits write files of 16, and a program may hold 8 bits in 32."""
    ramp = np.linspace(0, most, 64 * 64).reshape(64, 64).astype(kind)
    assert np.asarray(open_picture(ramp)).max() >= 200
    assert np.asarray(load_image(encoded(Image.fromarray(ramp), "TIFF"))).max() >= 200


def test_cmyk_grey_and_animated() -> None:
    assert load_image(encoded(Image.new("CMYK", (40, 40), (0, 0, 0, 0)), "JPEG")).getpixel((3, 3)) == (255, 255, 255)
    assert load_image(encoded(Image.new("L", (40, 40), 90))).getpixel((3, 3)) == (90, 90, 90)
    frames = [Image.new("RGB", (40, 40), c) for c in ("red", "blue")]
    animated = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert load_image(animated).getpixel((3, 3)) == (254, 0, 0) or load_image(animated).getpixel((3, 3)) == (255, 0, 0)


def sideways() -> Image.Image:
    """A picture in memory whose metadata say that it lies on its side."""
    data = Image.Exif()
    data[0x112] = 6
    return Image.open(io.BytesIO(encoded(RED, "JPEG", exif=data)))


@pytest.mark.parametrize(
    "give",
    [
        lambda data: Image.open(io.BytesIO(data)), lambda data: data, bytearray, io.BytesIO,
        lambda data: np.asarray(Image.open(io.BytesIO(data))),
    ],
    ids=["PIL", "bytes", "bytearray", "BytesIO", "numpy"],
)  # fmt: skip
def test_pictures_are_taken_in_every_form(give: Callable[[bytes], Any]) -> None:
    found = open_picture(give(encoded(RED)))
    assert (found.mode, found.size, found.getpixel((5, 5))) == ("RGB", (60, 40), (200, 30, 30))


def test_pictures_in_memory_go_by_the_rules_of_files() -> None:
    """Turned upright, 16 bits scaled, transparency on white, the same limits."""
    assert open_picture(sideways()).size == (40, 60)
    deep, clear = np.full((40, 60), 32768, dtype=np.uint16), np.zeros((40, 60, 4), np.uint8)
    for array, color in ((deep, (128, 128, 128)), (clear, (255, 255, 255))):
        assert open_picture(array).getpixel((5, 5)) == color == open_picture(Image.fromarray(array)).getpixel((5, 5))
    assert open_picture(Image.new("P", (60, 40))).mode == open_picture(Image.new("CMYK", (60, 40))).mode == "RGB"
    with pytest.raises(ImageError, match="1 x 1"):
        open_picture(Image.new("RGB", (1, 1)))
    cut = Image.open(io.BytesIO(encoded(Image.effect_noise((200, 200), 90))[:3000]))
    with pytest.raises(ImageError, match="cut short"):
        open_picture(cut)


@pytest.mark.parametrize(
    "array",
    [np.zeros((3, 40, 60), np.uint8), np.zeros(5), np.zeros((40, 60, 3)), np.array(["a"]), np.zeros((40, 60, 3), complex)],
)
def test_arrays_that_are_no_pictures_are_said(array: Any) -> None:
    with pytest.raises(ImageError, match=r"is no picture|pixels"):
        open_picture(array)


def test_a_picture_that_needs_nothing_is_not_copied() -> None:
    assert open_picture(RED) is RED


@pytest.mark.parametrize("thing", [None, [1, 2], 5, np.array(5), io.StringIO("a")])
def test_what_is_no_picture_is_said(thing: Any) -> None:
    with pytest.raises(ImageError):
        open_picture(thing)
    closed = io.BytesIO(b"a")
    closed.close()
    with pytest.raises(ImageError, match="cannot be read"):
        open_picture(closed)
    assert open_picture(memoryview(encoded(RED))).size == (60, 40)
