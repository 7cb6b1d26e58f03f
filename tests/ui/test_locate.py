"""The Locate tab's handlers, without a browser: what a visitor does, in any order, and what a browser may send."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import orjson
import pytest
from gradio.utils import get_upload_folder
from jsonschema import Draft202012Validator
from PIL import Image

from tests.ui.visits import visit_of
from wrapper.candidates import BY_HAND, Candidate, Reason, Selection, Thresholds
from wrapper.draw import COLORS
from wrapper.errors import DataError
from wrapper.ui import answers, common, locate, models
from wrapper.ui.session import Picture, Session, Settings
from wrapper.ui.store import sessions
from wrapper.worlds import World

ROOT = Path(__file__).parents[2]
SCHEMA = Draft202012Validator(json.loads((ROOT / "docs" / "trace.schema.json").read_text()))
ROWS = json.loads((ROOT / "examples" / "examples.json").read_text())
EXAMPLE = next(i for i, r in enumerate(ROWS) if r["category"] == "position")
NOTHING: list[Any] = [[], "auto", 0.0, 0.0]
"""The settings as they are at first."""


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    models.load("bundled")


def send(handler: Any, number: int = 1, given: list[Any] = NOTHING, **data: Any) -> list[dict[str, Any]]:
    """What the canvas is told, from first to last."""
    event = gr.EventData(None, {"number": number, **data})
    return list(locate.answering(handler)(event, visit_of(), None, *given))


def last(handler: Any, **data: Any) -> dict[str, Any]:
    return send(handler, **data)[-1]


def opened(
    number: int = 1, query: dict[str, str] | None = None, remembered: Any = None, given: list[Any] = NOTHING, **data: Any
) -> list[dict[str, Any]]:
    return list(locate.opened(gr.EventData(None, {"number": number, **data}), visit_of(query), remembered, *given))


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    """The finished answer to an example."""
    return last(locate.example, example=EXAMPLE)


def kept(value: dict[str, Any]) -> Session:
    found = sessions.find(value["session"])
    assert found is not None
    return found


@pytest.fixture
def uploads(tmp_path: Path) -> Iterator[Path]:
    """A folder whose files count as uploaded."""
    folder = Path(get_upload_folder()) / f"test-{tmp_path.name}"
    folder.mkdir(parents=True)
    yield folder
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()


# ---- answers


def test_results_arrive_stage_by_stage() -> None:
    models.load("bundled", tell=lambda part: None)  # nothing is remembered
    looking, first, second, final = send(locate.example, 7, example=EXAMPLE)
    assert looking["busy"] == "Florence-2 is looking …" and looking["words"] == ROWS[EXAMPLE]["expression"] and looking["boxes"] == []
    assert first["busy"] == "GDrec is looking …" and {b["who"] for b in first["boxes"]} == {"Florence-2"}
    assert second["busy"] == "The LLM is choosing …" and len(second["boxes"]) >= len(first["boxes"])
    assert final["busy"] == "" and final["answer"]["mark"] == "right" and len(final["boxes"]) == len(second["boxes"])
    assert {v["number"] for v in (looking, first, second, final)} == {7}, "each says which request it answers"
    assert looking["session"] == first["session"] != final["session"]


def test_a_run_that_was_stopped_can_be_gone_on_with() -> None:
    """The picture and words of the new question are kept before it is answered, without anything of the answer before."""
    looking = send(locate.scene, given=[*NOTHING, "ordinal"])[0]
    s = kept(looking)
    assert s.answered is None and s.words and s.truth is not None
    after = last(locate.ask, session=looking["session"], words=s.words)
    assert after["answer"] is not None and after["truth"] == list(s.truth)


def test_a_question_asked_again_is_remembered_until_other_models_are_loaded(shown: dict[str, Any]) -> None:
    models.load("bundled", tell=lambda part: None)
    first, again = (last(locate.ask, session=shown["session"], words=shown["words"]) for _ in range(2))
    assert not kept(first).recalled and kept(again).recalled
    assert kept(first).answered == kept(again).answered, "with the same times"
    changed = last(locate.again, session=again["session"], words="the smallest one")
    assert not kept(changed).recalled
    models.load("bundled", tell=lambda part: None)
    assert not kept(last(locate.ask, session=shown["session"], words=shown["words"])).recalled


def test_the_same_as_the_library(shown: dict[str, Any]) -> None:
    s = kept(shown)
    direct = models.now().wrapper.locate(s.picture.path, s.words, s.asked)
    assert (direct.index, direct.candidates) == (s.answer.index, s.answer.candidates)


def test_who_is_asked_follows_the_picture_unless_it_is_chosen() -> None:
    scene, photo = Picture("a.png", (9, 9), World.SCENE), Picture("a.png", (9, 9), World.PHOTOGRAPH)
    assert set(answers.proposers_for(Session(scene))) == {"florence2", "gdrec"}
    assert answers.proposers_for(Session(photo)) == ["yolox"]
    assert answers.proposers_for(Session(photo, settings=Settings(("gdrec",)))) == ["gdrec"]
    with pytest.raises(DataError, match="nobody"):
        answers.proposers_for(Session(photo, settings=Settings(("nobody",))))
    mixed = send(locate.example, given=[["yolox", "gdrec"], "auto", 0.0, 0.0], example=EXAMPLE)
    assert "different worlds" in mixed[-1]["error"]


def test_what_was_asked_before_stops_at_its_next_step() -> None:
    """By another request or Cancel, whose numbers are higher; of the same page only."""
    visit, other = visit_of(), visit_of()
    event = gr.EventData(None, {"number": 3, "example": EXAMPLE})
    run = locate.answering(locate.example)(event, visit, None, *NOTHING)
    assert next(run)["busy"]
    locate.halt(gr.EventData(None, {"number": 9}), other)
    assert next(run)["busy"]
    locate.halt(gr.EventData(None, {"number": 4}), visit)
    assert list(run) == []
    assert list(locate.answering(locate.example)(event, visit, None, *NOTHING)) == [], "one that had waited in the queue"
    later = gr.EventData(None, {"number": 4, "example": EXAMPLE})
    assert list(locate.answering(locate.example)(later, visit, None, *NOTHING))[-1]["answer"]


# ---- the list, changed


def test_taking_a_candidate_away_asks_only_the_llm(shown: dict[str, Any]) -> None:
    before = kept(shown)
    pick = before.answer.index
    assert pick is not None
    after = kept(last(locate.take_box, session=shown["session"], index=pick))
    assert after.answer.candidates == tuple(c for i, c in enumerate(before.answer.candidates) if i != pick)
    assert set(after.answer.timings_ms) == {"llama"}
    assert sessions.find(shown["session"]) is before, "undo finds what was there"


@pytest.mark.parametrize("handler", [locate.again, locate.take_box, locate.add_box, locate.move_box])
def test_whatever_is_done_to_a_list_the_adapter_that_is_set_reads_it(handler: Any, shown: dict[str, Any]) -> None:
    data = {"session": shown["session"], "words": "the cup", "index": 0, "box": [5, 5, 60, 60], "label": "cup"}
    assert kept(shown).settings.adapter == "auto"
    value = send(handler, given=[[], "zero-shot", 0.3, 0.0], **data)[-1]
    after = kept(value)
    assert (after.settings.adapter, after.settings.thresholds.probability) == ("zero-shot", 0.3)
    assert after.settings.proposers == kept(shown).settings.proposers


def test_a_file_of_boxes_knows_an_uploaded_picture_by_its_name(uploads: Path, tmp_path: Path) -> None:
    """Uploads are kept under their own names, and the same picture under another name is another question."""
    boxes = tmp_path / "boxes.jsonl"
    boxes.write_text(json.dumps({"image": "kitchen.png", "boxes": [[20, 10, 60, 50]], "labels": ["cup"], "scores": [0.9]}))
    models.load("bundled", detectors={"mine": f"file:{boxes}"})
    try:
        for name, right in (("kitchen.png", True), ("other.png", False), ("kitchen.png", True)):
            Image.linear_gradient("L").resize((120, 90)).convert("RGB").save(uploads / name)
            there = last(locate.upload, path=str(uploads / name))
            value = send(locate.ask, given=[["mine"], "auto", 0.0, 0.0], session=there["session"], words="the cup")[-1]
            if right:
                assert [c.label for c in kept(value).answer.candidates] == ["cup"]
            else:
                assert "says nothing about other.png" in value["error"]
    finally:
        models.load("bundled")


def test_the_last_candidate_is_not_taken_away(shown: dict[str, Any]) -> None:
    value = shown
    for _ in range(len(shown["boxes"]) - 1):
        value = last(locate.take_box, session=value["session"], index=0)
    assert len(value["boxes"]) == 1
    assert "would be empty" in last(locate.take_box, session=value["session"], index=0)["error"]


def test_a_candidate_can_be_added_and_moved(shown: dict[str, Any]) -> None:
    value = last(locate.add_box, session=shown["session"], label=" a\ncup ", box=[10, 20, 60, 90])
    s = kept(value)
    [place] = [i for i, c in enumerate(s.answer.candidates) if c.source == BY_HAND]
    added = s.answer.candidates[place]
    assert added.colors and replace(added, colors=()) == Candidate((10.0, 20.0, 60.0, 90.0), "a cup", None, BY_HAND)
    assert value["boxes"][place]["who"] == "you"
    assert s.answer.prompt and "a cup 10,20,60,90" in s.answer.prompt
    assert "from you" not in s.answer.prompt and "user" not in s.answer.prompt, "the LLM reads no source that it never saw"
    elsewhere = kept(last(locate.move_box, session=value["session"], index=place, box=[12, 22, 70, 99]))
    assert (12.0, 22.0, 70.0, 99.0) in {c.box for c in elsewhere.answer.candidates}


def test_another_expression_is_read_by_the_llm_alone(shown: dict[str, Any]) -> None:
    s = kept(last(locate.again, session=shown["session"], words="the smallest one"))
    assert s.answer.prompt and "the smallest one" in s.answer.prompt and s.truth is None
    assert s.answer.candidates == kept(shown).answer.candidates


def test_words_that_mean_nothing_here_still_do_when_asked_again(shown: dict[str, Any]) -> None:
    first = last(locate.ask, session=shown["session"], words="Asdfghjkl!", given=[["florence2", "gdrec"], "auto", 0.0, 0.0])
    assert kept(first).answer.reason is Reason.NOTHING_LIKE_IT
    again = last(locate.again, session=first["session"], words="asdfghjkl")
    assert kept(again).answer.reason is Reason.NOTHING_LIKE_IT and again["answer"]["headline"].startswith("Not found")
    assert "other orders" in last(locate.shuffle, session=first["session"])["shuffled"]
    other = kept(last(locate.again, session=first["session"], words="the largest one"))
    assert other.answer.reason in (Reason.CHOSEN, Reason.NONE_MEANT), "what the LLM says of these words"


def test_a_true_box_is_judged_by_and_computes_nothing_again(shown: dict[str, Any]) -> None:
    value = last(locate.true_box, session=shown["session"], box=[0, 0, 20, 20])
    assert value["truth"] == [0, 0, 20, 20] and value["answer"]["mark"] == "wrong"
    assert kept(value).answered is kept(shown).answered


def test_thresholds_are_applied_and_taken_back(shown: dict[str, Any]) -> None:
    unsure = locate.thresholds(shown, 1.0, 0.0)
    assert unsure["answer"]["headline"].startswith("Not found") and "below your threshold" in unsure["answer"]["verdict"]
    unseen = locate.thresholds(unsure, 0.0, 1.0)
    assert "the best is 0." in unseen["answer"]["why"] and unseen["number"] is None
    back = locate.thresholds(unseen, 0.0, 0.0)
    assert kept(back).answer == kept(shown).answer
    for nothing in (None, {}, {"session": 5}, {"session": "gone"}, back):
        assert locate.thresholds(nothing, 0.0, 0.0) == gr.skip()


def test_the_shuffle_check_counts_orders(shown: dict[str, Any]) -> None:
    said = last(locate.shuffle, session=shown["session"])["shuffled"]
    assert f"all {answers.ORDERS} other orders" in said or (f"of {answers.ORDERS} other orders" in said and "same object" in said)


# ---- pictures


def test_an_upload_takes_the_place_of_everything_about_the_last_picture(shown: dict[str, Any], uploads: Path) -> None:
    Image.new("RGB", (120, 90), "white").save(uploads / "white.png")
    value = last(locate.upload, session=shown["session"], path=str(uploads / "white.png"), words=shown["words"])
    assert value["answer"] is None and value["truth"] is None and value["words"] == "" and value["boxes"] == []
    assert (value["picture"]["width"], value["picture"]["height"]) == (120, 90)
    typed = last(locate.upload, session=shown["session"], path=str(uploads / "white.png"), words="my cup")
    assert typed["words"] == "my cup", "what the visitor wrote meanwhile stays"
    asked = last(locate.ask, session=typed["session"], words="my cup")
    assert asked["answer"] is not None


def test_only_uploaded_files_are_opened(tmp_path: Path, uploads: Path) -> None:
    """The browser names the file, and may name any."""
    Image.new("RGB", (60, 60)).save(tmp_path / "private.png")
    (uploads / "link.png").symlink_to(tmp_path / "private.png")
    for path in (
        "\0",
        "a" * 9000,
        str(tmp_path / "private.png"),
        str(uploads / ".." / ".." / "etc" / "passwd"),
        str(uploads / "link.png"),
        "",
        "/",
        5,
        None,
    ):
        found = last(locate.upload, path=path)
        assert "error" in found and str(tmp_path) not in found["error"]


def test_what_is_no_picture_gets_its_sentence_and_loses_nothing(uploads: Path) -> None:
    (uploads / "text.png").write_text("no image")
    found = last(locate.upload, path=str(uploads / "text.png"))
    assert "not an image" in found["error"] and found["session"] is None


def test_what_is_shown_says_nothing_besides_its_pixels_and_comes_back_when_it_was_swept_away(tmp_path: Path) -> None:
    """A link hands it to whoever has the link: not where it was taken, nor what its file was called."""
    exif = Image.Exif()
    exif[0x010E] = "secret words"
    Image.new("RGB", (90, 60), "red").save(tmp_path / "secret.jpg", exif=exif, comment=b"secret too")
    Image.new("RGB", (90, 60), "red").save(tmp_path / "secret.png")
    for name in ("secret.jpg", "secret.png"):
        for _ in range(2):
            file = common.for_browser(str(tmp_path / name))
            assert b"secret" not in file.read_bytes() and "secret" not in str(file)
            shutil.rmtree(file.parent)


def test_a_picture_stays_as_long_as_it_is_used(uploads: Path) -> None:
    Image.new("RGB", (90, 60), "red").save(uploads / "mine.png")
    value = last(locate.upload, path=str(uploads / "mine.png"))
    folder = Path(kept(value).picture.path).parent
    os.utime(folder, (0, 0))
    asked = last(locate.ask, session=value["session"], words="the cup")
    common.sweep()
    assert folder.exists() and asked["answer"] is not None
    os.utime(folder, (0, 0))
    common.sweep()
    assert "not kept any longer" in last(locate.ask, session=value["session"], words="the cup")["error"]


def test_what_a_browser_cannot_show_is_shown_as_a_copy(tmp_path: Path) -> None:
    Image.new("RGB", (300, 180), "red").save(tmp_path / "a.tiff")
    rotated(tmp_path / "b.jpg")
    Image.new("RGBA", (90, 90), (0, 0, 0, 0)).save(tmp_path / "c.png")
    for name, size in (("a.tiff", (300, 180)), ("b.jpg", (180, 300)), ("c.png", (90, 90))):
        with Image.open(common.for_browser(str(tmp_path / name))) as picture:
            assert picture.format == "JPEG" and picture.size == size and not picture.getexif()


def test_a_trace_is_replayed_with_its_picture(shown: dict[str, Any], uploads: Path) -> None:
    s = kept(shown)
    written = json.loads(download(s, "trace").read_text())
    shutil.copy(s.picture.path, uploads / "mine.jpg")
    value = last(locate.replay, path=str(uploads / "mine.jpg"), trace=written)
    again = kept(value)
    assert (again.words, again.answer.index, again.answer.probabilities) == (s.words, s.answer.index, s.answer.probabilities)
    assert [c.box for c in again.answer.candidates] == [c.box for c in s.answer.candidates] and again.asked == s.asked
    assert again.truth == s.truth is not None
    assert value["answer"]["prompt"] == s.answer.prompt and value["answer"]["headline"] == shown["answer"]["headline"]
    assert json.loads(download(again, "trace").read_text()) == written
    here = last(locate.replay, session=shown["session"], trace=written)
    assert "without its picture" in here["notice"]
    assert here["answer"]["headline"] == shown["answer"]["headline"], "for the picture that is there"
    Image.new("RGB", (64, 48)).save(uploads / "other.png")
    assert "64 x 48" in last(locate.replay, path=str(uploads / "other.png"), trace=written)["error"]


def test_a_trace_of_models_that_are_not_here_is_shown_and_asks_nobody(shown: dict[str, Any]) -> None:
    s = kept(shown)
    written = json.loads(download(s, "trace").read_text())
    for c in written["candidates"]:
        c["source"], c["sources"] = "mine", ["mine"]
    value = last(locate.replay, session=shown["session"], trace=written)
    assert value["answer"]["headline"] == shown["answer"]["headline"] and kept(value).asked == ()
    assert "no LLM reads them" in last(locate.take_box, session=value["session"], index=0)["error"]
    assert "no LLM reads them" in last(locate.shuffle, session=value["session"])["error"]
    far = written | {"candidates": [c | {"box": [0, 0, 10**6, 10**6]} for c in written["candidates"]]}
    assert "far outside" in last(locate.replay, session=shown["session"], trace=far)["error"]
    nothing = written | {"candidates": [], "index": None, "box": None, "probability": None, "reason": "no_candidates", "prompt": None}
    assert last(locate.replay, session=shown["session"], trace=nothing)["answer"]["headline"] == "Nothing found"
    assert "too long" in last(locate.replay, session=shown["session"], trace=written | {"more": "x" * 10**6})["error"]


# ---- what a browser may send


HANDLERS = [locate.ask, locate.again, locate.take_box, locate.add_box, locate.move_box, locate.true_box, locate.replay]


@pytest.mark.parametrize("number", [-1, 10**30, True, None, "1", float("nan")])
def test_numbers_of_requests_are_taken_as_they_can_be_sent_back(number: Any) -> None:
    value = send(locate.ask, number)[0]
    assert value["number"] in (0, 1) and orjson.dumps(value)


@pytest.mark.parametrize("handler", HANDLERS)
def test_whatever_a_browser_sends_is_a_sentence(handler: Any, shown: dict[str, Any]) -> None:
    for data in (
        {}, {"session": None}, {"session": ["x"]}, {"session": "gone"}, {"session": shown["session"]},
        {"session": shown["session"], "words": 5, "index": "0", "box": "1234", "label": None},
        {"session": shown["session"], "words": " ", "index": 10**9, "box": [1, 2, 3], "label": "cup"},
        {"session": shown["session"], "words": "x" * 9000, "index": True, "box": [float("nan")] * 4, "label": "cup"},
        {"session": shown["session"], "words": "", "index": -1, "box": [10**400, 0, 1, 1], "label": "cup"},
        {"session": shown["session"], "words": "\ud800", "index": 10**30, "box": [0, 0, 0.1, 0.1], "label": "\ud800"},
    ):  # fmt: skip
        for value in send(handler, 3, **data):
            assert value["number"] == 3 and value["error"].endswith((".", ")")), data
            assert orjson.dumps(value)
    assert next(iter(locate.answering(handler)(gr.EventData(None, None), visit_of(), None, *NOTHING)))["error"]


def test_an_answer_that_is_not_kept_any_longer_is_said() -> None:
    assert last(locate.ask, session="gone", words="the cup")["error"] == locate.GONE
    assert "no picture" in last(locate.ask, words="the cup")["error"]


@pytest.mark.parametrize("number", [-1, 999, 10**30, None, "0", 1.5, True])
def test_examples_that_are_none_are_refused(number: Any) -> None:
    assert "no example of this number" in last(locate.example, example=number)["error"]


# ---- opening the page


def test_the_page_opens_answered() -> None:
    value = opened()[-1]
    assert value["answer"] is not None and value["example"] == common.shown_examples()[0]


def test_a_reload_and_undo_bring_back_the_very_answer(shown: dict[str, Any]) -> None:
    [value] = opened(kept=shown["session"])
    assert value == {**shown, "number": 1}
    [back] = opened(session="another", kept=shown["session"], query={"answer": "whatever"})
    assert back["session"] == shown["session"], "a link counts when the page is opened, not later"
    [stricter] = opened(session="another", kept=shown["session"], given=[[], "auto", 1.0, 0.0])
    assert stricter["answer"]["headline"].startswith("Not found"), "by the thresholds as they stand now"
    [gone] = opened(session="another", kept="gone")
    assert gone["error"] == locate.GONE, "and not another picture in its place"


def test_a_link_opens_an_example_with_its_settings_and_a_visit_with_those_of_the_last_one() -> None:
    linked = opened(query={"example": "2", "adapter": "zero-shot", "proposers": "gdrec", "score": "1.0"})[-1]
    assert kept(linked).settings == Settings(("gdrec",), "zero-shot", Thresholds(score=1.0)) and kept(linked).asked == ("gdrec",)
    assert linked["answer"]["headline"].startswith("Not found")
    again = opened(query={}, remembered=[["florence2"], "auto", 0.0, 0.0])[-1]
    assert kept(again).asked == ("florence2",)


def test_an_answer_whose_picture_is_gone_is_followed_by_an_example_and_says_so(shown: dict[str, Any]) -> None:
    name = sessions.keep(replace(kept(shown), picture=Picture("/tmp/gone/picture.png", (60, 60))))
    value = opened(kept=name)[-1]
    assert value["answer"] is not None and "not kept any longer" in value["notice"] and value["session"] != name
    assert "not kept any longer" in locate.thresholds({"session": name}, 0.5, 0.0)["error"]


def test_a_links_answer_comes_first_and_one_that_is_gone_is_said(shown: dict[str, Any]) -> None:
    [value] = opened(query={"answer": shown["session"]}, kept="other")
    assert value["session"] == shown["session"]
    gone = opened(query={"answer": "gone"})[-1]
    assert gone["notice"] == locate.GONE and gone["answer"] is not None


@pytest.mark.parametrize("wrong", ["²", "-1", "999", "x", "", "9" * 5000, "１"])
def test_a_link_to_an_example_that_is_none_is_said(wrong: str) -> None:
    value = opened(query={"example": wrong})[-1]
    assert value["answer"] is not None and ("no example of this number" in value["notice"] or wrong == "")
    assert opened(query={"example": "0"}, kept="x")[-1]["example"] == 0


@pytest.mark.parametrize(
    ("link", "meant"),
    [
        ({}, (["gdrec"], "zero-shot", 0.2, 0.5)),
        ({"proposers": "florence2,gdrec", "adapter": "auto", "score": "0.6"}, (["florence2", "gdrec"], "auto", 0.2, 0.6)),
        ({"proposers": "nobody", "adapter": "gdrec", "probability": "much"}, ([], "gdrec", 0.0, 0.5)),
        ({"probability": "nan"}, (["gdrec"], "zero-shot", 0.0, 0.5)),
        ({"score": "7"}, (["gdrec"], "zero-shot", 0.2, 0.0)),
    ],
)
def test_a_links_settings_count_before_remembered_ones(link: dict[str, str], meant: tuple[list[str], str, float, float]) -> None:
    assert locate.linked([["gdrec"], "zero-shot", 0.2, 0.5], link) == meant


def test_only_proposers_that_can_be_chosen_are_chosen(shown: dict[str, Any]) -> None:
    """Gradio refuses every question with another one among them, and there would be no box to untick."""
    assert "gd" in models.proposers() and "gd" not in dict(locate.choices()).values()
    assert locate.linked(None, {"proposers": "gd"})[0] == locate.linked([["gd"], "auto", 0, 0], {})[0] == []
    s = replace(kept(shown), settings=Settings(("gd", "gdrec")))
    chosen, *_ = locate.restore(None, visit_of({"answer": sessions.keep(s)}))
    assert chosen["value"] == ["gdrec"]


@pytest.mark.parametrize(
    "damaged", [None, 5, {}, [], [["gdrec"], "zero-shot", 0.2], [["gdrec"], 7, None, 10**400], [5, "zero-shot", [], {}]]
)
def test_whatever_a_browser_remembers_is_no_error(damaged: object) -> None:
    proposers, adapter, probability, score = locate.linked(damaged, {})
    assert set(proposers) <= set(models.proposers()) and isinstance(adapter, str)
    assert 0 <= probability <= 1 and 0 <= score <= 1


# ---- downloads


def rotated(path: Path) -> Path:
    """A tall picture that a camera stored lying, with a note on how to turn it."""
    Image.linear_gradient("L").resize((300, 180)).convert("RGB").save(path, exif=_turned())
    return path


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    return exif


def download(s: Session, kind: str) -> Path:
    found = locate.download({"session": sessions.keep(s), "kind": kind})
    return Path(found["path"])


@pytest.mark.parametrize("kind", ["rotated", "wide", "large"])
def test_the_boxes_in_the_json_are_the_pixels_drawn(tmp_path: Path, kind: str) -> None:
    """Rotated by EXIF, far from square, and large."""
    path = tmp_path / "upload.jpg"
    if kind == "rotated":
        rotated(path)
    else:
        Image.new("RGB", (900, 120) if kind == "wide" else (2400, 1800), "white").save(path)
    w, h = common.open_upload(str(path)).size
    assert (w, h) == {"rotated": (180, 300), "wide": (900, 120), "large": (2400, 1800)}[kind]
    boxes = [(0.1 * w, 0.2 * h, 0.4 * w, 0.7 * h), (0.6 * w, 0.3 * h, 0.9 * w, 0.9 * h)]
    selection = Selection(tuple(Candidate(b, "cup", None, "gdrec") for b in boxes), None, (0.5, 0.5), Reason.ABSTAINED)
    s = Session(Picture(str(path), (w, h)), "the cup", answered=selection)
    facts = json.loads(download(s, "trace").read_text())
    assert not list(SCHEMA.iter_errors(facts))
    with Image.open(download(s, "picture")) as drawn:
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


def test_downloads_are_of_the_answer_that_is_named_and_carry_nothing_of_the_upload_but_its_pixels(tmp_path: Path) -> None:
    path = tmp_path / "secret-name.jpg"
    exif = _turned()
    exif[0x010E] = "secret words"
    Image.new("RGB", (200, 100)).save(path, exif=exif)
    s = Session(Picture(str(path), (100, 200)), "the cup", answered=Selection((), None, (), Reason.NO_CANDIDATES))
    files = {kind: download(s, kind) for kind in ("picture", *locate.FILES)}
    assert not any(b"secret" in file.read_bytes() for file in files.values())
    with Image.open(files["picture"]) as drawn:
        assert not drawn.info and not drawn.getexif()


def test_downloads_that_are_none_are_said() -> None:
    s = Session(Picture(str(common.EXAMPLES / "relation-7.jpg"), (640, 480)), "the cup")
    for asked in (None, 5, {}, {"session": "gone", "kind": "coco"}, {"session": sessions.keep(s), "kind": "../etc"}):
        assert set(locate.download(asked)) == {"error"}
    assert "no answer yet" in locate.download({"session": sessions.keep(s), "kind": "coco"})["error"]


def test_files_of_requests_long_past_are_deleted() -> None:
    old, new = common.scratch(), common.scratch()
    (old / "picture.png").write_bytes(b"x")
    os.utime(old, (0, 0))
    common.scratch()
    assert not old.exists()
    assert new.exists()


def test_a_picture_that_is_gone_is_said_without_naming_the_servers_files(shown: dict[str, Any]) -> None:
    s = replace(kept(shown), picture=Picture("/tmp/gone/picture.png", (60, 60)), settings=Settings(thresholds=Thresholds(0.1)))
    found = last(locate.ask, session=sessions.keep(s), words="the cup")
    assert "not kept any longer" in found["error"] and "/tmp" not in found["error"]


@pytest.mark.parametrize("text", ["1, 2, 3", "a, b, c, d", "5, 5, 5, 9", "-1, 0, 5, 5", "0, 0, 101, 50", "nan, 0, 5, 5", "inf, 0, 5, 5"])
def test_boxes_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(DataError):
        common.read_box(text, (100, 50))
