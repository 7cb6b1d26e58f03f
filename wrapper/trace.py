"""A selection as plain data: what `--json`, the page's downloads and the API give."""

from typing import Any

from wrapper.candidates import Selection


def trace(selection: Selection, expression: str, size: tuple[int, int]) -> dict[str, Any]:
    """Everything about an answer, ready for json.dumps.

    Boxes are x1, y1, x2, y2 in pixels of the upright picture, whose (width, height) is `size`. A candidate's score and
    probability are null where there is none.
    """
    probabilities = selection.probabilities or (None,) * len(selection.candidates)
    pick = selection.index
    return {
        "box": None if selection.box is None else list(selection.box),
        "index": pick,
        "probability": None if pick is None else probabilities[pick],
        "reason": selection.reason.value,
        "expression": expression,
        "image_size": list(size),
        "candidates": [
            {"index": i, "box": list(c.box), "label": c.label, "score": c.score, "source": c.source, "probability": p}
            for i, (c, p) in enumerate(zip(selection.candidates, probabilities, strict=True))
        ],
        "timings_ms": {stage: round(ms, 1) for stage, ms in selection.timings_ms.items()},
    }
