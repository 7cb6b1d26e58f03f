"""Print the figures of the bundled models' card, with bootstrap 95 % intervals.

    python -m weights.recipes.measure --split test --n 1000

For the proposers: share of expressions with a candidate at IoU > 0.5 (recall) and each one's own answer alone (P@1).
For the LLM: P@1 zero-shot on perfect lists and on the proposers' lists. Choices are made on val; test is for the last
figures only.
"""

import argparse
import json
import random
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from tqdm import tqdm

from weights.recipes.common import TINY
from wrapper.candidates import IOU_THRESHOLD, Candidate, iou, is_correct
from wrapper.pipeline import Wrapper
from wrapper.scenes.dataset import BENCHMARK_SEED, Scene, scenes
from wrapper.scenes.expressions import CATEGORIES
from wrapper.selectors.base import Selector

BATCH = 16


def interval(hits: Sequence[bool], draws: int = 2000) -> tuple[float, float, float]:
    """Mean and bootstrap 95 % interval, in per cent."""
    values = np.asarray(hits, float)
    rng = np.random.default_rng(0)
    means = values[rng.integers(0, len(values), (draws, len(values)))].mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return 100 * float(values.mean()), 100 * float(low), 100 * float(high)


def perfect(scene: Scene) -> list[Candidate]:
    """The scene's own objects as candidates, in an order that says nothing."""
    things = list(scene.layout.objects)
    random.Random(scene.seed).shuffle(things)
    return [Candidate(o.box, o.kind.name, None, "gdrec") for o in things]


def right(selector: Selector, chosen: list[Scene], lists: list[list[Candidate]]) -> list[bool]:
    """For each scene, whether what is selected of its list is right."""
    texts, sizes = [s.expression.text for s in chosen], [(s.layout.width, s.layout.height) for s in chosen]
    return [is_correct(x.box, s.box) for x, s in zip(selector.select(lists, texts, sizes), chosen, strict=True)]


def recalled(chosen: list[Scene], lists: list[list[Candidate]]) -> list[bool]:
    return [any(iou(c.box, s.box) > IOU_THRESHOLD for c in row) for s, row in zip(chosen, lists, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=("val", "test"), default="val")
    parser.add_argument("--n", type=int, default=300)
    options = parser.parse_args()
    torch.set_num_threads(2)
    wrapper = Wrapper.from_preset("tiny", ("florence2", "gdrec", "gd"))
    chosen = list(scenes(options.split, options.n, BENCHMARK_SEED))
    lists: dict[str, list[list[Candidate]]] = {name: [] for name in wrapper.proposers}
    seconds = dict.fromkeys(lists, 0.0)
    for start in tqdm(range(0, len(chosen), BATCH), unit="batch"):
        part = chosen[start : start + BATCH]
        pictures, texts = [s.picture() for s in part], [s.expression.text for s in part]
        for name, proposer in wrapper.proposers.items():
            began = time.perf_counter()
            lists[name] += proposer.propose(pictures, texts)
            seconds[name] += time.perf_counter() - began
    lists["florence2+gdrec"] = [a + b for a, b in zip(lists["florence2"], lists["gdrec"], strict=True)]
    figures: dict[str, list[bool]] = {}
    for name, rows in lists.items():
        figures[f"{name} recall"] = recalled(chosen, rows)
        figures[f"{name} + Llama zero-shot P@1"] = right(wrapper.selector, chosen, rows)
        if "+" not in name:
            figures[f"{name} alone P@1"] = [bool(r) and is_correct(r[0].box, s.box) for r, s in zip(rows, chosen, strict=True)]
    figures["Llama zero-shot on perfect lists P@1"] = right(wrapper.selector, chosen, [perfect(s) for s in chosen])
    report(options.split, chosen, figures, lambda name: sum(map(len, lists[name])) / len(chosen), list(lists))
    print({name: f"{1000 * s / len(chosen):.0f} ms" for name, s in seconds.items()})


def report(split: str, chosen: list[Scene], figures: dict[str, list[bool]], boxes: Callable[[str], float], names: list[str]) -> None:
    """Print the table and keep the rows beside the weights."""
    print(f"RefScenes {split}, {len(chosen)} expressions, seed {BENCHMARK_SEED}; a box is right at IoU > {IOU_THRESHOLD}")
    print("| | % | 95 % interval | " + " | ".join(CATEGORIES) + " |\n|---|---|---|" + "---|" * len(CATEGORIES))
    kept = {}
    for name, hits in figures.items():
        mean, low, high = interval(hits)
        by = {c: [h for h, s in zip(hits, chosen, strict=True) if s.expression.category == c] for c in CATEGORIES}
        shares = {c: 100 * sum(v) / max(1, len(v)) for c, v in by.items()}
        print(f"| {name} | {mean:.1f} | {low:.1f}-{high:.1f} | " + " | ".join(f"{shares[c]:.0f}" for c in CATEGORIES) + " |")
        kept[name] = {"percent": mean, "low": low, "high": high, "categories": shares}
    print("boxes a list: " + ", ".join(f"{name} {boxes(name):.1f}" for name in names))
    (TINY / f"figures-{split}.json").write_text(json.dumps({"n": len(chosen), "seed": BENCHMARK_SEED, "figures": kept}, indent=1) + "\n")


if __name__ == "__main__":
    main()
