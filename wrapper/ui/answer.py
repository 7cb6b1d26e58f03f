"""An answer in words and rows, for the Locate tab."""

import html
from dataclasses import dataclass
from typing import Any

from wrapper import adapters
from wrapper.candidates import NOT_FOUND, Box, Reason, Selection, Thresholds, abstain, iou, is_correct
from wrapper.pipeline import AUTO, ZERO_SHOT
from wrapper.presets import adapter_name
from wrapper.selectors.llama import LlamaSelector
from wrapper.trace import explain
from wrapper.ui import common, models

HEADERS = ["#", "Proposed by", "Label", "Score", "LLM probability", "Box (x1, y1, x2, y2)"]


@dataclass(frozen=True)
class Session:
    """What the page shows, kept between presses. path: the picture's file; answered: the method's own answer, whatever the
    thresholds; marked: the candidate pointed out; corner: the first of two clicked corners; recalled: the same was asked before,
    and the times are of then."""

    path: str
    size: tuple[int, int]
    expression: str
    proposers: tuple[str, ...]
    adapter: str
    thresholds: Thresholds
    answered: Selection
    truth: Box | None = None
    marked: int | None = None
    corner: tuple[float, float] | None = None
    recalled: bool = False

    @property
    def selection(self) -> Selection:
        """The answer after the thresholds."""
        return abstain(self.answered, self.thresholds)


def in_words(s: Session) -> str:
    """The answer as Markdown: the pick, how it came about, and how it compares with the true box."""
    selection, why = s.selection, explain(s.selection)
    if s.selection.reason is Reason.FALLBACK_TOO_LONG:
        why += f", which is {common.NAMES.get(selection.candidates[0].source, 'the first model')}'s own answer"
    seconds = "from memory; when it was first asked: " if s.recalled else ""
    seconds += ", ".join(f"{common.NAMES.get(n, 'LLM')} {ms:.0f} ms" for n, ms in selection.timings_ms.items())
    lines = [f"{_headline(selection)}\n{why[0].upper()}{why[1:]}. {_sureness(selection)}({seconds})"]
    if selection.reason is Reason.NO_CANDIDATES:
        lines.append("Try other words for the object.")
    if s.truth is not None:
        lines.append(verdict(selection, s.truth))
    if s.marked is not None:
        c = selection.candidates[s.marked]
        lines.append(f"Pointed out: box {s.marked}, {html.escape(c.label)}, from {common.NAMES.get(c.source, c.source)}.")
    return "\n\n".join(lines)


def _headline(selection: Selection) -> str:
    if selection.chosen is not None:
        return f"### Box {selection.index}: {html.escape(selection.chosen.label)}"
    if selection.guess is None:
        return "### Nothing found"
    return f"### Not found (best guess: box {selection.guess}, {html.escape(selection.candidates[selection.guess].label)})"


def _sureness(selection: Selection) -> str:
    if not selection.probabilities or selection.guess is None or selection.margin is None:
        return ""
    return f"LLM probability {selection.probabilities[selection.guess]:.0%}, {selection.margin:.0%} ahead of the second (uncalibrated). "


def verdict(selection: Selection, truth: Box) -> str:
    """Right or wrong, and whose fault."""
    if selection.reason in NOT_FOUND and selection.guess is not None and is_correct(selection.candidates[selection.guess].box, truth):
        return "**Wrong**: the best guess is the true box (white corners), but it lies below your threshold."
    overlap = 0.0 if selection.box is None else iou(selection.box, truth)
    if is_correct(selection.box, truth):
        return f"**Right**: IoU {overlap:.2f} with the true box (white corners)."
    if not any(is_correct(c.box, truth) for c in selection.candidates):
        return f"**Wrong**: IoU {overlap:.2f} with the true box (white corners). The detectors failed: no candidate has IoU above 0.5."
    return f"**Wrong**: IoU {overlap:.2f} with the true box (white corners). The LLM failed: a right candidate was in the list."


def remarks(s: Session) -> str:
    """About what the LLM read: tokens, adapter, and whether it is used for what it was made for."""
    loaded = models.now()
    selector = loaded.wrapper.selector_for(s.proposers, s.adapter)
    lines = []
    if s.selection.prompt and isinstance(selector, LlamaSelector):
        lines.append(f"{len(selector.encode(s.selection.prompt))} tokens of at most {selector.max_tokens:,}.")
    name = _adapter_in_use(s)
    found = adapters.record(loaded.preset.adapters[name]) if name else None
    if name is None:
        lines.append("No adapter: the LLM works zero-shot.")
    else:
        lines.append(f"Adapter: {name}, {adapters.in_words(found) if found else 'which does not say what it was trained on'}.")
    if found and (warning := adapters.misfit(found, s.proposers)):
        lines.append(f"⚠️ {warning}")
    if loaded.name == "tiny" and not common.from_refscenes(s.path):
        lines.append("⚠️ The bundled models know RefScenes only. If this is a photograph, their answers mean nothing.")
    return "  \n".join(lines)


def _adapter_in_use(s: Session) -> str | None:
    if s.adapter == ZERO_SHOT:
        return None
    name = adapter_name(s.proposers) if s.adapter == AUTO else s.adapter
    return name if name in models.now().wrapper.adapted else None


def table(selection: Selection, marked: int | None = None) -> list[list[Any]]:
    """A row a candidate."""
    shares = selection.probabilities or (None,) * len(selection.candidates)
    return [
        [
            f"▶ {i}" if i == marked else str(i),
            common.NAMES.get(c.source, c.source),
            c.label,
            "" if c.score is None else f"{c.score:.2f}",
            "" if p is None else f"{p:.3f}",
            common.box_text(c.box),
        ]
        for i, (c, p) in enumerate(zip(selection.candidates, shares, strict=True))
    ]
