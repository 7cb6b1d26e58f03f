"""Counts that explain the bundled models' figures.

    python -m weights.recipes.causes results    # a folder of `wrapper evaluate --data refscenes:val:1000:307 ...`

On RefScenes val: whether the label of the object meant says its colour, where it has one, for an LLM reads labels and sees
no picture; and at what the first box of GD and of GDrec points: at the object meant, another of its kind, something else,
or nothing. What an ensemble's list costs by naming objects twice: P@1 of the LLM, zero-shot, on one list after the other and on the
merged list. And how often a drawing of layouts that takes what comes gets each kind of expression phrased.
"""

import argparse
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from wrapper.candidates import Candidate, iou, is_correct
from wrapper.evaluation.runner import candidates_file
from wrapper.merging import Merging
from wrapper.pipeline import ENSEMBLE
from wrapper.presets import PRESETS
from wrapper.proposals import Proposed, read_candidates
from wrapper.quiet import quiet_libraries
from wrapper.scenes.dataset import BENCHMARK_SEED, Scene, scenes
from wrapper.scenes.expressions import CATEGORIES, ask
from wrapper.scenes.kinds import KINDS
from wrapper.scenes.layout import draw_layout
from wrapper.selectors.llama import Llm

DRAWS = 3000
COLORS = {kind.color for kind in KINDS if kind.color}


def phrased() -> Mapping[str, float]:
    """For each kind of expression the share of tries that give one, on layouts as they come."""
    rng, tried, done = random.Random(5), Counter[str](), Counter[str]()
    for _ in range(DRAWS):
        layout = draw_layout(rng)
        nouns = [o.kind.noun for o in layout.objects]
        many = sorted({n for n in nouns if nouns.count(n) > 1})
        if many:
            category = rng.choice(CATEGORIES)
            tried[category] += 1
            done[category] += ask(rng, layout, category, rng.choice(many), tries=4) is not None
    return {c: done[c] / tried[c] for c in CATEGORIES}


def says_color(scene: Scene, found: tuple[Candidate, ...]) -> str:
    """What the label of the best box of the object meant says of its colour."""
    right = [c for c in found if is_correct(c.box, scene.box)]
    if not right:
        return "no box"
    words = max(right, key=lambda c: iou(c.box, scene.box)).label.split()
    color = scene.layout.objects[scene.expression.target].kind.color
    return "its colour" if color in words else "another colour" if COLORS & set(words) else "none"


def points_at(scene: Scene, found: tuple[Candidate, ...]) -> str:
    """What a proposer's first box points at."""
    if found and is_correct(found[0].box, scene.box):
        return "the object meant"
    objects = scene.layout.objects
    nearest = max(objects, key=lambda o: iou(o.box, found[0].box)) if found else None
    if nearest is None or not is_correct(found[0].box, nearest.box):
        return "no object"
    return "another of its kind" if nearest.kind.noun == objects[scene.expression.target].kind.noun else "another kind"


def named_twice(chosen: Sequence[Scene], rows: Sequence[Proposed]) -> Mapping[str, float]:
    """P@1 of the LLM, zero-shot, on Florence-2's boxes, and on both models' one list after the other and merged."""
    llm = Llm.load(PRESETS["tiny"].llama, torch.device("cpu"), torch.float32)
    merged = llm.template
    naming_sources = replace(merged, source=" from {source}")  # as it was trained on lists that stand one after the other
    out = {}
    for what, proposers, merging, llm.template in (
        ("Florence-2's boxes", ("florence2",), Merging.CANONICAL, merged),
        ("both models' boxes, one list after the other", ENSEMBLE, Merging.CONCATENATED, naming_sources),
        ("the same, GDrec's first", ENSEMBLE[::-1], Merging.CONCATENATED, naming_sources),
        ("both models' boxes, merged", ENSEMBLE, Merging.CANONICAL, merged),
    ):
        found = llm.select([row.question(proposers, merging) for row in rows])
        out[what] = sum(is_correct(f.box, s.box) for f, s in zip(found, chosen, strict=True)) / len(chosen)
    return out


def main() -> None:
    quiet_libraries()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    rows = read_candidates(candidates_file(parser.parse_args().results, f"refscenes:val:1000:{BENCHMARK_SEED}")).rows
    print("phrased: " + ", ".join(f"{c} {share:.0%}" for c, share in phrased().items()))
    chosen = list(scenes("val", 1000, BENCHMARK_SEED))
    colored = [(s, r) for s, r in zip(chosen, rows, strict=True) if s.layout.objects[s.expression.target].kind.color]
    for name in ("gdrec", "florence2"):
        said = Counter(says_color(s, r.lists[name]) for s, r in colored)
        print(f"{name}'s label says of {len(colored)} coloured objects: " + ", ".join(f"{what} {n}" for what, n in said.most_common()))
    for name in ("gd", "gdrec"):
        counts = Counter(points_at(s, r.lists[name]) for s, r in zip(chosen, rows, strict=True))
        print(f"{name} points at: " + ", ".join(f"{what} {n}" for what, n in counts.most_common()))
    print("P@1 zero-shot on " + ", ".join(f"{what} {share:.1%}" for what, share in named_twice(chosen, rows).items()))


if __name__ == "__main__":
    main()
