"""The Locate tab's handlers, without a browser."""

import json
import os
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from jsonschema import Draft202012Validator
from PIL import Image

from wrapper.candidates import Candidate, Reason, Selection
from wrapper.draw import COLORS
from wrapper.errors import DataError
from wrapper.pipeline import Wrapper
from wrapper.ui import answer, common, locate, models
from wrapper.worlds import World

ROOT = Path(__file__).parents[2]
SCHEMA = Draft202012Validator(json.loads((ROOT / "docs" / "trace.schema.json").read_text()))
ROWS = json.loads((ROOT / "examples" / "examples.json").read_text())
EXAMPLE = next(i for i, r in enumerate(ROWS) if r["category"] == "position")


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    models.load("tiny")


@pytest.fixture(scope="module")
def session() -> answer.Session:
    """The finished answer to an example."""
    path, expression, true_box = locate.example(str(EXAMPLE)) or ("", "", "")
    *_, last = locate.live(path, expression, ["gdrec", "florence2"], true_box=true_box)
    assert last[-1] is not None and len(last[-1].selection.candidates) >= 3
    return last[-1]


def test_results_arrive_stage_by_stage() -> None:
    path, expression, _ = locate.example(str(EXAMPLE)) or ("", "", "")
    first, second, last = locate.live(path, expression, ["gdrec", "florence2"])
    assert "Grounding DINO" not in first[1] and "GDrec is looking" in first[1]
    assert {row[1] for row in first[2]} == {"Florence-2"}
    assert "The LLM is choosing" in second[1]
    assert len(last[2]) == len(second[2]) >= len(first[2])
    assert last[1].startswith("### Box")
    assert not list(SCHEMA.iter_errors(last[5]))


def test_a_question_asked_again_is_remembered_until_other_models_are_loaded() -> None:
    path, expression, _ = locate.example(str(EXAMPLE)) or ("", "", "")
    models.load("tiny", tell=lambda part: None)
    (*_, (*_, first)), (*_, (*_, again)) = (locate.live(path, expression, ["gdrec"]) for _ in range(2))
    assert first is not None and again is not None
    assert first.answered == again.answered, "with the same times"
    assert "from memory" not in answer.in_words(first) and "from memory; when it was first asked: GDrec" in answer.in_words(again)
    *_, changed = locate.ask_again(again, expression, "auto", "")
    assert changed is not None and "from memory" not in answer.in_words(changed)
    models.load("tiny", tell=lambda part: None)
    *_, (*_, later) = locate.live(path, expression, ["gdrec"])
    assert later is not None and not later.recalled


def test_what_cannot_be_asked_is_said_and_the_answer_that_is_there_stays(session: answer.Session, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    for path, words, who, message in (
        (None, "the cup", ["gdrec"], "no picture"), (session.path, " ", ["gdrec"], "no expression"), (session.path, "cup", [], "No model"),
        (str(tmp_path / "text.png"), "the cup", ["gdrec"], "not an image"),
    ):  # fmt: skip
        with pytest.warns(UserWarning, match=message):
            assert list(locate.live(path, words, who)) == [gr.skip()]
        with pytest.raises(gr.Error, match=message):
            locate.locate(path, words, who)


def test_a_changed_question_leaves_no_promise_and_no_true_box_of_another(session: answer.Session) -> None:
    brought = ("the red cup", "1, 2, 3, 4")
    assert locate.changed(None, locate.HINT, "the", "", None) == (gr.skip(), gr.skip())
    assert locate.changed(None, "### The LLM is choosing …", "the red cup", "", None) == (locate.DROPPED, gr.skip())
    words, truth = locate.changed(session, "### Box 0", f" {session.expression}", "1, 2, 3, 4", brought)
    assert words == answer.in_words(session) and truth == "", "the same words, but not those the box came with"
    assert locate.changed(session, "### Box 0", "the red cup", "1, 2, 3, 4", brought)[1] == gr.skip()
    words, truth = locate.changed(session, "### Box 0", "the blue cup", "5, 6, 7, 8", brought)
    assert words == f"{answer.in_words(session)}\n\n{locate.OTHER_WORDS}" and truth == gr.skip(), "that box was typed by hand"
    *_, asked = locate.ask_again(session, "the smallest one", "auto", "")
    assert asked is not None and asked.truth is None and "Wrong" not in answer.in_words(asked)


def test_another_picture_takes_the_place_of_the_answer(tmp_path: Path) -> None:
    *blank, session, truth, picture, _ = locate.take_picture(None, ["gdrec"])
    assert blank[1] == locate.HINT and session is None and truth == "" and picture == gr.skip()
    (tmp_path / "text.png").write_text("no image")
    with pytest.warns(UserWarning, match="not an image"):
        assert locate.take_picture(str(tmp_path / "text.png"), [])[-2] is None, "what cannot be opened does not stay there"


def test_cancel_leaves_an_answer_that_is_there(session: answer.Session) -> None:
    assert locate.cancelled(session, "### Box 0") == locate.cancelled(None, locate.HINT) == gr.skip()
    assert locate.cancelled(None, "### GDrec is looking …") == locate.CANCELLED


def click(session: answer.Session, does: str, x: float, y: float, label: str = "") -> answer.Session:
    event = gr.SelectData(None, {"index": [x, y], "value": None})
    *_, after, _ = locate.click(session, does, label, event)
    assert after is not None
    return after


def test_two_presses_make_a_box_of_what_they_were_meant_for(session: answer.Session) -> None:
    one = click(session, locate.TRUTH, 90, 80)
    assert click(one, locate.TRUTH, 10, 20).truth == (10, 20, 90, 80)
    elsewhere = click(one, locate.ADD, 30, 30, "cup")
    assert len(elsewhere.selection.candidates) == len(session.selection.candidates), "that was the first corner of another box"
    [added] = [c for c in click(elsewhere, locate.ADD, 60, 70, "cup").selection.candidates if c.source == "user"]
    assert (added.box, added.label, added.source) == ((30, 30, 60, 70), "cup", "user")
    with pytest.warns(UserWarning, match="no label yet"):
        assert locate.click(session, locate.ADD, " ", gr.SelectData(None, {"index": [1, 1], "value": None})) == gr.skip()


def test_a_label_is_no_markdown(session: answer.Session) -> None:
    """A picture in it would be fetched from wherever it says."""
    *_, after = locate.add_candidate(session, "![x](https://example.org/t.png) <b>", "10, 20, 60, 90")
    assert after is not None
    last = len(after.selection.candidates) - 1
    chosen = replace(after, answered=replace(after.answered, index=last, probabilities=(), reason=Reason.CHOSEN))
    words = answer.in_words(chosen)
    assert "![" not in words and "https:" not in words and "<b>" not in words


def test_the_same_as_the_library(session: answer.Session) -> None:
    wrapper: Wrapper = models.now().wrapper
    direct = wrapper.locate(session.path, session.expression, session.proposers)
    assert direct.index == session.selection.index
    assert direct.candidates == session.selection.candidates


def test_deleting_asks_only_the_llm(session: answer.Session) -> None:
    pick = session.selection.index
    assert pick is not None
    *_, after = locate.delete_candidate(replace(session, marked=pick))
    assert after is not None
    assert after.selection.candidates == tuple(c for i, c in enumerate(session.selection.candidates) if i != pick)
    assert set(after.selection.timings_ms) == {"llama"}
    assert after.marked is None
    with pytest.warns(UserWarning, match="No candidate is pointed out"):
        assert locate.delete_candidate(session) == gr.skip()


def test_a_candidate_can_be_added(session: answer.Session) -> None:
    *_, prompt, _, facts, _, after = locate.add_candidate(session, " a\ncup ", "[10, 20, 60, 90]")
    [added] = [c for c in facts["candidates"] if c["source"] == "user"]
    assert (added["box"], added["score"], added["index"]) == ([10, 20, 60, 90], None, 0), "it stands where it is read"
    assert after is not None and answer.table(after.selection)[0][1] == "you"
    assert "a cup 10,20,60,90 = 0\n" in prompt, "the LLM reads no source that it never saw"
    for label, box in (("", "1, 2, 3, 4"), ("cup", ""), ("cup", "5, 5, 1, 9"), ("cup", "one two"), ("cup", "0, 0, 99999, 5")):
        with pytest.warns(UserWarning, match="A candidate needs|does not fit|is no box"):
            assert locate.add_candidate(session, label, box) == gr.skip()
    assert after is not None and after.size == session.size


def test_another_expression_is_read_by_the_llm_alone(session: answer.Session) -> None:
    found = locate.ask_again(session, "the smallest one", "zero-shot", "")
    assert "the smallest one" in found[3]
    assert found[5]["candidates"][0]["box"] == list(session.selection.candidates[0].box)


def test_the_threshold_is_applied_and_taken_back(session: answer.Session) -> None:
    unsure = locate.set_thresholds(session, 1.0, 0.0)
    assert unsure[1].startswith("### Not found (best guess: box") and "below your threshold" in unsure[1]
    assert "LLM probability" in unsure[1]
    assert unsure[5]["reason"] == "abstained" and unsure[5]["box"] is None
    assert not list(SCHEMA.iter_errors(unsure[5]))
    unseen = locate.set_thresholds(unsure[-1], 0.0, 1.0)
    assert unseen[1].startswith("### Not found (best guess: box") and "of the kind" in unseen[1]
    assert "The best score is" in unseen[1] and "LLM probability" not in unseen[1]
    assert unseen[5]["reason"] == "unseen" and not list(SCHEMA.iter_errors(unseen[5]))
    back = locate.set_thresholds(unseen[-1], 0.0, 0.0)
    assert back[-1].selection == session.selection


def test_clicking_selects_the_smallest_box_under_the_pointer() -> None:
    boxes = [(0, 0, 100, 100), (20, 20, 50, 50), (200, 200, 300, 300)]
    candidates = tuple(Candidate(b, "cup", None, "gdrec") for b in boxes)  # type: ignore[arg-type]
    assert locate.smallest(candidates, 30, 30) == 1
    assert locate.smallest(candidates, 90, 90) == 0
    assert locate.smallest(candidates, 150, 150) is None


@pytest.mark.parametrize(
    ("index", "words"),
    [(0, "**Right**: IoU 1.00"), (1, "The LLM failed: a right candidate was in the list"), (None, "The detectors failed")],
)
def test_who_failed(index: int | None, words: str) -> None:
    truth = (0.0, 0.0, 100.0, 100.0)
    far = Candidate((200.0, 0.0, 300.0, 100.0), "cup", None, "gdrec")
    candidates = (far,) if index is None else (Candidate(truth, "cup", None, "gdrec"), far)
    assert words in answer.verdict(Selection(candidates, index or 0, (), Reason.CHOSEN), truth)


def test_the_llm_does_not_fail_where_it_was_not_asked() -> None:
    truth = (0.0, 0.0, 100.0, 100.0)
    two = (Candidate((200.0, 0.0, 300.0, 100.0), "cup", None, "gdrec"), Candidate(truth, "cup", None, "gdrec"))
    assert "The LLM was not asked" in answer.verdict(Selection(two, 0, (), Reason.FALLBACK_TOO_LONG), truth)


def test_nothing_found_is_the_detectors_fault() -> None:
    assert "The detectors failed" in answer.verdict(Selection((), None, (), Reason.NO_CANDIDATES), (0.0, 0.0, 9.0, 9.0))


def test_the_shuffle_check_counts_orders(session: answer.Session) -> None:
    words = locate.shuffle(session)
    assert f"all {locate.ORDERS}** other orders" in words or (f"of {locate.ORDERS}** other orders" in words and "same object" in words)
    with pytest.warns(UserWarning, match="no answer yet"):
        assert locate.shuffle(None) == gr.skip()


def test_a_photo_is_warned_about_and_a_scene_is_not(session: answer.Session, tmp_path: Path) -> None:
    assert "looks like a photograph" not in answer.remarks(session)
    photo = replace(session, world=World.PHOTOGRAPH)
    assert "looks like a photograph" in answer.remarks(photo) and "looks like a photograph" in answer.in_words(photo)


def test_a_new_scene_comes_with_its_expression_and_true_box() -> None:
    path, expression, true_box, brought, proposers = locate.new_scene("ordinal", ["gdrec"])
    assert proposers == ["gdrec"]
    assert brought == (expression, true_box)
    with Image.open(path) as picture:
        assert common.read_box(true_box, picture.size)
    assert expression
    assert locate.new_scene("any", [])[0] != path


def test_links_name_examples() -> None:
    assert (locate.example("0") or ("",))[0].endswith(ROWS[0]["image"])
    for wrong in (None, "", "-1", "999", "x"):
        assert locate.example(wrong) is None


@pytest.mark.parametrize("text", ["1, 2, 3", "a, b, c, d", "5, 5, 5, 9", "-1, 0, 5, 5", "0, 0, 101, 50", "nan, 0, 5, 5", "inf, 0, 5, 5"])
def test_boxes_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(DataError):
        common.read_box(text, (100, 50))


def rotated(path: Path) -> Path:
    """A tall picture that a camera stored lying, with a note on how to turn it."""
    Image.linear_gradient("L").resize((300, 180)).convert("RGB").save(path, exif=_turned())
    return path


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    return exif


@pytest.mark.parametrize("kind", ["rotated", "wide", "large"])
def test_the_boxes_in_the_json_are_the_pixels_drawn(session: answer.Session, tmp_path: Path, kind: str) -> None:
    """In downloads: rotated by EXIF, far from square, and larger than what the page shows."""
    path = tmp_path / "upload.jpg"
    if kind == "rotated":
        rotated(path)
    else:
        Image.new("RGB", (900, 120) if kind == "wide" else (2400, 1800), "white").save(path)
    upright = common.open_upload(str(path))
    w, h = upright.size
    assert (w, h) == {"rotated": (180, 300), "wide": (900, 120), "large": (2400, 1800)}[kind]
    boxes = [(0.1 * w, 0.2 * h, 0.4 * w, 0.7 * h), (0.6 * w, 0.3 * h, 0.9 * w, 0.9 * h)]
    selection = Selection(tuple(Candidate(b, "cup", None, "gdrec") for b in boxes), None, (0.5, 0.5), Reason.ABSTAINED)
    files = locate.downloads(replace(session, path=str(path), size=(w, h), answered=selection, truth=None))
    assert files is not None
    facts = json.loads(Path(files[1]).read_text())
    assert not list(SCHEMA.iter_errors(facts))
    with Image.open(files[0]) as drawn:
        assert drawn.size == tuple(facts["image_size"]) == (w, h)
        pixels = np.asarray(drawn.convert("RGB")).astype(int)
    color = np.array([int(COLORS["gdrec"][i : i + 2], 16) for i in (1, 3, 5)])
    painted = np.abs(pixels - color).sum(2) < 60
    thickness = max(2, round(min(w, h) / 200)) + 1
    for c in facts["candidates"]:
        x1, y1, x2, y2 = (round(v) for v in c["box"])
        for x, y in ((x1, (y1 + y2) // 2), (x2, (y1 + y2) // 2), ((x1 + x2) // 2, y1), ((x1 + x2) // 2, y2)):
            around = painted[max(0, y - thickness) : y + thickness + 1, max(0, x - thickness) : x + thickness + 1]
            assert around.any(), f"no line at {x}, {y}"
        assert not painted[(y1 + y2) // 2, (x1 + x2) // 2]


def test_downloads_carry_nothing_of_the_upload_but_its_pixels(session: answer.Session, tmp_path: Path) -> None:
    path = tmp_path / "secret-name.jpg"
    exif = _turned()
    exif[0x010E] = "secret words"
    Image.new("RGB", (200, 100)).save(path, exif=exif)
    files = locate.downloads(replace(session, path=str(path), size=(100, 200), answered=Selection((), None, (), Reason.NO_CANDIDATES)))
    assert files is not None and len(files) == 5
    assert not any(b"secret" in Path(f).read_bytes() for f in files)
    with Image.open(files[0]) as drawn:
        assert not drawn.info and not drawn.getexif()


def test_files_of_requests_long_past_are_deleted() -> None:
    old, new = common.scratch(), common.scratch()
    (old / "picture.png").write_bytes(b"x")
    os.utime(old, (0, 0))
    common.scratch()
    assert not old.exists()
    assert new.exists()


def test_a_picture_that_is_gone_is_said_without_naming_the_servers_files(session: answer.Session) -> None:
    with pytest.warns(UserWarning, match="not kept any longer") as caught:
        locate.set_truth(replace(session, path="/tmp/gone/picture.png"), "")
    assert "/tmp" not in str(caught[0].message)


@pytest.mark.parametrize(
    ("link", "meant"),
    [
        ({}, (["gdrec"], "zero-shot", 0.2, 0.5)),
        ({"proposers": "florence2,gdrec", "adapter": "auto", "score": "0.6"}, (["florence2", "gdrec"], "auto", 0.2, 0.6)),
        ({"proposers": "nobody", "adapter": "gdrec", "probability": "much"}, (["florence2", "gdrec"], "gdrec", 0.0, 0.5)),
        ({"probability": "nan"}, (["gdrec"], "zero-shot", 0.0, 0.5)),
        ({"score": "7"}, (["gdrec"], "zero-shot", 0.2, 0.0)),
    ],
)
def test_a_links_settings_count_before_remembered_ones(link: dict[str, str], meant: tuple[list[str], str, float, float]) -> None:
    assert locate.settings([["gdrec"], "zero-shot", 0.2, 0.5], link) == meant


@pytest.mark.parametrize(
    "damaged", [None, 5, {}, [], [["gdrec"], "zero-shot", 0.2], [["gdrec"], 7, None, 10**400], [5, "zero-shot", [], {}]]
)
def test_whatever_a_browser_remembers_is_no_error(damaged: object) -> None:
    proposers, adapter, probability, score = locate.settings(damaged, {})
    assert set(proposers) <= {"florence2", "gdrec"} and proposers and isinstance(adapter, str)
    assert 0 <= probability <= 1 and 0 <= score <= 1


def test_words_that_mean_nothing_here_still_do_when_asked_again(session: answer.Session) -> None:
    *_, found = locate.live(session.path, "Asdfghjkl!", ["florence2", "gdrec"])
    after = found[-1]
    assert after.answered.reason is Reason.NOTHING_LIKE_IT
    *_, again = locate.ask_again(after, "asdfghjkl", "auto", "")
    assert again.answered.reason is Reason.NOTHING_LIKE_IT and "Not found" in answer.in_words(again)
    assert "other orders" in locate.shuffle(after)
    *_, other = locate.ask_again(after, "the largest one", "auto", "")
    assert other.answered.index is not None
