"""Long work that is killed again and again, and ends as if nobody had interfered.

    python -m tests.kills            # 20 kills each of propose, evaluate and train

Each is run once to its end, then once with a SIGKILL at 20 random moments; what both wrote is held against each other.
"""

import argparse
import json
import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a process that has used threads cannot be copied

import torch
from safetensors.torch import load_file

import wrapper.evaluation.runner
import wrapper.pipeline
import wrapper.training.sft  # noqa: F401  imported once, so that a kill falls into the work and not into the imports
from tests.commands import run_silently


def started(arguments: list[str]) -> multiprocessing.process.BaseProcess:
    process = multiprocessing.get_context("fork").Process(target=run_silently, args=(arguments,))
    process.start()
    return process


def finish(arguments: list[str]) -> float:
    """Run it to its end; how many seconds that took."""
    began, process = time.monotonic(), started(arguments)
    process.join()
    if process.exitcode != 0:
        raise SystemExit(f"wrapper {' '.join(arguments)} ended with {process.exitcode}.")
    return time.monotonic() - began


def kill(arguments: list[str], after: float) -> bool:
    """Start it and kill it so many seconds later; whether it was still at work."""
    process = started(arguments)
    process.join(after)
    alive = process.is_alive()
    if alive and process.pid is not None:
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    return alive


def lines(path: Path) -> list[Any]:
    """A candidates file without its times."""
    return [{k: v for k, v in json.loads(line).items() if k != "ms"} for line in path.read_text().splitlines()]


def answers(folder: Path) -> dict[str, Any]:
    """The answers of an evaluation by file, without their times."""
    found = {}
    for file in sorted(folder.rglob("*.jsonl")):
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        # in a head the digest of the candidates file, times included
        found[str(file.relative_to(folder))] = [
            {k: v for k, v in row.items() if not k.endswith("ms") and k != "candidates"} for row in rows
        ]
    return found


def tensors(folder: Path) -> list[tuple[str, list[float]]]:
    """An adapter's tensors."""
    return sorted((name, t.flatten().tolist()) for name, t in load_file(folder / "adapter_model.safetensors").items())


def hold(name: str, arguments: Callable[[Path], list[str]], read: Callable[[Path], Any], folder: Path, times: int) -> None:
    """Run a piece of work whole, and in pieces until it was killed so many times at work, beginning anew whenever it is done."""
    whole, rng = folder / f"{name}-whole", random.Random(name)
    seconds = finish(arguments(whole))
    expected, killed, runs = read(whole), 0, 0
    while killed < times:
        runs += 1
        cut = folder / f"{name}-cut{runs}"
        done = False
        while not done and killed < times:
            done = not kill(arguments(cut), rng.uniform(0.2, 0.8) * seconds)
            killed += not done
        if not done:
            finish(arguments(cut))
        if read(cut) != expected:
            raise SystemExit(f"{name}: another result after {killed} kills in {runs} runs")
    print(f"{name}: {seconds:.0f} s whole; killed {killed} times at work in {runs} runs; the same at every end", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--rows", type=int, default=60)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = f"refscenes:train:{options.rows}"
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        candidates = folder / "propose-whole.jsonl"
        works: list[tuple[str, Callable[[Path], list[str]], Callable[[Path], Any]]] = [
            ("propose", lambda out: ["propose", "--data", data, "--out", f"{out}.jsonl"], lambda out: lines(Path(f"{out}.jsonl"))),
            ("evaluate", lambda out: ["evaluate", "--data", f"refscenes:val:{options.rows}", "--out", str(out)], answers),
            ("train", lambda out: ["train", "--candidates", str(candidates), "--out", str(out), "--epochs", "1"], tensors),
        ]
        for name, arguments, read in works:
            hold(name, arguments, read, folder, options.times)


if __name__ == "__main__":
    main()
