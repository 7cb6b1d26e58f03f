"""An image component that hands the uploaded file over unopened, for wrapper.images to decode."""

from abc import ABCMeta
from typing import Any

import gradio as gr


def _preprocess(self: Any, payload: Any) -> Any:
    return payload.path if payload is not None and payload.path is not None else gr.Image.preprocess(self, payload)


# Gradio's own decoding loses what ours keeps (16 bits, transparency, rotation) and answers a damaged file in its own words. A
# class and not a changed instance, because Gradio makes new instances as a page is used; not by a class statement, because
# the metaclass of components then writes a stub file beside this one.
PictureUpload: Any = ABCMeta.__new__(
    type(gr.Image), "PictureUpload", (gr.Image,), {"__module__": __name__, "is_template": True, "preprocess": _preprocess}
)
"""As gr.Image of type "filepath", but it gives the path of the file as it was uploaded."""
