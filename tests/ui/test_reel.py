"""A measured run's answers, one at a time."""

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from PIL import Image

from wrapper.datasets.base import PictureFile
from wrapper.errors import DataError
from wrapper.ui import benchmark, models, reel
from wrapper.ui.reel import Run
from wrapper.ui.store import sessions


@pytest.fixture(scope="module")
def runs() -> tuple[Run, ...]:
    """Two runs on the same scenes, by other adapters."""
    models.load("tiny")
    found: tuple[Run, ...] = ()
    for adapter in ("zero-shot", "auto"):
        *_, results = benchmark._measured(None, 32, ["gdrec", "gdrec+llm"], adapter, 5)
        found, _ = benchmark.add_run(found, results)
    return found


def send(handler: Any, runs: Any, **data: Any) -> dict[str, Any]:
    found: dict[str, Any] = handler(gr.EventData(None, data), runs)
    return found


def test_wrong_answers_come_first(runs: tuple[Run, ...]) -> None:
    value = reel.shown(runs).value()
    assert value["method"] == "1/1", "of the last run"
    assert value["methods"][0][1].startswith("run 2: ") and len(value["methods"]) == 4
    wrong = [a for a in runs[1].done if not a.outcomes[1].correct]
    alone = reel.shown(runs, method="1/1").value()
    assert alone["total"] == len(wrong) > 0 and alone["entry"]["mark"] == "wrong" and alone["entry"]["words"] == wrong[0].example.expression
    seen = [send(reel.look, runs, method="1/1", order="wrong", place=i)["entry"]["words"] for i in range(len(wrong))]
    assert seen == [a.example.expression for a in wrong]


def test_the_least_sure_and_the_least_agreed_on_come_first(runs: tuple[Run, ...]) -> None:
    one = next(c for c in reel.columns(runs) if c.key == "0/1")
    margins = [a.compared[1].selection.margin for a in reel.ordered(one, one, "margin")]
    known = [m for m in margins if m is not None]
    assert known == sorted(known) and len(margins) == 32
    shares = [a.disagreement for a in reel.ordered(one, one, "disagreement")]
    assert shares == sorted(shares, reverse=True) and min(shares) > 0


def test_what_became_better_and_worse_is_counted_and_shown(runs: tuple[Run, ...]) -> None:
    here, there = ([a.outcomes[1].correct for a in run.done] for run in (runs[1], runs[0]))
    for order, count in (("better", sum(a and not b for a, b in zip(here, there, strict=True))),
                         ("worse", sum(b and not a for a, b in zip(here, there, strict=True)))):  # fmt: skip
        value = send(reel.look, runs, method="1/1", other="0/1", order=order)
        assert value["total"] == count and f" {count} times" in value["said"] and "McNemar's p" in value["said"]
        assert count == 0 or value["entry"]["mark"] == ("right" if order == "better" else "wrong")


def test_an_answer_is_opened_in_locate_with_its_boxes(runs: tuple[Run, ...]) -> None:
    shown = send(reel.look, runs, method="1/1", other="1/0", order="margin", place=3)
    value = send(reel.opened, runs, method="1/1", other="1/0", order="margin", place=3)
    assert value["number"] is None and value["words"] == shown["entry"]["words"] and value["truth"] == shown["entry"]["truth"]
    s = sessions.find(value["session"])
    assert s is not None and s.asked == ("gdrec",) and len(s.answer.candidates) == len(shown["entry"]["boxes"])


@pytest.mark.parametrize("data", [{}, {"method": 5, "place": "x"}, {"method": "9/9", "order": "none", "place": 10**9}, {"place": -3}])
def test_whatever_a_browser_sends_shows_something(runs: tuple[Run, ...], data: dict[str, Any]) -> None:
    assert send(reel.look, runs, **data)["entry"] is not None
    with pytest.raises(DataError, match="Press Run"):
        send(reel.opened, runs, **data)


def test_a_picture_that_is_gone_is_said(runs: tuple[Run, ...], tmp_path: Path) -> None:
    first = runs[1].done[0]
    gone = replace(first, example=replace(first.example, id="0", image=PictureFile(tmp_path / "gone.png")))
    value = send(reel.look, (replace(runs[1], done=(gone,)),), method="0/1", order="margin")
    assert "gone.png" in value["error"] or "no file" in value["error"]


def test_before_anything_is_measured_there_is_nothing(runs: tuple[Run, ...]) -> None:
    assert reel.shown(()).value()["methods"] == []
    right = tuple(a for a in runs[1].done if a.outcomes[1].correct)
    value = reel.shown((replace(runs[1], done=right),), method="0/1").value()
    assert value["total"] == 0 and value["entry"] is None and value["said"].startswith("There is none.")


def test_pictures_of_one_upload_are_never_shown_for_another(tmp_path: Path) -> None:
    """Rows are called alike in every zip file, and so may be what Python calls a run once an earlier one is gone."""
    models.load("tiny")
    for round in range(6):
        color = ("red", "blue")[round % 2]
        path = tmp_path / f"{round}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            Image.new("RGB", (80, 60), color).save(file := io.BytesIO(), "PNG")
            archive.writestr("a.png", file.getvalue())
            archive.writestr("rows.jsonl", json.dumps({"image": "a.png", "expression": "the cup", "bbox": [1, 1, 20, 20]}))
        *_, results = benchmark._measured(str(path), 8, ["gdrec"], "auto", 1)
        runs, _ = benchmark.add_run((), results)
        entry = reel.shown(runs).value()["entry"]
        seen = Image.open(entry["picture"]["file"]["path"]).convert("RGB")
        assert seen.getpixel((5, 5)) == Image.new("RGB", (1, 1), color).getpixel((0, 0))
        benchmark.forget(results)
        del results, runs
