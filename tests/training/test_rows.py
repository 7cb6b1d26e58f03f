"""Candidates -> prompts and answers."""

import re

import pytest

from wrapper.candidates import Box, Candidate
from wrapper.prompt import PromptTemplate, render
from wrapper.proposals import Proposed
from wrapper.selectors.base import Question
from wrapper.training.rows import FEW, LONG, NONE, Row, make_rows


def cup(x: float, score: float | None = None, width: float = 100) -> Candidate:
    return Candidate((x, 0.0, x + width, 100.0), f"cup{x:g}", score, "gdrec")


def proposed(*candidates: Candidate, id: str = "a", truth: Box = (200.0, 0.0, 300.0, 100.0)) -> Proposed:
    return Proposed(id, "a.png", (640, 480), "the right cup", truth, None, {"gdrec": candidates})


def rows_of(*examples: Proposed, limit: int = 1024, orders: int = 4, seed: int = 0) -> "object":
    return make_rows(examples, ("gdrec",), read, lambda p: len(p.split()), limit=limit, orders=orders, seed=seed)


def read(asked: Question) -> str:
    return render(asked.candidates, asked.expression, PromptTemplate(), asked.size)


def rows(*examples: Proposed, **options: int) -> list[Row]:
    return rows_of(*examples, **options).rows  # type: ignore[attr-defined, arg-type]


def listed(row: Row) -> list[str]:
    return re.findall(r"cup\d+", row.prompt)


def test_the_answer_is_the_best_candidate_not_the_first_right_one() -> None:
    [row] = rows(proposed(cup(0), cup(215), cup(205)), orders=0)
    assert listed(row)[int(row.completion)] == "cup205"


@pytest.mark.parametrize(("count", "extra"), [(2, 1), (3, 2), (4, 3), (5, 4), (9, 4)])
def test_orders_added(count: int, extra: int) -> None:
    found = rows(proposed(*(cup(100 * i + 100) for i in range(count))))
    assert len(found) == 1 + extra
    assert len({tuple(listed(r)) for r in found}) == len(found)


def test_the_answer_follows_the_order() -> None:
    for row in rows(proposed(*(cup(100 * i) for i in range(6)))):
        assert listed(row)[int(row.completion)] == "cup200"


def test_orders_follow_the_seed_and_the_id() -> None:
    examples = [proposed(*(cup(100 * i) for i in range(7)), id=id) for id in "ab"]
    assert rows(*examples) == rows(*examples)
    assert rows(*examples) != rows(*examples, seed=1)
    assert [r.prompt for r in rows(examples[0])] != [r.prompt for r in rows(examples[1])]


def test_dropped_examples_are_counted_by_reason() -> None:
    many = proposed(*(cup(20 * i) for i in range(60)))
    found = rows_of(proposed(), proposed(cup(200)), proposed(cup(0), cup(30)), many, proposed(cup(0), cup(200)), limit=100)
    assert found.dropped == {FEW: 2, NONE: 1, LONG: 1}  # type: ignore[attr-defined]
    assert found.kept == 1  # type: ignore[attr-defined]
    assert found.summary() == (  # type: ignore[attr-defined]
        "2 training rows from 1 examples; dropped: 2 with fewer than 2 candidates, 1 without a right candidate, "
        "1 longer than the token limit"
    )


def test_an_overlap_of_exactly_one_half_is_not_right() -> None:
    half = cup(200, width=50)  # a half of the true box
    assert rows(proposed(cup(0), half)) == []


def test_rows_of_two_proposers_list_both() -> None:
    both = Proposed(
        "a", "a.png", (640, 480), "the right cup", (200.0, 0.0, 300.0, 100.0), None, {"florence2": (cup(0),), "gdrec": (cup(200),)}
    )
    [row, _] = make_rows([both], ("florence2", "gdrec"), read, len, limit=9999).rows
    assert listed(row) == ["cup0", "cup200"]
    assert row.completion == "1"


def test_an_llm_with_an_answer_for_none_learns_it_from_lists_without_a_right_candidate() -> None:
    examples = (proposed(cup(0), cup(400)), proposed(cup(0), cup(205)), proposed(cup(0)))
    found = make_rows(examples, ("gdrec",), read, lambda p: len(p.split()), none="none")
    assert {row.completion for row in found.rows if row.id == "a"} >= {"none"} and found.dropped == {FEW: 1}
    assert sum(row.completion == "none" for row in found.rows) == 2, "in both orders of the first list"
