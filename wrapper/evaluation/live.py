"""Evaluation that shows its answers as they come, for the page: batch by batch, through all methods at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from PIL import Image

from wrapper.candidates import IOU_THRESHOLD, Reason, Selection, iou
from wrapper.datasets import Example
from wrapper.errors import at_the_cost_of_a_row
from wrapper.evaluation.compare import Compared, compare_methods
from wrapper.evaluation.methods import Method
from wrapper.evaluation.metrics import Figures, Outcome, outcome
from wrapper.pipeline import Wrapper

NOTHING = Selection((), None, (), Reason.FAILED)


@dataclass(frozen=True)
class Answer:
    """One example's answers by all methods, in the methods' order. failed: why it could not be answered, in which case all of
    them found nothing."""

    example: Example
    compared: tuple[Compared, ...]
    failed: str | None = None

    @cached_property
    def outcomes(self) -> list[Outcome]:
        """Each method's answer, judged; once, as thousands are looked through at every step."""
        e = self.example
        return [outcome(e.id, e.category, e.box, c.selection.candidates, c.selection, Path(e.image.key).name) for c in self.compared]

    @cached_property
    def disagreement(self) -> float:
        """Share of pairs of methods whose picks do not overlap by more than the threshold, 0 to 1."""
        boxes = [c.selection.box for c in self.compared]
        pairs = [(a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :]]
        apart = [a is not b if a is None or b is None else iou(a, b) <= IOU_THRESHOLD for a, b in pairs]
        return sum(apart) / max(1, len(pairs))


def answers(wrapper: Wrapper, examples: Sequence[Example], methods: Sequence[Method], batch: int = 8) -> Iterator[list[Answer]]:
    """Answers in batches. An example that cannot be used or answered counts as not found, and says why."""
    for start in range(0, len(examples), batch):
        yield _answered(wrapper, examples[start : start + batch], methods)


def _answered(wrapper: Wrapper, examples: Sequence[Example], methods: Sequence[Method]) -> list[Answer]:
    """One batch; where that cannot be answered as a whole, each example by itself."""
    nothing = tuple(Compared(m, NOTHING) for m in methods)
    pictures, failed = _pictures(examples)
    good = [e for e in examples if e.id in pictures]
    by_id: dict[str, tuple[Compared, ...]] = {}
    trouble: list[str] = []
    with at_the_cost_of_a_row(trouble.append):
        found = compare_methods(wrapper, [pictures[e.id] for e in good], [e.expression for e in good], methods) if good else []
        by_id = {e.id: tuple(rows) for e, rows in zip(good, found, strict=True)}
    if trouble and len(examples) > 1:
        return [answer for e in examples for answer in _answered(wrapper, [e], methods)]
    failed |= {e.id: why for e in good for why in trouble}
    return [Answer(e, by_id.get(e.id, nothing), failed.get(e.id)) for e in examples]


def _pictures(examples: Sequence[Example]) -> tuple[dict[str, Image.Image], dict[str, str]]:
    """Pictures by their examples' ids, and why the others cannot be used."""
    pictures: dict[str, Image.Image] = {}
    failed: dict[str, str] = {}
    for e in examples:
        with at_the_cost_of_a_row(partial(failed.__setitem__, e.id)):
            pictures[e.id] = e.image.open()
    return pictures, failed


def figures(done: Sequence[Answer], methods: Sequence[Method]) -> dict[Method, Figures]:
    """What has been measured so far."""
    judged = [a.outcomes for a in done]
    return {m: Figures.of([row[i] for row in judged], _times(done, i)) for i, m in enumerate(methods)}


def _times(done: Sequence[Answer], method: int) -> dict[str, float]:
    times = [a.compared[method].selection.timings_ms for a in done]
    stages = dict.fromkeys(stage for t in times for stage in t)
    return {stage: sum(t.get(stage, 0.0) for t in times) / len(times) for stage in stages}
