"""Untrusted bytes, a path, or a picture in memory -> one that the rest of the package can rely on: RGB, upright, of sane size."""

import io
import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from wrapper.errors import ImageError

MAX_PIXELS = 50_000_000
MAX_BYTES = 60_000_000
MIN_SIDE = 16
MAX_ASPECT = 12
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
NAME = "file name"
"""Under which a picture keeps the name of the file that it came from (in PIL's `info`)."""
SUFFIXES = (".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
"""Of files in these formats, in small letters."""
Picture = Image.Image | NDArray[Any] | Path | str | bytes | bytearray | memoryview | BinaryIO
"""What a caller may give: a picture in memory, a file by its path, or a file's bytes."""
DAMAGED = (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, OverflowError, ZeroDivisionError,
           struct.error, Image.DecompressionBombError)  # fmt: skip
"""What Pillow raises for files that are damaged or made to be."""
STEPS = ((255, 1), (4095, 16), (65535, 257))
"""The greatest grey of 8, 12 and 16 bits, and how many of its steps are one of 8 bits. Cameras of 12 bits write files of 16."""
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}  # fmt: skip
"""What makes a picture upright, by EXIF's orientation (EXIF 2.3, tag 274)."""


def open_picture(picture: Picture) -> Image.Image:
    """Any picture as `load_image` gives it. Arrays are (H, W), (H, W, 3) or (H, W, 4), of 8 bits; (H, W) also of 16 bits or floats.

    Raises ImageError for what cannot be used.
    """
    if isinstance(picture, Image.Image):
        return _checked(picture)
    if isinstance(picture, memoryview):
        return load_image(bytes(picture))
    if isinstance(picture, os.PathLike):
        return load_image(Path(picture))
    if not isinstance(picture, np.ndarray | str | bytes | bytearray) and not hasattr(picture, "read"):
        raise ImageError(f"A picture is a PIL image, a numpy array, a path, or the bytes of a file, not {type(picture).__name__}.")
    if isinstance(picture, np.ndarray):
        try:
            return _checked(Image.fromarray(picture))
        except (TypeError, ValueError, AttributeError, IndexError) as error:
            raise ImageError(
                f"An array of shape {picture.shape} and type {picture.dtype} is no picture. Give one of shape (height, width, 3), 8 bits."
            ) from error
    return load_image(picture)


def name_of(image: Image.Image) -> str | None:
    """The name of the file that a picture came from, with the folders that were given; None where it came from none."""
    name = image.info.get(NAME)
    return name if isinstance(name, str) else None


def _checked(image: Image.Image) -> Image.Image:
    """A picture that is open already, by the same rules."""
    _check_size(*image.size)
    try:
        image.load()
        return _to_rgb(upright(image))
    except DAMAGED as error:
        raise ImageError("The image file is damaged or cut short. Save it again or choose another one.") from error


def orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 where there is none or it makes no sense."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata
            found = image.getexif().get(0x0112, 1)
    except DAMAGED:
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def upright(image: Image.Image) -> Image.Image:
    """The loaded picture as it is to be seen. (A TIFF is turned by Pillow itself when it is loaded.)"""
    turn = TURNS.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def upright_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) of a picture as it is to be seen, from its header alone. Of a TIFF, Pillow gives these as they are."""
    turned = image.format != "TIFF" and orientation(image) >= 5
    return (image.height, image.width) if turned else image.size


def picture_size(path: Path) -> tuple[int, int]:
    """(width, height) in pixels of the upright picture in a file, from its header alone. ImageError where that says that it cannot be used;
    what its pixels are like shows when it is opened."""
    try:
        with _opened(_read(path)) as image:
            _check_size(*image.size)
            return upright_size(image)
    except DAMAGED as error:
        raise ImageError("The image file is damaged. Save it again or choose another one.") from error


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """A picture of which no pixel is decoded yet, its first frame. ImageError for what is none."""
    if not data:
        raise ImageError("The image file is empty. Choose another file.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a bomb, for which our own limit is lower, and of odd metadata, which are not used
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                image.seek(0)
                yield image
    except UnidentifiedImageError as error:
        raise ImageError("This file is not an image that can be read. Use a JPEG, PNG, WebP, GIF, BMP or TIFF file.") from error
    except Image.DecompressionBombError as error:
        raise ImageError(_too_large()) from error


def load_image(source: Path | str | bytes | bytearray | BinaryIO) -> Image.Image:
    """Decode a picture: first frame, EXIF rotation applied, transparency laid on white, 16 bits scaled to 8, RGB.

    Raises ImageError, saying what is wrong and what to do, for anything that is not a usable picture. The size is
    checked before a pixel is decoded.
    """
    try:
        with _opened(_read(source)) as image:
            _check_size(*image.size)
            found = _checked(image)
            if isinstance(source, Path | str):
                found.info[NAME] = str(source)
            return found
    except DAMAGED as error:
        raise ImageError("The image file is damaged. Save it again or choose another one.") from error


def _read(source: Path | str | bytes | bytearray | BinaryIO) -> bytes:
    if isinstance(source, bytes | bytearray):
        data = bytes(source)
    elif not isinstance(source, Path | str):
        try:
            data = source.read(MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            raise ImageError(f"The image file cannot be read ({error}). Open it again.") from error
    else:
        path = Path(source)
        try:
            if path.stat().st_size > MAX_BYTES:
                raise ImageError(f"The image file is larger than {MAX_BYTES // 1_000_000} MB. Save it smaller and try again.")
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise ImageError(f"There is no file {path}. Check the path.") from error
        except IsADirectoryError as error:
            raise ImageError(f"{path} is a folder. Name an image file in it.") from error
        except (OSError, ValueError) as error:
            raise ImageError(f"The file {path} cannot be read ({error}). Check its permissions.") from error
    if len(data) > MAX_BYTES:
        raise ImageError(f"The image file is larger than {MAX_BYTES // 1_000_000} MB. Save it smaller and try again.")
    return data


def _too_large() -> str:
    return f"The image has more than {MAX_PIXELS // 1_000_000} megapixels. Scale it down and try again."


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ImageError(_too_large())
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"The image is {width} x {height} pixels; both sides need at least {MIN_SIDE}. Use a larger one.")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageError(
            f"The image is {width} x {height} pixels, more than {MAX_ASPECT} times as long as it is wide. Crop it and try again."
        )


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        image = _to_eight_bits(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        shown = image.convert("RGBA")
        white = Image.new("RGBA", shown.size, "white")
        white.alpha_composite(shown)
        return white.convert("RGB")
    if image.mode == "RGB" and not image.info.keys() - {NAME} and type(image) is Image.Image:
        return image
    converted = image.convert("RGB")
    converted.info = {NAME: name} if (name := name_of(image)) else {}
    return converted


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Greys of 16 or 32 bits or floats, scaled to 0-255: by what they fit, 8, 12 or 16 bits, else by their range."""
    values = np.asarray(image, dtype=np.float64)
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if image.mode == "F" or low < 0 or high > 65535:
        scaled = (values - low) / (high - low or 1.0) * 255
    else:
        scaled = np.minimum(values / next(step for most, step in STEPS if high <= most), 255)
    return Image.fromarray(scaled.round().astype(np.uint8))
