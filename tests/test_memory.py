"""Where memory is too small for a batch, half of it is tried, and then there is one clear sentence."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from wrapper.candidates import iou
from wrapper.errors import ModelError
from wrapper.memory import by_halves
from wrapper.pipeline import Wrapper
from wrapper.proposers.florence2 import Florence2
from wrapper.proposers.grounding_dino import Detector, GroundingDinoRec
from wrapper.scenes.dataset import Scene
from wrapper.selectors.llama import Llm

FULL = [torch.OutOfMemoryError("CUDA out of memory."), MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")]


def room_for(most: int, error: BaseException) -> tuple[Callable[[Sequence[int]], list[int]], list[int]]:
    """A model that takes so many at once, and the sizes of the batches that it was given."""
    sizes: list[int] = []

    def run(items: Sequence[int]) -> list[int]:
        sizes.append(len(items))
        if len(items) > most:
            raise error
        return [10 * i for i in items]

    return run, sizes


@pytest.mark.parametrize("error", FULL, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("count", [2, 5, 8])
def test_a_batch_that_is_too_large_is_halved_once(error: BaseException, count: int) -> None:
    run, sizes = room_for((count + 1) // 2, error)
    assert by_halves(run, range(count), "The LLM") == [10 * i for i in range(count)]
    assert sizes == [count, (count + 1) // 2, count // 2]


@pytest.mark.parametrize("error", FULL, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (8, [8, 4])])
def test_what_does_not_fit_then_is_said_in_a_sentence(error: BaseException, count: int, sizes: list[int]) -> None:
    run, given = room_for(0, error)
    with pytest.raises(ModelError, match=r"The LLM has not enough memory for th.*choose smaller models"):
        by_halves(run, range(count), "The LLM")
    assert given == sizes


def test_other_errors_are_not_taken_for_it() -> None:
    run, sizes = room_for(1, RuntimeError("a shape is wrong"))
    with pytest.raises(RuntimeError, match="shape"):
        by_halves(run, range(4), "The LLM")
    assert sizes == [4]


@pytest.mark.parametrize(("part", "method", "batch"), [(Llm, "score", 0), (Florence2, "_write", 2), (Detector, "_detect", 3)])
def test_every_model_gives_the_same_in_halves(
    wrapper: Wrapper, val_scenes: list[Scene], monkeypatch: pytest.MonkeyPatch, part: type, method: str, batch: int
) -> None:
    pictures, texts = [s.picture() for s in val_scenes[:4]], [s.expression.text for s in val_scenes[:4]]
    forget(wrapper)
    whole = wrapper.locate_batch(pictures, texts)
    real, most = getattr(part, method), [10**9]

    def small(self: Any, *given: Any, **named: Any) -> Any:
        size = len(given[batch])
        if most[0] == 10**9:
            most[0] = (size + 1) // 2
        if size > most[0]:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(self, *given, **named)

    monkeypatch.setattr(part, method, small)
    forget(wrapper)
    halved = wrapper.locate_batch(pictures, texts)
    assert most[0] < 10**9
    for one, other in zip(halved, whole, strict=True):  # to the last bit only in the same company
        assert (one.index, len(one.candidates)) == (other.index, len(other.candidates))
        assert all(iou(a.box, b.box) > 0.99 and a.label == b.label for a, b in zip(one.candidates, other.candidates, strict=True))


def forget(wrapper: Wrapper) -> None:
    florence, gdrec = wrapper.proposers["florence2"], wrapper.proposers["gdrec"]
    assert isinstance(florence, Florence2) and isinstance(gdrec, GroundingDinoRec)
    florence.forget()
    gdrec.detector.forget()
