"""Files that are never seen half-written."""

from pathlib import Path

import pytest

from wrapper.writing import appearing


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    with appearing(file) as partial:
        partial.write_text("whole")
        assert not file.exists() and not list(tmp_path.glob("picture*")) and partial.suffix == ".png"
    assert file.read_text() == "whole"

    def write_half() -> None:
        with appearing(file) as partial:
            partial.write_text("half")
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        write_half()
    assert file.read_text() == "whole" and list(tmp_path.iterdir()) == [file]
