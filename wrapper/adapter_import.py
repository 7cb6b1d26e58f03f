"""Take over an adapter that others have released: a PEFT folder, an archive, or an archive cut into parts.

    python -m wrapper adapter import florence2-l_llama3.tar.gz.part_aa --base meta-llama/Meta-Llama-3-8B-Instruct --out florence2-refcocog

Of an archive only the files of an adapter are unpacked, under names of ours. A pickle (adapter_model.bin) is read with
`weights_only`, which builds tensors and nothing else, and written as safetensors. Names and shapes are checked against the base
model, of which only the configuration is needed.
"""

import itertools
import json
import re
import shutil
import string
import tarfile
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from pickle import UnpicklingError
from typing import Any, BinaryIO

import torch
from peft import PeftConfig, PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from wrapper.errors import ModelError
from wrapper.prompt import FILE_NAME, PromptTemplate
from wrapper.proposals import fingerprint
from wrapper.proposers.loading import load_pretrained
from wrapper.selectors.lora import PICKLE, WEIGHTS, check_places, read_config, without_advice
from wrapper.writing import write_whole

CONFIG = "adapter_config.json"
FILES = (CONFIG, WEIGHTS, PICKLE, FILE_NAME)
"""What is taken of a folder or an archive."""
LARGEST = 12 * 10**9
"""Bytes of one file of an archive; the paper's adapter for Llama 3 8B with its output layers has about 6."""
ARCHIVES = (".tar", ".tar.gz", ".tgz")
PART = re.compile(r"\.part_[a-z]{2}$")
OF_THE_BASE = re.compile(r"(\.base_layer\.weight|embed_tokens\.weight|lm_head\.weight)$")
"""Layers of the base model, which PEFT saves beside LoRA matrices on lm_head."""


@dataclass(frozen=True)
class Origin:
    """Where an adapter comes from, in the words of whoever imports it. proposers: whose candidates it was trained on."""

    source: str
    licence: str = "unknown"
    proposers: tuple[str, ...] = ()


def import_adapter(paths: Sequence[Path], out: Path, base: str | None, origin: Origin, template: Path | None = None) -> list[str]:
    """Write the adapter that lies at `paths` (a folder, an archive, or an archive's parts) as a folder that `--adapter` takes.

    base: Hub id or folder of the model it was trained on; the one it names itself where None. template: a prompt.json with the
    wording it was trained with; its own, or the usual wording, where None. Gives remarks; ModelError says what does not fit.
    """
    if out.exists():
        raise ModelError(f"{out} is there already. Choose another --out, or delete it.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=out.name) as scratch:
        folder = Path(scratch)
        _gather([Path(p) for p in paths], folder)
        notes = _convert(folder)
        notes += _check(folder, base)
        notes += _template(folder, template)
        _write_about(folder, origin)
        folder.chmod(0o755)
        shutil.copytree(folder, out)
    return notes


def _gather(paths: Sequence[Path], folder: Path) -> None:
    """Bring the adapter's files together in one folder."""
    if len(paths) == 1 and paths[0].is_dir():
        for name in FILES:
            if (paths[0] / name).is_file():
                shutil.copy(paths[0] / name, folder / name)
    else:
        _unpack(_parts(paths), folder)
    if not (folder / CONFIG).is_file() or not ((folder / WEIGHTS).is_file() or (folder / PICKLE).is_file()):
        raise ModelError(f"{paths[0]} holds no adapter: it needs {CONFIG} and {WEIGHTS} (or {PICKLE}).")


def _parts(paths: Sequence[Path]) -> list[Path]:
    """The files of one archive in their order; of a single part the others are looked for beside it."""
    for path in paths:
        if not path.is_file():
            raise ModelError(f"There is no file {path}. Check the path.")
    if len(paths) == 1 and PART.search(paths[0].name):
        stem = PART.sub("", paths[0].name)
        paths = [p for p in paths[0].parent.iterdir() if PART.sub("", p.name) == stem and PART.search(p.name)]
    found = sorted(paths, key=lambda p: p.name)
    names = {PART.sub("", p.name) for p in found}
    if len(names) > 1 or not next(iter(names)).endswith(ARCHIVES):
        raise ModelError(f"{', '.join(p.name for p in found)} are not one archive. Give a folder, a .tar.gz, or all of its parts.")
    letters = [p.name[-2:] for p in found if PART.search(p.name)]
    expected = ["".join(two) for two in itertools.islice(itertools.product(string.ascii_lowercase, repeat=2), len(letters))]
    if letters != expected:
        missing = next(e for e in expected if e not in letters)
        raise ModelError(f"The part {next(iter(names))}.part_{missing} is missing. Put it beside the others.")
    return found


class _Joined:
    """Several files read as one, from beginning to end."""

    def __init__(self, files: Sequence[BinaryIO]) -> None:
        self._files = list(files)

    def read(self, size: int) -> bytes:
        while self._files:
            if data := self._files[0].read(size):
                return data
            self._files.pop(0)
        return b""


@contextmanager
def _open_joined(paths: Sequence[Path]) -> Iterator[_Joined]:
    files = [p.open("rb") for p in paths]
    try:
        yield _Joined(files)
    finally:
        for file in files:
            file.close()


def _unpack(parts: Sequence[Path], folder: Path) -> None:
    """Copy the adapter's files out of an archive: plain files only, by their last name, of those nearest to its root."""
    depths: dict[str, int] = {}
    try:
        with _open_joined(parts) as joined, tarfile.open(fileobj=joined, mode="r|*") as archive:  # type: ignore[call-overload]
            for member in archive:
                place = PurePosixPath(member.name)
                depth = len(place.parts)
                if place.name not in FILES or not member.isfile() or depths.get(place.name, depth + 1) <= depth:
                    continue
                if member.size > LARGEST:
                    raise ModelError(f"The archive's {place.name} has {member.size / 1e9:.1f} GB; at most {LARGEST / 1e9:.0f} are taken.")
                depths[place.name] = depth
                with (folder / place.name).open("wb") as file:
                    shutil.copyfileobj(archive.extractfile(member), file)
    except (tarfile.TarError, EOFError, OSError) as error:
        if getattr(error, "errno", None):
            raise
        names = ", ".join(p.name for p in parts)
        raise ModelError(f"{names} cannot be unpacked ({error}). The archive is cut or a part is missing; download it again.") from error


def _convert(folder: Path) -> list[str]:
    """Leave the weights as safetensors, without layers of the base model."""
    notes = []
    if (folder / WEIGHTS).is_file():
        (folder / PICKLE).unlink(missing_ok=True)
        try:
            state = load_file(folder / WEIGHTS)
        except SafetensorError as error:
            raise ModelError(f"{WEIGHTS} cannot be read ({error}). Take it from its source again.") from error
    else:
        state = _from_pickle(folder / PICKLE)
        (folder / PICKLE).unlink()
        notes.append(f"{PICKLE} was read for its tensors only and written as {WEIGHTS}.")
    state = {k.replace(".default.", "."): v for k, v in state.items()}
    saved = getattr(read_config(str(folder)), "modules_to_save", None) or ()
    dropped = [k for k in state if OF_THE_BASE.search(k) and not any(f".{name}." in k for name in saved)]
    if dropped:
        notes.append(f"{len(dropped)} layers of the base model were left out: {', '.join(dropped)}.")
    save_file({k: v.contiguous().clone() for k, v in state.items() if k not in dropped}, folder / WEIGHTS, metadata={"format": "pt"})
    return notes


def _from_pickle(file: Path) -> dict[str, torch.Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles in another version than torch's own
            state = torch.load(file, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, AttributeError) as error:
        raise ModelError(
            f"{PICKLE} was not opened: it holds more than tensors, or is damaged. An adapter's weights need nothing else; do not "
            "open it with other tools."
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in state.items()):
        raise ModelError(f"{PICKLE} holds no tensors by name. Take an adapter that PEFT has saved.")
    return dict(state)


def _check(folder: Path, base: str | None) -> list[str]:
    """Hold names and shapes against the base model, and write down which one that is."""
    config = read_config(str(folder))
    source = base or config.base_model_name_or_path
    if not source:
        raise ModelError("The adapter does not say which model it was trained on. Name it with --base.")
    try:
        shape = load_pretrained("The base model", source, AutoConfig.from_pretrained)
    except ModelError as error:
        raise ModelError(f"{error} The adapter's names and shapes are checked against it; name another with --base.") from error
    try:
        wanted = expected_places(shape, config)
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
        raise ModelError(f"The adapter does not go with {source} ({reason}). Name the LLM it was trained on with --base.") from error
    state = load_file(folder / WEIGHTS)
    check_places({k: tuple(v.shape) for k, v in state.items()}, wanted, folder.name)
    config.base_model_name_or_path = source if not Path(source).is_dir() else Path(source).name
    config.save_pretrained(str(folder))
    return [f"It fits {source}: {len(state):,} tensors, LoRA of rank {getattr(config, 'r', '?')}."]


def expected_places(shape: Any, config: PeftConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors that an adapter has on a model of a configuration; no weights are made."""
    with torch.device("meta"), without_advice():
        model = PeftModel(AutoModelForCausalLM.from_config(shape), config)  # type: ignore[no-untyped-call]
    places = get_peft_model_state_dict(model, save_embedding_layers=False)
    return {k: tuple(v.shape) for k, v in places.items()}


def _template(folder: Path, given: Path | None) -> list[str]:
    """Leave the wording that belongs to the adapter beside it."""
    if given is not None:
        PromptTemplate.read(given).save(folder)
        return []
    found = PromptTemplate.load(folder)
    (found or PromptTemplate()).save(folder)
    if found is None:
        return [f"It comes with no {FILE_NAME}: the usual wording is used, with which it may answer worse. Give its own with --template."]
    return []


def _write_about(folder: Path, origin: Origin) -> None:
    """Where it comes from, for programs and for people."""
    about: dict[str, Any] = {
        "imported": {"source": origin.source, "licence": origin.licence, "weights": fingerprint(folder / WEIGHTS)},
        "proposers": list(origin.proposers),
    }
    write_whole(folder / "config.json", json.dumps(about, indent=1) + "\n")
    names = " and ".join(origin.proposers) or "a model that is not named"
    write_whole(
        folder / "README.md",
        f"# An LLM-wrapper adapter from elsewhere\n\nFrom {origin.source}. Licence: {origin.licence}. It reads candidates of {names}. "
        "Imported with `wrapper adapter import`, which checked names and shapes of its tensors against its base model.\n",
    )
