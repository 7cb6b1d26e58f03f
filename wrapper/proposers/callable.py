"""A function of yours as a detector: python:package.module:function.

The function takes a picture (PIL, RGB) and gives `supervision.Detections` with names in `data["class_name"]`, as supervision's
readers make them; if it takes two arguments, the second one is the expression. docs/detectors.md has one for ultralytics,
rfdetr, inference and a VLM that writes its boxes.
"""

import importlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from wrapper.errors import ModelError
from wrapper.proposers.detections import Detections


@dataclass(frozen=True)
class Function:
    """A function as a detector. reads_words: it takes the expression too."""

    function: Callable[..., Any]
    reads_words: bool

    @classmethod
    def load(cls, place: str) -> "Function":
        """The function at package.module:function; ModelError where there is none."""
        module, _, name = place.partition(":")
        try:
            found = getattr(importlib.import_module(module), name)
            count = len(inspect.signature(found).parameters)
        except (ImportError, AttributeError, ValueError, TypeError) as error:
            raise ModelError(f"There is no function {place} ({error}). Write python:package.module:function.") from error
        if count not in (1, 2):
            raise ModelError(f"{place} takes {count} arguments; a detector takes the picture, or the picture and the expression.")
        return cls(found, count == 2)

    def detect(self, images: Sequence[Image.Image], expressions: Sequence[str]) -> list[Detections]:
        """What the function finds, picture by picture."""
        found = []
        for image, expression in zip(images, expressions, strict=True):
            one = self.function(image, expression) if self.reads_words else self.function(image)
            if not isinstance(one, Detections):
                raise ModelError(f"{self.function.__name__} gave a {type(one).__name__}; a detector gives supervision.Detections.")
            found.append(one)
        return found
