"""Methods as text."""

from dataclasses import replace

import pytest

from wrapper.candidates import Candidate, Reason
from wrapper.errors import DataError
from wrapper.evaluation.methods import Method, Oracle, usual
from wrapper.presets import PRESETS
from wrapper.selectors.base import Question


@pytest.mark.parametrize(
    ("text", "method", "label"),
    [
        ("gd", Method(("gd",), "alone"), "GD alone"),
        ("gdrec+llm", Method(("gdrec",), "llm"), "GDrec + LLM zero-shot"),
        ("gdrec+llm:florence2", Method(("gdrec",), "llm", "florence2"), "GDrec + LLM with adapter florence2"),
        ("florence2,gdrec+llm:a/b", Method(("florence2", "gdrec"), "llm", "a/b"), "Florence-2 + GDrec + LLM with adapter a/b"),
        ("florence2+oracle", Method(("florence2",), "oracle"), "Florence-2, best candidate"),
    ],
)
def test_methods_are_read_and_written(text: str, method: Method, label: str) -> None:
    assert Method.parse(text) == method
    assert str(method) == text
    assert method.label() == label


@pytest.mark.parametrize("text", ["", "yo lo", "gdrec+best", "gdrec:x", "gdrec+oracle:x", "gdrec,+llm", "gdrec,gdrec+llm"])
def test_other_texts_are_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(DataError, match=r"is no method\. Write proposers \(florence2, gdrec, gd, or the name of a detector"):
        Method.parse(text)


def test_the_usual_methods_are_those_of_the_tables() -> None:
    without = [str(m) for m in usual(replace(PRESETS["tiny"], adapters={}))]
    assert "gdrec+llm" in without and not any(":" in m for m in without)
    everything = [str(m) for m in usual(PRESETS["tiny"])]
    assert {"gd+llm:gdrec", "gdrec+llm:florence2", "florence2+llm:gdrec", "florence2,gdrec+llm:ensemble", "florence2,gdrec+oracle"} <= set(
        everything
    )
    assert len(everything) == len(set(everything))


def test_the_oracle_takes_the_best_overlap() -> None:
    lists = [[Candidate((x, 0.0, x + 100, 100.0), "cup", None, "gd") for x in (300.0, 40.0, 20.0)], []]
    best, none = Oracle([(0.0, 0.0, 100.0, 100.0)] * 2).select([Question(tuple(c), "the cup", (640, 480)) for c in lists])
    assert best.index == 2 and best.reason is Reason.BEST_CANDIDATE
    assert none.reason is Reason.NO_CANDIDATES
