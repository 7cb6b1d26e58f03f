"""A temperature that makes stated probabilities true."""

import random

import pytest
import torch

from wrapper.candidates import Candidate
from wrapper.presets import PRESETS
from wrapper.selectors.base import Question
from wrapper.selectors.calibration import LEAST, Answered, answered, fitted
from wrapper.selectors.llama import Llm


def answers(sharper: float, n: int = 4000) -> list[Answered]:
    """Answers of an LLM that says its log-probabilities so many times too loudly: the right one is drawn by the true ones."""
    rng, torch_rng = random.Random(0), torch.Generator().manual_seed(0)
    out = []
    for _ in range(n):
        logs = torch.randn(5, generator=torch_rng).log_softmax(0)
        right = rng.choices(range(5), logs.exp().tolist())[0]
        out.append(Answered(logs * sharper, right))
    return out


@pytest.mark.parametrize("sharper", [0.5, 1.0, 2.5])
def test_the_temperature_undoes_what_an_llm_says_too_loudly(sharper: float) -> None:
    assert fitted(answers(sharper)) == pytest.approx(sharper, rel=0.1)


def test_too_few_answers_fit_none() -> None:
    assert fitted(answers(2.0, LEAST - 1)) == 0.0 and fitted([]) == 0.0


def test_the_right_candidate_is_found_among_the_answers_and_none_behind_them() -> None:
    llm = Llm.load(PRESETS["photo"].llama, torch.device("cpu"), torch.float32)
    boxes = [(10.0 * i, 10.0, 10.0 * i + 9, 30.0) for i in range(4)]
    asked = Question(tuple(Candidate(b, "cup", 0.5, "yolox") for b in boxes), "the left cup", (60, 60))
    found = answered(llm, [(asked, 2), (asked, None), (asked, 0)])
    assert sorted(a.right for a in found) == [0, 2, 4] and {len(a.logs) for a in found} == {5}
    selection = llm.select([asked])[0]
    assert selection.index == int(found[0].logs[:4].argmax())
