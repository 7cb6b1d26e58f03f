"""Writing to the Hugging Face Hub, with errors that say what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub.errors import HfHubHTTPError

from wrapper.errors import ModelError

FAILURES: tuple[type[Exception], ...] = (*(b for b in HfHubHTTPError.__bases__ if issubclass(b, Exception)), ValueError)
"""Refusals, names that are none, and no connection: the last is the HTTP client's own error, which is another library's in another
version of huggingface_hub, and so is taken from where it is known."""


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Around calls that write `what` ("The Space you/demo"): ModelError where that fails."""
    try:
        yield
    except FAILURES as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ModelError(
            f"{what} could not be written ({reason}). Check the connection and the name, and log in with `hf auth login`."
        ) from error
