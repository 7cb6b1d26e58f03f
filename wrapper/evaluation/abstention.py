"""What saying "not found" costs and brings: expressions that mean nothing in the picture, against those that do.

    python -m wrapper abstention --preset tiny --n 500

The method always answers. With a threshold on the LLM's probability, some absent objects are rejected rightly and some
present ones wrongly. Absent ones are made from RefScenes: a scene's picture with the next scene's expression, where no
object of that noun is in the picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tqdm import tqdm

from wrapper.candidates import Selection, abstain, is_correct
from wrapper.pipeline import Wrapper
from wrapper.scenes.dataset import BENCHMARK_SEED, Scene, scenes
from wrapper.scenes.layout import Split

THRESHOLDS = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


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


def measure(wrapper: Wrapper, proposers: Sequence[str], split: Split, n: int, seed: int = BENCHMARK_SEED) -> list[Rejections]:
    """Rejections at every threshold, on n present and n absent expressions of a split."""
    found = list(scenes(split, n, seed))
    present = _ask(wrapper, proposers, found, [s.expression.text for s in found])
    absent = _ask(wrapper, proposers, *(list(part) for part in zip(*absent_pairs(found), strict=True)))  # type: ignore[arg-type]
    return [at(threshold, present, absent, found) for threshold in THRESHOLDS]


def _ask(wrapper: Wrapper, proposers: Sequence[str], found: Sequence[Scene], texts: Sequence[str], batch: int = 16) -> list[Selection]:
    out: list[Selection] = []
    for i in tqdm(range(0, len(found), batch), unit="batch"):
        out += wrapper.locate_batch([s.picture() for s in found[i : i + batch]], texts[i : i + batch], proposers)
    return out


def at(threshold: float, present: Sequence[Selection], absent: Sequence[Selection], truths: Sequence[Scene]) -> Rejections:
    """Rejections at one threshold."""
    kept = [abstain(s, threshold) for s in present]
    return Rejections(
        threshold,
        sum(abstain(s, threshold).box is None for s in absent) / len(absent),
        sum(s.box is None for s in kept) / len(kept),
        sum(is_correct(s.box, scene.box) for s, scene in zip(kept, truths, strict=True)) / len(kept),
    )


def as_markdown(rows: Sequence[Rejections]) -> str:
    """The table for docs."""
    head = "| threshold | absent, rejected (right) | present, rejected (wrong) | P@1 on present |\n|---|---|---|---|"
    lines = (f"| {r.threshold:g} | {r.absent:.1%} | {r.present:.1%} | {r.p_at_1:.1%} |" for r in rows)
    return "\n".join([head, *lines])
