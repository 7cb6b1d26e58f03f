"""Candidates of a whole data set in one file, made once (`wrapper.proposing`) and used by training and evaluation alike.

The file is JSON lines: a header with every setting that the candidates depend on, a row for each example in the data's
order, and a closing line with the number of rows and the mean time.
"""

import glob
import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, overload

from transformers.utils.hub import cached_file

from wrapper import detectors
from wrapper.candidates import Box, Candidate
from wrapper.datasets import Skipped
from wrapper.errors import DataError
from wrapper.expressions import normalise
from wrapper.inventory import SERVICE
from wrapper.merging import Merging, merge
from wrapper.presets import Preset
from wrapper.proposers import api
from wrapper.proposers.base import Proposer
from wrapper.selectors.base import Question
from wrapper.selectors.endpoint import EndpointSettings

FORMAT = "llm-wrapper candidates 3"
"""2 said no colours; 1 asked models with the words as they were written, and cut each proposer's list at 20."""


@dataclass(frozen=True)
class Settings:
    """What candidates depend on.

    models: for each model its name and revision (the Hub's commit, or a digest of a folder's weights). options: what
    the proposers were told (beams, thresholds ...).
    """

    preset: str
    proposers: tuple[str, ...]
    models: Mapping[str, str]
    options: Mapping[str, Any]

    @classmethod
    def of(cls, name: str, preset: Preset, proposers: Mapping[str, Proposer]) -> "Settings":
        """The settings under which the proposers of a preset work."""
        models = {}
        if "florence2" in proposers and preset.florence2:
            models["florence2"] = revision(preset.florence2, preset.revision(preset.florence2))
        if {"gd", "gdrec"} & set(proposers) and preset.grounding_dino:
            models["grounding_dino"] = revision(preset.grounding_dino, preset.revision(preset.grounding_dino))
        models |= {name: identity(spec) for name, spec in preset.detectors.items() if name in proposers}
        options = {f"{name}.{field}": value for name, p in proposers.items() for field, value in _plain_fields(p).items()}
        return cls(name, tuple(proposers), models, options)

    def differences(self, other: "Settings") -> list[str]:
        """What differs, for people."""
        mine, theirs = _flat(self), _flat(other)
        return [f"{k}: {mine.get(k)} here, {theirs.get(k)} there" for k in sorted({*mine, *theirs}) if mine.get(k) != theirs.get(k)]


@dataclass(frozen=True)
class Proposed:
    """One example with its candidates by proposer. size: the picture's (width, height) in pixels."""

    id: str
    image: str
    size: tuple[int, int]
    expression: str
    truth: Box
    category: str | None
    lists: Mapping[str, tuple[Candidate, ...]]

    def question(self, proposers: Sequence[str], merging: Merging = Merging.CANONICAL, adapter: str | None = None) -> Question:
        """What the LLM is asked about this row, with the candidates of some of its proposers."""
        merged = merge([self.lists[name] for name in proposers], merging)
        return Question(merged.candidates, normalise(self.expression), self.size, adapter, merged.left_out)


@dataclass(frozen=True)
class Proposals:
    """A whole candidates file. failed: rows without candidates because their picture could not be used, and why.

    ms: mean milliseconds an example, by proposer.
    """

    settings: Settings
    data: Mapping[str, Any]
    rows: Sequence[Proposed]
    failed: list[Skipped]
    ms: Mapping[str, float]


DEPENDED_ON = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")
"""Files of a checkpoint on which answers depend: weights, configurations, tokenizers, chat templates, wording. An adapter's own config.json
only tells of its training."""


def fingerprint(*files: Path) -> str:
    """The same for files of the same bytes."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            while chunk := opened.read(2**20):
                digest.update(chunk)
    return digest.hexdigest()[:12]


def revision(source: str, pinned: str | None = None) -> str:
    """What pins a checkpoint or an adapter: name@commit for the Hub, the one a preset pins where it does; name@digest for a folder, of all
    files on which answers depend."""
    if source.startswith(SERVICE):  # what a service serves today, it need not tomorrow; what is asked of it is known
        settings = EndpointSettings.load(source)
        wording = Path(settings.template) / "prompt.json"
        return f"{SERVICE}{settings.url}#{settings.model}" + (f"@{fingerprint(wording)}" if settings.template and wording.is_file() else "")
    folder = Path(source)
    if folder.is_dir():
        is_adapter = (folder / "adapter_config.json").is_file()
        files = sorted(p for pattern in DEPENDED_ON for p in folder.glob(pattern) if not (is_adapter and p.name == "config.json"))
        return f"{folder.name}@{fingerprint(*files)}"
    if pinned is not None:
        return f"{source}@{pinned}"
    found = (
        cached_file(source, name, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False)
        for name in ("config.json", "adapter_config.json")
    )
    commit = next((Path(file).parent.name for file in found if file is not None), "unknown")  # snapshots/COMMIT/config.json
    return f"{source}@{commit}"


def identity(spec: str) -> str:
    """What a detector's spec stands for now, by which candidates of before are known to be of the same one: with a digest of the files that
    it names."""
    scheme, _, place = spec.partition(":")
    if scheme == "transformers":
        return f"transformers:{revision(place)}"
    if scheme == "api":
        return f"api:{json.dumps(api.as_record(api.ApiSettings.load(place)))}"
    files = detectors.files_of(spec)
    return f"{scheme}:{files[0].name}@{fingerprint(*files)}" if files else spec


def _plain_fields(proposer: Proposer) -> dict[str, Any]:
    kinds = (int, float, str, tuple)
    return {k: list(v) if isinstance(v, tuple) else v for k, v in vars(proposer).items() if isinstance(v, kinds) and k != "name"}


def _flat(settings: Settings) -> dict[str, Any]:
    head = {"preset": settings.preset, "proposers": list(settings.proposers)}
    return head | {f"model {k}": v for k, v in settings.models.items()} | dict(settings.options)


def parts(out: Path) -> list[Path]:
    """The files in which the rows of an unfinished file lie."""
    return sorted(p for p in out.parent.glob(f"{glob.escape(out.name)}.part*") if p.name.removeprefix(f"{out.name}.part").isdigit())


# ---- reading it back


class StoredRows(Sequence[Proposed]):
    """The rows of a candidates file, each read anew when it is asked for, so that long files take little memory."""

    def __init__(self, path: Path, starts: Sequence[int]) -> None:
        self._path, self._starts = path, starts

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, at: int) -> Proposed: ...
    @overload
    def __getitem__(self, at: slice) -> list[Proposed]: ...
    def __getitem__(self, at: int | slice) -> Proposed | list[Proposed]:
        if isinstance(at, slice):
            return list(self._read(range(*at.indices(len(self)))))
        return next(self._read([range(len(self))[at]]))

    def __iter__(self) -> Iterator[Proposed]:
        return self._read(range(len(self)))

    def _read(self, numbers: Iterable[int]) -> Iterator[Proposed]:
        try:
            with self._path.open("rb") as file:
                for n in numbers:
                    file.seek(self._starts[n])
                    yield _proposed(self._path, n + 1, _json(self._path, file.readline(), n + 1))
        except OSError as error:
            raise DataError(f"{self._path} could be read before and cannot be any more ({error}). Run the same command again.") from error


def read_candidates(path: Path, expected: Settings | None = None) -> Proposals:
    """A whole candidates file; DataError where it is cut, damaged, or made with other settings than expected."""
    try:
        with path.open("rb") as file:
            return _read(path, file, expected)
    except FileNotFoundError as error:
        unfinished = " It is not finished; run `wrapper propose` again to go on." if parts(path) else ""
        raise DataError(f"There is no file {path}.{unfinished or ' Check the path.'}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}). Make it again with `wrapper propose`.") from error


def _read(path: Path, file: BinaryIO, expected: Settings | None) -> Proposals:
    head = _json(path, file.readline(), 0)
    if head.get("format") != FORMAT:
        raise DataError(f"{path} is not a candidates file of this version ({FORMAT}). Make it with `wrapper propose`.")
    settings = _settings(path, head)
    if expected is not None and (differences := expected.differences(settings)):
        raise DataError(f"{path} was made with other settings ({'; '.join(differences)}). Give those settings, or propose again.")
    starts, failed = array("Q"), list[Skipped]()
    start, line = file.tell(), file.readline()
    while following := file.readline():  # the last line is no row
        data = _json(path, line, len(starts) + 1)
        row = _proposed(path, len(starts) + 1, data)
        if "failed" in data:
            failed.append(Skipped(row.id, str(data["failed"])))
        starts.append(start)
        start, line = start + len(line), following
    last = _json(path, line, len(starts) + 1)
    if last.get("rows") != len(starts):
        raise DataError(f"{path} is cut short after line {len(starts) + 2}. Make it again with `wrapper propose`.")
    return Proposals(settings, head["data"], StoredRows(path, starts), failed, last["ms"])


def _json(path: Path, line: bytes, number: int) -> dict[str, Any]:
    try:
        data = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(f"{path} line {number + 1} cannot be read as text ({error}). Make it again with `wrapper propose`.") from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(
            f"{path} line {number + 1} is not JSON; the file was cut or damaged. Make it again with `wrapper propose`."
        ) from error
    if not isinstance(data, dict):
        raise DataError(f"{path} line {number + 1} is no row of a candidates file. Make it again with `wrapper propose`.")
    return data


def _settings(path: Path, head: Mapping[str, Any]) -> Settings:
    try:
        s = head["settings"]
        return Settings(str(s["preset"]), tuple(s["proposers"]), dict(s["models"]), dict(s["options"]))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} line 1 lacks settings ({error}). Make it again with `wrapper propose`.") from error


def _candidate(source: str, rank: int, c: Mapping[str, Any]) -> Candidate:
    return Candidate(tuple(c["box"]), str(c["label"]), c["score"], source, rank, colors=tuple(str(word) for word in c["colors"]))


def _proposed(path: Path, number: int, data: Mapping[str, Any]) -> Proposed:
    try:
        x1, y1, x2, y2 = data["truth"]
        lists = {name: tuple(_candidate(name, rank, c) for rank, c in enumerate(found)) for name, found in data["candidates"].items()}
        width, height = data["size"]
        return Proposed(
            str(data["id"]),
            str(data["image"]),
            (int(width), int(height)),
            str(data["expression"]),
            (x1, y1, x2, y2),
            data["category"],
            lists,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{path} line {number + 1} is no row of a candidates file ({error}). Make it again with `wrapper propose`."
        ) from error
