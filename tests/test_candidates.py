"""The data types refuse what cannot be."""

from dataclasses import replace

import pytest

from wrapper.candidates import Candidate, Reason, Selection, Thresholds, abstain, iou, is_correct

CUP = Candidate((0.0, 0.0, 10.0, 10.0), "cup", 0.5, "gdrec")


def test_iou_of_known_boxes() -> None:
    assert iou((0, 0, 10, 10), (0, 0, 10, 10)) == 1
    assert iou((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert iou((0, 0, 10, 10), (10, 0, 20, 10)) == 0


def test_half_is_not_enough() -> None:
    """P@1 counts IoU above 0.5 strictly, as the paper's evaluation does; no box is wrong."""
    assert not is_correct((0, 0, 10, 5), (0, 0, 10, 10))
    assert is_correct((0, 0, 10, 5.1), (0, 0, 10, 10))
    assert not is_correct(None, (0, 0, 10, 10))


@pytest.mark.parametrize("box", [(0, 0, 0, 10), (5, 0, 1, 10), (0, 0, float("nan"), 1), (0, 0, float("inf"), 1), (1, 2, 3)])
def test_impossible_boxes(box: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="box"):
        Candidate(box, "cup", None, "gd")  # type: ignore[arg-type]


def test_impossible_scores_and_selections() -> None:
    with pytest.raises(ValueError, match="score"):
        Candidate(CUP.box, "cup", 1.2, "gd")
    with pytest.raises(ValueError, match="outside"):
        Selection((CUP,), 1, (), Reason.CHOSEN)
    with pytest.raises(ValueError, match="index"):
        Selection((CUP,), None, (), Reason.NO_CANDIDATES)
    with pytest.raises(ValueError, match="probabilities"):
        Selection((CUP,), 0, (0.5, 0.5), Reason.CHOSEN)


def test_a_selection_gives_its_box() -> None:
    assert Selection((CUP,), 0, (1.0,), Reason.ONLY_CANDIDATE).box == CUP.box
    assert Selection((), None, (), Reason.NO_CANDIDATES).box is None


def test_below_the_threshold_the_answer_is_not_found() -> None:
    other = Candidate((50.0, 0.0, 60.0, 10.0), "cup", 0.5, "gdrec")
    selection = Selection((other, CUP), 1, (0.4, 0.6), Reason.CHOSEN, "prompt")
    assert abstain(selection, Thresholds()) == abstain(selection, Thresholds(probability=0.6)) == selection
    unsure = abstain(selection, Thresholds(probability=0.61))
    assert (unsure.index, unsure.box, unsure.reason, unsure.guess) == (None, None, Reason.ABSTAINED, 1)
    assert unsure.margin == pytest.approx(0.2)


def test_who_was_not_asked_cannot_be_unsure() -> None:
    only = Selection((CUP,), 0, (1.0,), Reason.ONLY_CANDIDATE)
    alone = Selection((CUP, CUP), 0, (), Reason.OWN_ANSWER)
    assert abstain(only, Thresholds(probability=0.99)) == only
    assert abstain(alone, Thresholds(probability=0.99)) == alone
    assert (only.margin, alone.margin, alone.guess) == (None, None, 0)


def test_boxes_of_one_object_count_together() -> None:
    """Two proposers find the same cup; that the LLM cannot tell them apart is no doubt about the cup."""
    again = Candidate((0.0, 0.0, 10.0, 9.0), "mug", None, "florence2")
    other = Candidate((50.0, 0.0, 60.0, 10.0), "cup", 0.5, "gdrec")
    selection = Selection((CUP, again, other), 0, (0.4, 0.35, 0.25), Reason.CHOSEN)
    assert selection.support == pytest.approx(0.75)
    assert abstain(selection, Thresholds(probability=0.7)) == selection
    assert abstain(selection, Thresholds(probability=0.8)).index is None


def test_what_no_detector_is_sure_of_is_not_there() -> None:
    """An absent object may leave one candidate only, about which the LLM is not asked; the detector's score still counts."""
    weak = Candidate((50.0, 0.0, 60.0, 10.0), "cup", 0.3, "gdrec")
    two = Selection((weak, replace(CUP, score=None)), 1, (0.1, 0.9), Reason.CHOSEN)
    only = Selection((weak,), 0, (), Reason.ONLY_CANDIDATE)
    scoreless = Selection((replace(CUP, score=None),), 0, (), Reason.ONLY_CANDIDATE)
    assert abstain(two, Thresholds(score=0.3)) == two
    assert abstain(scoreless, Thresholds(score=1.0)) == scoreless
    for selection, guess in ((two, 1), (only, 0)):
        unseen = abstain(selection, Thresholds(score=0.31))
        assert (unseen.box, unseen.reason, unseen.guess) == (None, Reason.UNSEEN, guess)
    nothing = Selection((), None, (), Reason.NO_CANDIDATES)
    assert abstain(nothing, Thresholds(1.0, 1.0)) == nothing
