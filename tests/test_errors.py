"""One row's trouble is told from what concerns all rows."""

import errno

import pytest
import torch

from wrapper.errors import DataError, ImageError, ModelError, at_the_cost_of_a_row


@pytest.mark.parametrize(
    "error", [IndexError("x"), DataError("x"), ImageError("x"), RuntimeError("a shape"), OSError(errno.ENOENT, "x"), RecursionError()]
)
def test_a_rows_trouble_is_noted(error: Exception) -> None:
    noted: list[str] = []
    with at_the_cost_of_a_row(noted.append):
        raise error
    assert len(noted) == 1 and "\n" not in noted[0]


@pytest.mark.parametrize(
    "error",
    [MemoryError(), torch.OutOfMemoryError("x"), ModelError("x"), OSError(errno.ENOSPC, "full"), KeyboardInterrupt(), SystemExit(1)],
)
def test_what_concerns_all_rows_passes_through(error: BaseException) -> None:
    with pytest.raises(type(error)), at_the_cost_of_a_row(lambda why: None):
        raise error


def test_memory_that_a_cpu_has_not_concerns_all_rows() -> None:
    with pytest.raises(RuntimeError, match="allocate memory"), at_the_cost_of_a_row(lambda why: None):
        torch.empty(10**15)
