"""Temperature scaling: what the log-probabilities of an LLM's answers are divided by, so that what it calls 80 % sure is right 80 times in
100 (Guo et al. 2017, section 4.2). Fitted on validation data; it changes no pick."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from wrapper.memory import by_halves
from wrapper.selectors.base import Question
from wrapper.selectors.llama import Llm

LEAST = 100
"""Answers on which a temperature is fitted at least; with fewer, it says more about them than about the LLM."""


@dataclass(frozen=True)
class Answered:
    """Log-probabilities of the answers to a question, (candidates,) or one more for "none"; and the place of the right one among them."""

    logs: Tensor
    right: int


def answered(llm: Llm, asked: Sequence[tuple[Question, int | None]]) -> list[Answered]:
    """The LLM's answers to questions of one adapter. The right candidate of each: None where none is meant, which only an LLM that has
    such an answer is asked."""
    prompts = [llm.prompt(q) for q, _ in asked]
    order = sorted(range(len(asked)), key=lambda i: len(prompts[i].ids))
    found: list[Answered] = []
    for start in range(0, len(order), llm.batch):
        part = order[start : start + llm.batch]
        scored = by_halves(lambda some: llm.score([prompts[i] for i in some], asked[some[0]][0].adapter), part, "The LLM")
        for i, logs in zip(part, scored, strict=True):
            right, places = asked[i][1], prompts[i].places
            if right is None and len(logs) > len(places):
                found.append(Answered(logs, len(places)))
            elif right is not None and right in places:
                found.append(Answered(logs, places.index(right)))
    return found


def fitted(found: Sequence[Answered]) -> float:
    """The temperature of the highest likelihood, to a hundredth; 0, which is none, for too few answers."""
    if len(found) < LEAST:
        return 0.0
    logs, right = _table(found)
    return min((t / 100 for t in range(20, 501)), key=lambda t: _likelihood(logs, right, t))


def _table(found: Sequence[Answered]) -> tuple[Tensor, Tensor]:
    """Log-probabilities, (answers, most candidates), where there is no candidate minus infinity; and which is right, (answers, 1)."""
    logs = pad_sequence([a.logs for a in found], batch_first=True, padding_value=-math.inf)
    return logs, torch.tensor([[a.right] for a in found])


def _likelihood(logs: Tensor, right: Tensor, temperature: float) -> float:
    """Mean negative log-probability of the right answers."""
    return -float((logs / temperature).log_softmax(1).gather(1, right).mean())
