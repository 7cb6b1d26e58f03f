"""Whose request counts."""

from wrapper.ui.turns import Turns


def test_a_later_request_ends_the_earlier_ones_of_the_same_visitor() -> None:
    turns = Turns()
    assert not turns.are_over("a", 0), "nobody has said anything"
    turns.begin("a", 5)
    assert turns.are_over("a", 4) and not turns.are_over("a", 5) and not turns.are_over("a", 6) and not turns.are_over("b", 1)
    turns.begin("a", 3)
    assert turns.are_over("a", 4), "a message that was overtaken changes nothing"


def test_no_more_visitors_are_remembered_than_there_is_room_for() -> None:
    turns = Turns(most=3)
    for i in range(10):
        turns.begin(str(i), 7)
    assert [turns.are_over(str(i), 1) for i in (0, 6, 7, 9)] == [False, False, True, True]
