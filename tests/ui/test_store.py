"""Sessions by name."""

from dataclasses import replace

from wrapper.candidates import Candidate, Reason, Selection
from wrapper.ui.session import Picture, Session
from wrapper.ui.store import Store

CUP = Candidate((1.0, 2.0, 30.0, 40.0), "cup", None, "gdrec")
SESSION = Session(Picture("a.png", (64, 48)), "the cup", answered=Selection((CUP,), 0, (1.0,), Reason.ONLY_CANDIDATE), asked=("gdrec",))


def test_the_very_answer_is_kept() -> None:
    """With its candidates as they were edited, which a question asked anew would not have."""
    kept = Store()
    edited = replace(SESSION, answered=Selection((CUP, CUP), 1, (0.2, 0.8), Reason.CHOSEN))
    first, second = kept.keep(SESSION), kept.keep(edited)
    assert kept.find(second) is edited and kept.find(first) is SESSION
    assert kept.find("x" + second) is None and len(second) >= 16, "nobody guesses one"


def test_sessions_go_where_they_are_too_many() -> None:
    kept = Store(most_bytes=80_000)
    large = replace(SESSION, words="w" * 5_000)
    names = [kept.keep(large) for _ in range(10)]
    assert [kept.find(name) is not None for name in names] == [False] * 7 + [True] * 3, "the last ones"
