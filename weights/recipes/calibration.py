"""Fit the temperature of the bundled LLM's answers, and say how true its probabilities are.

    python -m weights.recipes.calibration FOLDER           # writes `temperature` into FOLDER/prompt.json
    python -m weights.recipes.calibration FOLDER --only    # only prints

Questions are of the LLM's own worlds (`questions`), on validation seeds; the expected calibration error
(Guo et al. 2017, 15 bins of equal width) and the table of risk against coverage are of other seeds. "Sure" is the probability of the
answer given, "none" among the answers. On so many questions that error would not be 0 if all probabilities were true; what it would be
then is printed beside it.
"""

import argparse
import random
from dataclasses import replace
from pathlib import Path

import torch

from weights.recipes import llama, llama_open, llama_served, open_world
from wrapper.prompt import PromptTemplate
from wrapper.quiet import quiet_libraries
from wrapper.selectors.base import Question
from wrapper.selectors.calibration import Answered, answered, fitted
from wrapper.selectors.llama import Llm

FIT_LISTS, TEST_LISTS, BINS = 250, 1000, 15


def questions(llm: Llm, seed: str, lists: int) -> list[tuple[Question, int | None]]:
    """Questions about so many lists of the LLM's own worlds, and their right candidates: lists as two detectors make them of RefScenes for
    the LLM that reads those, else lists of both worlds."""
    rng, asked = random.Random(seed), list[tuple[Question, int | None]]()
    for i in range(lists):
        if llm.template.source:
            row = llama_served.sample(rng, 8 * i, "val")
        elif i % 3:
            row = llama_open.opened(rng, open_world.example(rng, 20, 3))
        else:
            row = llama_open.refscenes(rng, True)
        for a in row.asked[:3]:
            asked.append((Question(tuple(row.candidates), a.text, row.size), None if a.answer == llama.NOT_THERE else a.answer))
    return asked


def sureness(found: list[Answered], temperature: float) -> list[tuple[float, bool]]:
    """How sure each answer is, and whether it is right."""
    out = []
    for a in found:
        share = (a.logs / temperature).softmax(0)
        out.append((float(share.max()), int(share.argmax()) == a.right))
    return out


def calibration_error(sure: list[tuple[float, bool]]) -> float:
    """The expected calibration error: the mean gap between sureness and share of right answers, over bins of sureness."""
    total = 0.0
    for n in range(BINS):
        inside = [(p, ok) for p, ok in sure if n / BINS < p <= (n + 1) / BINS]
        if inside:
            total += abs(sum(p for p, _ in inside) - sum(ok for _, ok in inside))
    return total / len(sure)


def chance_error(sure: list[tuple[float, bool]], draws: int = 200) -> float:
    """The calibration error that these probabilities would show on average if they were true, as each bin holds only so many questions."""
    rng = random.Random(0)
    return sum(calibration_error([(p, rng.random() < p) for p, _ in sure]) for _ in range(draws)) / draws


def risk(sure: list[tuple[float, bool]], coverage: float) -> float:
    """The share of wrong answers among the surest so many."""
    kept = sorted(sure, key=lambda s: -s[0])[: max(1, round(coverage * len(sure)))]
    return 1 - sum(ok for _, ok in kept) / len(kept)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", action="store_true", help="print, and write nothing")
    options = parser.parse_args()
    quiet_libraries()
    llm = Llm.load(str(options.folder), torch.device("cpu"), torch.float32, max_tokens=2048)
    temperature = fitted(answered(llm, questions(llm, "calibration/val", FIT_LISTS)))
    tried = answered(llm, questions(llm, "calibration/test", TEST_LISTS))
    before, after = sureness(tried, 1.0), sureness(tried, temperature)
    error, chance = calibration_error(after), chance_error(after)
    print(f"temperature {temperature:.2f}; {len(tried)} other questions: right {sum(ok for _, ok in after) / len(after):.1%}, ", end="")
    print(f"expected calibration error {calibration_error(before):.3f} before, {error:.3f} after; {chance:.3f} if all were true")
    print("| answers given | wrong among them |\n|---|---|")
    for share in (1.0, 0.9, 0.8, 0.7, 0.6, 0.5):
        print(f"| the surest {share:.0%} | {risk(after, share):.1%} |")
    if not options.only:
        template = PromptTemplate.load(options.folder)
        assert template is not None
        replace(template, temperature=temperature).save(options.folder)
        print(f"wrote {options.folder / 'prompt.json'}")


if __name__ == "__main__":
    main()
