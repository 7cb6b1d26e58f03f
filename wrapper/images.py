"""Untrusted bytes or a path -> a picture that the rest of the package can rely on: RGB, upright, of sane size."""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from wrapper.errors import ImageError

MAX_PIXELS = 50_000_000
MAX_BYTES = 60_000_000
MIN_SIDE = 16
MAX_ASPECT = 12
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")


def load_image(source: Path | str | bytes) -> Image.Image:
    """Decode a picture: first frame, EXIF rotation applied, transparency laid on white, 16 bits scaled to 8, RGB.

    Raises ImageError, saying what is wrong and what to do, for anything that is not a usable picture. The size is
    checked before a pixel is decoded.
    """
    data = _read(source)
    if not data:
        raise ImageError("The image file is empty. Choose another file.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise ImageError("This file is not an image that can be read. Use a JPEG, PNG, WebP, GIF, BMP or TIFF file.") from error
    except Image.DecompressionBombError as error:
        raise ImageError(_too_large()) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError("The image file is damaged. Save it again or choose another one.") from error
    _check_size(*image.size)
    try:
        image.seek(0)
        upright = ImageOps.exif_transpose(image)
        return _to_rgb(upright)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise ImageError("The image file is damaged or cut short. Save it again or choose another one.") from error


def _read(source: Path | str | bytes) -> bytes:
    if isinstance(source, bytes):
        data = source
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
    converted = image.convert("RGB")
    converted.info.clear()
    return converted


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Greys of 16 or 32 bits or floats, scaled to 0-255: by 257 where they fit 16 bits, else by their range."""
    values = np.asarray(image, dtype=np.float64)
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if image.mode == "F" or low < 0 or high > 65535:
        scaled = (values - low) / (high - low or 1.0) * 255
    else:
        scaled = values / 257
    return Image.fromarray(scaled.round().astype(np.uint8))
