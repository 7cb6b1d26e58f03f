"""What goes to a ZeroGPU process and comes back is pickled on the way."""

import re
from collections.abc import Callable, Iterator
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from tests.ui.visits import visit_of
from wrapper import datasets
from wrapper.evaluation.compare import Order
from wrapper.evaluation.methods import Method
from wrapper.selectors.base import Question
from wrapper.ui import answers, api, benchmark, common, compare, locate, models
from wrapper.ui.session import Settings

PATH, EXPRESSION = str(common.EXAMPLES / "position-2.jpg"), "drum higher up shown in this picture"


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    models.load("tiny")


def survives(value: Any) -> Any:
    return ForkingPickler.loads(ForkingPickler.dumps(value))


def calls() -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Every function that runs on a GPU, with arguments as the page gives them."""
    picture = common.open_upload(PATH)
    s = answers.settled(locate.of_example(2, Settings(("gdrec",))))
    yield answers._stages, (picture, EXPRESSION, ["florence2", "gdrec"], "auto")
    yield answers._choose, (s.answer.candidates, EXPRESSION, s.picture.size, ["gdrec"], "auto")
    yield answers._shuffled, (Question(s.answer.candidates, EXPRESSION, s.picture.size), 0, ("gdrec",))
    yield compare.compared, (picture, EXPRESSION, [Method.parse("gdrec"), Method.parse("gdrec+llm")], [Order.USUAL, Order.REVERSED])
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
    picture = common.open_upload(PATH)
    calls: list[Callable[[], object]] = [
        lambda: list(answers._stages(picture, EXPRESSION, ["gdrec"], "nobody")),
        lambda: list(compare.compared(picture, EXPRESSION, [Method.parse("gdrec+llm:nobody")], [Order.USUAL])),
    ]
    for wrong in calls:
        with pytest.raises(gr.Error, match="no adapter 'nobody'") as caught:
            wrong()
        assert survives(caught.value).message == caught.value.message


def written(value: Any) -> str:
    """Its text without places in memory."""
    return re.sub(r" at 0x\w+", "", str(value))


def handled() -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """The page's handlers, with arguments as the page gives them; those of a press on a place get that from Gradio."""
    *_, (*_, results, _) = benchmark.live(visit_of(), 1, None, 8, ["gdrec", "gdrec+llm"])
    yield api.locate, (PATH, EXPRESSION, ["gdrec"])
    yield api.compare, (PATH, EXPRESSION, "auto", "")
    yield benchmark.live, (visit_of(), 1, None, 8, ["gdrec"], "auto", 1, results)
    yield benchmark.benchmark, (None, 8, ["gdrec"])
    yield benchmark.add_run, ((), results)
    yield benchmark.files, (results,)


def test_what_handlers_take_and_give_survives_pickling() -> None:
    for function, arguments in handled():
        found = function(*survives(arguments))
        results = list(found) if isinstance(found, Iterator) else [found]
        assert results and [written(survives(r)) for r in results] == [written(r) for r in results], function.__name__


def test_every_gpu_function_is_tried() -> None:
    sources = "".join(p.read_text() for p in (Path(locate.__file__).parent).glob("*.py"))
    assert sources.count("@spaces.GPU(") == len(list(calls()))
