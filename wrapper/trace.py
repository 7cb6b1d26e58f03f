"""A selection in words, and as plain data: what `--json`, the page's downloads and the API give."""

import math
from dataclasses import dataclass
from typing import Any

from wrapper.candidates import Box, Candidate, Reason, Selection
from wrapper.errors import DataError
from wrapper.expressions import without_surrogates

MOST_CANDIDATES, MOST_TEXT = 200, 100_000
"""Of a trace that is read: candidates, and characters of a text."""

SENTENCES = {
    Reason.CHOSEN: "the LLM chose among {n} candidates",
    Reason.CHOSEN_FROM_PART: "the LLM chose among {n} candidates; {left} more were left out, as a prompt takes no more",
    Reason.OWN_ANSWER: "the model's own answer",
    Reason.BEST_CANDIDATE: "the one of {n} candidates that overlaps most with the true box",
    Reason.ONLY_CANDIDATE: "the only candidate, so the LLM was not asked",
    Reason.NO_CANDIDATES: "no candidate: nothing in the picture was found for these words",
    Reason.FALLBACK_NOT_AN_INDEX: "the LLM's answer was no index, so the first of {n} candidates was taken",
    Reason.FALLBACK_TOO_LONG: "the list was too long for the LLM, so the first of {n} candidates was taken",
    Reason.ABSTAINED: "the LLM's best guess among {n} candidates was less probable than you ask for",
    Reason.UNSEEN: "no score of the detectors is as high as you ask for: probably nothing of the kind is there",
    Reason.NONE_MEANT: "none of these boxes is what the words mean, says the LLM",
    Reason.NOTHING_LIKE_IT: "nothing here looks like that: the detector has no box for any of the words",
    Reason.FAILED: "this question could not be answered",
}


def explain(selection: Selection) -> str:
    """How the answer came about, in half a sentence."""
    if selection.reason is Reason.CHOSEN and len(selection.candidates) == 1:
        return "the LLM took the only candidate, which it might have refused"
    return SENTENCES[selection.reason].format(n=len(selection.candidates), left=selection.left_out)


def trace(selection: Selection, expression: str, size: tuple[int, int], truth: Box | None = None) -> dict[str, Any]:
    """Everything about an answer, ready for json.dumps.

    expression: as it was written; truth: the true box, where it is known. Boxes are x1, y1, x2, y2 in pixels of the upright picture, whose
    (width, height) is `size`. A candidate's score and probability are null where there is none. "sources" and "labels": of all who propose
    that object.
    """
    probabilities = selection.probabilities or (None,) * len(selection.candidates)
    pick = selection.index
    return {
        "box": None if selection.box is None else list(selection.box),
        "index": pick,
        "probability": None if pick is None else probabilities[pick],
        "absent": selection.absent,
        "calibrated": selection.calibrated,
        "reason": selection.reason.value,
        "expression": expression,
        "image_size": list(size),
        "true_box": None if truth is None else list(truth),
        "candidates": [
            {
                "index": i,
                "box": list(c.box),
                "label": c.label,
                "labels": list(c.labels),
                "score": c.score,
                "source": c.source,
                "sources": list(c.sources),
                "colors": list(c.colors),
                "probability": p,
            }
            for i, (c, p) in enumerate(zip(selection.candidates, probabilities, strict=True))
        ],
        "prompt": selection.prompt,
        "left_out": selection.left_out,
        "timings_ms": {stage: round(ms, 1) for stage, ms in selection.timings_ms.items()},
    }


@dataclass(frozen=True)
class Traced:
    """An answer as it was written down by `trace`. size: (width, height) of its picture; truth: the true box, None where nobody knew."""

    selection: Selection
    expression: str
    size: tuple[int, int]
    truth: Box | None = None


def read_trace(data: Any) -> Traced:
    """What `trace` wrote, from anywhere; DataError for anything else. What other proposers' own boxes of an object were is not in it: they
    get that of the candidate."""
    try:
        candidates = tuple(_candidate(c) for c in _list(data["candidates"]))
        probabilities = tuple(c["probability"] for c in data["candidates"])
        selection = Selection(
            candidates,
            None if data["index"] is None else _whole(data["index"]),
            tuple(_number(p) for p in probabilities) if all(p is not None for p in probabilities) else (),
            Reason(data["reason"]),
            None if data.get("prompt") is None else _text(data["prompt"]),
            {_text(stage): _number(ms) for stage, ms in dict(data["timings_ms"]).items()},
            _whole(data["left_out"]),
            None if data["absent"] is None else _number(data["absent"]),
            data["calibrated"] is True,
        )
        width, height = (_whole(v) for v in _list(data["image_size"]))
        truth = None if data.get("true_box") is None else _box(data["true_box"])  # traces of before say nothing of it
        return Traced(selection, _text(data["expression"]), (width, height), truth)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError("This is no trace of an answer. Take a trace.json as the page or `--json` writes it.") from error


def _candidate(c: Any) -> Candidate:
    box = _box(c["box"])
    label, others = _text(c["label"]), [_text(t) for t in _list(c["labels"])[1:]]
    sources = [_text(s) for s in _list(c["sources"])[1:]]
    more = tuple(Candidate(box, others[i] if i < len(others) else label, None, source) for i, source in enumerate(sources))
    score = None if c["score"] is None else _number(c["score"])
    colors = tuple(_text(word) for word in _list(c.get("colors", [])))  # traces of before have none
    return Candidate(box, label, score, _text(c["source"]), others=more, colors=colors)


def _box(found: Any) -> Box:
    x1, y1, x2, y2 = (_number(v) for v in _list(found))
    return Candidate((x1, y1, x2, y2), "", None, "").box  # which says what a box is


def _list(found: Any) -> list[Any]:
    if not isinstance(found, list) or len(found) > MOST_CANDIDATES:
        raise ValueError("no list, or one that is too long")
    return found


def _text(found: Any) -> str:
    if not isinstance(found, str) or len(found) > MOST_TEXT:
        raise ValueError("no text, or one that is too long")
    return without_surrogates(found)


def _number(found: Any) -> float:
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        raise ValueError("no number")
    return float(found)


def _whole(found: Any) -> int:
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found < 10**9:
        raise ValueError("no whole number")
    return found
