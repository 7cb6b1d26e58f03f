"""A selection in words, and as plain data: what `--json`, the page's downloads and the API give."""

from typing import Any

from wrapper.candidates import Reason, Selection

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
    return SENTENCES[selection.reason].format(n=len(selection.candidates), left=selection.left_out)


def trace(selection: Selection, expression: str, size: tuple[int, int]) -> dict[str, Any]:
    """Everything about an answer, ready for json.dumps.

    expression: as it was written. Boxes are x1, y1, x2, y2 in pixels of the upright picture, whose (width, height) is `size`. A
    candidate's score and probability are null where there is none. "sources" and "labels": of all who propose that object.
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
        "candidates": [
            {
                "index": i,
                "box": list(c.box),
                "label": c.label,
                "labels": list(c.labels),
                "score": c.score,
                "source": c.source,
                "sources": list(c.sources),
                "probability": p,
            }
            for i, (c, p) in enumerate(zip(selection.candidates, probabilities, strict=True))
        ],
        "left_out": selection.left_out,
        "timings_ms": {stage: round(ms, 1) for stage, ms in selection.timings_ms.items()},
    }
