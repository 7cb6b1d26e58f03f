"""Run proposers over a data set and write their candidates into one file (`wrapper.proposals`).

    python -m wrapper propose --data refscenes:train:3000 --proposers florence2,gdrec --preset tiny --out candidates.jsonl

While the file is being made its rows lie in NAME.part0, NAME.part1 ... (one a process, appended and flushed row by row), and a
run that was killed goes on where it was; NAME itself appears when all is there. Under `accelerate launch` the processes
share the work.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from PIL import Image
from tqdm import tqdm

from wrapper.candidates import Candidate
from wrapper.datasets import Dataset, Example
from wrapper.errors import DataError, at_the_cost_of_a_row
from wrapper.expressions import normalise
from wrapper.pipeline import collect
from wrapper.proposals import FORMAT, Proposals, Settings, parts, read_candidates
from wrapper.proposers.base import Proposer
from wrapper.writing import whole_file


@dataclass(frozen=True)
class Worker:
    """Which part of the work a process does: every `world`-th batch from the `rank`-th on."""

    rank: int = 0
    world: int = 1


def batches(examples: Sequence[Example], size: int) -> list[list[Example]]:
    """Examples in batches of less than twice `size`, those about one picture together as far as that goes, in the order of the pictures'
    first ones.

    Batches do not depend on how many processes there are, so that neither do the models' results.
    """
    by_picture: dict[str, list[Example]] = {}
    for e in examples:
        by_picture.setdefault(e.image.key, []).append(e)
    out: list[list[Example]] = [[]]
    for group in by_picture.values():
        for start in range(0, len(group), size):
            if len(out[-1]) >= size:
                out.append([])
            out[-1] += group[start : start + size]
    return out


def made_before(data: Dataset, settings: Settings, out: Path) -> Proposals | None:
    """The whole file where it is there already. DataError where that is of other data or settings, whose hours are not to be lost."""
    if not out.exists():
        return None
    other = f"{out} is there already, of other data or settings. Choose another --out, or delete it."
    try:
        found = read_candidates(out, settings)
    except DataError as error:
        raise DataError(f"{other} ({error})") from error
    if found.data != json.loads(_header(data, settings))["data"]:
        raise DataError(other)
    return found


def reopen(data: Dataset, settings: Settings, out: Path, before: Proposals) -> None:
    """Make a part of a whole file's rows, less those that failed, so that only these are asked again. The file stays until a new one is
    whole."""
    failed = {s.where for s in before.failed}
    each = {name: ms * len(before.rows) / max(1, len(before.rows) - len(failed)) for name, ms in before.ms.items()}
    with out.open("rb") as old, whole_file(out.with_name(f"{out.name}.part{REOPENED}")) as part:
        part.write(_header(data, settings) + "\n")
        old.readline()
        for _ in before.rows:
            row = json.loads(old.readline())
            if row["id"] not in failed:
                part.write(json.dumps(row | {"ms": each}) + "\n")


REOPENED = 10**6
"""The number of the part that holds an earlier file's rows, which no process has."""


def propose(data: Dataset, settings: Settings, proposers: Mapping[str, Proposer], out: Path, worker: Worker, batch: int = 16) -> None:
    """Write this worker's part of the rows, going on where an earlier run was cut. `finish` then makes the file."""
    header = _header(data, settings)
    try:
        done = {row["id"] for part in parts(out) for _, row in _part_rows(part, header) if "failed" not in row}
        work = [b for b in batches(data.examples, batch)[worker.rank :: worker.world] if any(e.id not in done for e in b)]
        with (
            _open_part(_part(out, worker.rank), header) as file,
            tqdm(total=sum(map(len, work)), unit="row", disable=worker.rank > 0) as bar,
        ):
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
    header, made = _header(data, settings), parts(out)
    places: dict[str, tuple[Path, int]] = {}
    failed: dict[str, str] = {}
    for part in made:
        for start, row in _part_rows(part, header):
            places[row["id"]] = part, start
            failed.pop(row["id"], None)
            if "failed" in row:
                failed[row["id"]] = row["failed"]
    missing = [e.id for e in data.examples if e.id not in places]
    if missing:
        raise DataError(f"{len(missing)} rows are missing, {missing[0]} first. Run the same command again.")
    if places and len(failed) == len(places):
        for part in made:
            part.unlink()
        raise DataError(f"No example could be used. The first one: {next(iter(failed.values()))}")
    try:
        with whole_file(out) as file:
            _put_together(file, header, [places[e.id] for e in data.examples], settings.proposers)
        for part in made:
            part.unlink()
    except OSError as error:
        raise DataError(f"{out} cannot be written ({error}). Make room and run the same command again; the rows are kept.") from error


def _put_together(file: TextIO, header: str, places: Sequence[tuple[Path, int]], proposers: Sequence[str]) -> None:
    """Write the whole file: the rows at these places of the parts, each read when it is its turn, and the mean times."""
    spent = dict.fromkeys(proposers, 0.0)
    file.write(header + "\n")
    with ExitStack() as stack:
        opened = {part: stack.enter_context(part.open("rb")) for part in dict.fromkeys(part for part, _ in places)}
        for part, start in places:
            opened[part].seek(start)
            row = json.loads(opened[part].readline())
            for name, ms in row.pop("ms").items():
                spent[name] += ms
            file.write(json.dumps(row) + "\n")
    means = {name: round(ms / max(1, len(places)), 2) for name, ms in spent.items()}
    file.write(json.dumps({"rows": len(places), "ms": means}) + "\n")


def _header(data: Dataset, settings: Settings) -> str:
    about = {"name": data.name, "fingerprint": data.fingerprint(), "examples": len(data.examples)}
    return json.dumps({"format": FORMAT, "settings": asdict(settings), "data": about})


def _part(out: Path, rank: int) -> Path:
    return out.with_name(f"{out.name}.part{rank}")


def _part_rows(part: Path, header: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The whole rows of a part with where they begin; a last line that was cut is left out."""
    with part.open("rb") as file:
        if (first := file.readline()) != header.encode() + b"\n":
            if not first.endswith(b"\n"):
                return
            raise DataError(f"{part} was begun with other settings or data. Delete it, or choose another --out.")
        start = len(first)
        for line in file:
            if line.endswith(b"\n"):
                with suppress(ValueError):  # damaged: the row is made again
                    yield start, json.loads(line)
            start += len(line)


def _open_part(part: Path, header: str) -> TextIO:
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


@dataclass(frozen=True)
class Found:
    """What became of one example: its picture's size and candidates, or why there are none."""

    size: tuple[int, int]
    by_proposer: Mapping[str, Sequence[Candidate]]
    timings_ms: Mapping[str, float]
    failed: str | None = None


def _rows(examples: Sequence[Example], proposers: Mapping[str, Proposer]) -> Iterator[dict[str, Any]]:
    """The rows of a batch; each picture is opened once. What cannot be used costs its own row."""
    pictures: dict[str, Image.Image] = {}
    failed: dict[str, str] = {}
    for e in examples:
        if e.image.key not in pictures and e.image.key not in failed:
            with at_the_cost_of_a_row(partial(failed.__setitem__, e.image.key)):
                pictures[e.image.key] = e.image.open()
    good = [e for e in examples if e.image.key in pictures]
    found = iter(_proposed(good, [pictures[e.image.key] for e in good], list(proposers.values())))
    for e in examples:
        why = failed.get(e.image.key)
        yield _row(e, next(found) if why is None else _nothing(proposers, why))


def _proposed(examples: Sequence[Example], images: Sequence[Image.Image], proposers: Sequence[Proposer]) -> list[Found]:
    """What the models find; where a batch cannot be read, each example is tried by itself."""
    found: list[Found] = []
    failed: list[str] = []
    with at_the_cost_of_a_row(failed.append):
        all_found = collect(proposers, images, [normalise(e.expression) for e in examples])
        found = [Found(image.size, all_found.of(i), all_found.timings_ms) for i, image in enumerate(images)]
    if failed and len(examples) == 1:
        return [_nothing([p.name for p in proposers], failed[0])]
    if failed:
        return [one for e, image in zip(examples, images, strict=True) for one in _proposed([e], [image], proposers)]
    return found


def _nothing(proposers: Iterable[str], why: str) -> Found:
    return Found((1, 1), dict.fromkeys(proposers, ()), dict.fromkeys(proposers, 0.0), why)


def _row(e: Example, found: Found) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": e.id,
        "image": Path(e.image.key).name,
        "expression": e.expression,
        "truth": list(e.box),
        "category": e.category,
    }
    row |= {"size": list(found.size), "candidates": {name: [_plain(c) for c in one] for name, one in found.by_proposer.items()}}
    return row | {"ms": dict(found.timings_ms)} | ({} if found.failed is None else {"failed": found.failed})


def _plain(c: Candidate) -> dict[str, Any]:
    """Hundredths of a pixel and of a per cent: finer than any model, coarser than the noise between machines."""
    score = None if c.score is None else round(c.score, 4)
    return {"box": [round(v, 2) for v in c.box], "label": c.label, "score": score, "colors": list(c.colors)}
