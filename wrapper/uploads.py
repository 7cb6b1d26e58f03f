"""The folder for what visitors send: of one process, and gone with it."""

import atexit
import shutil
import tempfile
import time
from pathlib import Path

from filelock import FileLock

PREFIX = "llm-wrapper-uploads-"
LOCK = ".in-use"
NEW = 60.0
"""Seconds in which a folder without a lock may belong to a process that has only just begun."""


class Uploads:
    """A folder in that for temporary files. It is deleted when the process ends; where that was killed, when the next one begins."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lock = FileLock(self.path / LOCK)
        self._lock.acquire()
        clear_abandoned(self.path.parent, self.path.stat().st_uid)
        atexit.register(self.close)

    def close(self) -> None:
        """Delete the folder."""
        self._lock.release()
        shutil.rmtree(self.path, ignore_errors=True)  # Windows: what is still open stays


def clear_abandoned(folder: Path, owner: int) -> None:
    """Delete the uploads in a folder whose process has gone. owner: the number of the user whose they are; in those of others, who may put
    a link there in the lock's place, nothing is opened."""
    for left in folder.glob(f"{PREFIX}*"):
        try:
            if (
                left.lstat().st_uid != owner
                or left.is_symlink()
                or (not (left / LOCK).exists() and time.time() - left.stat().st_mtime < NEW)
            ):
                continue
            with FileLock(left / LOCK, timeout=0):
                pass
        except OSError:
            continue
        shutil.rmtree(left, ignore_errors=True)
