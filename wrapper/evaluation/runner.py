"""Run methods over data sets and keep everything about it in one folder.

    python -m wrapper evaluate --preset tiny --out results       # RefScenes val and test, every usual method
    python -m wrapper report results

The folder: config.json with every setting, a candidates file for each data set (made once, shared by all methods, and
gone on with after a cut), results.json with figures and outcomes, report.md and figures.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from wrapper import adapters, datasets
from wrapper.candidates import IOU_THRESHOLD
from wrapper.errors import DataError
from wrapper.evaluation.methods import Method, Oracle, selectors
from wrapper.evaluation.metrics import Figures, Outcome, outcome
from wrapper.pipeline import load_proposers
from wrapper.presets import Preset
from wrapper.proposals import Proposals, Settings, Share, finish, propose, read_candidates, revision, write_whole
from wrapper.proposers.base import Proposer
from wrapper.selectors.base import Selector
from wrapper.selectors.llama import LlamaSelector

RESULTS = "results.json"


@dataclass(frozen=True)
class Plan:
    """What is to be evaluated. data: names as `datasets.read` takes them; images: their folder of pictures."""

    preset_name: str
    preset: Preset
    methods: tuple[Method, ...]
    data: tuple[str, ...]
    out: Path
    images: Path | None = None
    batch: int = 16


def evaluate(plan: Plan) -> dict[str, Any]:
    """Run all methods on all data sets; gives what results.json holds."""
    if not plan.methods or not plan.data:
        raise DataError("There is nothing to evaluate. Name at least one method and one data set.")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    names = list(dict.fromkeys(p for m in plan.methods for p in m.proposers))
    proposers = load_proposers(plan.preset, names, device, plan.preset.dtype(device))
    settings = Settings.of(plan.preset_name, plan.preset, proposers)
    dtype = torch.bfloat16 if plan.preset.four_bit else plan.preset.dtype(device)
    llm = LlamaSelector.load(plan.preset.llama, None, device, dtype, plan.preset.four_bit)
    chosen = selectors(plan.methods, plan.preset, llm)
    plan.out.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {
        "preset": plan.preset_name,
        "models": dict(settings.models) | {"llama": revision(plan.preset.llama)},
        "options": dict(settings.options),
        "adapters": _adapters(plan),
        "iou_threshold": IOU_THRESHOLD,
        "images": None if plan.images is None else str(plan.images),
        "data": [],
    }
    for name in plan.data:
        record["data"].append(_one(name, plan, settings, proposers, chosen))
    write_whole(plan.out / RESULTS, json.dumps(record, indent=1) + "\n")
    return record


def _one(name: str, plan: Plan, settings: Settings, proposers: Mapping[str, Proposer], chosen: Mapping[Method, Selector]) -> dict[str, Any]:
    data = datasets.read(name, plan.images)
    print(f"{data.name}: {len(data.examples):,} examples")
    for note in data.notes:
        print(f"note: {note}")
    if data.skipped:
        print(datasets.summary(data.skipped))
    found = _candidates(name, data, plan, settings, proposers)
    if found.failed:
        print(datasets.summary(found.failed, "picture cannot be used, so counted as wrong:"))
    methods = []
    for method in plan.methods:
        selector = chosen.get(method) or Oracle([row.truth for row in found.rows])
        outcomes, ms = judge(found, method, selector)
        figures = Figures.of(outcomes, {p: found.ms[p] for p in method.proposers} | ({selector.name: ms} if method.how == "llm" else {}))
        print(f"  {method.label()}: P@1 {figures.p_at_1.text()}", flush=True)
        methods.append(
            {"method": str(method), "label": method.label(), "figures": figures.plain(), "outcomes": [asdict(o) for o in outcomes]}
        )
    return {"data": name, "name": data.name, "fingerprint": data.fingerprint(), "skipped": len(data.skipped), "methods": methods}


def _candidates(name: str, data: datasets.Dataset, plan: Plan, settings: Settings, proposers: Mapping[str, Proposer]) -> Proposals:
    """The candidates of a data set, from the folder where they are there."""
    file = candidates_file(plan.out, name)
    if not file.exists():
        propose(data, settings, proposers, file, Share(), plan.batch)
        finish(data, settings, file)
    found = read_candidates(file, settings)
    if found.data["fingerprint"] != data.fingerprint():
        raise DataError(f"{file} belongs to other data. Delete it, or choose another --out.")
    return found


def judge(found: Proposals, method: Method, selector: Selector) -> tuple[list[Outcome], float]:
    """What becomes of every row, and the mean milliseconds of selecting."""
    lists = [row.merged(method.proposers) for row in found.rows]
    began = time.perf_counter()
    selections = selector.select(lists, [row.expression for row in found.rows], [row.size for row in found.rows])
    ms = 1000 * (time.perf_counter() - began) / max(1, len(lists))
    rows = zip(found.rows, lists, selections, strict=True)
    return [outcome(row.id, row.category, row.truth, candidates, s) for row, candidates, s in rows], round(ms, 2)


def _adapters(plan: Plan) -> dict[str, Any]:
    """For each adapter in use, what its own config.json says, without the losses."""
    names = dict.fromkeys(m.adapter for m in plan.methods if m.adapter)
    found = {name: adapters.record(plan.preset.adapters.get(name, name)) for name in names}
    return {name: {k: v for k, v in data.items() if k != "losses"} for name, data in found.items() if data}


def slug(data: str) -> str:
    """A data set's name as part of a file name."""
    return "".join(c if c.isalnum() else "-" for c in data)


def candidates_file(folder: Path, data: str) -> Path:
    """Where the candidates of a data set lie in a folder of results."""
    return folder / f"candidates-{slug(data)}.jsonl"


def read_results(folder: Path) -> dict[str, Any]:
    """results.json of a folder; DataError where there is none."""
    try:
        data = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{folder} holds no results ({error}). Run `wrapper evaluate --out {folder}` first.") from error
    if not isinstance(data, dict) or "data" not in data:
        raise DataError(f"{folder / RESULTS} is not from `wrapper evaluate`. Run that first.")
    return data


def figures_of(record: Mapping[str, Any], method: str) -> dict[str, Any] | None:
    """The figures of a method in one data set's record; None where it was not run."""
    return next((m for m in record["methods"] if m["method"] == method), None)


def hits(entry: Mapping[str, Any]) -> Sequence[float]:
    """1.0 for each expression that was right, 0.0 for each other, in the data's order."""
    return [float(o["correct"]) for o in entry["outcomes"]]
