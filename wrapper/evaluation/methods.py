"""What is compared: proposers and a selector, written as text.

gdrec                       the proposer's own answer
gdrec+llm                   the LLM picks, zero-shot
gdrec+llm:gdrec             the LLM picks, with an adapter of the preset, or from a folder or the Hub
florence2,gdrec+llm:ensemble    over the candidates of two
florence2,gdrec+oracle      the best candidate: what any selector could reach
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from wrapper.candidates import Box, Candidate, Reason, Selection, iou
from wrapper.errors import DataError
from wrapper.pipeline import PROPOSERS
from wrapper.presets import Preset
from wrapper.selectors.base import FirstCandidate, Selector, Size, without_asking
from wrapper.selectors.llama import LlamaSelector


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
        known = all(p in PROPOSERS for p in proposers) and len(set(proposers)) == len(proposers)
        if not known or how not in ("", "llm", "oracle") or (adapter and how != "llm"):
            raise DataError(
                f"{text!r} is no method. Write proposers of {', '.join(PROPOSERS)}, each once, with commas between them, then nothing (the "
                "first one's own answer), +llm, +llm:ADAPTER or +oracle."
            )
        if how == "":
            return cls(proposers, "alone")
        return cls(proposers, "llm", adapter or None) if how == "llm" else cls(proposers, "oracle")

    def __str__(self) -> str:
        tail = "" if self.how == "alone" else f"+{self.how}" + (f":{self.adapter}" if self.adapter else "")
        return ",".join(self.proposers) + tail

    def label(self) -> str:
        """The method in words."""
        names = " + ".join({"gd": "GD", "gdrec": "GDrec", "florence2": "Florence-2"}[p] for p in self.proposers)
        if self.how == "alone":
            return f"{names} alone"
        if self.how == "oracle":
            return f"{names}, best candidate"
        return f"{names} + LLM " + (f"with adapter {self.adapter}" if self.adapter else "zero-shot")


@dataclass(frozen=True)
class Oracle:
    """The candidate that overlaps most with the true box: no selector can do better. truths: one a list."""

    truths: Sequence[Box]
    name: str = "oracle"

    def select(self, lists: Sequence[Sequence[Candidate]], expressions: Sequence[str], sizes: Sequence[Size]) -> list[Selection]:
        """The best of each list."""
        out = []
        for candidates, truth in zip(lists, self.truths, strict=True):
            if len(candidates) < 2:
                out.append(without_asking(candidates))
                continue
            best = max(range(len(candidates)), key=lambda i, c=candidates, t=truth: iou(c[i].box, t))  # type: ignore[misc]
            out.append(Selection(tuple(candidates), best, (), Reason.BEST_CANDIDATE))
        return out


def selectors(methods: Sequence[Method], preset: Preset, llm: LlamaSelector) -> Mapping[Method, Selector]:
    """A selector for each method but the oracle; they share one LLM, and one adapter is loaded once."""
    adapted: dict[str, LlamaSelector] = {}
    out: dict[Method, Selector] = {}
    for method in methods:
        if method.how == "alone":
            out[method] = FirstCandidate()
        elif method.how == "llm" and method.adapter is None:
            out[method] = llm
        elif method.adapter is not None:
            source = preset.adapters.get(method.adapter, method.adapter)
            if source not in adapted:
                adapted[source] = llm.with_adapter(source)
            out[method] = adapted[source]
    return out


def usual(adapters: Sequence[str]) -> list[Method]:
    """What the paper's tables compare, as far as there are adapters."""
    texts = ["gd", "gdrec", "florence2", "gd+llm", "gdrec+llm", "florence2+llm", "florence2,gdrec+llm"]
    texts += ["gd+llm:gdrec"] if "gdrec" in adapters else []  # GD's candidates are read as GDrec's
    for own, other in (("gdrec", "florence2"), ("florence2", "gdrec")):
        texts += [f"{own}+llm:{a}" for a in (own, other) if a in adapters]
    texts += ["florence2,gdrec+llm:ensemble"] if "ensemble" in adapters else []
    return [Method.parse(t) for t in [*texts, "gdrec+oracle", "florence2+oracle", "florence2,gdrec+oracle"]]
