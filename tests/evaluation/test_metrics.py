"""Figures from selections and true boxes."""

import tracemalloc

import numpy as np
import pytest

from wrapper.candidates import Box, Candidate, Reason, Selection
from wrapper.evaluation import metrics
from wrapper.evaluation.metrics import Figures, Outcome, difference, mcnemar, outcome, share

TRUTH: Box = (0.0, 0.0, 100.0, 100.0)


def cup(x: float) -> Candidate:
    return Candidate((x, 0.0, x + 100, 100.0), "cup", None, "gd")


def judged(*xs: float, index: int | None, category: str | None = None) -> Outcome:
    candidates = tuple(cup(x) for x in xs)
    reason = Reason.CHOSEN if index is not None else Reason.NO_CANDIDATES
    return outcome("a", category, TRUTH, candidates, Selection(candidates, index, (), reason))


def test_a_right_choice() -> None:
    found = judged(300, 0, index=1)
    assert (found.correct, found.iou, found.recalled, found.boxes) == (True, 1.0, True, 2)


def test_a_wrong_choice_beside_a_right_candidate() -> None:
    found = judged(300, 0, index=0)
    assert (found.correct, found.recalled) == (False, True)


def test_no_candidate_counts_as_wrong() -> None:
    figures = Figures.of([judged(index=None), judged(0, index=0)], {})
    assert figures.p_at_1.n == 2
    assert figures.p_at_1.value == 0.5
    assert figures.recall.value == 0.5
    assert figures.reasons == {"no_candidates": 1, "chosen": 1}
    assert figures.boxes == 0.5


def test_an_overlap_of_exactly_one_half_is_wrong() -> None:
    half = Candidate((0.0, 0.0, 100.0, 50.0), "cup", None, "gd")
    assert not outcome("a", None, TRUTH, [half], Selection((half,), 0, (), Reason.CHOSEN)).correct


def test_figures_by_category() -> None:
    figures = Figures.of([judged(0, index=0, category="size"), judged(300, index=0, category="relation"), judged(0, index=0)], {})
    assert {c: (s.value, s.n) for c, s in figures.categories.items()} == {"relation": (0.0, 1), "size": (1.0, 1)}


def test_the_bootstrap_interval_is_that_of_a_share() -> None:
    """Against the normal approximation: 30 % of 1,000, +- 1.96 sqrt(p (1 - p) / n)."""
    found = share([1] * 300 + [0] * 700)
    assert found.value == pytest.approx(0.3)
    assert found.low == pytest.approx(0.3 - 0.0284, abs=0.004)
    assert found.high == pytest.approx(0.3 + 0.0284, abs=0.004)
    assert share([1] * 300 + [0] * 700) == found, "the same figures give the same interval"
    assert found.text() == f"30.0 ({100 * found.low:.1f}-{100 * found.high:.1f})"


def test_the_interval_is_that_of_drawing_expressions_again() -> None:
    """Drawing how often each value comes is the same as drawing expression by expression."""
    gains = [1.0] * 40 + [0.0] * 130 + [-1.0] * 30
    rng = np.random.default_rng(1)
    means = [rng.choice(gains, len(gains)).mean() for _ in range(20_000)]
    found = share(gains)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])), abs=0.008)


def test_the_interval_of_many_figures_takes_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """All draws at once would take 320 MB where every value is another; some at a time give the same interval."""
    hits = [i / 9999 for i in range(9999)]
    tracemalloc.start()
    some = share(hits)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6
    monkeypatch.setattr(metrics, "DRAWN", metrics.DRAWS * len(hits))
    assert share(hits) == some


def test_a_difference_is_of_pairs() -> None:
    """Two methods that err on the same expressions differ with certainty, whatever their shares."""
    found = difference([1, 1, 0, 1] * 50, [1, 0, 0, 1] * 50)
    assert found.value == pytest.approx(0.25)
    assert difference([1, 0] * 50, [1, 0] * 50).high == 0.0
    with pytest.raises(ValueError, match="zip"):
        difference([1.0], [1.0, 0.0])


def test_nothing_is_no_division_by_zero() -> None:
    assert share([]).n == 0
    assert Figures.of([], {}).boxes == 0


@pytest.mark.parametrize(
    ("better", "worse", "p"),
    [(0, 0, 1.0), (5, 5, 1.0), (1, 0, 1.0), (6, 0, 0.03125), (0, 6, 0.03125), (25, 8, 0.00455), (2000, 1900, 0.113)],
)
def test_mcnemar_asks_whether_the_split_may_be_chance(better: int, worse: int, p: float) -> None:
    """The last two as scipy.stats.binomtest gives them."""
    ours = [True] * better + [False] * worse + [True, False] * 10
    theirs = [False] * better + [True] * worse + [True, False] * 10
    assert mcnemar(ours, theirs) == pytest.approx(p, rel=2e-2)
