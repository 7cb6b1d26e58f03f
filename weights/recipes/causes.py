"""Two counts that explain the bundled models' figures.

    python -m weights.recipes.causes results    # a folder of `wrapper evaluate`

How often the Llama's recipe, drawing the kinds of expression evenly, gets one of each kind phrased; and at what the first
box of GD and of GDrec points on RefScenes val: at the object meant, another of its kind, something else, or nothing.
"""

import argparse
import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from wrapper.candidates import Candidate, iou, is_correct
from wrapper.evaluation.runner import candidates_file
from wrapper.proposals import read_candidates
from wrapper.scenes.dataset import Scene, scenes
from wrapper.scenes.expressions import CATEGORIES, ask
from wrapper.scenes.layout import draw_layout

DRAWS = 3000


def phrased() -> Mapping[str, float]:
    """For each kind of expression the share of the recipe's tries that give one."""
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


def points_at(scene: Scene, found: tuple[Candidate, ...]) -> str:
    """What a proposer's first box points at."""
    if found and is_correct(found[0].box, scene.box):
        return "the object meant"
    objects = scene.layout.objects
    nearest = max(objects, key=lambda o: iou(o.box, found[0].box)) if found else None
    if nearest is None or not is_correct(found[0].box, nearest.box):
        return "no object"
    return "another of its kind" if nearest.kind.noun == objects[scene.expression.target].kind.noun else "another kind"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    rows = read_candidates(candidates_file(parser.parse_args().results, "refscenes:val:1000")).rows
    print("phrased: " + ", ".join(f"{c} {share:.0%}" for c, share in phrased().items()))
    for name in ("gd", "gdrec"):
        counts = Counter(points_at(s, r.lists[name]) for s, r in zip(scenes("val", 1000, 7), rows, strict=True))
        print(f"{name} points at: " + ", ".join(f"{what} {n}" for what, n in counts.most_common()))


if __name__ == "__main__":
    main()
