"""What goes to a ZeroGPU process and comes back is pickled on the way."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
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
    picture = locate.common.open_upload(PATH)
    *_, (*_, session) = locate.live(PATH, EXPRESSION, ["gdrec"])
    yield locate._stages, (picture, EXPRESSION, ["florence2", "gdrec"], "auto")
    yield locate._choose, (session.selection.candidates, EXPRESSION, session.size, ["gdrec"], "auto")
    yield locate._shuffled, (session,)
    yield compare._compare, (picture, EXPRESSION, ("gdrec",), "auto")
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
    picture = locate.common.open_upload(PATH)
    calls: list[Callable[[], object]] = [
        lambda: list(locate._stages(picture, EXPRESSION, ["gdrec"], "nobody")),
        lambda: compare._compare(picture, EXPRESSION, ("gdrec",), "nobody"),
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
    *_, (*_, session) = locate.live(PATH, EXPRESSION, ["florence2", "gdrec"])
    *_, shown = compare.side_by_side(PATH, EXPRESSION)
    *_, (*_, results) = benchmark.live(None, 8, ["gdrec", "gdrec+llm"])
    yield locate.live, (PATH, EXPRESSION, ["gdrec"], "auto", 0.1, 0.2, "1, 2, 30, 40")
    yield locate.locate, (PATH, EXPRESSION, ["gdrec"])
    yield locate.ask_again, (session, EXPRESSION, "zero-shot", "")
    yield locate.mark, (session, 0)
    yield locate.delete_candidate, (replace(session, marked=0),)
    yield locate.add_candidate, (session, "cup", "1, 2, 30, 40")
    yield locate.set_thresholds, (session, 0.5, 0.5)
    yield locate.set_truth, (session, "1, 2, 30, 40")
    yield locate.shuffle, (session,)
    yield locate.offer_downloads, (session,)
    yield locate.link, (session,)
    yield locate.new_scene, ("any", ["gdrec"])
    yield locate.fill, (3, ["gdrec"])
    yield locate.take_picture, (PATH, ["gdrec"])
    yield compare.side_by_side, (PATH, EXPRESSION, "auto", "")
    yield compare.compare, (PATH, EXPRESSION, "auto", "")
    yield compare.slide, (shown, "gd", "gdrec")
    yield benchmark.live, (None, 8, ["gdrec"], "auto", 1, results)
    yield benchmark.benchmark, (None, 8, ["gdrec"])
    yield benchmark.gallery, (results, benchmark.ORDERS[0])
    yield benchmark.files, (results,)


def test_what_handlers_take_and_give_survives_pickling() -> None:
    for function, arguments in handled():
        found = function(*survives(arguments))
        results = list(found) if isinstance(found, Iterator) else [found]
        assert results and [written(survives(r)) for r in results] == [written(r) for r in results], function.__name__


def test_every_gpu_function_is_tried() -> None:
    sources = "".join(p.read_text() for p in (Path(locate.__file__).parent).glob("*.py"))
    assert sources.count("@spaces.GPU(") == len(list(calls()))
