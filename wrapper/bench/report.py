"""Figures of a bench in words and as JSON, with the machine they were measured on."""

import os
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import psutil
import torch

from wrapper.bench.measure import Measured

PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "onnxruntime", "gradio")


def machine() -> dict[str, Any]:
    """What the figures depend on besides the code."""
    cuda = torch.cuda.is_available()
    return {
        "device": torch.cuda.get_device_name(0) if cuda else platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_bytes": torch.cuda.mem_get_info()[1] if cuda else psutil.virtual_memory().total,
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # what is measured does not need all of them
        return None


def as_record(found: Sequence[Measured]) -> dict[str, Any]:
    """Ready for json.dumps."""
    return {"machine": machine(), "works": [m.as_record() for m in found]}


HEAD = (
    "| work | plain | ours | times faster | same answers | memory, plain / ours | outside forwards |\n"
    "|---|---|---|---|---|---|---|"
)  # fmt: skip


def as_row(m: Measured, compared: bool = True) -> str:
    """A row below `HEAD`: medians, and of the ratio the least and the most of all pairs. compared: whether answers were worth comparing,
    which those of random weights are not."""
    same = f"{m.same} of {m.answers}" if compared and m.answers else "–"
    outside = "–" if m.outside is None else f"{100 * m.outside:.0f} %"
    return (
        f"| {m.work}: {m.about} | {_time(m.plain)} | {_time(m.ours)} | {statistics.median(m.ratios):.2f} "
        f"({min(m.ratios):.2f}–{max(m.ratios):.2f}) | {same} | {_size(m.plain_peak)} / {_size(m.ours_peak)} | {outside} |"
    )


def _time(all_of_them: Sequence[float]) -> str:
    middle = statistics.median(all_of_them)
    return f"{middle:.2f} s" if middle >= 1 else f"{1000 * middle:.0f} ms"


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
