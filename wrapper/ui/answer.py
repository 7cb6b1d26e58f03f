"""An answer in words and rows, for the Locate tab."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from wrapper import adapters
from wrapper.candidates import BY_LLM, NOT_FOUND, Box, Candidate, Reason, Selection, Thresholds, abstain, iou, is_correct
from wrapper.selectors.llama import Llm
from wrapper.trace import explain
from wrapper.ui import common, models
from wrapper.ui.markdown import plain
from wrapper.vocabulary import detector_words, unknown_subject
from wrapper.worlds import World

HEADERS = ["#", "Proposed by", "Label", "Score", "LLM probability", "Box (x1, y1, x2, y2)"]


@dataclass(frozen=True)
class Session:
    """What the page shows, kept between presses. path: the picture's file; expression: as it was written; answered: the method's
    own answer, whatever the thresholds; marked: the candidate pointed out; corner: what a second click will do,
    and where the first one was; recalled: the same was asked before, and the times are of then."""

    path: str
    size: tuple[int, int]
    expression: str
    proposers: tuple[str, ...]
    adapter: str
    thresholds: Thresholds
    answered: Selection
    truth: Box | None = None
    marked: int | None = None
    corner: tuple[str, float, float] | None = None
    recalled: bool = False
    world: World = World.SCENE

    @property
    def selection(self) -> Selection:
        """The answer after the thresholds."""
        return abstain(self.answered, self.thresholds)


def in_words(s: Session) -> str:
    """The answer as Markdown: the pick, how it came about, and how it compares with the true box."""
    selection = s.selection
    why = explain(selection)
    if selection.reason is Reason.FALLBACK_TOO_LONG:
        why += f", which is {common.proposers_of(selection.candidates[selection.index or 0])}'s own answer"
    lines = [f"{_headline(selection)}\n“{plain(s.expression)}”: {why}. {_sureness(selection)}{_times(s)}"]
    if selection.reason in (Reason.NO_CANDIDATES, Reason.NOTHING_LIKE_IT, Reason.NONE_MEANT):
        lines.append("Try other words for the object.")
    if s.truth is not None:
        lines.append(verdict(selection, s.truth))
    if warning := _out_of_its_world(s):
        lines.append(warning)
    return "\n\n".join(lines)


def _headline(selection: Selection) -> str:
    if selection.chosen is not None:
        return f"### Box {selection.index}: {plain(selection.chosen.label)}"
    if selection.guess is None:
        return "### Nothing found"
    return f"### Not found (best guess: box {selection.guess}, {plain(selection.candidates[selection.guess].label)})"


def _sureness(selection: Selection) -> str:
    if selection.reason is Reason.NOTHING_LIKE_IT:
        return ""
    if selection.reason is Reason.UNSEEN:
        return f"The best score is {selection.best_score:.2f}. "
    if not selection.probabilities or selection.guess is None:
        return ""
    doubt = "" if selection.calibrated else " (uncalibrated)"
    if selection.reason is Reason.NONE_MEANT and selection.absent is not None:
        return f"LLM probability that none is meant {selection.absent:.0%}{doubt}. "
    ahead = "" if selection.margin is None else f", {100 * selection.margin:.0f} points ahead of the next box"
    return f"LLM probability {selection.probabilities[selection.guess]:.0%}{ahead}{doubt}. "


def _times(s: Session) -> str:
    steps = ", ".join(_step(n, ms, s.selection) for n, ms in s.selection.timings_ms.items())
    return f"({'from memory; when it was first asked: ' if s.recalled else ''}{steps})"


def _step(name: str, ms: float, selection: Selection) -> str:
    if name == Llm.name:
        return f"LLM {ms:.0f} ms"
    boxes = sum(name in c.sources for c in selection.candidates)
    return f"{common.name_of(name)} {boxes} {'box' if boxes == 1 else 'boxes'} in {ms:.0f} ms"


def _out_of_its_world(s: Session) -> str | None:
    """A warning where the bundled models see what they were not made for, or are asked for what they cannot name."""
    name, of_scenes = models.now().name, {"florence2", "gdrec", "gd"} & set(s.proposers)
    if name not in models.ABOUT:
        return None
    if s.world is World.PHOTOGRAPH and of_scenes:
        more = " Tick YOLOX instead." if name == "bundled" else ""
        alien = (
            "The bundled Florence-2 and Grounding DINO know RefScenes only; this looks like a photograph, and their answers mean nothing."
        )
        return f"⚠️ {alien}{more}"
    if s.world is World.SCENE and not of_scenes:
        return "⚠️ YOLOX knows photographs; this looks like a drawn scene, of which it sees little."
    if set(s.proposers) != {"yolox"} or (unknown := unknown_subject(s.expression, detector_words())) is None:
        return None
    return f"⚠️ “{plain(unknown)}” is none of the {len(detector_words())} kinds of thing that YOLOX can name."


REJECTED = {
    Reason.NOTHING_LIKE_IT: "the detector has no box for these words",
    Reason.NONE_MEANT: "the LLM took none of the boxes for it",
}
"""Why a best guess is not the answer."""


def verdict(selection: Selection, truth: Box) -> str:
    """Right or wrong, and whose fault."""
    if selection.reason in NOT_FOUND and selection.guess is not None and is_correct(selection.candidates[selection.guess].box, truth):
        why = REJECTED.get(selection.reason, "it lies below your threshold")
        return f"**Wrong**: the best guess is the true box (white corners), but {why}."
    overlap = 0.0 if selection.box is None else iou(selection.box, truth)
    if is_correct(selection.box, truth):
        return f"**Right**: IoU {overlap:.2f} with the true box (white corners)."
    if not any(is_correct(c.box, truth) for c in selection.candidates):
        return f"**Wrong**: IoU {overlap:.2f} with the true box (white corners). The detectors failed: no candidate has IoU above 0.5."
    whose = "The LLM failed" if selection.reason in BY_LLM else "The LLM was not asked"
    return f"**Wrong**: IoU {overlap:.2f} with the true box (white corners). {whose}: a right candidate was in the list."


def remarks(s: Session) -> str:
    """About what the LLM read: tokens, adapter, and whether it is used for what it was made for."""
    loaded = models.now()
    wrapper = loaded.asked_by(s.proposers)
    llm, name = wrapper.llm, wrapper.adapter_for(s.proposers, s.adapter)
    lines = []
    if s.selection.prompt:
        lines.append(f"{len(llm.encode(s.selection.prompt, llm.template_for(name)))} tokens of at most {llm.max_tokens:,}.")
    if s.selection.left_out:
        lines.append(f"{s.selection.left_out} boxes were left out: a prompt takes no more.")
    found = adapters.record(loaded.preset.adapters[name]) if name else None
    if s.selection.prompt is None:
        lines.append("The LLM was not asked.")
    elif name is None:
        lines.append("No adapter: the LLM works zero-shot.")
    else:
        lines.append(f"Adapter: {name}, {adapters.in_words(found) if found else 'which does not say what it was trained on'}.")
    if found and (warning := adapters.misfit(found, s.proposers)):
        lines.append(f"⚠️ {warning}")
    if warning := _out_of_its_world(s):
        lines.append(warning)
    return "  \n".join(lines)


def table(selection: Selection, marked: int | None = None) -> list[list[Any]]:
    """A row a candidate; ✓ at the pick, ▶ at the one pointed out."""
    rows = candidate_rows(selection.candidates)
    for row, share in zip(rows, selection.probabilities, strict=False):  # none where the LLM gave none
        row[4] = f"{share:.3f}"
    for i, mark in ((selection.index, " ✓"), (marked, " ▶")):
        if i is not None:
            rows[i][0] += mark
    return rows


def candidate_rows(candidates: Sequence[Candidate]) -> list[list[Any]]:
    """A row a candidate, before one is chosen."""
    return [
        [str(i), common.proposers_of(c), common.labels_of(c), "" if c.score is None else f"{c.score:.2f}", "", common.box_text(c.box)]
        for i, c in enumerate(candidates)
    ]


def names(selection: Selection) -> list[tuple[str, int]]:
    """The candidates for a list to choose from."""
    return [(f"{i}: {c.label} ({common.proposers_of(c)})", i) for i, c in enumerate(selection.candidates)]
