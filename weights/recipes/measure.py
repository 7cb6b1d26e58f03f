"""What `wrapper evaluate` does not measure of the bundled models, and the figures that come with them.

    python -m wrapper evaluate --preset tiny --out results       # val and test, every usual method
    python -m weights.recipes.measure results

Prints the LLM's P@1 zero-shot on perfect lists, and keeps the figures of the results folder, without the single answers,
as weights/tiny/results.json, where the page shows them. Choices are made on val; test is for the last figures only.
"""

import argparse
import json
from pathlib import Path

import torch

from weights.recipes.common import TINY_WEIGHTS
from wrapper.candidates import Candidate
from wrapper.evaluation.metrics import Figures, outcome
from wrapper.evaluation.runner import read_results
from wrapper.merging import canonical
from wrapper.presets import PRESETS
from wrapper.quiet import quiet_libraries
from wrapper.scenes.dataset import BENCHMARK_SEED, Scene, scenes
from wrapper.scenes.expressions import CATEGORIES
from wrapper.scenes.layout import Split
from wrapper.selectors.base import Question
from wrapper.selectors.llama import Llm
from wrapper.writing import write_whole


def perfect(scene: Scene) -> list[Candidate]:
    """The scene's own objects as candidates, listed as always."""
    return canonical([Candidate(o.box, o.kind.name, None, "gdrec") for o in scene.layout.objects])


def on_perfect_lists(llm: Llm, split: Split, n: int) -> Figures:
    """The LLM's figures on scenes of a split."""
    chosen = list(scenes(split, n, BENCHMARK_SEED))
    asked = [Question(tuple(perfect(s)), s.expression.text, (s.layout.width, s.layout.height)) for s in chosen]
    rows = zip(chosen, asked, llm.select(asked), strict=True)
    return Figures.of([outcome(s.seed, s.expression.category, s.box, q.candidates, x, s.seed) for s, q, x in rows], {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="?", help="folder of `wrapper evaluate`; without it, val only is measured")
    parser.add_argument("--n", type=int, default=1000)
    options = parser.parse_args()
    quiet_libraries()
    llm = Llm.load(PRESETS["tiny"].llama, torch.device("cpu"), torch.float32)
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
        write_whole(TINY_WEIGHTS / "results.json", json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
