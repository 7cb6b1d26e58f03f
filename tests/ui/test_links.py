"""Links to answers."""

from dataclasses import replace

import pytest

from wrapper.candidates import Candidate, Reason, Selection, Thresholds
from wrapper.ui import links
from wrapper.ui.answer import Session

CUP = Candidate((1.0, 2.0, 30.0, 40.0), "cup", None, "gdrec")
SESSION = Session("a.png", (64, 48), "the cup", ("gdrec",), "auto", Thresholds(), Selection((CUP,), 0, (1.0,), Reason.ONLY_CANDIDATE))


def test_the_very_answer_is_kept() -> None:
    """With its candidates as they were edited, which a question asked anew would not have."""
    edited = replace(SESSION, answered=Selection((CUP, CUP), 1, (0.2, 0.8), Reason.CHOSEN))
    first, second = links.keep(SESSION), links.keep(edited)
    assert links.find(second) is edited and links.find(first) is SESSION
    assert links.find("x" + second) is None and len(second) >= 16, "nobody guesses one"


def test_what_is_too_old_is_neither_found_nor_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    old = links.keep(SESSION)
    monkeypatch.setattr(links, "KEPT", -1)
    assert links.find(old) is None
    monkeypatch.setattr(links, "_kept", links._kept.copy())
    monkeypatch.setattr(links, "KEPT", 0.0)
    links.keep(SESSION)
    assert old not in links._kept


def test_no_more_are_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "_kept", links._kept.__class__())
    monkeypatch.setattr(links, "MOST", 3)
    tokens = [links.keep(SESSION) for _ in range(5)]
    assert [links.find(t) is not None for t in tokens] == [False, False, True, True, True]
