"""Many pictures with their expressions, answered one after the other and looked at by a person: what there is to do, written down as it is
done.

A folder holds it: items.json, written first, and journal.jsonl, a line for each thing that was done. A process that was killed
leaves at most half a line, which is dropped; the rest goes on where it stopped.
"""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wrapper.candidates import Box, Selection
from wrapper.errors import DataError, ExpressionError
from wrapper.expressions import written
from wrapper.images import SUFFIXES
from wrapper.labels import Label
from wrapper.trace import read_trace, trace
from wrapper.writing import whole_lines, write_whole

ITEMS, JOURNAL = "items.json", "journal.jsonl"
GONE = "These pictures are not kept any longer: they are kept for an hour after the last look. Choose them again."


@dataclass(frozen=True)
class Item:
    """What is asked. name: of the picture's file as its owner has it; path: where it is; size: (width, height) in pixels, zeros where it
    cannot be opened."""

    path: str
    name: str
    size: tuple[int, int]
    words: str


@dataclass(frozen=True)
class State:
    """What is known of an item. selection: its answer; asked: by which proposers; failed: why there is none; checked: whether a person has
    decided; box: what they decided, None for nothing there."""

    selection: Selection | None = None
    asked: tuple[str, ...] = ()
    failed: str | None = None
    checked: bool = False
    box: Box | None = None

    @property
    def done(self) -> bool:
        """Whether there is nothing more to ask the models."""
        return self.selection is not None or self.failed is not None

    @property
    def margin(self) -> float:
        """How sure the answer is, 0 to 1: what is least sure is looked at first."""
        if self.selection is None or self.selection.box is None:
            absent = None if self.selection is None else self.selection.absent
            return 0.0 if absent is None else abs(2 * absent - 1)
        return 1.0 if self.selection.margin is None else self.selection.margin


class Queue:
    """A folder of such work. Threads may share it."""

    def __init__(self, folder: Path) -> None:
        """Go on with what is in a folder; DataError where that is none."""
        self._journal = folder / JOURNAL
        self._lock = threading.Lock()
        try:
            listed = json.loads((folder / ITEMS).read_text(encoding="utf-8"))
            self.items = tuple(Item(i["path"], i["name"], (i["size"][0], i["size"][1]), i["words"]) for i in listed)
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise DataError(GONE) from error
        self._states: dict[int, State] = {}
        for line in self._lines():
            self._take(line)

    @classmethod
    def begin(cls, folder: Path, items: Sequence[Item]) -> "Queue":
        """Write a new one into an empty folder."""
        rows = [{"path": i.path, "name": i.name, "size": list(i.size), "words": i.words} for i in items]
        write_whole(folder / ITEMS, json.dumps(rows))
        return cls(folder)

    def state(self, item: int) -> State:
        """What is known of an item, by its place among them."""
        return self._states.get(item, State())

    def open(self) -> list[int]:
        """Items that the models have not answered yet."""
        states = [self.state(i) for i in range(len(self.items))]
        return [i for i, s in enumerate(states) if not s.done and not s.checked]

    def retry(self) -> None:
        """Those that failed, and about which nobody has decided, are to be asked once more."""
        for i in range(len(self.items)):
            if self.state(i).failed is not None and not self.state(i).checked:
                self._add({"item": i, "retry": True})

    @property
    def nbytes(self) -> int:
        """About what it takes in memory."""
        return 2_000 * len(self.items) + 3 * (self._journal.stat().st_size if self._journal.is_file() else 0)

    def order(self) -> list[int]:
        """Items as they are to be looked at: answered ones that nobody has looked at, the least sure first; then those that were."""
        done = [i for i in range(len(self.items)) if self.state(i).done]
        return sorted(done, key=lambda i: (self.state(i).checked, self.state(i).margin, i))

    def answer(self, item: int, selection: Selection, asked: Sequence[str]) -> None:
        """The models have answered an item."""
        told = trace(selection, self.items[item].words, self.items[item].size)
        self._add({"item": item, "answer": told, "asked": list(asked)})

    def fail(self, item: int, why: str) -> None:
        """An item cannot be answered."""
        self._add({"item": item, "failed": why})

    def decide(self, item: int, box: Box | None) -> None:
        """A person says what is meant; None for nothing there."""
        self._add({"item": item, "box": None if box is None else list(box)})

    def labels(self) -> list[Label]:
        """What is known so far, of all items that are answered, in their order."""
        found = []
        for i, item in enumerate(self.items):
            s = self.state(i)
            if min(item.size) > 0 and (s.checked or s.selection is not None):  # what could not be opened says nothing
                guessed = None if s.selection is None else s.selection.box
                score = None if s.selection is None else s.selection.support
                found.append(Label(item.name, item.size, item.words, s.box if s.checked else guessed, s.checked, score))
        return found

    def _add(self, line: dict[str, Any]) -> None:
        with self._lock, self._journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            self._take(line)

    def _lines(self) -> list[dict[str, Any]]:
        """What was done before, less a last line that was cut, or ones that are damaged."""
        if not self._journal.is_file():
            return []
        found = []
        for raw in whole_lines(self._journal):
            try:
                found.append(json.loads(raw))
            except ValueError:
                continue
        return found

    def _take(self, line: Any) -> None:
        """One thing that was done, into what is known."""
        try:
            item, before = line["item"], self.state(line["item"])
            if "answer" in line:
                now = replace(before, selection=read_trace(line["answer"]).selection, asked=tuple(map(str, line["asked"])), failed=None)
            elif "retry" in line:
                now = replace(before, failed=None)
            elif "failed" in line:
                now = replace(before, failed=str(line["failed"]))
            else:
                box = line["box"]
                now = replace(before, checked=True, box=None if box is None else (box[0], box[1], box[2], box[3]))
            self._states[item] = now
        except (KeyError, TypeError, IndexError, DataError):  # damaged: this one is done again
            return


def parse_words(text: str, names: Sequence[str]) -> list[list[str]]:
    """For each picture what is asked about it, from lines of words: a line is about every picture, or about those of a name where it begins
    with that and a colon ("mug.jpg: the blue mug"), in whatever letters. DataError where a picture is asked about nothing, for a line about
    a picture that is not there, and for words that cannot be asked, with their line."""
    own: dict[str, list[str]] = {name.casefold(): [] for name in names}
    common: list[str] = []
    for line in (line.strip() for line in text.splitlines()):
        named = next((n for n in own if line.casefold().startswith(n) and line[len(n) :].lstrip().startswith(":")), None)
        head = line.partition(":")[0].strip()
        words = line if named is None else line[len(named) :].lstrip().removeprefix(":").strip()
        if named is None and ":" in line and head.casefold().endswith(SUFFIXES):
            raise DataError(f"There is no picture {head} among these. Choose it too, or take its line away.")
        if not words:
            continue
        try:
            asked = written(words)
        except ExpressionError as error:
            raise DataError(f"“{line[:60]}” cannot be asked: {error}") from error
        (common if named is None else own[named]).append(asked)
    found = [list(dict.fromkeys([*common, *own[name.casefold()]])) for name in names]
    if without := [name for name, words in zip(names, found, strict=True) if not words]:
        raise DataError(f"Nothing is asked about {without[0]}. Write a line for all pictures, or one that begins with “{without[0]}:”.")
    return found


def told_apart(names: Sequence[str]) -> list[str]:
    """Names of files, with a number where one was there already."""
    taken: set[str] = set()
    found = []
    for name in names:
        stem, dot, end = name.rpartition(".")
        stem, end = (stem, dot + end) if stem else (name, "")
        number, own = 1, name
        while own in taken:
            number += 1
            own = f"{stem}-{number}{end}"
        taken.add(own)
        found.append(own)
    return found
