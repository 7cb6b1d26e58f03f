"""The answers of one method about one data set, written down as they come, so that an evaluation that was cut goes on."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from wrapper.evaluation.metrics import Outcome
from wrapper.writing import whole_lines


@dataclass(frozen=True)
class Answered:
    """One answer, judged. ms: milliseconds of selecting; failed: why there is no answer."""

    outcome: Outcome
    ms: float
    failed: str | None = None


class Answers:
    """A file of answers, to be used in a `with` block: JSON lines, the first of which says what they depend on.

    A file whose answers depend on something else (another adapter under the same name, say) is begun anew.
    """

    def __init__(self, path: Path, depends_on: Mapping[str, Any]) -> None:
        self.done: dict[str, Answered] = {}
        self._path, self._head = path, json.dumps(depends_on, sort_keys=True)
        self._file: TextIO | None = None

    def __enter__(self) -> "Answers":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        rows = self._whole_lines()
        self._file = self._path.open("w" if rows is None else "a", encoding="utf-8")
        if rows is None:
            self._file.write(self._head + "\n")
        for row in rows or []:
            box = row["outcome"]["box"]
            if "picture" not in row["outcome"]:  # of a version that did not keep it: asked again
                continue
            judged = Outcome(**row["outcome"] | {"box": None if box is None else tuple(box)})
            found = Answered(judged, row["ms"], row["failed"])
            if found.failed is None:  # what failed is asked again
                self.done[found.outcome.id] = found
        return self

    def _whole_lines(self) -> list[dict[str, Any]] | None:
        """What an earlier run has left, less a last line that was cut; None where that is nothing."""
        if not self._path.is_file():
            return None
        head, *lines = whole_lines(self._path) or [b""]
        if head.decode("utf-8", "replace") != self._head:
            return None
        rows = []
        for line in lines:
            try:
                rows.append(json.loads(line))
            except ValueError:  # damaged: this one is asked again
                continue
        return rows

    def add(self, answered: Answered) -> None:
        """Write one more down."""
        if self._file is None:
            raise ValueError("answers are written inside a with block")
        self.done[answered.outcome.id] = answered
        self._file.write(json.dumps(asdict(answered)) + "\n")
        self._file.flush()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()
