"""What the page says of an answer."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from wrapper.candidates import Box, Candidate, Reason, Selection
from wrapper.ui import common, models, view
from wrapper.ui.session import Picture, Session, with_answer
from wrapper.worlds import World

TRUTH: Box = (0.0, 0.0, 100.0, 100.0)
RIGHT, FAR = Candidate(TRUTH, "cup", 0.9, "gdrec"), Candidate((200.0, 0.0, 300.0, 100.0), "red cup", None, "florence2")
FILE = str(common.EXAMPLES / "relation-7.jpg")
SCENE, PHOTOGRAPH = Picture(FILE, (400, 300), World.SCENE), Picture(FILE, (400, 300), World.PHOTOGRAPH)


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    models.load("bundled")


def answered(selection: Selection, picture: Picture = SCENE, asked: tuple[str, ...] = ("gdrec",), words: str = "the cup") -> Session:
    return with_answer(Session(picture, words), selection, asked)


def chosen(*candidates: Candidate, index: int | None = 0, reason: Reason = Reason.CHOSEN) -> Selection:
    return Selection(candidates, index, (0.77, 0.23)[: len(candidates)] if len(candidates) == 2 else (), reason)


def test_the_answer_is_one_line() -> None:
    found = view.view(3, "name", answered(replace(chosen(RIGHT, FAR), calibrated=True))).value()
    assert (found["number"], found["session"]) == (3, "name")
    assert (found["answer"]["headline"], found["answer"]["share"], found["answer"]["sure"]) == ("cup", "77% sure", True)
    assert [b["share"] for b in found["boxes"]] == [0.77, 0.23]
    json.dumps(found)


def test_probabilities_that_nobody_fitted_are_called_so() -> None:
    assert view.sureness(chosen(RIGHT, FAR)) == "77% sure, uncalibrated"
    assert view.sureness(Selection((RIGHT,), 0, (), Reason.OWN_ANSWER)) == ""


@pytest.mark.parametrize("reason", [Reason.ABSTAINED, Reason.UNSEEN, Reason.NOTHING_LIKE_IT, Reason.NONE_MEANT])
def test_not_found_is_an_answer_with_a_best_guess_that_is_no_pick(reason: Reason) -> None:
    selection = replace(chosen(RIGHT, FAR, index=None, reason=reason), absent=0.6)
    found = view.view(0, "name", answered(selection)).value()["answer"]
    assert found["headline"] == "Not found. Best guess: cup"
    assert (found["pick"], found["guess"], found["sure"]) == (None, 0, False)
    assert (found["share"] == "60% sure that it is none of these") is (reason is Reason.NONE_MEANT)


def test_nothing_at_all_is_said() -> None:
    found = view.view(0, "name", answered(Selection((), None, (), Reason.NO_CANDIDATES))).value()
    assert found["answer"]["headline"] == "Nothing found" and found["answer"]["guess"] is None and found["boxes"] == []


@pytest.mark.parametrize(
    ("selection", "mark", "words"),
    [
        (chosen(RIGHT, FAR), "right", "Right: IoU 1.00"),
        (chosen(RIGHT, FAR, index=1), "wrong", "The LLM failed: a right candidate was in the list"),
        (Selection((FAR,), 0, (), Reason.ONLY_CANDIDATE), "wrong", "The detectors failed"),
        (Selection((), None, (), Reason.NO_CANDIDATES), "wrong", "The detectors failed"),
        (chosen(FAR, RIGHT, reason=Reason.FALLBACK_TOO_LONG), "wrong", "The LLM was not asked"),
        (chosen(RIGHT, FAR, index=None, reason=Reason.ABSTAINED), "wrong", "below your threshold"),
        (chosen(RIGHT, FAR, index=None, reason=Reason.NONE_MEANT), "wrong", "took none of the boxes"),
    ],
)
def test_right_or_wrong_and_whose_fault(selection: Selection, mark: str, words: str) -> None:
    found, said = view.judged(replace(answered(selection), truth=TRUTH), selection)
    assert found == mark and words in said


def test_where_nothing_is_meant_not_found_is_right() -> None:
    none = chosen(RIGHT, FAR, index=None, reason=Reason.NONE_MEANT)
    assert view.judged(replace(answered(none), absent=True), none)[0] == "right"
    assert view.judged(replace(answered(chosen(RIGHT, FAR)), absent=True), chosen(RIGHT, FAR))[0] == "wrong"
    assert view.judged(answered(none), none) == ("", "")


def test_what_the_bundled_models_cannot_know_is_never_a_confident_answer() -> None:
    """Models of another world, and words for what they cannot name: told apart from something that is not there."""
    doubtful = {
        "looks like a photograph": answered(chosen(RIGHT, FAR), PHOTOGRAPH),
        "looks like a drawn scene": answered(chosen(RIGHT, FAR), SCENE, ("yolox",)),
        "“zebra” is none of the 67 kinds of thing that these models": answered(chosen(RIGHT, FAR), words="the left zebra"),
        "“lighthouse” is none of the 80 kinds of thing that YOLOX": answered(chosen(RIGHT, FAR), PHOTOGRAPH, ("yolox",), "lighthouse"),
        "“asdf” is none": answered(chosen(RIGHT, FAR), words="asdf"),
    }
    for why, s in doubtful.items():
        found = view.view(0, "name", s).value()["answer"]
        assert why in found["why"] and not found["sure"] and found["headline"].startswith("Only a guess: ")
    for fine in (answered(chosen(RIGHT, FAR)), answered(chosen(RIGHT, FAR), PHOTOGRAPH, ("yolox",))):
        assert view.view(0, "name", fine).value()["answer"]["sure"]


def test_what_can_be_named_is_said_before_anything_is_asked() -> None:
    [note] = view.view(0, "name", Session(PHOTOGRAPH)).value()["notes"]
    assert "80 kinds of thing" in note and "umbrella" in note
    assert "no clothes or actions" in note.split(":")[0], "what it cannot know is said in the line that is always in view"
    assert view.view(0, "name", Session(SCENE)).value()["notes"] == []


def test_progress_shows_the_boxes_that_are_there_and_no_answer() -> None:
    found = view.view(1, "name", Session(SCENE, "the cup"), view.Progress("GDrec is looking …", (FAR,))).value()
    assert found["busy"] == "GDrec is looking …" and found["answer"] is None and len(found["boxes"]) == 1


def test_details_say_who_did_what_and_whether_it_was_remembered() -> None:
    timed = replace(chosen(RIGHT, FAR), timings_ms={"gdrec": 30.2, "llama": 9.9}, prompt="Boxes:", left_out=3)
    rows = dict(view.details(answered(timed), timed))
    assert rows["Times"] == "GDrec 1 box in 30 ms, LLM 10 ms" and rows["Left out"].startswith("3 boxes")
    assert rows["Adapter"].startswith("gdrec, trained on") and rows["Lead over the second"] == "54 points"
    recalled = replace(answered(timed), recalled=True)
    assert dict(view.details(recalled, timed))["Times"].startswith("from memory; when it was first asked: ")


def test_the_picture_is_a_file_that_gradio_serves() -> None:
    found = view.picture(SCENE)
    assert (found["width"], found["height"]) == SCENE.size
    assert found["file"]["meta"] == {"_type": "gradio.FileData"} and Path(found["file"]["path"]).is_file()
