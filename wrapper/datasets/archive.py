"""A data set in a zip file from a stranger: one .jsonl file and pictures, unpacked with every care."""

import errno
import lzma
import re
import shutil
import unicodedata
import zipfile
import zlib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath

from wrapper.datasets.base import Dataset
from wrapper.datasets.files import read_jsonl
from wrapper.errors import DataError
from wrapper.images import SUFFIXES

MAX_BYTES = 300_000_000
MAX_FILES = 5_000
ROWS = ".jsonl"
UTF8 = 0x800
"""The flag of members whose names are UTF-8 (PKWARE, APPNOTE 4.4.4)."""


def read_zip(path: Path, folder: Path, most: int | None = None) -> Dataset:
    """The data set in a zip file, unpacked into an empty folder. most: see `read_jsonl`.

    Only pictures and one .jsonl file are unpacked, never outside the folder. Raises DataError where the archive is
    damaged, encrypted, too large when unpacked, or without exactly one .jsonl file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            wanted = _checked([m for m in archive.infolist() if m.filename and not m.is_dir()])  # a name may be empty
            [rows] = (folder.joinpath(*place.parts) for place in wanted if place.suffix.lower() == ROWS)
            for place, member in wanted.items():
                out = folder.joinpath(*place.parts)
                try:
                    out.parent.mkdir(parents=True, exist_ok=True)
                    file = out.open("wb")
                except OSError as error:
                    if error.errno != errno.ENAMETOOLONG or place.suffix.lower() == ROWS:
                        raise
                    continue  # a name that this system cannot hold; its rows will say that the picture is missing
                with archive.open(member) as packed, file:
                    shutil.copyfileobj(packed, file)
    # Damaged data are each compression's own error; a name that is no text is a UnicodeDecodeError; a password, or a compression that
    # Python lacks, is a RuntimeError
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, UnicodeDecodeError) as error:
        raise DataError(f"The archive cannot be unpacked ({error}). Pack it again as a plain zip file without a password.") from error
    # bzip2's word for damaged data; or the file system's: a name that it cannot hold, no room. Not in its own words, which say where
    except OSError as error:
        raise DataError(
            f"The archive cannot be unpacked ({error.strerror or error}). Pack it again as a plain zip file with short file names, or try "
            "again later."
        ) from error
    try:
        data = read_jsonl(rows, most)
    except DataError as error:
        raise DataError(_as_packed(str(error), folder)) from error
    return replace(data, name=_as_packed(data.name, folder), skipped=[replace(s, why=_as_packed(s.why, folder)) for s in data.skipped])


def _as_packed(text: str, folder: Path) -> str:
    """Names of files as they are in the archive; where it was unpacked is nobody's business."""
    return text.replace(f"{folder.resolve()}/", "").replace(f"{folder}/", "").replace(folder.name, "the archive")


def place_of(member: zipfile.ZipInfo) -> PurePosixPath:
    """Where a member lies in its archive. Windows PowerShell 5 parts names with backslashes; macOS writes UTF-8 without saying so,
    which is read as code page 437 then, and takes accents apart."""
    name = member.filename
    if not member.flag_bits & UTF8:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return PurePosixPath(unicodedata.normalize("NFC", name.replace("\\", "/")))


def _checked(members: list[zipfile.ZipInfo]) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """The members to unpack, by where they go; DataError where one must not be."""
    places = {place_of(m): m for m in members}
    for place in places:
        if place.is_absolute() or ".." in place.parts or re.match(r"[A-Za-z]:(/|$)", str(place)):
            raise DataError(f"The archive's file {str(place)[:80]!r} points outside the archive. Pack it again from inside its folder.")
    wanted = {
        place: m for place, m in places.items()
        if place.suffix.lower() in (*SUFFIXES, ROWS) and "__MACOSX" not in place.parts and not place.name.startswith("._")
    }  # fmt: skip
    if len(wanted) > MAX_FILES:
        raise DataError(f"The archive has {len(wanted):,} files; at most {MAX_FILES:,} are taken. Split it.")
    # The size that is declared is also the most that zipfile reads, so a bomb cannot lie about it.
    if (size := sum(m.file_size for m in wanted.values())) > MAX_BYTES:
        raise DataError(f"The archive is {size / 1e6:,.0f} MB unpacked; at most {MAX_BYTES / 1e6:,.0f} MB are taken. Use smaller pictures.")
    if sum(place.suffix.lower() == ROWS for place in wanted) != 1:
        raise DataError("The archive needs exactly one .jsonl file, beside its pictures. See the README for its rows.")
    return wanted
