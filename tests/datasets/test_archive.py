"""Zip files from strangers."""

import io
import json
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from wrapper.datasets import archive, files
from wrapper.datasets.archive import read_zip
from wrapper.errors import DataError


def picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 48)).save(out, "PNG")
    return out.getvalue()


ROW = json.dumps({"image": "a.png", "expression": "the cup", "bbox": [0, 0, 9, 9]})


def packed(tmp_path: Path, **files: bytes | str) -> Path:
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in files.items():
            out.writestr(name, data)
    return path


def test_pictures_and_rows_are_read(tmp_path: Path) -> None:
    path = packed(tmp_path, **{"x/data.jsonl": ROW, "x/a.png": picture(), "x/script.py": "print(1)", "__MACOSX/x/a.png": b"?"})
    folder = tmp_path / "out"
    folder.mkdir()
    assert [e.expression for e in read_zip(path, folder).examples] == ["the cup"]
    assert sorted(p.name for p in folder.rglob("*") if p.is_file()) == ["a.png", "data.jsonl"]


@pytest.mark.parametrize("name", ["../a.png", "/tmp/a.png", "x/../../a.png", "C:\\a.png", "..\\a.png"])
def test_files_that_point_outside_are_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(DataError, match="points outside"):
        read_zip(packed(tmp_path, **{"data.jsonl": ROW, name: picture()}), folder)
    assert not list(folder.iterdir())


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 1_000_000)
    path = packed(tmp_path, **{"data.jsonl": ROW, "a.png": b"\0" * 2_000_000})
    assert path.stat().st_size < 10_000
    with pytest.raises(DataError, match="2 MB unpacked"):
        read_zip(path, tmp_path)


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_FILES", 2)
    with pytest.raises(DataError, match="3 files"):
        read_zip(packed(tmp_path, **{"data.jsonl": ROW, "a.png": b"", "b.png": b""}), tmp_path)


@pytest.mark.parametrize("names", [(), ("a.jsonl", "b.jsonl")])
def test_exactly_one_list_of_rows_is_needed(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match="exactly one"):
        read_zip(packed(tmp_path, **dict.fromkeys(names, ROW), **{"a.png": picture()}), tmp_path)


def test_a_damaged_archive_is_said(tmp_path: Path) -> None:
    path = packed(tmp_path, **{"data.jsonl": ROW, "a.png": picture() * 50})
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="cannot be unpacked"):
        read_zip(path, tmp_path)


def test_a_list_of_rows_in_capitals_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    assert read_zip(packed(tmp_path, **{"DATA.JSONL": ROW, "a.png": picture()}), folder).examples


def test_a_name_that_the_disk_cannot_hold_costs_its_rows_and_names_no_folder_of_the_server(tmp_path: Path) -> None:
    folder, long = tmp_path / "out", "a" * 300 + ".png"
    folder.mkdir()
    rows = "\n".join([ROW, ROW.replace("a.png", long)])
    found = read_zip(packed(tmp_path, **{"data.jsonl": rows, "a.png": picture(), long: picture()}), folder)
    assert len(found.examples) == len(found.skipped) == 1
    assert str(tmp_path) not in found.skipped[0].why
    with pytest.raises(DataError, match=r"cannot be unpacked .* short file names") as caught:
        read_zip(packed(tmp_path, **{"b" * 300 + ".jsonl": ROW, "a.png": picture()}), folder)
    assert str(tmp_path) not in str(caught.value)


def test_a_name_with_a_letter_and_a_colon_is_no_drive(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    name = "B: cup.png"
    assert read_zip(packed(tmp_path, **{"data.jsonl": ROW.replace("a.png", name), name: picture()}), folder).examples


def test_a_password_is_said(tmp_path: Path) -> None:
    path = packed(tmp_path, **{"data.jsonl": ROW, "a.png": picture()})
    whole = bytearray(path.read_bytes())
    for header, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # of a file, and in the directory: "encrypted"
        at = whole.find(header)
        while at >= 0:
            whole[at + flags] |= 1
            at = whole.find(header, at + 4)
    path.write_bytes(whole)
    with pytest.raises(DataError, match="password"):
        read_zip(path, tmp_path)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_damaged_data_inside_an_archive_are_said(tmp_path: Path, method: int) -> None:
    path, folder = tmp_path / "data.zip", tmp_path / "out"
    folder.mkdir()
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("data.jsonl", ROW * 200)
    whole = bytearray(path.read_bytes())
    begin = 30 + len("data.jsonl")
    whole[begin + 9 : begin + 25] = b"\xff" * 16
    path.write_bytes(whole)
    with pytest.raises(DataError, match="cannot be unpacked"):
        read_zip(path, folder)


def test_no_more_rows_are_read_than_are_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 200,000 rows about one picture, which are 50 kB packed, the first good ones; every picture is opened once."""
    opened: list[Path] = []
    real = files.picture_size
    monkeypatch.setattr(files, "picture_size", lambda file: opened.append(file) or real(file))
    rows = [ROW.replace("a.png", "missing.png"), *[ROW] * 3000, ROW.replace("a.png", "b.png")]
    path, folder = packed(tmp_path, **{"data.jsonl": "\n".join(rows), "a.png": picture(), "b.png": picture()}), tmp_path / "out"
    folder.mkdir()
    found = read_zip(path, folder, 20)
    assert (len(found.examples), len(found.skipped)) == (20, 1)
    assert [file.name for file in opened] == ["missing.png", "a.png"]
