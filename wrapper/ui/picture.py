"""Components that hand uploaded files over unopened, and fetch none from an address."""

import base64
import binascii
import os
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


MAY_FETCH = "WRAPPER_FETCH"
"""An environment variable: 1 where files that a request names by their address may be fetched. Gradio does that, and refuses addresses of
the machine's own network."""


def _kept_at_home(parent: Any) -> Any:
    """Gradio's way of taking a file in, which would fetch one that a request names by its address."""

    async def take_in(self: Any, place: Any) -> Any:
        if str(place or "").lower().startswith(("http://", "https://")) and os.environ.get(MAY_FETCH) != "1":
            with common.as_page_errors():
                raise ImageError("This app fetches nothing from other places. Download the file, and send the file itself.")
        return await parent.async_move_resource_to_block_cache(self, place)

    return take_in


# Gradio's own decoding loses what ours keeps (16 bits, transparency, rotation) and answers a damaged file in its own words. A
# class and not a changed instance, because Gradio makes new instances as a page is used; not by a class statement, because
# the metaclass of components then writes a stub file beside this one.
PictureUpload: Any = ABCMeta.__new__(
    type(gr.Image),
    "PictureUpload",
    (gr.Image,),
    {
        "__module__": __name__,
        "is_template": True,
        "preprocess": _preprocess,
        "async_move_resource_to_block_cache": _kept_at_home(gr.Image),
    },
)
"""As gr.Image of type "filepath", but it gives the path of the file as it was uploaded."""
FileUpload: Any = ABCMeta.__new__(
    type(gr.File), "FileUpload", (gr.File,),
    {"__module__": __name__, "is_template": True, "async_move_resource_to_block_cache": _kept_at_home(gr.File)},
)  # fmt: skip
"""As gr.File."""
