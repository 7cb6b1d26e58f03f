"""What saying "not found" costs and brings: expressions that mean nothing in the picture, against those that do.

    python -m wrapper abstention --preset tiny --n 500

The method always answers. With a threshold on the detectors' best score, on the LLM's probability, or on its probability that none is
meant, where it has learnt to say so, some absent objects are rejected rightly and some present ones wrongly. Absent ones are made from
RefScenes: a scene's picture with the next scene's expression, where no object of that noun is in the picture.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tqdm import tqdm

from wrapper.candidates import Reason, Selection, Thresholds, abstain, is_correct
from wrapper.errors import DataError
from wrapper.pipeline import Wrapper
from wrapper.scenes.dataset import BENCHMARK_SEED, Scene, scenes
from wrapper.scenes.layout import Split

NONE_STEPS = (0.9, 0.7, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.04, 0.03, 0.02)
STEPS = (0.0, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9)


@dataclass(frozen=True)
class Rejections:
    """At one threshold: shares, 0 to 1. absent: of absent objects that are rejected, as they should be; present: of
    present ones that are rejected, as they should not be; p_at_1: of present ones that are found rightly."""

    threshold: float
    absent: float
    present: float
    p_at_1: float


def absent_pairs(found: Sequence[Scene]) -> list[tuple[Scene, str]]:
    """Each scene with another's expression whose noun no object of this scene has."""
    pairs = []
    for i, scene in enumerate(found):
        nouns = {o.kind.noun for o in scene.layout.objects}
        others = (found[(i + k) % len(found)] for k in range(1, len(found)))
        other = next((s for s in others if s.layout.objects[s.expression.target].kind.noun not in nouns), None)
        if other is not None:
            pairs.append((scene, other.expression.text))
    return pairs


@dataclass(frozen=True)
class Asked:
    """Answers about expressions that mean something in their pictures, those scenes, and answers about ones that do not."""

    present: Sequence[Selection]
    truths: Sequence[Scene]
    absent: Sequence[Selection]


def ask(wrapper: Wrapper, proposers: Sequence[str], split: Split, n: int, seed: int = BENCHMARK_SEED) -> Asked:
    """Ask about n present objects of a split, and about as many absent ones as can be made of them; DataError where that is none."""
    found = list(scenes(split, n, seed))
    pairs = absent_pairs(found)
    if not pairs:
        raise DataError(f"No expression of {n} scenes is about something that another of them lacks. Take more scenes.")
    present = _ask(wrapper, proposers, found, [s.expression.text for s in found])
    absent = _ask(wrapper, proposers, [scene for scene, _ in pairs], [text for _, text in pairs])
    return Asked(present, found, absent)


def by_probability(asked: Asked) -> list[Rejections]:
    """Rejections at every threshold on the LLM's probability."""
    return [at(step, Thresholds(probability=step), asked) for step in STEPS]


def by_score(asked: Asked) -> list[Rejections]:
    """Rejections at every threshold on the detectors' best score."""
    return [at(step, Thresholds(score=step), asked) for step in STEPS]


def by_none(asked: Asked) -> list[Rejections]:
    """Rejections at every threshold on the LLM's probability that none is meant; none where it has no such answer."""
    if all(s.absent is None for s in (*asked.present, *asked.absent)):
        return []

    def above(step: float) -> Callable[[Selection], bool]:
        return lambda s: s.absent is not None and s.absent > step

    return [_judged(step, above(step), asked) for step in NONE_STEPS]


def _ask(wrapper: Wrapper, proposers: Sequence[str], found: Sequence[Scene], texts: Sequence[str], batch: int = 16) -> list[Selection]:
    out: list[Selection] = []
    for i in tqdm(range(0, len(found), batch), unit="batch"):
        rows = wrapper.locate_batch([s.picture() for s in found[i : i + batch]], texts[i : i + batch], proposers)
        # One threshold a table: an answer that the LLM's "none" has turned into "not found" is one again
        out += [replace(s, index=s.guess, reason=Reason.CHOSEN) if s.reason is Reason.NONE_MEANT else s for s in rows]
    return out


def at(step: float, least: Thresholds, asked: Asked) -> Rejections:
    """Rejections at one threshold, which goes by the name `step`."""
    return _judged(step, lambda s: abstain(s, least).box is None, asked)


def _judged(step: float, rejected: Callable[[Selection], bool], asked: Asked) -> Rejections:
    kept = [not rejected(s) and s.box is not None for s in asked.present]
    right = [k and is_correct(s.box, scene.box) for k, s, scene in zip(kept, asked.present, asked.truths, strict=True)]
    gone = [rejected(s) or s.box is None for s in asked.absent]
    return Rejections(step, sum(gone) / len(gone), 1 - sum(kept) / len(kept), sum(right) / len(right))


def as_markdown(of: str, rows: Sequence[Rejections]) -> str:
    """A table for docs. of: what the threshold is on, with "at least" or "above"."""
    head = f"| {of} | absent, rejected (right) | present, rejected (wrong) | P@1 on present |\n|---|---|---|---|"
    lines = (f"| {r.threshold:g} | {r.absent:.1%} | {r.present:.1%} | {r.p_at_1:.1%} |" for r in rows)
    return "\n".join([head, *lines])
