"""Sessions by name."""

import tracemalloc
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


def test_sessions_take_no_more_memory_than_is_counted() -> None:
    """As answers have them: each candidate with numbers and words of its own."""

    def session(n: int) -> Session:
        found = tuple(
            Candidate((n + i, n + 1.5, n + 50.25, n + 60.125), f"a cup {n} {i}", 0.5 + n / 1e4, "gdrec", i, colors=("red", "white"))
            for i in range(8)
        )
        answer = Selection(found, 1, tuple(0.1 + n / 1e5 for _ in found), Reason.CHOSEN, prompt=f"{n} " + "- a cup 1,2,3,4 = 0\n" * 8)
        return Session(Picture(f"/tmp/{n}.png", (640 + n, 480)), f"the cup {n}", answered=answer, asked=("gdrec",))

    kept, count = Store(), 300
    tracemalloc.start()
    try:
        sessions = [session(n) for n in range(count)]
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    for one in sessions:
        kept.keep(one)
    assert 0.4 * kept._kept._bytes < taken < kept._kept._bytes
