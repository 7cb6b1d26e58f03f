"""Evaluation that shows its answers as they come, for the page: batch by batch, through all methods at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image

from wrapper.candidates import IOU_THRESHOLD, Reason, Selection, iou
from wrapper.datasets import Example
from wrapper.errors import ImageError
from wrapper.evaluation.compare import Compared, compare
from wrapper.evaluation.methods import Method
from wrapper.evaluation.metrics import Figures, Outcome, outcome
from wrapper.pipeline import Wrapper

NOTHING = Selection((), None, (), Reason.NO_CANDIDATES)


@dataclass(frozen=True)
class Answer:
    """One example's answers by all methods, in the methods' order. failed: why its picture could not be used, in which case
    all of them found nothing."""

    example: Example
    compared: tuple[Compared, ...]
    failed: str | None = None

    def outcomes(self) -> list[Outcome]:
        """Each method's answer, judged."""
        e = self.example
        return [outcome(e.id, e.category, e.box, c.selection.candidates, c.selection) for c in self.compared]

    def disagreement(self) -> float:
        """Share of pairs of methods whose picks do not overlap by more than the threshold, 0 to 1."""
        boxes = [c.selection.box for c in self.compared]
        pairs = [(a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :]]
        apart = [a is not b if a is None or b is None else iou(a, b) <= IOU_THRESHOLD for a, b in pairs]
        return sum(apart) / max(1, len(pairs))


def answers(wrapper: Wrapper, examples: Sequence[Example], methods: Sequence[Method], batch: int = 8) -> Iterator[list[Answer]]:
    """Answers in batches. An example whose picture cannot be used counts as not found, and says why."""
    nothing = tuple(Compared(m, NOTHING) for m in methods)
    for start in range(0, len(examples), batch):
        part = examples[start : start + batch]
        pictures, failed = _opened(part)
        good = [e for e in part if e.id in pictures]
        found = compare(wrapper, [pictures[e.id] for e in good], [e.expression for e in good], methods) if good else []
        by_id = {e.id: tuple(rows) for e, rows in zip(good, found, strict=True)}
        yield [Answer(e, by_id.get(e.id, nothing), failed.get(e.id)) for e in part]


def _opened(examples: Sequence[Example]) -> tuple[dict[str, Image.Image], dict[str, str]]:
    """Pictures by their examples' ids, and why the others cannot be used."""
    pictures, failed = {}, {}
    for e in examples:
        try:
            pictures[e.id] = e.image.open()
        except ImageError as error:
            failed[e.id] = str(error)
    return pictures, failed


def figures(done: Sequence[Answer], methods: Sequence[Method]) -> dict[Method, Figures]:
    """What has been measured so far."""
    judged = [a.outcomes() for a in done]
    return {m: Figures.of([row[i] for row in judged], _times(done, i)) for i, m in enumerate(methods)}


def _times(done: Sequence[Answer], method: int) -> dict[str, float]:
    times = [a.compared[method].selection.timings_ms for a in done]
    stages = dict.fromkeys(stage for t in times for stage in t)
    return {stage: sum(t.get(stage, 0.0) for t in times) / len(times) for stage in stages}
