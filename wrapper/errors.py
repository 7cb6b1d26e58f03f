"""What goes wrong in ways that a person can do something about.

Every message says what happened and what to do next; it is shown to people as it stands.
"""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager

DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE)
"""Of the operating system's errors those that no row is to blame for."""


class WrapperError(Exception):
    """Anything a user of the page, the command line or the library can act on."""


class ImageError(WrapperError):
    """A picture cannot be used. Shown to whoever supplied it."""


class ExpressionError(WrapperError):
    """An expression cannot be used. Shown to whoever typed it."""


class ModelError(WrapperError):
    """A checkpoint or adapter cannot be loaded or does not fit. Shown to whoever chose it."""


class DataError(WrapperError):
    """A data set, candidates file or run folder cannot be used. Shown to whoever named it; says which file and row."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory is used up, a GPU's or the machine's."""
    # torch's kind, which is not imported here; on a CPU it says it in words
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "allocate memory" in str(error)


def is_disk_full(error: BaseException) -> bool:
    """Whether there is no room to write: the operating system's error, or a library's that says it in words (safetensors, torch)."""
    said = str(error)
    return getattr(error, "errno", None) in DISK or "No space left" in said or "os error 28" in said or "os error 122" in said


def is_of_one_row(error: Exception) -> bool:
    """Whether an error may come from one bad row, picture or file. Memory that is used up, a full disk, a device that is gone
    or a model that does not fit concerns all rows."""
    full = is_out_of_memory(error) or type(error).__name__ == "AcceleratorError"  # torch's, for a GPU that is gone
    return not full and not isinstance(error, ModelError) and not is_disk_full(error)


def in_a_line(error: BaseException) -> str:
    """What an error says, on one line and not too long; errors that are not ours also say what they are."""
    said = " ".join(str(error).split())[:300]
    return said if isinstance(error, WrapperError) else f"{type(error).__name__}: {said}" if said else type(error).__name__


@contextmanager
def at_the_cost_of_a_row(note: Callable[[str], None]) -> Iterator[None]:
    """Around reading or answering one row: whatever that raises is noted with its reason, and the others go on.

    Rows are anybody's, and so are the ways in which they are broken; this is the one place where that is met. What concerns
    all rows (`is_of_one_row`), and interrupts, pass through.
    """
    try:
        yield
    # Of whatever kind: a row goes through decoders, tokenizers and models, and what a stranger's one makes them raise is not to be listed.
    # Nothing is hidden: it is noted with its kind, and what concerns all rows is raised again
    except Exception as error:
        if not is_of_one_row(error):
            raise
        note(in_a_line(error))
