"""The bench: both ways do the same work, and are timed as they say."""

import json
import time
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from wrapper.bench import report
from wrapper.bench.measure import Clock, Way, Work, alike, measure
from wrapper.bench.plain import Plain, write_answer
from wrapper.bench.work import Plan, forget, questions, works
from wrapper.candidates import Candidate
from wrapper.cli import app
from wrapper.errors import DataError
from wrapper.pipeline import ENSEMBLE, Wrapper
from wrapper.presets import PRESETS
from wrapper.selectors.base import Question
from wrapper.training.settings import TINY_SETTINGS


def test_the_plain_way_gives_the_same_answers(wrapper: Wrapper) -> None:
    """Otherwise it would be compared with something else."""
    plain = Plain(wrapper, wrapper.llm, beams=1)
    for image, text in questions("refscenes:val:4", 4):
        ours = wrapper.locate(image, text, ENSEMBLE)
        found = plain.locate(image, text, ENSEMBLE)
        assert found is not None and alike([found.box], [ours.candidates[ours.guess].box] if ours.guess is not None else [])


def test_an_answer_that_is_no_index_is_none(wrapper: Wrapper, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is there one where nothing is listed."""
    box = Candidate((0.0, 0.0, 5.0, 5.0), "cup", None, "gdrec")
    monkeypatch.setattr(wrapper.llm.tokenizer, "decode", lambda *_, **__: "I think it is the red one.")
    assert write_answer(wrapper.llm, Question((box, box), "the cup", (10, 10))) is None
    assert write_answer(wrapper.llm, Question((), "the cup", (10, 10))) is None


def test_ways_are_timed_in_turns_after_a_warm_up_and_what_comes_before_is_not() -> None:
    order: list[str] = []

    def way(name: str, seconds: float) -> Way:
        def run() -> list[list[tuple[float, float, float, float]]]:
            order.append(name)
            time.sleep(seconds)
            return [[(0.0, 0.0, 10.0, 10.0)]]

        return Way(run, lambda: time.sleep(0.3))

    found = measure(Work("sleep", "sleeping", way("plain", 0.02), way("ours", 0.01)), pairs=3)
    assert order == ["plain", "ours"] * 5
    assert (found.same, found.answers) == (1, 1) and len(found.ratios) == 3
    assert all(0.02 <= s < 0.3 for s in found.plain) and all(0.01 <= s < 0.3 for s in found.ours), "not what comes before"


def test_time_inside_forwards_is_counted_once_where_one_calls_another() -> None:
    class Model:
        def outer(self) -> None:
            time.sleep(0.02)
            self.inner()

        def inner(self) -> None:
            time.sleep(0.02)

    model, clock = Model(), Clock()
    with clock.on(model, "outer"), clock.on(model, "inner"):
        began = time.perf_counter()
        model.outer()
        whole = time.perf_counter() - began
    assert 0.04 <= clock.spent <= whole
    spent = clock.spent
    model.inner()
    assert clock.spent == spent, "its methods are its own again"


def test_each_run_sees_new_pictures(wrapper: Wrapper) -> None:
    """Or what is kept of a picture would be taken for speed."""
    [(image, text)] = questions("refscenes:val:1", 1)
    wrapper.locate(image, text, ENSEMBLE)
    florence = wrapper.proposers["florence2"]
    assert florence.looks._kept and florence.written._kept  # type: ignore[attr-defined]
    forget(wrapper.proposers)
    assert not florence.looks._kept and not florence.written._kept  # type: ignore[attr-defined]
    assert not wrapper.proposers["gdrec"].detector.found._kept  # type: ignore[attr-defined]


def test_the_command_prints_a_table_or_json() -> None:
    small = ["bench", "--work", "grounding-dino", "--work", "llm", "--questions", "2", "--pairs", "1", "--data", "refscenes:val:2"]
    table = CliRunner().invoke(app, small, catch_exceptions=False)
    assert table.exit_code == 0 and "| grounding-dino: 2 expressions" in table.output and " 2 of 2 " in table.output
    found = CliRunner().invoke(app, [*small, "--json"], catch_exceptions=False)
    record = json.loads(found.stdout.splitlines()[-1])
    assert [w["work"] for w in record["works"]] == ["grounding-dino", "llm"] and record["machine"]["cores"] >= 1
    assert all(w["ratio_least"] <= w["ratio"] <= w["ratio_most"] and 0 <= w["outside_forwards"] < 1 for w in record["works"])


def test_a_training_step_is_measured_on_rows_of_the_length_asked_for() -> None:
    [piece] = works(Plan(PRESETS["tiny"], replace(TINY_SETTINGS, batch=3), ("train",), questions=2, length=300))
    assert "3 rows of 300 tokens" in piece.about
    assert "train" in report.as_row(measure(piece, 1))


def test_unknown_work_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="no work sing to measure"):
        next(works(Plan(PRESETS["tiny"], TINY_SETTINGS, ("sing",))))
