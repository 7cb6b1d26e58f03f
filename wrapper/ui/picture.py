"""An image component that hands the uploaded file over unopened, for wrapper.images to decode."""

from typing import Any

import gradio as gr


def unopened(component: gr.Image) -> gr.Image:
    """The component, made to give the path of the file as it was uploaded. It has to be of type "filepath".

    Gradio's own decoding loses what ours keeps (16 bits, transparency, rotation) and answers a damaged file with a bare
    "Error". This is set on the instance because Gradio writes a stub file beside every subclass of a component.
    """
    decode = component.preprocess

    def preprocess(payload: Any) -> Any:
        return payload.path if payload is not None and payload.path is not None else decode(payload)

    component.preprocess = preprocess  # type: ignore[method-assign]
    return component
