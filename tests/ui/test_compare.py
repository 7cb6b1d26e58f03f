"""The Compare tab's handlers, without a browser."""

from dataclasses import replace
from typing import Any

import gradio as gr
import pytest

from tests.ui.visits import visit_of
from wrapper.ui import benchmark, common, compare, locate, models
from wrapper.ui.session import Picture, Session, Settings
from wrapper.ui.store import sessions
from wrapper.worlds import World


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    models.load("bundled")


@pytest.fixture(scope="module")
def question() -> dict[str, Any]:
    """What the Locate tab shows."""
    return {"session": sessions.keep(locate.of_example(2, Settings()))}


def compared(value: Any, chosen: Any = (), adapters: Any = (), orders: Any = (), number: int = 4) -> list[dict[str, Any]]:
    return list(compare.compare(gr.EventData(None, {"number": number}), visit_of(), value, list(chosen), list(adapters), list(orders)))


def test_answers_come_as_the_models_are_done(question: dict[str, Any]) -> None:
    first, *between, done = compared(question)
    assert first["busy"] and first["rows"] == [] and first["words"] == "drum higher up shown in this picture"
    assert [len(v["rows"]) for v in between] == sorted(len(v["rows"]) for v in between) and between[0]["rows"][0]["name"] == "GD alone"
    assert done["busy"] == "" and len(done["rows"]) == 7 and len(done["matrix"]) == len(done["facts"]["methods"]) == 7
    assert {v["number"] for v in (first, *between, done)} == {4}
    assert {row["mark"] for row in done["rows"]} <= {"right", "wrong"} and "agree" in done["agree"]
    assert all(row["boxes"] and row["pick"] is not None for row in done["rows"])


def test_adapters_orders_and_detectors_can_be_compared(question: dict[str, Any]) -> None:
    *_, done = compared(question, ["gdrec", "florence2,gdrec+llm"], ["zero-shot", "ensemble"], ["as always", "reversed"])
    assert [row["name"] for row in done["rows"]] == [
        "GDrec alone",
        "Florence-2 + GDrec + LLM (zero-shot)", "Florence-2 + GDrec + LLM (zero-shot), reversed",
        "Florence-2 + GDrec + LLM (ensemble)", "Florence-2 + GDrec + LLM (ensemble), reversed",
    ]  # fmt: skip
    usual, reversed_ = done["rows"][1], done["rows"][2]
    assert [b["box"] for b in usual["boxes"]] == [b["box"] for b in reversed_["boxes"]][::-1]
    *_, both = compared(question, ["gdrec", "yolox+llm"])
    assert [row["name"] for row in both["rows"]] == ["GDrec alone", "YOLOX + LLM (zero-shot)"], "models of both worlds"


def test_a_comparison_stops_when_the_visitor_has_had_enough(question: dict[str, Any]) -> None:
    visit, event = visit_of(), gr.EventData(None, {"number": 1})
    run = compare.compare(event, visit, question, [], [], [])
    assert next(run)["busy"]
    compare.halt(gr.EventData(None, {"number": 2}), visit)
    assert list(run) == []


def test_a_photograph_is_compared_by_those_who_know_it() -> None:
    s = Session(Picture(str(common.EXAMPLES / "coffee.jpg"), (600, 400), World.PHOTOGRAPH), "the cup")
    *_, done = compared({"session": sessions.keep(s)})
    assert [row["name"] for row in done["rows"]] == ["YOLOX alone", "YOLOX + LLM (zero-shot)"] and done["rows"][0]["mark"] == ""


def test_the_question_of_the_locate_tab_takes_the_place_of_what_was_compared(question: dict[str, Any]) -> None:
    shown = compare.question(question, None)
    assert shown["number"] is None and shown["rows"] == [] and shown["words"]
    assert compare.question(question, shown) == gr.skip(), "what is compared already stays"
    edited = {"session": sessions.keep(replace(sessions.find(question["session"]) or shown, edited=True))}
    assert compare.question(edited, shown) == gr.skip(), "also when the list was changed in Locate"
    gone = {"session": sessions.keep(Session(Picture("/tmp/gone/a.png", (60, 60)), "the cup"))}
    assert "not kept any longer" in compare.question(gone, shown)["error"]
    for nothing in (None, {}, {"session": 5}, {"session": "gone"}):
        assert compare.question(nothing, shown) == gr.skip()


def test_what_cannot_be_compared_is_said(question: dict[str, Any]) -> None:
    wordless = sessions.keep(Session(Picture(str(common.EXAMPLES / "coffee.jpg"), (600, 400))))
    for value, words in (({}, "nothing to compare"), ({"session": "gone"}, "not kept"), ({"session": wordless}, "no expression")):
        assert words in compared(value)[-1]["error"]
    assert "no method" in compared(question, ["gdrec+magic"])[-1]["error"]
    assert "no adapter" in compared(question, ["gdrec+llm"], ["nobody"])[-1]["error"]


def test_methods_of_either_world_are_offered_and_those_of_all_models_of_one() -> None:
    models.load("bundled")
    found = compare.offered()
    assert {"gdrec", "florence2,gdrec+llm", "yolox", "yolox+llm"} <= set(found) and len(found) == len(set(found))
    assert set(benchmark.CHOSEN) <= set(found), "what is ticked at first can be"
    for text in found:
        assert compare.by_models([text], [])
    models.load("tiny")
    try:
        assert "florence2,gdrec+llm" in compare.offered() and "yolox" not in compare.offered()
    finally:
        models.load("bundled")
