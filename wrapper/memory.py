"""Batches that are halved where memory is too small for them, and how much of it was used."""

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

import psutil
import torch

from wrapper.errors import ModelError, is_out_of_memory

T = TypeVar("T")
R = TypeVar("R")


def by_halves(run: Callable[[Sequence[T]], list[R]], items: Sequence[T], what: str) -> list[R]:
    """What `run` gives for some items, a result each: for all of them at once, or where memory is too small for that, for one half after
    the other. ModelError where it is too small for a half too, or for a single item. what: whose memory it is, for people."""
    found = _tried(run, items)
    if found is None and len(items) > 1:
        middle = (len(items) + 1) // 2
        first, second = _tried(run, items[:middle]), None
        if first is not None and (second := _tried(run, items[middle:])) is not None:
            found = [*first, *second]
    if found is None:
        tried = ", not even for half of them at once" if len(items) > 1 else ""
        raise ModelError(
            f"{what} has not enough memory for {'these questions' if tried else 'this question'}{tried}. Close other programs, choose "
            "smaller models, or ask about a smaller picture."
        )
    return found


def _tried(run: Callable[[Sequence[T]], list[R]], items: Sequence[T]) -> list[R] | None:
    """The results, or None where memory is too small. Only behind the handler, which holds on to what was made, is it free again."""
    try:
        return run(items)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def peak_bytes(device: torch.device) -> int:
    """The most memory that was in use so far: of a GPU what this process's tensors took, else what the process took."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource  # here: Windows has none

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024  # getrusage(2): in KiB on Linux, in bytes on macOS
