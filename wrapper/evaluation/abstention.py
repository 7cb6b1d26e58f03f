"""What saying "not found" costs and brings: expressions that mean nothing in the picture, against those that do.

    python -m wrapper abstention --preset tiny --n 500

The method always answers. With a threshold on the detectors' best score or on the LLM's probability, some absent objects
are rejected rightly and some present ones wrongly. Absent ones are made from RefScenes: a scene's picture with the next
scene's expression, where no object of that noun is in the picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tqdm import tqdm

from wrapper.candidates import Selection, Thresholds, abstain, is_correct
from wrapper.errors import DataError
from wrapper.pipeline import Wrapper
from wrapper.scenes.dataset import BENCHMARK_SEED, Scene, scenes
from wrapper.scenes.layout import Split

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


def _ask(wrapper: Wrapper, proposers: Sequence[str], found: Sequence[Scene], texts: Sequence[str], batch: int = 16) -> list[Selection]:
    out: list[Selection] = []
    for i in tqdm(range(0, len(found), batch), unit="batch"):
        out += wrapper.locate_batch([s.picture() for s in found[i : i + batch]], texts[i : i + batch], proposers)
    return out


def at(step: float, least: Thresholds, asked: Asked) -> Rejections:
    """Rejections at one threshold, which goes by the name `step`."""
    kept = [abstain(s, least) for s in asked.present]
    return Rejections(
        step,
        sum(abstain(s, least).box is None for s in asked.absent) / len(asked.absent),
        sum(s.box is None for s in kept) / len(kept),
        sum(is_correct(s.box, scene.box) for s, scene in zip(kept, asked.truths, strict=True)) / len(kept),
    )


def as_markdown(of: str, rows: Sequence[Rejections]) -> str:
    """A table for docs. of: what the threshold is on."""
    head = f"| {of} at least | absent, rejected (right) | present, rejected (wrong) | P@1 on present |\n|---|---|---|---|"
    lines = (f"| {r.threshold:g} | {r.absent:.1%} | {r.present:.1%} | {r.p_at_1:.1%} |" for r in rows)
    return "\n".join([head, *lines])
