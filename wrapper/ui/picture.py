"""An image component that hands the uploaded file over unopened, for wrapper.images to decode."""

import base64
import binascii
from abc import ABCMeta
from typing import Any

import gradio as gr

from wrapper.errors import ImageError
from wrapper.ui import common

MOST_BYTES = 60_000_000
"""Of a picture, as of an upload."""


def _preprocess(self: Any, payload: Any) -> Any:
    if payload is None or payload.path is not None:
        return None if payload is None else payload.path
    with common.as_page_errors():
        return save_data_url(payload.url)


def save_data_url(url: Any) -> str:
    """The file of a picture that comes inside a request, "data:image/png;base64,...", unopened. ImageError where it is none, or too large.

    Gradio's own way would decode it first, whatever its size: 23 kB can be a picture of 144 megapixels.
    """
    head, comma, body = url.partition(",") if isinstance(url, str) else ("", "", "")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        raise ImageError("The picture did not arrive. Upload it as a file, or send it as a data URL (data:image/png;base64,...).")
    if len(body) > MOST_BYTES * 4 // 3:
        raise ImageError(f"The picture is larger than {MOST_BYTES // 1_000_000} MB. Send a smaller one.")
    try:
        data = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError(f"The picture is not written in base64 ({error}). Send it as a data URL.") from error
    file = common.scratch() / "picture"
    file.write_bytes(data)
    return str(file)


# Gradio's own decoding loses what ours keeps (16 bits, transparency, rotation) and answers a damaged file in its own words. A
# class and not a changed instance, because Gradio makes new instances as a page is used; not by a class statement, because
# the metaclass of components then writes a stub file beside this one.
PictureUpload: Any = ABCMeta.__new__(
    type(gr.Image), "PictureUpload", (gr.Image,), {"__module__": __name__, "is_template": True, "preprocess": _preprocess}
)
"""As gr.Image of type "filepath", but it gives the path of the file as it was uploaded."""
