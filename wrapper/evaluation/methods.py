"""What is compared: proposers and a selector, written as text.

gdrec                       the proposer's own answer
gdrec+llm                   the LLM picks, zero-shot
gdrec+llm:gdrec             the LLM picks, with an adapter of the preset, or from a folder or the Hub
florence2,gdrec+llm:ensemble    over the candidates of two
florence2,gdrec+oracle      the best candidate: what any selector could reach
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from wrapper.candidates import Box, Reason, Selection, iou
from wrapper.errors import DataError, at_the_cost_of_a_row
from wrapper.presets import Preset
from wrapper.selectors.base import Question, Selector, without_asking


@dataclass(frozen=True)
class Method:
    """One combination. adapter: a name of the preset's, a folder or a Hub id; only where `how` is "llm"."""

    proposers: tuple[str, ...]
    how: Literal["alone", "llm", "oracle"]
    adapter: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Method":
        """A method from its text; DataError says what is allowed."""
        left, _, right = text.strip().partition("+")
        proposers = tuple(p.strip() for p in left.split(","))
        how, _, adapter = right.partition(":")
        known = all(p.isidentifier() for p in proposers) and len(set(proposers)) == len(proposers)
        if not known or how not in ("", "llm", "oracle") or (adapter and how != "llm"):
            raise DataError(
                f"{text!r} is no method. Write proposers (florence2, gdrec, gd, or the name of a detector), each once, with commas between "
                "them, then nothing (the first one's own answer), +llm, +llm:ADAPTER or +oracle."
            )
        if how == "":
            return cls(proposers, "alone")
        return cls(proposers, "llm", adapter or None) if how == "llm" else cls(proposers, "oracle")

    def __str__(self) -> str:
        tail = "" if self.how == "alone" else f"+{self.how}" + (f":{self.adapter}" if self.adapter else "")
        return ",".join(self.proposers) + tail

    def label(self) -> str:
        """The method in words."""
        names = " + ".join({"gd": "GD", "gdrec": "GDrec", "florence2": "Florence-2"}.get(p, p) for p in self.proposers)
        if self.how == "alone":
            return f"{names} alone"
        if self.how == "oracle":
            return f"{names}, best candidate"
        return f"{names} + LLM " + (f"with adapter {self.adapter}" if self.adapter else "zero-shot")


@dataclass(frozen=True)
class Oracle:
    """The candidate that overlaps most with the true box: no selector can do better. truths: one a question."""

    truths: Sequence[Box]
    name: str = "oracle"

    def select(self, questions: Sequence[Question]) -> list[Selection]:
        """The best of each list."""
        return [self._best(q, truth) for q, truth in zip(questions, self.truths, strict=True)]

    def _best(self, q: Question, truth: Box) -> Selection:
        if len(q.candidates) < 2:
            return without_asking(q.candidates)
        best = max(range(len(q.candidates)), key=lambda i: iou(q.candidates[i].box, truth))
        return Selection(q.candidates, best, (), Reason.BEST_CANDIDATE, left_out=q.left_out)


def each_by_itself(selector: Selector, questions: Sequence[Question]) -> tuple[list[Selection], list[str | None]]:
    """All answers, and why where there is none: where they cannot be had together, each question is asked by itself, and one that
    cannot be answered costs its own row."""
    failed: list[str] = []
    with at_the_cost_of_a_row(failed.append):
        return selector.select(questions), [None] * len(questions)
    if len(questions) == 1:
        return [Selection((), None, (), Reason.FAILED)], [failed[0]]
    both = [each_by_itself(selector, [q]) for q in questions]
    return [s for found, _ in both for s in found], [why for _, whys in both for why in whys]


def every(proposers: Sequence[str]) -> list[str]:
    """Each of these proposers alone, each with the LLM, and all with the LLM; as texts. GD stands for itself only: GDrec reads the same
    detections."""
    names = sorted(proposers, key=lambda p: ("gd", "gdrec", "florence2").index(p) if p in ("gd", "gdrec", "florence2") else 3)
    together = [p for p in proposers if p != "gd"]
    return [*names, *(f"{p}+llm" for p in names), *([",".join(together) + "+llm"] if len(together) > 1 else [])]


def usual(preset: Preset) -> list[Method]:
    """What the paper's tables compare of a preset's proposers, as far as there are adapters."""
    texts, adapters, there = every(preset.proposers), preset.adapters, preset.proposers
    texts += ["gd+llm:gdrec"] if "gd" in there and "gdrec" in adapters else []  # GD's candidates are read as GDrec's
    transfer = {"gdrec": ("gdrec", "florence2"), "florence2": ("florence2", "gdrec")}
    for own in (p for p in there if p != "gd"):
        texts += [f"{own}+llm:{a}" for a in transfer.get(own, (own,)) if a in adapters]
    together = ",".join(preset.usual)
    texts += [f"{together}+llm:ensemble"] if len(preset.usual) > 1 and "ensemble" in adapters else []
    oracles = [f"{p}+oracle" for p in preset.usual] + ([f"{together}+oracle"] if len(preset.usual) > 1 else [])
    return [Method.parse(t) for t in [*texts, *oracles]]
