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
    return outcome("a", category, TRUTH, candidates, Selection(candidates, index, (), reason), "a.jpg")


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
    assert not outcome("a", None, TRUTH, [half], Selection((half,), 0, (), Reason.CHOSEN), "a.jpg").correct


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


def test_where_each_picture_is_asked_about_once_pictures_change_nothing() -> None:
    hits = [1.0] * 30 + [0.0] * 70
    assert share(hits, [str(i) for i in range(100)]) == share(hits)


def test_several_expressions_about_one_picture_do_not_count_as_so_many() -> None:
    """Four that are right or wrong together are worth one: the interval is twice as wide, and that of a hundred independent ones."""
    each = [1.0] * 60 + [0.0] * 40
    hits, pictures = [h for h in each for _ in range(4)], [str(i) for i in range(100) for _ in range(4)]
    narrow, wide, alone = share(hits), share(hits, pictures), share(each)
    assert wide.value == narrow.value == 0.6 and wide.n == 400
    assert wide.high - wide.low == pytest.approx(2 * (narrow.high - narrow.low), rel=0.1)
    assert wide.high - wide.low == pytest.approx(alone.high - alone.low, rel=0.1)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """95 times in 100 where expressions about a picture are alike, which independent ones would not."""
    rng = np.random.default_rng(5)
    covered = {"pictures": 0, "expressions": 0}
    for _ in range(100):
        easy = rng.beta(1.5, 1.0, 80)  # how easy each picture is; 0.6 on average
        hits = (rng.random((80, 4)) < easy[:, None]).ravel().astype(float).tolist()
        pictures = [str(i) for i in range(80) for _ in range(4)]
        for name, found in (("pictures", share(hits, pictures)), ("expressions", share(hits))):
            covered[name] += found.low <= 0.6 <= found.high
    assert covered["pictures"] >= 91 > covered["expressions"], covered


def test_pairs_of_one_picture_go_together() -> None:
    ours, theirs = [1.0, 1.0, 0.0, 0.0] * 25, [0.0, 0.0, 0.0, 0.0] * 25
    pictures = [str(i // 2) for i in range(100)]
    by_picture, by_pair = difference(ours, theirs, pictures), difference(ours, theirs)
    assert by_picture.value == by_pair.value == 0.5 and by_picture.low < by_pair.low
