"""What the API page says of an endpoint's parameters: what each is, from the function's docstring, and a sample of our own.

Gradio's samples are "Hello!!" and a picture on another server; programs that copied them would get nonsense, or be refused.
"""

from collections.abc import Callable, Sequence
from typing import Any

from gradio.utils import get_function_description

PLACE = "examples/relation-7.jpg"
PICTURE = {"path": PLACE, "url": PLACE, "orig_name": "relation-7.jpg", "meta": {"_type": "gradio.FileData"}}
"""A file as programs send it, which lies in the project's folder; the API page writes handle_file(...) around what stands under url."""
EXPRESSION = "the dog nearest to the clock"


def describe(function: Callable[..., Any], components: Sequence[Any], samples: Sequence[Any]) -> None:
    """Give an endpoint's components, in the order of its function's parameters, a description and a sample each.

    On the instances: Gradio asks a component's class, and classes are shared by endpoints.
    """
    _, about, _ = get_function_description(function)
    for component, text, sample in zip(components, about.values(), samples, strict=True):
        _describe(component, text, sample)


def _describe(component: Any, text: str, sample: Any) -> None:
    plain = component.api_info
    component.api_info = lambda: plain() | {"additional_description": text}
    component.example_payload = lambda: sample
