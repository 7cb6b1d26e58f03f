"""Where visitors' files lie, and for how long."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from wrapper.uploads import LOCK, NEW, PREFIX, Uploads, clear_abandoned

HOLD = """import sys
from wrapper.uploads import Uploads
mine = Uploads()
(mine.path / "cat.jpg").touch()
print(mine.path, flush=True)
sys.stdin.read()"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's temporary files lie."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def begin() -> tuple["subprocess.Popen[str]", Path]:
    """A process with uploads, and where they lie."""
    running = subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    return running, Path(running.stdout.readline().strip())


def test_uploads_go_with_their_process_even_where_it_was_killed(folder: Path) -> None:
    ended, at_end = begin()
    killed, left = begin()
    with ended, killed:
        assert at_end.parent == left.parent == folder
        ended.communicate()
        assert not at_end.exists(), "deleted by itself"
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert (left / "cat.jpg").exists()
        mine = Uploads()
        assert not left.exists(), "deleted by the next one"
        assert mine.path.exists()
        mine.close()


def test_uploads_of_a_running_process_stay(folder: Path) -> None:
    running, other = begin()
    with running:
        for _ in range(2):
            Uploads().close()
        assert (other / "cat.jpg").exists()
        running.communicate()


def test_only_what_has_been_abandoned_is_deleted(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "cat.jpg").touch()
    (tmp_path / f"{PREFIX}link").symlink_to(kept)
    (tmp_path / f"{PREFIX}file").touch()
    (tmp_path / f"{PREFIX}new").mkdir()
    old = tmp_path / f"{PREFIX}old"
    old.mkdir()
    past = old.stat().st_mtime - NEW - 1
    for path in (old, tmp_path / f"{PREFIX}file"):
        os.utime(path, (past, past))
    clear_abandoned(tmp_path, old.stat().st_uid + 1)
    assert old.exists() and not (old / LOCK).exists(), "somebody else's is not even opened"
    clear_abandoned(tmp_path, old.stat().st_uid)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["kept", *(f"{PREFIX}{name}" for name in ("file", "link", "new"))])
    assert (kept / "cat.jpg").exists()
    assert not (kept / LOCK).exists()
