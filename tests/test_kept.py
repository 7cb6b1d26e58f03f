"""What is kept in memory for a while."""

import pytest
from PIL import Image

from wrapper import kept
from wrapper.kept import Kept, digest


def test_what_is_too_old_is_neither_found_nor_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(kept.time, "monotonic", lambda: now[0])
    store: Kept[str, str] = Kept(1000, seconds=60)
    store.put("old", "value", 10)
    now[0] = 159.0
    assert store.find("old") == "value"
    now[0] = 161.0
    assert store.find("old") is None
    store.put("new", "value", 10)
    assert list(store._kept) == ["new"]


def test_no_more_bytes_are_kept_than_there_is_room_for() -> None:
    store: Kept[int, str] = Kept(20, seconds=60)
    for i in range(10):
        store.put(i, "value", 6)
        store.put(i, "another", 6)
    assert [store.find(i) for i in range(10)] == [None] * 7 + ["another"] * 3
    store.put(99, "too large by itself", 21)
    assert store.find(99) is None and not store._kept and store._bytes == 0
    store.put(1, "value", 6)
    store.clear()
    assert store.find(1) is None


def test_pictures_are_told_apart_by_what_they_show() -> None:
    white, same = Image.new("RGB", (4, 6), "white"), Image.new("RGB", (4, 6), "white")
    others = [Image.new("RGB", (6, 4), "white"), Image.new("L", (4, 6), "white"), Image.new("RGB", (4, 6), "black")]
    assert digest(white) == digest(same) and len({digest(i) for i in [white, *others]}) == 4


def test_what_is_too_old_goes_by_itself() -> None:
    """Also where nobody asks for anything any longer."""
    store: Kept[str, str] = Kept(1000, seconds=-0.95)  # looked after in a twentieth of a second, and too old at once
    store._kept["old"] = kept._One("value", 0.0, 10)
    store._expect()
    watch = store._watch
    assert watch is not None and watch.daemon
    watch.join(5)
    assert not store._kept
