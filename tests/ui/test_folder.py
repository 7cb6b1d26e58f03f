"""The Folder tab: pictures are brought, answered, looked at and taken away."""

import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio.utils import get_upload_folder

from tests.ui.visits import visit_of
from wrapper.errors import ModelError
from wrapper.ui import common, folder, models
from wrapper.ui.turns import turns

NAMES = ["size-1.jpg", "relation-7.jpg", "coffee.jpg"]


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    models.load("bundled")


@pytest.fixture
def pictures(tmp_path: Path) -> Iterator[list[str]]:
    home = Path(get_upload_folder()) / tmp_path.name
    home.mkdir(parents=True)
    yield [str(shutil.copy(common.EXAMPLES / name, home / f"{i}-{name}")) for i, name in enumerate(NAMES)]
    shutil.rmtree(home)


def steps(visit: gr.Request | None = None, number: int = 1, **data: Any) -> Iterator[dict[str, Any]]:
    yield from folder.run(gr.EventData(None, {"number": number, **data}), visit or visit_of())


def send(handler: Any, **data: Any) -> dict[str, Any]:
    found: dict[str, Any] = handler(gr.EventData(None, {"number": 5, **data}))
    return found


WORDS = "coffee.jpg: the cup\nsize-1.jpg: the smallest book\nrelation-7.jpg: the dog nearest to the clock"


def brought(pictures: list[str], words: str = WORDS) -> dict[str, Any]:
    *_, last = steps(paths=pictures, names=NAMES, words=words)
    return last


def test_pictures_are_answered_one_by_one_by_the_models_that_know_them(pictures: list[str]) -> None:
    values = list(steps(paths=pictures, names=NAMES, words="the book\ncoffee.jpg: the cup"))
    assert [v["answered"] for v in values] == [0, 1, 2, 3, 4, 4] and [v["busy"] for v in values] == [True] * 5 + [False]
    first = values[1]["entry"]
    assert first["name"] == "size-1.jpg" and first["words"] == "the book" and first["boxes"] and "entry" not in values[2]
    queue = folder.found(values[-1]["session"])
    assert queue.state(3).asked == ("yolox",) and queue.state(0).asked == ("florence2", "gdrec")


def test_enter_approves_and_the_next_comes(pictures: list[str]) -> None:
    token = brought(pictures)["session"]
    seen = []
    entry = send(folder.look, session=token, place=0)["entry"]
    for _ in NAMES:
        seen.append(entry["name"])
        value = send(folder.decide, session=token, item=entry["item"], what="candidate", index=entry["pick"])
        entry = value["entry"]
    assert sorted(seen) == sorted(NAMES) and value["checked"] == 3
    assert entry["checked"] and entry["truth"] is not None, "what was approved can be looked at again"


def test_a_box_that_is_drawn_is_kept_inside_its_picture(pictures: list[str]) -> None:
    token = brought(pictures)["session"]
    send(folder.decide, session=token, item=0, what="box", box=[-20, 10.5, 60, 70])
    send(folder.decide, session=token, item=1, what="nothing")
    queue = folder.found(token)
    assert queue.state(0).box == (0.0, 10.5, 60.0, 70.0) and queue.state(1).checked and queue.state(1).box is None
    for wrong in ({"what": "box", "box": [5, 5, 5, 9]}, {"what": "box", "box": "x"}, {"what": "candidate", "index": 99}, {"item": 77}, {}):
        value = send(folder.decide, **{"session": token, "item": 2, **wrong})
        assert "error" in value and not folder.found(token).state(2).checked


def test_a_run_that_is_halted_goes_on_later(pictures: list[str]) -> None:
    visit = visit_of()
    running = steps(visit, paths=pictures, names=NAMES, words="the book")
    token = [next(running), next(running)][-1]["session"]
    folder.halt(gr.EventData(None, {"number": 2}), visit)
    *_, last = running
    assert last["answered"] == 1 and last["busy"] is False
    *_, end = steps(visit, number=3, session=token)
    assert end["answered"] == 3 and end["session"] == token
    assert not turns.are_over(f"{visit.session_hash}/folder", 3)


def test_a_picture_that_cannot_be_answered_costs_itself_only(pictures: list[str]) -> None:
    running = steps(paths=pictures, names=NAMES, words="the book")
    token = next(running)["session"]
    Path(folder.found(token).items[1].path).unlink()
    *_, last = running
    assert (last["answered"], last["failed"]) == (3, 1)
    assert "not kept any longer" in (folder.found(token).state(1).failed or "")


def test_what_cannot_be_opened_costs_itself_and_is_no_label(pictures: list[str]) -> None:
    """A file that is no picture, or one of somebody else's."""
    Path(pictures[0]).write_bytes(b"<svg/>")
    [*_, last] = steps(paths=[pictures[0], "/etc/passwd", pictures[2]], names=NAMES, words="the cup")
    queue = folder.found(last["session"])
    assert (last["answered"], last["failed"]) == (3, 2) and "picture" in (queue.state(1).failed or "")
    entry = folder.entry(queue, 0)
    assert entry["failed"] and entry["why"] and entry["picture"] is None
    send(folder.decide, session=last["session"], item=0, what="nothing")
    assert [x.picture for x in folder.found(last["session"]).labels()] == ["coffee.jpg"]


def test_a_service_that_fails_ends_the_run_and_marks_nothing(pictures: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sentence is shown, and Go on asks again."""
    real = folder.answers.settled

    def refuse(*_: Any) -> Any:
        with common.as_page_errors():
            raise ModelError("The service refused (401). Check the token.")

    monkeypatch.setattr(folder.answers, "settled", refuse)
    first, *_, last = steps(paths=pictures, names=NAMES, words="the cup")
    assert last["error"] == "The service refused (401). Check the token." and last["run"]
    monkeypatch.setattr(folder.answers, "settled", real)
    token = first["session"]
    assert folder.found(token).open() == [0, 1, 2]
    *_, end = steps(number=2, session=token, again="failed")
    assert (end["answered"], end["failed"]) == (3, 0)


def test_others_have_their_turn_after_some_seconds(pictures: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "SLICE", -1.0)
    *_, last = steps(paths=pictures, names=NAMES, words="the cup")
    assert last["more"] and last["busy"] and last["answered"] == 0
    monkeypatch.setattr(folder, "SLICE", 60.0)
    *_, end = steps(number=2, session=last["session"])
    assert not end["more"] and not end["busy"] and end["answered"] == 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"paths": []}, "There are no pictures"),
        ({"names": ["a"]}, "There are no pictures"),
        ({"words": "  "}, "Nothing is asked about"),
        ({"words": 5}, "longer than"),
        ({"words": "x" * 30_000}, "longer than"),
        ({"paths": ["a"] * 501, "names": ["a"] * 501}, "501 pictures; 500"),
        ({"words": "\n".join(f"thing {i}" for i in range(200))}, "600 questions; 500"),
        ({"session": "gone"}, "Choose them again"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(pictures: list[str], changes: dict[str, Any], said: str) -> None:
    [value] = steps(**{"paths": pictures, "names": NAMES, "words": "the cup"} | changes)
    assert said in value["error"]


def test_labels_are_of_what_was_approved(pictures: list[str]) -> None:
    token = brought(pictures)["session"]
    assert "Nothing is approved yet" in folder.labels({"session": token, "kind": "coco"})["error"]
    for item in (0, 2):
        send(folder.decide, session=token, item=item, what="box", box=[10, 10, 50, 60])
    files = {kind: folder.labels({"session": token, "kind": kind}) for kind in folder.KINDS}
    coco = json.loads(Path(files["coco"]["path"]).read_text(encoding="utf-8"))
    assert [i["file_name"] for i in coco["images"]] == ["size-1.jpg", "coffee.jpg"] and len(coco["annotations"]) == 2
    assert len(Path(files["jsonl"]["path"]).read_text(encoding="utf-8").splitlines()) == 2
    with zipfile.ZipFile(files["yolo"]["path"]) as archive:
        assert sorted(archive.namelist()) == ["data.yaml", "labels/coffee.txt", "labels/size-1.txt"]
    with zipfile.ZipFile(files["label-studio"]["path"]) as archive:
        tasks = json.loads(archive.read("tasks.json"))
    assert ["annotations" in t for t in tasks] == [True, False, True], "the other as a prediction"
    for wrong in (None, 5, {"session": token, "kind": "../x"}, {"session": "gone", "kind": "coco"}):
        assert "error" in folder.labels(wrong)
