"""What other tools read says what was selected."""

import csv
import io

import pytest

from wrapper.candidates import Candidate, Reason, Selection
from wrapper.export import as_coco, as_csv, as_yolo

SELECTION = Selection(
    (Candidate((10.0, 20.0, 110.0, 70.0), "=cup", 0.5, "gdrec"), Candidate((0.0, 0.0, 64.0, 48.0), "book", None, "florence2")),
    1, (0.25, 0.75), Reason.CHOSEN,
)  # fmt: skip
NOTHING = Selection((), None, (), Reason.NO_CANDIDATES)
SIZE = (640, 480)


def test_coco_boxes_are_corner_and_size() -> None:
    found = as_coco(SELECTION, "the book", SIZE, "a.png")
    assert found["images"] == [{"id": 1, "file_name": "a.png", "width": 640, "height": 480, "expression": "the book"}]
    names = {c["id"]: c["name"] for c in found["categories"]}
    first, second = found["annotations"]
    assert (first["bbox"], first["area"], names[first["category_id"]], first["score"]) == ([10, 20, 100, 50], 5000, "=cup", 0.5)
    assert "score" not in second, "a score that the model does not give is not invented"
    assert [a["picked"] for a in (first, second)] == [False, True]


def test_yolo_boxes_are_shares_of_the_picture() -> None:
    first, second = ([float(v) for v in line.split()] for line in as_yolo(SELECTION, SIZE).splitlines())
    assert first == pytest.approx([1, 60 / 640, 45 / 480, 100 / 640, 50 / 480], abs=1e-6)
    assert second == pytest.approx([0, 0.05, 0.05, 0.1, 0.1])


def test_csv_has_a_row_a_candidate_and_runs_no_formula() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(SELECTION))))
    assert [r["picked"] for r in rows] == ["0", "1"]
    assert rows[0]["labels"] == "'=cup"
    assert (rows[1]["score"], rows[1]["probability"], rows[1]["x2"]) == ("", "0.75", "64.0")


def test_nothing_found_is_no_annotation() -> None:
    assert as_coco(NOTHING, "the book", SIZE, "a.png")["annotations"] == []
    assert as_yolo(NOTHING, SIZE) == ""
    assert len(as_csv(NOTHING).splitlines()) == 1
