"""Times what the Benchmark tab does with a long run: the figures after a batch, a step through the answers, the files.

    python -m tests.long_run                   # 5,000 expressions by seven methods

The answers are those of 64 expressions over and over, under ids of their own. Prints the median of five, in milliseconds.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median

from wrapper import datasets
from wrapper.evaluation.compare import methods_with
from wrapper.evaluation.live import Answer, answers
from wrapper.evaluation.methods import every
from wrapper.ui import benchmark, models, reel

ASKED = 64


def long_run(count: int) -> benchmark.Results:
    """The results of a run of so many expressions, as the page holds them."""
    models.load("tiny")
    wrapper = models.now().wrapper
    methods = tuple(methods_with(wrapper, every(wrapper.proposers), "auto"))
    asked = [a for part in answers(wrapper, datasets.read(f"refscenes:test:{ASKED}:5").examples, methods) for a in part]
    done = tuple(_named(asked[i % ASKED], i) for i in range(count))
    return benchmark.Results("RefScenes", count, None, (), methods, "tiny", 5, done, 1.0)


def _named(answer: Answer, i: int) -> Answer:
    return replace(answer, example=replace(answer.example, id=f"refscenes/test/5/{i}"))


def report(name: str, work: Callable[[], object]) -> None:
    """Print how long some work takes, after it was done once."""
    times = []
    work()
    for _ in range(5):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    print(f"{name}: {1000 * median(times):.0f} ms", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=5000, help="expressions")
    results = long_run(parser.parse_args().count)
    report("figures after a batch", lambda: benchmark._shown(results))
    first = reel.Run(results.methods, results.done)
    runs = (first, replace(first, done=first.done[::-1]))
    for order, words in reel.ORDERS.items():
        report(f"a step through those that are {words}", lambda order=order: reel.shown(runs, order=order, place=3))  # type: ignore[misc]
    report("files", lambda: benchmark.files(results))


if __name__ == "__main__":
    main()
