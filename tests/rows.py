"""Memory and time of long data: candidates and figures for 100, 1,000 and 10,000 rows.

    python -m tests.rows

Rows are about 50 RefScenes pictures, and boxes come from a file, so that the package's own part is seen and not the models'.
"""

import argparse
import json
import multiprocessing
import os
import random
import resource
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a process that has used threads cannot be copied

import wrapper.evaluation.runner
import wrapper.pipeline  # noqa: F401  imported once, so that it is part of what every run begins with
from tests.commands import run_silently
from wrapper.scenes.dataset import scenes

SIZES = (100, 1_000, 10_000)


def command(arguments: list[str], told: "multiprocessing.Queue[float]") -> None:
    """Run a command of the package; tells its peak memory in MB."""
    try:
        run_silently(arguments)
    except SystemExit as ended:  # which is how a command ends
        if ended.code:
            told.put(float("nan"))
            raise
    told.put(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)


def measured(arguments: list[str]) -> tuple[float, float]:
    """Seconds and MB of a command."""
    context = multiprocessing.get_context("fork")
    told: multiprocessing.Queue[float] = context.Queue()
    began, process = time.monotonic(), context.Process(target=command, args=(arguments, told))
    process.start()
    peak = told.get()
    process.join()
    return time.monotonic() - began, peak


def written(folder: Path, rows: int) -> None:
    """data.jsonl of so many rows, boxes.jsonl, and the pictures of both."""
    rng, boxes = random.Random(rows), []
    drawn = list(scenes("test", 50, 3))
    for n, scene in enumerate(drawn):
        scene.picture().save(folder / f"{n}.png")
        listed = [list(o.box) for o in scene.layout.objects]
        boxes.append({"image": f"{n}.png", "boxes": listed, "labels": ["thing"] * len(listed), "scores": [0.5] * len(listed)})
    (folder / "boxes.jsonl").write_text("\n".join(map(json.dumps, boxes)))
    with (folder / "data.jsonl").open("w") as file:
        for i in range(rows):
            n = rng.randrange(len(drawn))
            box = list(drawn[n].box)
            file.write(json.dumps({"image": f"{n}.png", "expression": f"thing number {i}", "bbox": box, "id": str(i)}) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    options = parser.parse_args()
    print("| rows | propose | evaluate |\n|---|---|---|")
    for rows in options.sizes:
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            written(folder, rows)
            common = ["--data", str(folder / "data.jsonl"), "--preset", "photo", "--detector", f"boxes=file:{folder / 'boxes.jsonl'}"]
            proposed = measured(["propose", *common, "--proposers", "boxes", "--out", str(folder / "candidates.jsonl")])
            evaluated = measured(["evaluate", *common, "--methods", "boxes", "--out", str(folder / "results")])
            cells = (f"{seconds:.1f} s, {peak:.0f} MB" for seconds, peak in (proposed, evaluated))
            print(f"| {rows:,} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
