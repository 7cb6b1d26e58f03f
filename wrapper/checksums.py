"""Bundled weights are those that were published: their SHA-256, as weights/SHA256SUMS has it, is checked before they are loaded.

`sha256sum --check` reads the list. In weights/, it is made anew by `git ls-files | grep -E '[.](safetensors|onnx)$' | xargs sha256sum`.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from wrapper.errors import ModelError

WEIGHTS = Path(__file__).parents[1] / "weights"
LIST = "SHA256SUMS"


@cache
def published(root: Path = WEIGHTS) -> Mapping[Path, str]:
    """The files of the list with their sums; none where there is no list, as in an installed package without weights."""
    if not (root / LIST).is_file():
        return {}
    rows = (line.split(maxsplit=1) for line in (root / LIST).read_text(encoding="utf-8").splitlines() if line.strip())
    return {(root / name.lstrip("*")).resolve(): digest for digest, name in rows}


def check(place: str | Path, root: Path = WEIGHTS) -> None:
    """ModelError where a file, or one in a folder, is on the list and is another one. Whatever is not on the list passes: it is a
    stranger's."""
    where = Path(place).resolve()
    for path, digest in published(root).items():
        if where in (path, path.parent) and _digest(path) != digest:
            raise ModelError(
                f"{path} is damaged or was changed: its checksum is not that of {LIST}. Fetch it again; if you trained it anew, write its "
                "new sum there."
            )


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
            return digest.hexdigest()
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing. Fetch it again.") from error
