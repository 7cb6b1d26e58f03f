"""An image component that hands the uploaded file over unopened, for wrapper.images to decode."""

from pathlib import Path
from typing import Any

import gradio as gr


class UploadedPicture(gr.Image):
    """gr.Image(type="filepath") whose value is the path of the file as it was uploaded.

    Gradio's own decoding loses what our decoder keeps (16 bits, transparency, rotation) and answers a damaged file with
    a bare "Error".
    """

    is_template = True  # in the browser it is a plain image; its __init__ must stay gr.Image's, from which props are read

    def preprocess(self, payload: Any) -> str | None:
        """The path of the uploaded file."""
        if payload is None or payload.path is None:
            return None if payload is None else super().preprocess(payload)  # type: ignore[return-value]
        return str(Path(payload.path))
