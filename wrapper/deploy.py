"""Send the app to a Hugging Face Space: exactly the files it needs, and nothing over the Hub's limit.

python -m wrapper deploy --space you/llm-wrapper --dry-run
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wrapper.errors import DataError, ModelError

ROOT = Path(__file__).parents[1]
LARGEST = 10 * 2**20
"""Bytes; a Space refuses larger files in a plain push."""
PATTERNS = (
    "app.py", "README.md", "LICENSE", "requirements.txt", "pre-requirements.txt", "wrapper/**/*.py", "wrapper/scenes/*.png",
    "wrapper/scenes/*.json", "wrapper/scenes/*.txt", "weights/tiny/**/*", "examples/*", "docs/*",
)  # fmt: skip


@dataclass(frozen=True)
class Item:
    """One file of a Space: its path there, and its bytes."""

    name: str
    size: int


def items(root: Path = ROOT) -> list[Item]:
    """What a Space needs, by path; DataError where a file is too large or one of the main ones is missing."""
    found = sorted({p for pattern in PATTERNS for p in _files(root, pattern)})
    listed = [Item(p.relative_to(root).as_posix(), p.stat().st_size) for p in found]
    for needed in ("app.py", "README.md", "requirements.txt"):
        if needed not in {i.name for i in listed}:
            raise DataError(f"{root} has no {needed}. Run this from the project's own folder, not from an installed package.")
    large = [f"{i.name} ({i.size / 2**20:.1f} MiB)" for i in listed if i.size > LARGEST]
    if large:
        raise DataError(f"A Space takes no file over {LARGEST / 2**20:.0f} MiB: {', '.join(large)}. Make it smaller or split it.")
    return listed


def _files(root: Path, pattern: str) -> Iterator[Path]:
    return (p for p in root.glob(pattern) if p.is_file() and "__pycache__" not in p.parts)


def deploy(space: str, private: bool, root: Path = ROOT) -> str:
    """Upload the files to a Space, which is made where it is missing; gives its address."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    names = [i.name for i in items(root)]
    api = HfApi()
    try:
        api.create_repo(space, repo_type="space", space_sdk="gradio", private=private, exist_ok=True)
        return str(api.upload_folder(repo_id=space, repo_type="space", folder_path=root, allow_patterns=names))
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"The Space {space} could not be written ({reason}). Log in with `hf auth login`, and check the name.") from error
