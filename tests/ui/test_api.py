"""The /locate endpoint: what is told again without asking the models, and what is not."""

import shutil
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
import torch
from PIL import Image

from wrapper.ui import answers, api, common, models

PATH, EXPRESSION = common.EXAMPLES / "position-2.jpg", "drum higher up shown in this picture"


@pytest.fixture(autouse=True)
def loaded() -> None:
    models.load("tiny")
    api._told.clear()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words about which the models were asked."""
    seen: list[str] = []
    real = answers.asked

    def watched(s: Any, picture: Any = None) -> Any:
        seen.append(s.words)
        return real(s, picture)

    monkeypatch.setattr(answers, "asked", watched)
    return seen


def locate(*given: Any, **options: Any) -> Any:
    """What is told in the end."""
    *_, last = api.locate(*given, **options)
    return last


def test_the_same_question_about_the_same_bytes_is_told_again(asked: list[str], tmp_path: Path) -> None:
    first = locate(str(PATH), EXPRESSION)
    copy = shutil.copy(PATH, tmp_path / PATH.name)
    assert locate(str(copy), EXPRESSION) == first
    assert len(asked) == 1
    renamed = shutil.copy(PATH, tmp_path / "another name.jpg")
    assert locate(str(renamed), EXPRESSION)[-1]["box"] == first[-1]["box"]
    assert len(asked) == 2, "a file of boxes may know the picture by its name"
    assert Image.open(first[0]).size == Image.open(PATH).size


@pytest.mark.parametrize(
    "other",
    [
        {"expression": "the drum"},
        {"proposers": ["gdrec"]},
        {"adapter": "zero-shot"},
        {"least_probability": 0.999},
        {"least_score": 0.99},
        {"true_box": "1, 2, 30, 40"},
    ],
)
def test_any_other_question_is_asked(asked: list[str], other: dict[str, Any]) -> None:
    first = locate(str(PATH), EXPRESSION)
    assert locate(str(PATH), **{"expression": EXPRESSION, **other}) != first
    assert len(asked) == 2


def test_other_models_are_asked_anew(asked: list[str]) -> None:
    locate(str(PATH), EXPRESSION)
    models.load("tiny")
    locate(str(PATH), EXPRESSION)
    assert len(asked) == 2


def test_an_answer_whose_picture_is_gone_is_made_again(asked: list[str]) -> None:
    first = locate(str(PATH), EXPRESSION)
    Path(first[0]).unlink()
    again = locate(str(PATH), EXPRESSION)
    assert len(asked) == 2 and Path(again[0]).is_file()


def test_what_cannot_be_asked_is_not_kept(asked: list[str]) -> None:
    for _ in range(2):
        with pytest.raises(gr.Error, match="no model"):
            locate(str(PATH), EXPRESSION, ["nobody"])
    assert not asked and api._told._bytes == 0


@pytest.mark.parametrize("odd", [{"least_probability": [0.5]}, {"least_score": {"a": 1}}])
def test_values_of_any_kind_get_a_sentence(odd: dict[str, Any]) -> None:
    with pytest.raises(gr.Error, match="number from 0 to 1"):
        locate(str(PATH), EXPRESSION, **odd)


def test_small_models_compute_on_one_thread_and_full_size_ones_on_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    try:
        models.load("tiny")
        assert torch.get_num_threads() == 1
        models.load("tiny", llama=str(models.find_preset("tiny").llama))
        assert torch.get_num_threads() == models.THREADS
    finally:
        torch.set_num_threads(before)
        models.load("tiny")
