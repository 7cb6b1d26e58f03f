"""Many pictures: what is done is written down as it is done, and nothing of it is lost."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wrapper.candidates import Candidate, Reason, Selection
from wrapper.errors import DataError
from wrapper.ui.queue import Item, Queue, parse_words, told_apart

CUP, BOOK = (Candidate((10.0 * i, 2.0, 10.0 * i + 8, 40.0), label, None, "gdrec", i) for i, label in enumerate(("cup", "book")))
ITEMS = [Item(f"/tmp/{n}.png", f"{n}.png", (64, 48), "the cup") for n in "abcd"]


def chosen(first: float) -> Selection:
    return Selection((CUP, BOOK), 0 if first >= 0.5 else 1, (first, 1 - first), Reason.CHOSEN)


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    made = Queue.begin(tmp_path, ITEMS)
    for i, share in enumerate((0.9, 0.55, 0.2)):
        made.answer(i, chosen(share), ("gdrec",))
    return made


def test_the_least_sure_come_first_and_what_was_looked_at_last(queue: Queue) -> None:
    assert queue.order() == [1, 2, 0] and queue.open() == [3]
    queue.fail(3, "The picture is damaged.")
    assert queue.order() == [3, 1, 2, 0] and queue.open() == []
    queue.decide(1, CUP.box)
    assert queue.order() == [3, 2, 0, 1]


def test_a_sure_not_found_is_looked_at_late(tmp_path: Path) -> None:
    made = Queue.begin(tmp_path, ITEMS)
    for i, absent in enumerate((0.99, 0.55)):
        made.answer(i, Selection((CUP,), None, (1 - absent,), Reason.NONE_MEANT, absent=absent), ("gdrec",))
    made.answer(2, chosen(0.75), ("gdrec",))
    assert made.order() == [1, 2, 0]


def test_it_goes_on_where_it_was(queue: Queue, tmp_path: Path) -> None:
    queue.decide(0, (1.0, 2.0, 9.0, 12.0))
    queue.decide(2, None)
    queue.decide(0, BOOK.box)
    again = Queue(tmp_path)
    assert [again.state(i) for i in range(4)] == [queue.state(i) for i in range(4)]
    assert again.state(0).box == BOOK.box and again.state(0).checked, "the last word counts"
    assert again.state(2).checked and again.state(2).box is None
    assert [(x.picture, x.box, x.checked) for x in again.labels()] == [
        ("a.png", BOOK.box, True), ("b.png", CUP.box, False), ("c.png", None, True),
    ]  # fmt: skip


def test_half_a_line_and_damaged_ones_cost_themselves_only(queue: Queue, tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(
        whole.replace(b'"item": 1', b'"item" 1 ') + b'{"item": 9999}\n[]\n{"item": 3, "answer": {"x": 1}, "asked": []}\n{"item": 3, "box"'
    )
    again = Queue(tmp_path)
    assert [again.state(i).done for i in range(4)] == [True, False, True, False]
    again.answer(1, chosen(0.7), ("gdrec",))
    assert Queue(tmp_path).open() == [3], "what is written after that is read"


@pytest.mark.parametrize("text", [None, "{", "[5]", '[{"path": "a"}]', "\x00", '[{"path": "a", "name": "b", "size": 5, "words": "c"}]'])
def test_what_is_no_queue_is_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "items.json").write_text(text)
    with pytest.raises(DataError, match="Choose them again"):
        Queue(tmp_path)


WORK = """
import sys
from pathlib import Path
from wrapper.candidates import Candidate, Reason, Selection
from wrapper.ui.queue import Queue
boxes = tuple(Candidate((10.0 * i, 2.0, 10.0 * i + 8, 40.0), "cup", None, "gdrec") for i in (0, 1))
queue = Queue(Path(sys.argv[1]))
print("ready", flush=True)
for i in queue.open():
    queue.answer(i, Selection(boxes, i % 2, (i / 3000, 1 - i / 3000), Reason.CHOSEN), ("gdrec",))
    queue.decide(i, (1.0, 2.0, 3.0 + i, 4.0))
"""


def test_twenty_kills_lose_nothing(tmp_path: Path) -> None:
    """SIGKILL at other moments each time; at the end all is as if nobody had interfered."""
    items = [Item(f"/tmp/{n}.png", f"{n}.png", (64, 48), "the cup") for n in range(1500)]
    (tmp_path / "cut").mkdir()
    Queue.begin(tmp_path / "cut", items)
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    progress = []
    for kill in range(20):
        with subprocess.Popen([sys.executable, "-c", WORK, str(tmp_path / "cut")], stdout=subprocess.PIPE, env=env) as worker:
            assert worker.stdout is not None
            worker.stdout.readline()
            time.sleep(0.0007 * kill)
            worker.send_signal(signal.SIGKILL)
        progress.append(1500 - len(Queue(tmp_path / "cut").open()))
    assert progress == sorted(progress) and progress[-1] > 0
    subprocess.run([sys.executable, "-c", WORK, str(tmp_path / "cut")], env=env, check=True, capture_output=True)
    done = Queue(tmp_path / "cut")
    assert done.open() == []
    picked = [done.state(i).selection for i in range(1500)]
    assert all(s is not None and (s.index, s.probabilities[0]) == (i % 2, i / 3000) for i, s in enumerate(picked))
    undecided = [i for i in range(1500) if done.state(i).box != (1.0, 2.0, 3.0 + i, 4.0)]
    assert len(undecided) <= 20, "killed between the answer and the decision, which is asked of a person again"


def test_words_are_about_all_pictures_or_about_one() -> None:
    names = ["a.jpg", "b.jpg"]
    assert parse_words(" the cup \n\nb.jpg: the book\n b.jpg :the cup", names) == [["the cup"], ["the cup", "the book"]]
    assert parse_words("a.jpg: x\nb.jpg: time: five", names) == [["x"], ["time: five"]]
    assert parse_words("note: c.jpg: the cup", names) == [["note: c.jpg: the cup"]] * 2, "a colon that names no picture"
    with pytest.raises(DataError, match=r"Nothing is asked about a\.jpg"):
        parse_words("b.jpg: the cup", names)
    with pytest.raises(DataError, match="Nothing is asked"):
        parse_words(" \n", names)


def test_a_line_finds_its_picture_in_whatever_letters_and_one_of_no_picture_is_said() -> None:
    names = ["Kitchen.JPG", "street.jpg"]
    assert parse_words("kitchen.jpg: the mug\nSTREET.jpg : the bus", names) == [["the mug"], ["the bus"]]
    for line in ("kitchn.jpg: the mug", "street.jpeg: the bus", "Other.PNG : x"):
        with pytest.raises(DataError, match="no picture"):
            parse_words(f"the cup\n{line}", names)


def test_words_that_cannot_be_asked_are_said_with_their_line() -> None:
    for line in ("???", "a.jpg: ...", f"a.jpg: {'word ' * 200}"):
        with pytest.raises(DataError, match="cannot be asked") as caught:
            parse_words(f"the cup\n{line}", ["a.jpg"])
        assert line[:50] in str(caught.value)


def test_pictures_of_one_name_are_told_apart() -> None:
    assert told_apart(["a.png", "a.jpg", "b", "a.png", "b", "a-2.png"]) == ["a.png", "a.jpg", "b", "a-2.png", "b-2", "a-2-2.png"]
    assert told_apart([".hidden", ".hidden"]) == [".hidden", ".hidden-2"]


def test_words_find_pictures_by_their_own_names() -> None:
    """Of two files of one name, both; a colon may stand in a name."""
    assert parse_words("a.jpg: the cup\nb.jpg: x", ["a.jpg", "a.jpg", "b.jpg"]) == [["the cup"], ["the cup"], ["x"]]
    assert parse_words("12:30.png: the clock", ["12:30.png"]) == [["the clock"]]


def test_what_failed_is_asked_again_only_where_that_is_wanted(queue: Queue) -> None:
    for item in (2, 3):
        queue.fail(item, "The service was away.")
    queue.decide(2, None)
    assert queue.open() == []
    queue.retry()
    assert queue.open() == [3], "what a person has decided is decided"
    assert Queue(queue._journal.parent).open() == [3], "also after a kill"
    queue.answer(3, chosen(0.8), ("gdrec",))
    queue.retry()
    assert queue.open() == [] and queue.state(3).failed is None
