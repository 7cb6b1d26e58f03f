"""LLM-wrapper: adapting frozen, black-box vision-language models to referring expressions."""

from typing import TYPE_CHECKING, Any

from wrapper.candidates import Candidate, Selection
from wrapper.errors import WrapperError

if TYPE_CHECKING:
    from wrapper.pipeline import Wrapper

__all__ = ["Candidate", "Selection", "Wrapper", "WrapperError"]


def __getattr__(name: str) -> Any:
    """Import the pipeline, and with it torch, only when it is used."""
    if name == "Wrapper":
        from wrapper.pipeline import Wrapper

        return Wrapper
    raise AttributeError(f"module 'wrapper' has no attribute {name!r}")
