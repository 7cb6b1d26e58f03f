"""Measure the preset `photo` on expressions about photographs.

    python -m weights.recipes.photographs FOLDER

FOLDER has the pictures, photos.jsonl (rows {"image", "width", "height", "objects": [{"label", "box"}]}: all true boxes) and
expressions.jsonl (rows {"image", "expression", "bbox", "needs"}: bbox null where the object is absent, needs "text" where labels and
boxes decide it and "pixels" where one must see the picture). Nothing of it may have been trained on.
"""

import argparse
import json
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from wrapper.candidates import Candidate, Selection, is_correct
from wrapper.colors import with_colors
from wrapper.evaluation import metrics
from wrapper.expressions import normalise
from wrapper.images import load_image
from wrapper.merging import merge
from wrapper.pipeline import Wrapper, collect
from wrapper.presets import PHOTO_WEIGHTS
from wrapper.proposers.detections import DetectorProposer
from wrapper.proposers.onnx import OnnxDetector
from wrapper.quiet import quiet_libraries
from wrapper.selectors.base import Question

DETECTOR = PHOTO_WEIGHTS / "yolox-nano" / "detector.json"
PRESENT_REJECTED = 0.05
"""Share of present objects that may be rejected."""


def share(hits: Sequence[bool]) -> str:
    """A share in per cent with its 95 % interval."""
    found = metrics.share([float(h) for h in hits])
    return f"{sum(hits)} of {len(hits)}, {found.text()} %"


def right(selection: Selection, row: dict[str, Any]) -> bool:
    """Whether the most probable candidate is the true one, whatever is said of "none"."""
    return selection.guess is not None and is_correct(selection.candidates[selection.guess].box, tuple(row["bbox"]))


def absent_share(selection: Selection) -> float:
    """How probable it is that nothing on the list is meant; 1 where the list is empty."""
    return 1.0 if not selection.candidates else selection.absent or 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    quiet_libraries()
    wrapper = Wrapper.from_preset("photo")
    photos = {p["image"]: p for p in map(json.loads, (folder / "photos.jsonl").read_text().splitlines())}
    rows = [json.loads(line) for line in (folder / "expressions.jsonl").read_text().splitlines()]
    pictures = {name: load_image(folder / name) for name in {r["image"] for r in rows}}
    truths = [true_question(photos[r["image"]], pictures[r["image"]], r["expression"]) for r in rows]
    on_truth = wrapper.llm.select(truths)
    began = time.perf_counter()
    seen = [collect([wrapper.proposers["yolox"]], [pictures[r["image"]]], [normalise(r["expression"])]).of(0) for r in rows]
    lists = [wrapper.merge(found).candidates for found in seen]
    questions = [Question(c, normalise(r["expression"]), pictures[r["image"]].size) for c, r in zip(lists, rows, strict=True)]
    answers = [wrapper.llm.select([q])[0] for q in questions]
    ms = 1000 * (time.perf_counter() - began) / len(rows)
    present = [i for i, r in enumerate(rows) if r["bbox"] is not None]
    text = [i for i in present if rows[i]["needs"] == "text"]
    listed = [any(is_correct(c.box, tuple(rows[i]["bbox"])) for c in lists[i]) if i in present else False for i in range(len(rows))]
    print("| measured on | right |\n|---|---|")
    print(f"| true boxes, expressions that a list decides | {share([right(on_truth[i], rows[i]) for i in text])} |")
    print(f"| true boxes, all with an object | {share([right(on_truth[i], rows[i]) for i in present])} |")
    print(f"| end to end, those that a list decides | {share([right(answers[i], rows[i]) for i in text])} |")
    print(f"| of them where the detector lists the object | {share([right(answers[i], rows[i]) for i in text if listed[i]])} |")
    print(f"| end to end, all with an object | {share([right(answers[i], rows[i]) for i in present])} |")
    print(f"| the object is on the detector's list | {share([listed[i] for i in present])} |")
    for name, found in (("true boxes", on_truth), ("end to end", answers)):
        shares = sorted((absent_share(found[i]) for i in present), reverse=True)
        limit = shares[int(PRESENT_REJECTED * len(present))]
        gone = [absent_share(s) > limit for s, r in zip(found, rows, strict=True) if r["bbox"] is None]
        print(f"| {name}: absent, rejected where at most 5 % of the present ones are | {share(gone)} |")
        said = [absent_share(s) > 0.5 for s in found]
        wrongly = [said[i] for i in present]
        print(f"| {name}: rejected at 0.5: absent | {share([s for s, r in zip(said, rows, strict=True) if r['bbox'] is None])} |")
        print(f"| {name}: rejected at 0.5: present | {share(wrongly)} |")
    for tiles, threshold, same_place in ((2, 0.25, 0.7), (1, 0.25, 0.7), (2, 0.15, 1.0)):
        found = recall(photos.values(), folder, tiles, threshold, same_place)
        print(f"| true boxes the detector finds with their kind; {tiles} parts a side, scores from {threshold}, ", end="")
        print(f"{'one box a place' if same_place < 1 else 'all boxes of a place'} | {share(found)} |")
    print(f"\n{ms:.0f} ms an answer; the pick is the same object in ten orders of the list in {steady(wrapper, questions, answers)}")


def recall(photos: Iterable[dict[str, Any]], folder: Path, tiles: int, threshold: float, same_place: float) -> list[bool]:
    """Whether each true box is found with its kind, by the bundled detector with other settings."""
    detector, hits = OnnxDetector.load(str(DETECTOR)), list[bool]()
    detector = replace(detector, settings=replace(detector.settings, tiles=tiles, threshold=threshold, same_place=same_place))
    for photo in photos:
        [seen] = DetectorProposer("yolox", detector).propose([load_image(folder / photo["image"])], [""])
        hits += [any(c.label == o["label"] and is_correct(c.box, tuple(o["box"])) for c in seen) for o in photo["objects"]]
    return hits


def true_question(photo: dict[str, Any], picture: Image.Image, expression: str) -> Question:
    """The question about a photograph's true boxes."""
    found = [Candidate(tuple(o["box"]), o["label"], None, "truth", rank) for rank, o in enumerate(photo["objects"])]
    return Question(merge([with_colors(picture, found)]).candidates, normalise(expression), (photo["width"], photo["height"]))


def steady(wrapper: Wrapper, questions: Sequence[Question], answers: Sequence[Selection]) -> str:
    """Of lists that are given in ten random orders, how many get the same object each time, as the product asks."""
    rng, same = random.Random(0), list[bool]()
    for q, first in zip(questions, answers, strict=True):
        if first.guess is None:
            continue
        picks = [wrapper.choose(rng.sample(q.candidates, len(q.candidates)), q.expression, q.size, None) for _ in range(10)]
        same.append(all(p.guess is not None and is_correct(p.candidates[p.guess].box, first.candidates[first.guess].box) for p in picks))
    return share(same)


if __name__ == "__main__":
    main()
