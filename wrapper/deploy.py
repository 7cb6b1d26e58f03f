"""Send the app to a Hugging Face Space: exactly the files it needs, and nothing over the Hub's limit.

python -m wrapper deploy --space you/llm-wrapper --dry-run
python -m wrapper deploy --space you/llm-wrapper --preset paper    # full-size models, on a GPU Space
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, RepoCard

from wrapper.errors import DataError
from wrapper.hub import writing
from wrapper.presets import PRESETS, find_preset
from wrapper.selectors.endpoint import EndpointSettings

ROOT = Path(__file__).parents[1]
LARGEST = 10 * 2**20
"""Bytes; a Space refuses larger files in a plain push."""
ZERO_GPU_TORCH = "torch>=2.8,<2.12"
"""ZeroGPU has 2.8.0, 2.9.1, 2.10.0 and 2.11.0 (Hub docs, Spaces ZeroGPU); a Space without a GPU runs them too."""
PATTERNS = (
    "app.py", "README.md", "LICENSE", "NOTICE", "SECURITY.md", "CHANGELOG.md", "requirements.txt", "pre-requirements.txt",
    "wrapper/**/*.py", "wrapper/colors.txt", "wrapper/ui/canvas/*", "wrapper/scenes/*.png", "wrapper/scenes/*.json", "wrapper/scenes/*.txt",
    "weights/SHA256SUMS", "weights/tiny/**/*", "weights/photo/**/*", "examples/*", "docs/*",
)  # fmt: skip


@dataclass(frozen=True)
class Item:
    """One file of a Space: its path there, and its bytes."""

    name: str
    size: int


def items(root: Path = ROOT, preset: str | None = None, login: bool = False) -> list[Item]:
    """What a Space with a preset's models needs, by path; DataError where a file is too large or one of the main ones is missing."""
    tracked = _tracked(root)
    changed = rewritten(preset, root, login)
    found = sorted({p for pattern in PATTERNS for p in _files(root, pattern) if tracked is None or p in tracked})
    listed = [Item(p.relative_to(root).as_posix(), p.stat().st_size) for p in found]
    listed = [Item(i.name, len(changed.get(i.name, b"")) or i.size) for i in listed]
    for needed in ("app.py", "README.md", "requirements.txt"):
        if needed not in {i.name for i in listed}:
            raise DataError(f"{root} has no {needed}. Run this from the project's own folder, not from an installed package.")
    large = [f"{i.name} ({i.size / 2**20:.1f} MiB)" for i in listed if i.size > LARGEST]
    if large:
        raise DataError(f"A Space takes no file over {LARGEST / 2**20:.0f} MiB: {', '.join(large)}. Make it smaller or split it.")
    return listed


def _tracked(root: Path) -> set[Path] | None:
    """The files that git keeps of a checkout, so that nothing else that lies there is sent; None where there is no checkout."""
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return None
    listed = subprocess.run([git, "-C", str(root), "ls-files", "-z"], capture_output=True, text=True, check=False)
    return {root / name for name in listed.stdout.split("\0")} if listed.returncode == 0 else None


def _files(root: Path, pattern: str) -> Iterator[Path]:
    return (p for p in root.glob(pattern) if p.is_file() and "__pycache__" not in p.parts)


def card(preset: str | None, root: Path = ROOT, login: bool = False) -> str:
    """The README as the Space gets it. With a preset its front matter names that preset's models, and has the Space fetch
    those that are not gated while it is built (Hub docs, Spaces configuration reference); an LLM may need your token, which a
    build has not. login: visitors may log in, and have a service asked on their account (Hub docs, "Adding a Sign-In with HF button")."""
    text = (root / "README.md").read_text(encoding="utf-8")
    full_size = preset is not None and preset not in ("tiny", "photo", "bundled")
    if not full_size and not login:
        return text
    found = RepoCard(text)
    if preset is not None and full_size:
        models = find_preset(preset)
        looks = [source for source in (models.florence2, models.grounding_dino) if source]
        found.data["models"] = [*looks, models.llama]
        found.data["preload_from_hub"] = looks
    if login:
        found.data["hf_oauth"] = True
        found.data["hf_oauth_scopes"] = ["inference-api"]
    return str(found)


def rewritten(preset: str | None, root: Path = ROOT, login: bool = False) -> dict[str, bytes]:
    """Files that a Space gets otherwise than they lie here, by name: the README for its preset, and requirements with a torch that
    ZeroGPU offers, where pip would take the newest."""
    files = {name: root / name for name in ("README.md", "requirements.txt")}
    out = {"README.md": card(preset, root, login).encode()} if files["README.md"].is_file() else {}
    if files["requirements.txt"].is_file():
        text = files["requirements.txt"].read_text(encoding="utf-8")
        out["requirements.txt"] = re.sub(r"(?m)^torch[<>=].*$", ZERO_GPU_TORCH, text).encode()
    return out


def deploy(space: str, private: bool, preset: str | None = None, root: Path = ROOT, login: str | None = None) -> str:
    """Upload the files to a Space, which is made where it is missing, and delete there what is none of them; gives the commit's
    address. preset: is set as the Space's WRAPPER_PRESET; login: the spec of a service, set as its WRAPPER_LLAMA for visitors who log in;
    None leaves them as they are. ModelError for a spec that cannot be."""
    if login is not None:
        EndpointSettings.load(login)
    names = [i.name for i in items(root, preset, login is not None)]
    api = HfApi()
    with writing(f"The Space {space}"):
        api.create_repo(space, repo_type="space", space_sdk="gradio", private=private, exist_ok=True)
        set_before = {name: found.value for name, found in api.get_space_variables(space).items()}
        kept = set_before.get("WRAPPER_PRESET")  # what stays set there, the README must go with
        changed = rewritten(
            preset or (kept if kept in PRESETS else None), root, login is not None or set_before.get("WRAPPER_LOGIN") == "1"
        )
        files = [CommitOperationAdd(n, changed.get(n, root / n)) for n in names]
        there = api.list_repo_files(space, repo_type="space")
        gone = [CommitOperationDelete(n) for n in there if n not in names and not Path(n).name.startswith(".")]
        commit = api.create_commit(space, [*files, *gone], commit_message="Upload LLM-wrapper", repo_type="space")
        if preset:
            api.add_space_variable(space, "WRAPPER_PRESET", preset, description="Which models the page uses.")
        if login:
            api.add_space_variable(space, "WRAPPER_LLAMA", login, description="The LLM that is asked for visitors who log in.")
            api.add_space_variable(space, "WRAPPER_LOGIN", "1", description="Visitors may log in.")
    return str(commit)
