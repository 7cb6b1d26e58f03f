"""What goes to a ZeroGPU process and comes back is pickled on the way."""

from collections.abc import Callable, Iterator
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from wrapper import datasets
from wrapper.ui import benchmark, compare, locate, models

PATH, EXPRESSION, _ = locate.example("2") or ("", "", "")


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    models.load("tiny")


def survives(value: Any) -> Any:
    return ForkingPickler.loads(ForkingPickler.dumps(value))


def calls() -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Every function that runs on a GPU, with arguments as the page gives them."""
    picture = locate.common.opened(PATH)
    *_, (*_, session) = locate.live(PATH, EXPRESSION, ["gdrec"])
    yield locate._stages, (picture, EXPRESSION, ["florence2", "gdrec"], "auto")
    yield locate._choose, (session.selection.candidates, EXPRESSION, session.size, ["gdrec"], "auto")
    yield locate._shuffled, (session,)
    yield compare._compare, (picture, EXPRESSION, "auto")
    yield benchmark._answers, (datasets.read("refscenes:val:3:1").examples, ["gdrec", "gdrec+llm"], "auto")


def test_arguments_and_results_survive_pickling() -> None:
    for function, arguments in calls():
        found = function(*survives(arguments))
        results = list(found) if isinstance(found, Iterator) else [found]
        assert results
        for result in results:
            assert survives(result) == result


def test_what_is_wrong_with_a_question_is_still_said_when_it_comes_from_a_gpu_process() -> None:
    """ZeroGPU passes on the words of Gradio's own errors, and of no others."""
    picture = locate.common.opened(PATH)
    calls: list[Callable[[], object]] = [
        lambda: list(locate._stages(picture, EXPRESSION, ["gdrec"], "nobody")),
        lambda: compare._compare(picture, EXPRESSION, "nobody"),
    ]
    for wrong in calls:
        with pytest.raises(gr.Error, match="no adapter 'nobody'") as caught:
            wrong()
        assert survives(caught.value).message == caught.value.message


def test_every_gpu_function_is_tried() -> None:
    sources = "".join(p.read_text() for p in (Path(locate.__file__).parent).glob("*.py"))
    assert sources.count("@spaces.GPU(") == len(list(calls()))
