"""Candidates of a whole data set in one file, made once and used by training and evaluation alike.

    python -m wrapper propose --data refscenes:train:3000 --proposers florence2,gdrec --preset tiny --out candidates.jsonl

The file is JSON lines: a header with every setting that the candidates depend on, a row for each example in the data's
order, and a closing line with the number of rows and the mean time. While it is being made its rows lie in
NAME.part0, NAME.part1 ... (one a process, appended and flushed row by row), and a run that was killed goes on where it
was; NAME itself appears when all is there. Under `accelerate launch` the processes share the work.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from PIL import Image
from tqdm import tqdm

from wrapper.candidates import Box, Candidate
from wrapper.datasets import Dataset, Example, Skipped
from wrapper.errors import DataError, ImageError
from wrapper.pipeline import collect, merge
from wrapper.presets import Preset
from wrapper.proposers.base import Proposer

FORMAT = "llm-wrapper candidates 1"


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
        if "florence2" in proposers:
            models["florence2"] = revision(preset.florence2)
        if {"gd", "gdrec"} & set(proposers):
            models["grounding_dino"] = revision(preset.grounding_dino)
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

    def merged(self, proposers: Sequence[str]) -> list[Candidate]:
        """One list of some proposers' candidates, in their order."""
        return merge([self.lists[name] for name in proposers])


@dataclass(frozen=True)
class Proposals:
    """A whole candidates file. failed: rows without candidates because their picture could not be used, and why.

    ms: mean milliseconds an example, by proposer.
    """

    settings: Settings
    data: Mapping[str, Any]
    rows: list[Proposed]
    failed: list[Skipped]
    ms: Mapping[str, float]


def revision(source: str) -> str:
    """What pins a checkpoint: name@commit for the Hub, name@digest for a folder."""
    folder = Path(source)
    if folder.is_dir():
        digest = hashlib.sha256()
        for file in sorted(folder.glob("*.safetensors")):
            digest.update(file.read_bytes())
        return f"{folder.name}@{digest.hexdigest()[:12]}"
    from transformers import AutoConfig

    commit = getattr(AutoConfig.from_pretrained(source), "_commit_hash", None)
    return f"{source}@{commit or 'unknown'}"


def _plain_fields(proposer: Proposer) -> dict[str, Any]:
    kinds = (int, float, str, tuple)
    return {k: list(v) if isinstance(v, tuple) else v for k, v in vars(proposer).items() if isinstance(v, kinds) and k != "name"}


def _flat(settings: Settings) -> dict[str, Any]:
    head = {"preset": settings.preset, "proposers": list(settings.proposers)}
    return head | {f"model {k}": v for k, v in settings.models.items()} | dict(settings.options)


# ---- making the file


@dataclass(frozen=True)
class Share:
    """Which part of the work a process does: every `world`-th batch from the `rank`-th on."""

    rank: int = 0
    world: int = 1


def batches(examples: Sequence[Example], size: int) -> list[list[Example]]:
    """Examples in batches of about `size`, those about one picture together, in the order of the pictures' first ones.

    Batches do not depend on how many processes there are, so that neither do the models' results.
    """
    by_picture: dict[str, list[Example]] = {}
    for e in examples:
        by_picture.setdefault(e.image.key, []).append(e)
    out: list[list[Example]] = [[]]
    for group in by_picture.values():
        if len(out[-1]) >= size:
            out.append([])
        out[-1] += group
    return out


def propose(data: Dataset, settings: Settings, proposers: Mapping[str, Proposer], out: Path, share: Share, batch: int = 16) -> None:
    """Write this process's share of the rows, going on where an earlier run was cut. `finish` then makes the file."""
    header = _header(data, settings)
    try:
        done = {row["id"] for part in _parts(out) for row in _part_rows(part, header)}
        work = [b for b in batches(data.examples, batch)[share.rank :: share.world] if any(e.id not in done for e in b)]
        with _opened(_part(out, share.rank), header) as file, tqdm(total=sum(map(len, work)), unit="row", disable=share.rank > 0) as bar:
            for examples in work:
                for row in _rows(examples, proposers):
                    if row["id"] not in done:
                        file.write(json.dumps(row) + "\n")
                file.flush()
                bar.update(len(examples))
    except OSError as error:
        raise DataError(f"{out} cannot be written ({error}). Make room or choose another place; the rows so far are kept.") from error


def finish(data: Dataset, settings: Settings, out: Path) -> None:
    """Put the parts together under the file's own name."""
    header = _header(data, settings)
    rows: dict[str, dict[str, Any]] = {}
    for part in _parts(out):
        rows |= {row["id"]: row for row in _part_rows(part, header)}
    missing = [e.id for e in data.examples if e.id not in rows]
    if missing:
        raise DataError(f"{len(missing)} rows are missing, {missing[0]} first. Run the same command again.")
    ms = [rows[e.id].pop("ms") for e in data.examples]
    means = {name: round(sum(m[name] for m in ms) / len(ms), 2) for name in settings.proposers}
    lines = [header, *(json.dumps(rows[e.id]) for e in data.examples), json.dumps({"rows": len(ms), "ms": means})]
    try:
        write_whole(out, "\n".join(lines) + "\n")
        for part in _parts(out):
            part.unlink()
    except OSError as error:
        raise DataError(f"{out} cannot be written ({error}). Make room and run the same command again; the rows are kept.") from error


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is never seen half-written: under another name, to the disk, then renamed."""
    partial = path.with_name(path.name + ".tmp")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def _header(data: Dataset, settings: Settings) -> str:
    about = {"name": data.name, "fingerprint": data.fingerprint(), "examples": len(data.examples)}
    return json.dumps({"format": FORMAT, "settings": asdict(settings), "data": about})


def _part(out: Path, rank: int) -> Path:
    return out.with_name(f"{out.name}.part{rank}")


def _parts(out: Path) -> list[Path]:
    return sorted(p for p in out.parent.glob(f"{out.name}.part*") if p.name.removeprefix(f"{out.name}.part").isdigit())


def _part_rows(part: Path, header: str) -> Iterator[dict[str, Any]]:
    """The whole rows of a part; a last line that was cut is left out."""
    with part.open(encoding="utf-8") as file:
        if (first := file.readline()) != header + "\n":
            if not first.endswith("\n"):
                return
            raise DataError(f"{part} was begun with other settings or data. Delete it, or choose another --out.")
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)


def _opened(part: Path, header: str) -> TextIO:
    """A part opened for appending, cut back to its last whole line, with a header."""
    part.parent.mkdir(parents=True, exist_ok=True)
    file = part.open("a+b")
    file.seek(0)
    data = file.read()
    file.truncate(data.rfind(b"\n") + 1)
    file.close()
    text = part.open("a", encoding="utf-8")
    if b"\n" not in data:
        text.write(header + "\n")
        text.flush()
    return text


def _rows(examples: Sequence[Example], proposers: Mapping[str, Proposer]) -> Iterator[dict[str, Any]]:
    """The rows of a batch; each picture is opened once."""
    pictures: dict[str, Image.Image | str] = {}
    for e in examples:
        if e.image.key not in pictures:
            try:
                pictures[e.image.key] = e.image.open()
            except ImageError as error:
                pictures[e.image.key] = str(error)
    good = [e for e in examples if isinstance(pictures[e.image.key], Image.Image)]
    images = [p for e in good if isinstance(p := pictures[e.image.key], Image.Image)]
    found = collect(list(proposers.values()), images, [e.expression for e in good])
    for i, e in enumerate(good):
        yield _row(e) | {
            "size": list(images[i].size),
            "candidates": {name: [_plain(c) for c in lists[i]] for name, lists in found.by_proposer.items()},
            "ms": found.timings_ms,
        }
    for e in examples:
        if isinstance(why := pictures[e.image.key], str):
            yield _row(e) | {
                "size": [1, 1],
                "candidates": {name: [] for name in proposers},
                "ms": dict.fromkeys(proposers, 0.0),
                "failed": why,
            }


def _row(e: Example) -> dict[str, Any]:
    return {"id": e.id, "image": Path(e.image.key).name, "expression": e.expression, "truth": list(e.box), "category": e.category}


def _plain(c: Candidate) -> dict[str, Any]:
    """Hundredths of a pixel and of a per cent: finer than any model, coarser than the noise between machines."""
    return {"box": [round(v, 2) for v in c.box], "label": c.label, "score": None if c.score is None else round(c.score, 4)}


# ---- reading it back


def read_candidates(path: Path, expected: Settings | None = None) -> Proposals:
    """A whole candidates file; DataError where it is cut, damaged, or made with other settings than expected."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        unfinished = " It is not finished; run `wrapper propose` again to go on." if _parts(path) else ""
        raise DataError(f"There is no file {path}.{unfinished or ' Check the path.'}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text ({error}). Make it again with `wrapper propose`.") from error
    head = _json(path, lines, 0)
    if head.get("format") != FORMAT:
        raise DataError(f"{path} is not a candidates file of this version ({FORMAT}). Make it with `wrapper propose`.")
    settings = _settings(path, head)
    if expected is not None and (differences := expected.differences(settings)):
        raise DataError(f"{path} was made with other settings ({'; '.join(differences)}). Give those settings, or propose again.")
    last = _json(path, lines, len(lines) - 1)
    if last.get("rows") != len(lines) - 2:
        raise DataError(f"{path} is cut short after line {len(lines)}. Make it again with `wrapper propose`.")
    rows, failed = [], []
    for number in range(1, len(lines) - 1):
        data = _json(path, lines, number)
        rows.append(_proposed(path, number, data))
        if "failed" in data:
            failed.append(Skipped(rows[-1].id, str(data["failed"])))
    return Proposals(settings, head["data"], rows, failed, last["ms"])


def _json(path: Path, lines: Sequence[str], number: int) -> dict[str, Any]:
    try:
        data = json.loads(lines[number])
    except (IndexError, json.JSONDecodeError) as error:
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


def _proposed(path: Path, number: int, data: Mapping[str, Any]) -> Proposed:
    try:
        x1, y1, x2, y2 = data["truth"]
        lists = {
            name: tuple(Candidate(tuple(c["box"]), str(c["label"]), c["score"], name) for c in found)
            for name, found in data["candidates"].items()
        }
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
