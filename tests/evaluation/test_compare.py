"""Methods side by side."""

import json

import numpy as np
import pytest

from wrapper.candidates import Candidate, Reason, Selection
from wrapper.colors import with_colors
from wrapper.errors import DataError, ModelError
from wrapper.evaluation.compare import Compared, agreement, as_record, compare_methods, in_words, methods_with, say_unseen
from wrapper.evaluation.methods import Method, every
from wrapper.merging import canonical
from wrapper.pipeline import Wrapper
from wrapper.scenes.dataset import Scene

EVERY = every(("florence2", "gdrec", "gd"))
METHODS = [Method.parse(text) for text in EVERY]


@pytest.mark.parametrize("adapter", ["zero-shot", "auto"])
def test_every_method_answers_as_it_does_alone(wrapper: Wrapper, val_scenes: list[Scene], adapter: str) -> None:
    picture, text = val_scenes[2].picture(), val_scenes[2].expression.text
    methods = methods_with(wrapper, EVERY, adapter)
    [_, found] = compare_methods(wrapper, [val_scenes[0].picture(), picture], ["the cup", text], methods)
    rows = {name: r.selection for name, r in zip(EVERY, found, strict=True)}
    assert [r.method for r in found] == methods
    for name in ("gd", "gdrec", "florence2"):
        candidates = with_colors(picture, wrapper.proposer(name).propose([picture], [text])[0])
        listed = canonical(candidates)
        assert [c.label for c in rows[name].candidates] == [c.label for c in listed]
        assert np.allclose([c.box for c in rows[name].candidates], [c.box for c in listed], atol=0.1)
        assert rows[name].index == (listed.index(candidates[0]) if candidates else None)
        asked = wrapper.choose(candidates, text, picture.size, wrapper.adapter_for([name], adapter))
        assert rows[f"{name}+llm"].index == asked.guess, "a method always answers"
        assert np.allclose(rows[f"{name}+llm"].probabilities, asked.probabilities, atol=1e-3)
        assert rows[name].reason is (Reason.OWN_ANSWER if candidates else Reason.NO_CANDIDATES)
    assert set(rows["gdrec"].timings_ms) == {"gdrec"}
    assert set(rows["florence2,gdrec+llm"].timings_ms) == {"florence2", "gdrec", "llama"}


def test_methods_say_which_adapter_they_use(wrapper: Wrapper) -> None:
    """In the words in which `wrapper evaluate` takes them."""
    texts = ["gd", "gd+llm", "gdrec+llm:florence2", "florence2,gdrec+llm"]
    assert [str(m) for m in methods_with(wrapper, texts)] == ["gd", "gd+llm:gdrec", "gdrec+llm:florence2", "florence2,gdrec+llm:ensemble"]
    assert [str(m) for m in methods_with(wrapper, texts, "zero-shot")] == ["gd", "gd+llm", "gdrec+llm:florence2", "florence2,gdrec+llm"]
    assert str(methods_with(wrapper, ["gdrec+llm"], "ensemble")[0]) == "gdrec+llm:ensemble"
    with pytest.raises(ModelError, match="no adapter 'nobody'"):
        methods_with(wrapper, texts, "nobody")


def test_the_best_candidate_is_not_guessed_without_the_true_box(wrapper: Wrapper, val_scenes: list[Scene]) -> None:
    with pytest.raises(DataError, match="best candidate"):
        compare_methods(wrapper, [val_scenes[0].picture()], ["the cup"], [Method.parse("gdrec+oracle")])


def test_a_record_of_a_comparison_is_plain_data() -> None:
    record = as_record(picks(0, None), "the cup", (640, 480))
    assert json.loads(json.dumps(record)) == record
    assert [m["box"] for m in record["methods"]] == [[0.0, 0.0, 100.0, 100.0], None]


def picks(*xs: float | None) -> list[Compared]:
    rows = []
    for x, method in zip(xs, METHODS, strict=False):
        cup = () if x is None else (Candidate((x, 0.0, x + 100, 100.0), "cup", None, "gd"),)
        rows.append(Compared(method, Selection(cup, 0 if cup else None, (), Reason.CHOSEN if cup else Reason.NO_CANDIDATES)))
    return rows


def test_agreement_is_the_overlap_of_the_picks() -> None:
    assert agreement(picks(0, 50, None)) == [
        [1.0, pytest.approx(1 / 3), None],
        [pytest.approx(1 / 3), 1.0, None],
        [None, None, None],
    ]


@pytest.mark.parametrize(
    ("xs", "words"),
    [
        ((0, 5, 10), "All 3 methods pick the same object."),
        ((None, None), "All methods found nothing."),
        ((0, 300, 5), "a, c agree; b stands alone."),
        ((0, None, None), "b, c find nothing; a stands alone."),
        ((0, 5, None), "a, b agree; c finds nothing."),
    ],
)
def test_who_agrees_with_whom(xs: tuple[float | None, ...], words: str) -> None:
    assert in_words(picks(*xs), "abc") == words


def test_nothing_like_it_is_said_here_too(wrapper: Wrapper, val_scenes: list[Scene]) -> None:
    [rows] = compare_methods(wrapper, [val_scenes[0].picture()], ["asdfghjkl"], methods_with(wrapper, EVERY))
    by_name = dict(zip(EVERY, rows, strict=True))
    assert by_name["florence2,gdrec+llm"].selection.reason is Reason.CHOSEN, "the method itself always answers, and is measured so"
    by_name = dict(zip(EVERY, say_unseen(rows), strict=True))
    assert by_name["florence2,gdrec+llm"].selection.reason is Reason.NOTHING_LIKE_IT
    alone = by_name["florence2+llm"].selection.reason
    assert alone in (Reason.CHOSEN, Reason.NONE_MEANT), "Florence-2 proposes what it sees, and was asked alone"


def test_a_models_own_answer_is_its_own_box(wrapper: Wrapper, val_scenes: list[Scene]) -> None:
    picture, text = val_scenes[1].picture(), val_scenes[1].expression.text
    [rows] = compare_methods(wrapper, [picture], [text], [Method.parse("florence2"), Method.parse("florence2,gdrec")])
    assert rows[0].selection.box == rows[1].selection.box
