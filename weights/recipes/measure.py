"""What `wrapper evaluate` does not measure of the bundled models, and the figures that come with them.

    python -m wrapper evaluate --preset tiny --out results       # val and test, every usual method
    python -m weights.recipes.measure results

Prints the LLM's P@1 zero-shot on perfect lists, and keeps the figures of the results folder, without the single answers,
as weights/tiny/results.json, where the page shows them. Choices are made on val; test is for the last figures only.
"""

import argparse
import json
import random
from pathlib import Path

import torch

from weights.recipes.common import TINY
from wrapper.candidates import Candidate
from wrapper.evaluation.metrics import Figures, outcome
from wrapper.evaluation.runner import read_results
from wrapper.presets import PRESETS
from wrapper.proposals import write_whole
from wrapper.quiet import quiet_libraries
from wrapper.scenes.dataset import BENCHMARK_SEED, Scene, scenes
from wrapper.scenes.expressions import CATEGORIES
from wrapper.scenes.layout import Split
from wrapper.selectors.llama import LlamaSelector


def perfect(scene: Scene) -> list[Candidate]:
    """The scene's own objects as candidates, in an order that says nothing."""
    things = list(scene.layout.objects)
    random.Random(scene.seed).shuffle(things)
    return [Candidate(o.box, o.kind.name, None, "gdrec") for o in things]


def on_perfect_lists(selector: LlamaSelector, split: Split, n: int) -> Figures:
    """The LLM's figures on scenes of a split."""
    chosen = list(scenes(split, n, BENCHMARK_SEED))
    lists, texts = [perfect(s) for s in chosen], [s.expression.text for s in chosen]
    found = selector.select(lists, texts, [(s.layout.width, s.layout.height) for s in chosen])
    rows = zip(chosen, lists, found, strict=True)
    return Figures.of([outcome(s.seed, s.expression.category, s.box, candidates, x) for s, candidates, x in rows], {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="?", help="folder of `wrapper evaluate`; without it, val only is measured")
    parser.add_argument("--n", type=int, default=1000)
    options = parser.parse_args()
    quiet_libraries()
    llm = LlamaSelector.load(PRESETS["tiny"].llama, None, torch.device("cpu"), torch.float32)
    print(f"| LLM zero-shot on perfect lists, {options.n} expressions | P@1 | {' | '.join(CATEGORIES)} |")
    print("|---|---|" + "---|" * len(CATEGORIES))
    splits: list[Split] = ["val", "test"] if options.results else ["val"]
    measured = {split: on_perfect_lists(llm, split, options.n) for split in splits}
    for split, figures in measured.items():
        shares = " | ".join(f"{100 * figures.categories[c].value:.0f}" for c in CATEGORIES)
        print(f"| RefScenes {split} | {figures.p_at_1.text()} | {shares} |")
    if options.results:
        record = read_results(options.results)
        for data in record["data"]:
            for method in data["methods"]:
                del method["outcomes"]
        record["perfect_lists"] = {split: figures.plain() for split, figures in measured.items()}
        write_whole(TINY / "results.json", json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
