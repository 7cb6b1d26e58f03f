"""A function of yours as a detector: python:package.module:function.

The function takes a picture (PIL, RGB) and gives `supervision.Detections` with names in `data["class_name"]`, as supervision's
readers make them; if it has two parameters without a default, the second one is the expression. docs/detectors.md has one for
ultralytics, rfdetr, inference and a VLM that writes its boxes.
"""

import importlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from wrapper.errors import DataError, ModelError, in_a_line, is_of_one_row
from wrapper.proposers.detections import Detections


@dataclass(frozen=True)
class Function:
    """A function as a detector. place: where it stands; reads_words: it takes the expression too."""

    function: Callable[..., Any]
    place: str
    reads_words: bool

    @classmethod
    def load(cls, place: str) -> "Function":
        """The function at package.module:function; ModelError where there is none, or its module cannot be imported."""
        module, _, name = place.partition(":")
        try:
            found = getattr(importlib.import_module(module), name)
            parameters = inspect.signature(found).parameters.values()
        # Importing a module runs the user's own code, which may raise anything: a NameError, a library's own error. There is no shorter
        # list of what that can be; it is said in one sentence, with the error as its cause
        except Exception as error:
            if not is_of_one_row(error):  # memory or a device that is gone, and what says already what to do
                raise
            raise ModelError(f"There is no function {place} ({in_a_line(error)}). Write python:package.module:function.") from error
        plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        needed = [p for p in parameters if p.default is p.empty and p.kind in (*plain, inspect.Parameter.KEYWORD_ONLY)]
        if len(needed) not in (1, 2) or any(p.kind not in plain for p in needed):
            raise ModelError(f"{place} needs {len(needed)} arguments; a detector takes the picture, or the picture and the expression.")
        return cls(found, place, len(needed) == 2)

    def detect(self, images: Sequence[Image.Image], expressions: Sequence[str]) -> list[Detections]:
        """What the function finds, picture by picture. DataError where it fails for one, ModelError where it cannot work at all."""
        return [self._detect(image, expression) for image, expression in zip(images, expressions, strict=True)]

    def _detect(self, image: Image.Image, expression: str) -> Detections:
        try:
            found = self.function(image, expression) if self.reads_words else self.function(image)
        except ImportError as error:
            raise ModelError(f"{self.place} lacks a package ({error}). Install it.") from error
        # As above: the user's own code, which may raise anything. It costs its row, with the error as the cause
        except Exception as error:
            if not is_of_one_row(error):
                raise
            raise DataError(f"{self.place} failed ({in_a_line(error)}).") from error
        if not isinstance(found, Detections):
            raise ModelError(f"{self.place} gave a {type(found).__name__}; a detector gives supervision.Detections.")
        return found
