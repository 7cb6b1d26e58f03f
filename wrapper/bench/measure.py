"""Two ways of doing the same work, timed in turns on one machine."""

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import psutil
import torch

from wrapper.candidates import Box, iou

Answers = list[list[Box]]
"""What a way of working gives: for each question its boxes in their order."""
SAME = 0.9
"""IoU from which on two boxes count as the same: another batch size or precision moves edges by a pixel."""


@dataclass(frozen=True)
class Way:
    """One way of doing a piece of work. prepare: what must be done before, and is not timed."""

    run: Callable[[], Answers]
    prepare: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class Work:
    """A piece of work. forwards: methods of the models, as (object, name), whose time is the models' own."""

    name: str
    about: str
    plain: Way
    ours: Way
    forwards: Sequence[tuple[Any, str]] = ()


@dataclass(frozen=True)
class Measured:
    """Seconds of each pair; how many answers are the same; bytes at the peak above those before; share of ours outside forwards."""

    work: str
    about: str
    plain: tuple[float, ...]
    ours: tuple[float, ...]
    answers: int
    same: int
    plain_peak: int
    ours_peak: int
    outside: float | None

    @property
    def ratios(self) -> list[float]:
        """How many times faster ours was, pair by pair."""
        return [a / b for a, b in zip(self.plain, self.ours, strict=True)]

    def as_record(self) -> dict[str, Any]:
        """Ready for json.dumps."""
        return {
            "work": self.work, "about": self.about, "plain_s": self.plain, "ours_s": self.ours, "ratio": statistics.median(self.ratios),
            "ratio_least": min(self.ratios), "ratio_most": max(self.ratios), "answers": self.answers, "same": self.same,
            "plain_peak_bytes": self.plain_peak, "ours_peak_bytes": self.ours_peak, "outside_forwards": self.outside,
        }  # fmt: skip


def measure(work: Work, pairs: int) -> Measured:
    """Check that both ways give the same, then time them in turns, plain first, after a warm-up of each."""
    for way in (work.plain, work.ours):
        seconds(way)
    (expected, plain_peak), (found, ours_peak) = peak(work.plain), peak(work.ours)
    same = sum(alike(a, b) for a, b in zip(expected, found, strict=True))
    plain, ours = [], []
    for _ in range(pairs):
        plain.append(seconds(work.plain))
        ours.append(seconds(work.ours))
    outside = outside_forwards(work.ours, work.forwards) if work.forwards else None
    return Measured(work.name, work.about, tuple(plain), tuple(ours), len(found), same, plain_peak, ours_peak, outside)


def alike(a: Sequence[Box], b: Sequence[Box]) -> bool:
    """Whether two answers have the same boxes in the same order."""
    return len(a) == len(b) and all(iou(x, y) >= SAME for x, y in zip(a, b, strict=True))


def seconds(way: Way) -> float:
    """Wall-clock seconds of one run, a GPU's work included."""
    way.prepare()
    wait()
    began = time.perf_counter()
    way.run()
    wait()
    return time.perf_counter() - began


def wait() -> None:
    """Until the GPU, where there is one, has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak(way: Way) -> tuple[Answers, int]:
    """What a run gives, and how many bytes more than before it took at its peak: of the GPU where there is one, else of the process,
    looked at every 5 ms."""
    way.prepare()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        found = way.run()
        return found, torch.cuda.max_memory_allocated() - before
    process, done = psutil.Process(), threading.Event()
    most = before = process.memory_info().rss

    def watch() -> None:
        nonlocal most
        while not done.wait(0.005):
            most = max(most, process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        found = way.run()
    finally:
        done.set()
        watcher.join()
    return found, most - before


def outside_forwards(way: Way, forwards: Sequence[tuple[Any, str]]) -> float:
    """Share of a run's time that is spent outside the models' own forwards, 0 to 1."""
    clock = Clock()
    with ExitStack() as stack:
        for owner, name in forwards:
            stack.enter_context(clock.on(owner, name))
        whole = seconds(way)
    return max(0.0, 1 - clock.spent / whole)


class Clock:
    """Adds up the time inside some methods, each moment once where one calls another."""

    def __init__(self) -> None:
        self.spent, self._depth = 0.0, 0

    @contextmanager
    def on(self, owner: Any, name: str) -> Iterator[None]:
        """Inside, calls of owner.name are timed."""
        real, own = getattr(owner, name), vars(owner).get(name)

        def timed(*given: Any, **named: Any) -> Any:
            self._depth += 1
            wait()
            began = time.perf_counter()
            try:
                return real(*given, **named)
            finally:
                wait()
                self._depth -= 1
                if not self._depth:
                    self.spent += time.perf_counter() - began

        setattr(owner, name, timed)
        try:
            yield
        finally:
            delattr(owner, name)
            if own is not None:
                setattr(owner, name, own)
