"""The Benchmark tab's handlers, without a browser."""

import csv
import json
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import gradio as gr
import pandas as pd
import pytest
from PIL import Image

from tests.ui.visits import visit_of
from wrapper.scenes.dataset import write
from wrapper.ui import benchmark, common, models
from wrapper.worlds import World

METHODS = ["gdrec", "gdrec+llm"]


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    models.load("tiny")


@pytest.fixture(scope="module")
def steps() -> list[tuple[object, ...]]:
    reading, *measured = benchmark.live(visit_of(), 1, None, 20, METHODS, seed=3)
    assert reading[0] == benchmark.READING, "something is said before anything is done"
    return measured


def results(step: tuple[object, ...]) -> benchmark.Results:
    assert isinstance(step[-2], benchmark.Results)
    return step[-2]


def test_progress_is_shown_and_what_is_done_is_kept(steps: list[tuple[object, ...]]) -> None:
    assert [len(results(s).done) for s in steps] == [8, 16, 20]
    assert 'value="8"' in str(steps[0][0]) and "s left" in str(steps[0][0])
    assert "20 of 20, done" in str(steps[-1][0])


def test_a_cancelled_run_says_how_far_it_came(steps: list[tuple[object, ...]]) -> None:
    assert "8 of 20, cancelled" in benchmark.halted(results(steps[0])) and "s left" not in benchmark.halted(results(steps[0]))
    assert "20 of 20, done" in benchmark.halted(results(steps[-1]))


def test_cancel_ends_the_run_after_its_batch_and_another_run_begins_at_once() -> None:
    visit = visit_of()
    pressed = benchmark.press(visit)
    run = benchmark.live(visit, pressed, None, 400, ["gdrec"])
    next(run)
    next(run)
    benchmark.press(visit)
    said, *rest = list(run)[-1]
    assert "of 400, cancelled" in said and rest == list(benchmark.REST)
    assert list(benchmark.live(visit, pressed, None, 400, ["gdrec"])) == [], "one that was cancelled while it waited does not begin"
    again = benchmark.live(visit, benchmark.press(visit), None, 8, ["gdrec"])
    assert "8 of 8, done" in str(list(again)[-1][0])


def test_cancel_is_there_while_something_runs() -> None:
    visit = visit_of()
    *running, last = benchmark.cancellable(visit, benchmark.press(visit), None, 8, ["gdrec"])
    assert running and all(step[-1].visible for step in running)
    assert not last[-1].visible and {len(step) for step in running} == {len(last)}


def test_kinds_of_expressions_stand_in_a_table_with_intervals(steps: list[tuple[object, ...]]) -> None:
    kinds, done = steps[-1][-3], results(steps[-1]).done
    assert isinstance(kinds, pd.DataFrame)
    assert list(kinds["Method"]) == ["GDrec alone", "GDrec + LLM with adapter gdrec"]
    for kind in {a.example.category for a in done}:
        hits = [a.outcomes[0].correct for a in done if a.example.category == kind]
        assert kinds[f"{kind} (n {len(hits)})"][0].startswith(f"{100 * sum(hits) / len(hits):.0f} (")
    assert len(kinds.columns) == 1 + len({a.example.category for a in done})


def test_rows_of_an_upload_that_cannot_be_used_are_listed(tmp_path: Path) -> None:
    list(write("val", 3, 3, tmp_path / "data"))
    with (tmp_path / "data" / "data.jsonl").open("a") as file:
        file.write('{"image": "<b>none</b>.png", "expression": "the cup", "bbox": [1, 2, 3, 4]}\n')
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        for file_ in (tmp_path / "data").iterdir():
            archive.write(file_, file_.name)
    *_, last = benchmark.live(visit_of(), 1, str(tmp_path / "mine.zip"), 4, METHODS)
    assert "trouble with 1 row:" in str(last[0]) and "<b>" not in str(last[0])
    assert str(benchmark.common.scratch().parent) not in str(last[0]), "where it was unpacked is nobody's business"
    benchmark.forget(results(last))


def test_cancelled_runs_still_give_files(steps: list[tuple[object, ...]]) -> None:
    table, record = (Path(f) for f in benchmark.files(results(steps[0])) or [])
    rows = list(csv.DictReader(table.open()))
    assert len(rows) == 8 * len(METHODS)
    measured = json.loads(record.read_text())
    methods = measured["methods"]
    assert (measured["preset"], measured["seed"]) == ("tiny", 3)
    assert {m: f["p_at_1"]["n"] for m, f in methods.items()} == {"gdrec": 8, "gdrec+llm:gdrec": 8}, "the adapter is named"
    right = sum(int(r["correct"]) for r in rows if r["method"] == "gdrec")
    assert methods["gdrec"]["p_at_1"]["value"] == pytest.approx(right / 8)


def test_an_uploaded_data_set_is_measured_and_forgotten(tmp_path: Path) -> None:
    list(write("val", 6, 3, tmp_path / "data"))
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        for file in (tmp_path / "data").iterdir():
            archive.write(file, f"inside/{file.name}")
    *_, last = benchmark.live(visit_of(), 1, str(tmp_path / "mine.zip"), 4, METHODS)
    found = results(last)
    assert len(found.done) == 4
    assert found.data == "mine.zip, 4 expressions"
    runs, shown = benchmark.add_run((), found)
    assert len(runs) == 1 and shown["methods"]
    again, _ = benchmark.add_run(runs, replace(found, done=found.done[:3]))
    assert len(again) == 1, "whose pictures are gone by then"
    assert found.folder is not None and Path(found.folder).is_dir()
    benchmark.forget(found)
    assert not Path(found.folder).exists()


def unpacked() -> set[Path]:
    return set(benchmark.common.scratch().parent.glob("*/data.jsonl"))


def packed(folder: Path, *, n: int, small: bool = False) -> Path:
    """A zip file of scenes; with small, of a picture besides that no model is asked about."""
    list(write("val", n, 3, folder / "data"))
    if small:
        Image.new("RGB", (15, 400)).save(folder / "data" / "thin.png")
        with (folder / "data" / "data.jsonl").open("a") as file:
            file.write('{"image": "thin.png", "expression": "the cup", "bbox": [1, 2, 9, 30]}\n')
    with zipfile.ZipFile(folder / "mine.zip", "w") as archive:
        for file_ in (folder / "data").iterdir():
            archive.write(file_, file_.name)
    return folder / "mine.zip"


def test_a_picture_that_cannot_be_used_is_named_and_is_not_among_the_answers(tmp_path: Path) -> None:
    *_, last = benchmark.live(visit_of(), 1, str(packed(tmp_path, n=3, small=True)), 8, METHODS)
    assert "4: The image is 15 x 400 pixels" in str(last[0]) and "counts as wrong" in str(last[0])
    found = results(last)
    _, shown = benchmark.add_run((), found)
    assert len(found.done) == 4 and benchmark.reel.shown(benchmark.add_run((), found)[0], order="margin").value()["total"] == 3
    assert shown["order"] == "wrong"
    benchmark.forget(found)


def test_nothing_unpacked_is_left_by_programs_cancelled_runs_and_bad_archives(tmp_path: Path) -> None:
    before, archive = unpacked(), packed(tmp_path, n=9)
    *_, _ = benchmark.benchmark(str(archive), 9, METHODS)
    begun = benchmark.benchmark(str(archive), 9, METHODS)
    next(begun)
    begun.close()
    (tmp_path / "data" / "data.jsonl").write_text("no rows")
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as file:
        file.write(tmp_path / "data" / "data.jsonl", "data.jsonl")
    with pytest.raises(gr.Error):
        list(benchmark.benchmark(str(tmp_path / "bad.zip"), 9, METHODS))
    assert unpacked() == before


def test_pictures_of_a_long_run_are_not_swept_away_under_it(tmp_path: Path) -> None:
    run = benchmark.live(visit_of(), 1, str(packed(tmp_path, n=18)), 18, METHODS)
    next(run)
    folder = Path(results(next(run)).folder or "")
    os.utime(folder, (0, 0))  # as after hours of one batch
    next(run)
    benchmark.common.scratch()
    *_, last = run
    assert all(a.failed is None for a in results(last).done) and len(results(last).done) == 18
    benchmark.forget(results(last))


def test_cleared_numbers_are_none_that_anybody_meant() -> None:
    *_, last = benchmark.live(visit_of(), 1, None, None, ["gdrec"], seed=None)
    assert len(results(last).done) == benchmark.LEAST


@pytest.mark.parametrize(("archive", "methods", "words"), [(None, [], "No method is chosen"), (b"no zip", METHODS, "cannot be unpacked")])
def test_what_cannot_be_measured_is_said_and_what_is_shown_stays(
    tmp_path: Path, archive: bytes | None, methods: list[str], words: str
) -> None:
    path = None
    if archive is not None:
        path = str(tmp_path / "a.zip")
        Path(path).write_bytes(archive)
    with pytest.warns(UserWarning, match=words):
        _, (said, *rest) = benchmark.live(visit_of(), 1, path, 8, methods)
    assert said == "" and rest == list(benchmark.REST)
    with pytest.raises(gr.Error, match=words):
        list(benchmark.benchmark(path, 8, methods))


def test_the_bundled_figures_speak_of_answers_as_those_measured_now_do() -> None:
    for data in (benchmark.bundled() or {})["data"]:
        reasons = {e["method"]: set(e["figures"]["reasons"]) for e in data["methods"]}
        assert all(found <= {"own_answer", "no_candidates"} for method, found in reasons.items() if "+" not in method)
        assert all("chosen" not in found for method, found in reasons.items() if method.endswith("+oracle"))


def test_runs_are_kept_to_be_held_against_each_other_as_long_as_their_pictures_are(steps: list[tuple[object, ...]]) -> None:
    done = results(steps[-1])
    runs, shown = benchmark.add_run((), done)
    assert benchmark.add_run(runs, done)[0] is runs, "one that was only cancelled is not a new one"
    for seed in range(4, 9):
        runs, shown = benchmark.add_run(runs, replace(done, seed=seed, done=done.done[:seed]))
    assert len(runs) == benchmark.RUNS and len(shown["methods"]) == benchmark.RUNS * len(METHODS)
    assert [len(r.done) for r in runs] == [5, 6, 7, 8]


@pytest.fixture
def photographs(tmp_path: Path) -> str:
    """A zip file of the bundled photographs."""
    rows = [r for r in json.loads((common.EXAMPLES / "examples.json").read_text()) if r.get("world") == "photograph" and r["bbox"]]
    path = tmp_path / "photographs.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for row in rows:
            archive.write(common.EXAMPLES / row["image"], row["image"])
        archive.writestr("rows.jsonl", "\n".join(json.dumps({k: row[k] for k in ("image", "expression", "bbox")}) for row in rows))
    return str(path)


def test_photographs_are_measured_by_the_models_that_know_them(photographs: str) -> None:
    models.load("bundled")
    try:
        ticked = benchmark.fitting_methods(photographs, benchmark.usual_methods(World.SCENE))
        assert ticked == ["yolox", "yolox+llm"]
        *_, alone = benchmark._measured(photographs, 8, ticked, "auto", 1)
        assert alone.note == "" and benchmark._shown(alone)[1][1][1] != "0.0"
        *_, both = benchmark._measured(photographs, 8, ["gdrec", *ticked], "auto", 1)
        assert [str(m) for m in both.methods] == ["gdrec", "yolox", "yolox+llm"]
        assert [len(a.compared) for a in both.done] == [3] * len(both.done)
        assert "know drawn scenes only" in benchmark.progress(both) and "Tick" not in both.note, "YOLOX is ticked already"
        *_, wrong = benchmark._measured(photographs, 8, ["gdrec"], "auto", 1)
        assert wrong.note.endswith("those figures mean nothing. Tick YOLOX for such pictures.")
        assert [a.outcomes[1:] for a in both.done] == [a.outcomes for a in alone.done]
        *_, drawn = benchmark._measured(None, 8, ticked, "auto", 1)
        assert "YOLOX knows photographs only" in drawn.note and "Tick Florence-2 and GDrec" in drawn.note
    finally:
        models.load("tiny")


def test_ticks_of_ones_own_stay_when_data_are_brought(photographs: str, tmp_path: Path) -> None:
    (tmp_path / "no.zip").write_bytes(b"PK")
    usual = benchmark.usual_methods(World.SCENE)
    for path, ticked in ((photographs, ["gdrec"]), (None, usual)):
        assert benchmark.fitting_methods(path, ticked) == gr.skip()
    with pytest.warns(UserWarning, match="cannot be unpacked"):
        assert benchmark.fitting_methods(str(tmp_path / "no.zip"), usual) == gr.skip()
