"""An answer as plain data, written and read."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from wrapper.candidates import Candidate, Reason, Selection
from wrapper.errors import DataError
from wrapper.trace import read_trace, trace

SCHEMA = Draft202012Validator(json.loads((Path(__file__).parents[1] / "docs" / "trace.schema.json").read_text()))
CUP = Candidate((1.0, 2.0, 30.0, 40.0), "red cup", 0.8, "gdrec", others=(Candidate((1.0, 2.0, 31.0, 40.0), "a mug", None, "florence2"),))
MINE = Candidate((5.0, 5.0, 20.0, 20.0), "book", None, "user", colors=("green", "white"))
ANSWERS = [
    Selection((CUP, MINE), 1, (0.25, 0.75), Reason.CHOSEN, "Boxes:", {"gdrec": 30.5, "llama": 9.0}, 3, 0.1, True),
    Selection((CUP, MINE), None, (0.2, 0.1), Reason.NONE_MEANT, "Boxes:", {}, 0, 0.7, False),
    Selection((CUP,), 0, (1.0,), Reason.ONLY_CANDIDATE),
    Selection((CUP, MINE), 0, (), Reason.OWN_ANSWER),
    Selection((), None, (), Reason.NO_CANDIDATES),
]


@pytest.mark.parametrize("selection", ANSWERS, ids=lambda s: s.reason.value)
def test_what_is_written_is_read_again(selection: Selection) -> None:
    written = json.loads(json.dumps(trace(selection, "the cup", (64, 48))))
    assert not list(SCHEMA.iter_errors(written))
    found = read_trace(written)
    assert (found.expression, found.size) == ("the cup", (64, 48))
    assert trace(found.selection, found.expression, found.size) == written
    assert found.selection.candidates == () or found.selection.candidates[0].sources == ("gdrec", "florence2")


def test_the_true_box_is_kept_and_a_trace_of_before_has_none() -> None:
    written = json.loads(json.dumps(trace(ANSWERS[0], "the cup", (64, 48), (1.0, 2.0, 30.5, 40.0))))
    assert not list(SCHEMA.iter_errors(written))
    assert read_trace(written).truth == (1.0, 2.0, 30.5, 40.0)
    del written["true_box"]
    assert read_trace(written).truth is None


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("candidates", 0, "box"), [1, 2, 3]), (("candidates", 0, "box"), [9, 9, 1, 1]), (("candidates", 0, "box"), [0, 0, "1", 1]),
        (("candidates", 0, "box"), [0, 0, 10**400, 1]), (("candidates", 0, "score"), 7), (("candidates", 0, "label"), None),
        (("candidates", 0, "labels"), "cup"), (("candidates", 0, "sources"), 5), (("candidates", 0, "probability"), "much"),
        (("candidates",), {}), (("candidates",), [{}] * 500), (("index",), 9), (("index",), -1), (("index",), True), (("index",), None),
        (("reason",), "magic"), (("image_size",), [1]), (("image_size",), [1, 2.5]), (("expression",), 5), (("prompt",), "x" * 10**6),
        (("timings_ms",), [1]), (("timings_ms",), {"a": "b"}), (("absent",), "none"), (("left_out",), -1),
        (("true_box",), [5, 5, 1, 9]), (("true_box",), "none"), (("true_box",), [1, 2, 3]),
    ],
)  # fmt: skip
def test_what_is_no_trace_is_refused(place: tuple[Any, ...], value: Any) -> None:
    written = json.loads(json.dumps(trace(ANSWERS[0], "the cup", (64, 48))))
    *path, key = place
    inner = written
    for step in path:
        inner = inner[step]
    inner[key] = value
    with pytest.raises(DataError, match="no trace"):
        read_trace(written)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)))
def test_whatever_it_is_it_is_read_or_refused(data: Any) -> None:
    with pytest.raises(DataError):
        read_trace(data)
