"""The Benchmark tab's handlers, without a browser."""

import csv
import json
import zipfile
from pathlib import Path

import gradio as gr
import pandas as pd
import pytest

from wrapper.scenes.dataset import write
from wrapper.ui import benchmark, models

METHODS = ["gdrec", "gdrec+llm"]


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    models.load("tiny")


@pytest.fixture(scope="module")
def steps() -> list[tuple[object, ...]]:
    return list(benchmark.live(None, 20, METHODS, seed=3))


def results(step: tuple[object, ...]) -> benchmark.Results:
    assert isinstance(step[-1], benchmark.Results)
    return step[-1]


def test_progress_is_shown_and_what_is_done_is_kept(steps: list[tuple[object, ...]]) -> None:
    assert [len(results(s).done) for s in steps] == [8, 16, 20]
    assert 'value="8"' in str(steps[0][0]) and "s left" in str(steps[0][0])
    assert "20 of 20, done" in str(steps[-1][0])


def test_a_cancelled_run_says_how_far_it_came(steps: list[tuple[object, ...]]) -> None:
    assert "8 of 20, cancelled" in benchmark.halted(results(steps[0])) and "s left" not in benchmark.halted(results(steps[0]))
    assert "20 of 20, done" in benchmark.halted(results(steps[-1]))
    assert "before the first answers" in benchmark.halted(None)


def test_kinds_of_expressions_stand_in_a_table_with_intervals(steps: list[tuple[object, ...]]) -> None:
    table, done = steps[-1][-2], results(steps[-1]).done
    assert isinstance(table, pd.DataFrame)
    assert set(table["Kind of expression"]) == {a.example.category for a in done}
    for _, row in table.iterrows():
        hits = [a.outcomes()[0].correct for a in done if a.example.category == row["Kind of expression"]]
        assert row["GDrec alone"].startswith(f"{100 * sum(hits) / len(hits):.0f} (") and row["GDrec alone"].endswith(f"n {len(hits)}")


def test_rows_of_an_upload_that_cannot_be_used_are_listed(tmp_path: Path) -> None:
    list(write("val", 3, 3, tmp_path / "data"))
    with (tmp_path / "data" / "data.jsonl").open("a") as file:
        file.write('{"image": "<b>none</b>.png", "expression": "the cup", "bbox": [1, 2, 3, 4]}\n')
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        for file_ in (tmp_path / "data").iterdir():
            archive.write(file_, file_.name)
    *_, last = benchmark.live(str(tmp_path / "mine.zip"), 4, METHODS)
    assert "left out 1 row:" in str(last[0]) and "<b>" not in str(last[0])
    benchmark.forget(results(last))


def test_cancelled_runs_still_give_files(steps: list[tuple[object, ...]]) -> None:
    table, record = (Path(f) for f in benchmark.files(results(steps[0])) or [])
    rows = list(csv.DictReader(table.open()))
    assert len(rows) == 8 * len(METHODS)
    methods = json.loads(record.read_text())["methods"]
    assert {m: f["p_at_1"]["n"] for m, f in methods.items()} == dict.fromkeys(METHODS, 8)
    right = sum(int(r["correct"]) for r in rows if r["method"] == "gdrec")
    assert methods["gdrec"]["p_at_1"]["value"] == pytest.approx(right / 8)


def test_the_gallery_begins_with_what_methods_disagree_about(steps: list[tuple[object, ...]]) -> None:
    shares = [a.disagreement() for a in results(steps[-1]).done]
    captions = [c for _, c in benchmark.gallery(results(steps[-1]), "most disagreement")]
    assert len(captions) == benchmark.SHOWN
    assert captions[0].endswith(f"{max(shares):.0%} of pairs disagree")
    margins = [c.rsplit(" ", 1)[-1] for _, c in benchmark.gallery(results(steps[-1]), "lowest margin")]
    assert margins == sorted(margins, key=lambda m: int(m.rstrip("%")))


def test_an_uploaded_data_set_is_measured_and_forgotten(tmp_path: Path) -> None:
    list(write("val", 6, 3, tmp_path / "data"))
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        for file in (tmp_path / "data").iterdir():
            archive.write(file, f"inside/{file.name}")
    *_, last = benchmark.live(str(tmp_path / "mine.zip"), 4, METHODS)
    found = results(last)
    assert len(found.done) == 4
    assert found.data == "mine.zip, 4 expressions"
    assert len(benchmark.gallery(found, "lowest margin")) == 4
    assert found.folder is not None and Path(found.folder).is_dir()
    benchmark.forget(found)
    assert not Path(found.folder).exists()


def test_no_method_is_said() -> None:
    with pytest.raises(gr.Error, match="No method is chosen"):
        list(benchmark.live(None, 8, []))


def test_a_bad_archive_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"no zip")
    with pytest.raises(gr.Error, match="cannot be unpacked"):
        list(benchmark.live(str(tmp_path / "a.zip"), 8, METHODS))
