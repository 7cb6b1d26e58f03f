"""From one session to the next: pure functions, without models or a browser."""

from dataclasses import replace
from typing import Any

import pytest

from wrapper.candidates import BY_HAND, Candidate, Reason, Selection, Thresholds
from wrapper.errors import DataError, ExpressionError
from wrapper.ui.session import (
    Picture,
    Session,
    Settings,
    inside,
    moved,
    same_words,
    with_answer,
    with_box,
    with_list,
    with_picture,
    with_question,
    with_thresholds,
    with_truth,
    without,
)

SIZE = (200, 100)
CUP, BOOK = Candidate((10.0, 10.0, 50.0, 60.0), "cup", 0.8, "gdrec"), Candidate((100.0, 10.0, 150.0, 60.0), "book", None, "florence2")
BOTH = Selection((CUP, BOOK), 0, (0.75, 0.25), Reason.CHOSEN)
ASKED = Session(Picture("a.png", SIZE), "the cup", truth=CUP.box)
DONE = with_answer(ASKED, BOTH, ("gdrec", "florence2"))
OTHER = Picture("b.png", (300, 300))


def test_another_picture_leaves_nothing_of_the_answer_about_the_last_one() -> None:
    """Neither the answer nor the true box, nor an example's words; what the visitor wrote stays, with the settings."""
    given = Settings(("gdrec",), "zero-shot", Thresholds(0.5))
    own = replace(DONE, truth=None, settings=given)
    after = with_picture(own, OTHER)
    assert after == Session(OTHER, "the cup", given)
    assert (
        with_picture(replace(DONE, brought=True), OTHER).words == with_picture(replace(DONE, absent=True, brought=True), OTHER).words == ""
    )
    assert with_picture(with_truth(own, (1.0, 1.0, 50.0, 50.0)), OTHER).words == "the cup", "whose true box the visitor has drawn"
    assert with_picture(with_question(replace(DONE, brought=True), "my own words", given), OTHER).words == "my own words"
    assert with_picture(None, OTHER) == Session(OTHER)


def test_other_words_are_not_judged_by_the_last_ones_true_box() -> None:
    after = with_question(DONE, "the book", Settings())
    assert (after.truth, after.absent, after.answered, after.words) == (None, False, None, "the book")
    assert with_question(replace(DONE, truth=None, absent=True), "the book", Settings()).absent is False


def test_the_same_words_keep_what_is_known_and_lose_the_answer() -> None:
    for words in ("the cup", " The cup. ", "find the cup"):
        after = with_question(DONE, words, Settings())
        assert after.truth == CUP.box and after.answered is None
    with pytest.raises(ExpressionError, match="no expression"):
        with_question(DONE, "   ", Settings())


def test_thresholds_and_a_true_box_compute_nothing_again() -> None:
    unsure = with_thresholds(DONE, Thresholds(probability=0.9))
    assert unsure.answer.index is None and unsure.answered is BOTH
    assert with_thresholds(unsure, Thresholds()).answer == BOTH
    assert with_truth(DONE, BOOK.box).truth == BOOK.box and with_truth(DONE, None).truth is None
    assert with_truth(replace(DONE, truth=None, absent=True), BOOK.box).absent is False


def test_a_candidate_is_taken_added_and_moved_by_its_own_number() -> None:
    assert without(DONE, 0) == (BOOK,) and without(DONE, 1) == (CUP,)
    *_, added = with_box(DONE, (1.0, 2.0, 30.0, 40.0), " a\n  mug ")
    assert added == Candidate((1.0, 2.0, 30.0, 40.0), "a mug", None, BY_HAND)
    first, second = moved(DONE, 1, (90.0, 5.0, 160.0, 70.0))
    assert first == CUP and second == Candidate((90.0, 5.0, 160.0, 70.0), "book", None, BY_HAND)
    for index in (-1, 2):
        with pytest.raises(DataError, match="no candidate"):
            without(DONE, index)
        with pytest.raises(DataError, match="no candidate"):
            moved(DONE, index, CUP.box)
    with pytest.raises(DataError, match="needs a label"):
        with_box(DONE, CUP.box, "  ")
    assert len(with_box(DONE, CUP.box, "x" * 500)[-1].label) == 60


@pytest.mark.parametrize("box", [(-30.0, -30.0, -5.0, 40.0), (10.0, 10.0, 10.4, 50.0), (250.0, 10.0, 300.0, 50.0)])
def test_boxes_outside_the_picture_are_refused_and_others_cut_to_it(box: Any) -> None:
    with pytest.raises(DataError, match="not in the picture"):
        inside(box, SIZE)
    assert inside((-10.0, 20.0, 400.0, 300.0), SIZE) == (0.0, 20.0, 200.0, 100.0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_no_box_is_made_of_numbers_that_are_none(bad: float) -> None:
    for place in range(4):
        box = [10.0, 10.0, 50.0, 60.0]
        box[place] = bad
        with pytest.raises(DataError, match="four numbers"):
            inside((box[0], box[1], box[2], box[3]), SIZE)


def test_nothing_like_it_holds_for_the_same_words_and_the_detectors_own_boxes() -> None:
    nothing = with_answer(ASKED, replace(BOTH, index=None, reason=Reason.NOTHING_LIKE_IT), ("gdrec",))
    assert with_list(nothing, "The cup!", BOTH).answer.reason is Reason.NOTHING_LIKE_IT
    assert with_list(nothing, "the book", BOTH).answer.reason is Reason.CHOSEN
    mine = Selection((CUP, replace(BOOK, source=BY_HAND)), 1, (0.5, 0.5), Reason.CHOSEN)
    assert with_list(nothing, "the cup", mine).answer.index == 1


def test_a_list_asked_about_again_is_not_from_memory_and_keeps_who_was_asked() -> None:
    after = with_list(replace(DONE, recalled=True), "the book", BOTH)
    assert not after.edited and with_list(DONE, "the cup", Selection((CUP,), 0, (1.0,), Reason.ONLY_CANDIDATE)).edited
    assert not after.recalled and after.asked == DONE.asked and after.words == "the book" and after.truth is None


def test_before_there_is_an_answer_nothing_can_be_done_to_it() -> None:
    assert ASKED.selection is None
    with pytest.raises(DataError, match="no answer yet"):
        without(ASKED, 0)


def test_text_that_cannot_be_asked_is_the_same_as_none() -> None:
    assert not same_words("", "") and not same_words("the cup", " ") and same_words("THE CUP", "“the cup”")
