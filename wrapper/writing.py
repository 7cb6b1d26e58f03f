"""Writing files so that a cut leaves them as they were, and reading those that are written line by line."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """A text file to write that is never seen half-written: under another name, to the disk, then renamed. A file that was there stays
    as it was where the block ends in an error."""
    partial = path.with_name(path.name + ".tmp")
    with partial.open("w", encoding="utf-8") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Another name to write a file under, which gets its own once it is whole, so that who looks for it finds all of it or nothing. Where
    the block ends in an error there is none."""
    partial = path.with_name(f".{secrets.token_hex(8)}-{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Write a text file as `whole_file` does."""
    with whole_file(path) as file:
        file.write(text)


def whole_lines(path: Path) -> list[bytes]:
    """The lines of a file to which one after the other is added, without their ends. A last line that was cut goes, from the file
    too, so that what is added next is a line of its own."""
    *whole, cut = path.read_bytes().split(b"\n")
    if cut:
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size - len(cut))
    return whole
