"""Run methods over data sets and keep everything about it in one folder.

    python -m wrapper evaluate --preset tiny --out results       # RefScenes val and test, every usual method
    python -m wrapper report results

The folder: config.json with every setting, a candidates file for each data set (made once, shared by all methods, and
gone on with after a cut), the answers of each method (likewise), results.json with figures and outcomes, report.md and figures.
"""

import hashlib
import itertools
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from wrapper import adapters, datasets
from wrapper.candidates import IOU_THRESHOLD
from wrapper.datasets import Skipped
from wrapper.errors import DataError
from wrapper.evaluation.answers import Answered, Answers
from wrapper.evaluation.methods import Method, Oracle, each_by_itself
from wrapper.evaluation.metrics import Figures, Outcome, outcome
from wrapper.inventory import check_room, parts
from wrapper.merging import Merging
from wrapper.pipeline import check_proposers, load_language_model, load_proposers
from wrapper.presets import Preset
from wrapper.proposals import Proposals, Proposed, Settings, fingerprint, read_candidates, revision
from wrapper.proposers.base import Proposer
from wrapper.proposing import Worker, finish, propose
from wrapper.selectors.base import LanguageModel, OwnAnswer, Selector
from wrapper.settings_file import read_json
from wrapper.writing import write_whole

RESULTS = "results.json"
AT_ONCE = 64
"""Questions asked between two writings of answers."""


@dataclass(frozen=True)
class Evaluation:
    """What is to be evaluated. data: names as `datasets.read` takes them; images: their folder of pictures; limit: only the first so many
    examples of each."""

    preset_name: str
    preset: Preset
    methods: tuple[Method, ...]
    data: tuple[str, ...]
    out: Path
    images: Path | None = None
    batch: int = 16
    limit: int | None = None


def evaluate(plan: Evaluation) -> dict[str, Any]:
    """Run all methods on all data sets; gives what results.json holds."""
    if not plan.methods or not plan.data:
        raise DataError("There is nothing to evaluate. Name at least one method and one data set.")
    plan.out.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    names = list(dict.fromkeys(p for m in plan.methods for p in m.proposers))
    check_proposers(names, plan.preset.proposers)
    check_room(parts(plan.preset, device.type == "cuda", names), device)
    proposers = load_proposers(plan.preset, names, device)
    settings = Settings.of(plan.preset_name, plan.preset, proposers)
    used = dict.fromkeys(m.adapter for m in plan.methods if m.adapter)
    sources = {name: plan.preset.adapters.get(name, name) for name in used}
    llm = load_language_model(replace(plan.preset, adapters=sources), device)
    record: dict[str, Any] = {
        "preset": plan.preset_name,
        "models": dict(settings.models) | {"llama": revision(plan.preset.llama, plan.preset.revision(plan.preset.llama))},
        "options": dict(settings.options),
        "merging": plan.preset.merging.value,
        "adapters": _adapters(sources),
        "iou_threshold": IOU_THRESHOLD,
        "images": None if plan.images is None else str(plan.images),
        "data": [],
    }
    revisions = {name: revision(source) for name, source in sources.items()} | {"": record["models"]["llama"]}
    for name in plan.data:
        record["data"].append(_one(name, plan, settings, proposers, llm, revisions))
    write_whole(plan.out / RESULTS, json.dumps(record, indent=1) + "\n")
    return record


def _one(
    name: str, plan: Evaluation, settings: Settings, proposers: Mapping[str, Proposer], llm: LanguageModel, revisions: Mapping[str, str]
) -> dict[str, Any]:
    data = datasets.read(name, plan.images, plan.limit)
    print(f"{data.name}: {len(data.examples):,} examples")
    for note in data.notes:
        print(f"note: {note}")
    if data.skipped:
        print(datasets.summary(data.skipped))
    found = _candidates(name, data, plan, settings, proposers)
    if found.failed:
        print(datasets.summary(found.failed, "no candidates, so counted as wrong:"))
        print(f"note: they are asked about again once {candidates_file(plan.out, name)} is deleted.")
    methods = []
    for method in plan.methods:
        depends_on = {
            "method": str(method), "merging": plan.preset.merging.value, "candidates": fingerprint(candidates_file(plan.out, name)),
            "llm": revisions[""] if method.how == "llm" else None, "adapter": revisions[method.adapter] if method.adapter else None,
        }  # fmt: skip
        with Answers(answers_file(plan.out, name, method), depends_on) as answers:
            outcomes, ms, failed = judge(found, method, plan.preset.merging, llm, answers)
        if failed:
            print(datasets.summary(failed, f"{method.label()}: not answered, so counted as wrong:"))
        figures = Figures.of(outcomes, {p: found.ms[p] for p in method.proposers} | ({llm.name: ms} if method.how == "llm" else {}))
        print(f"  {method.label()}: P@1 {figures.p_at_1.text()}", flush=True)
        methods.append(
            {"method": str(method), "label": method.label(), "figures": figures.plain(), "outcomes": [asdict(o) for o in outcomes]}
        )
    return {
        "data": name, "name": data.name, "fingerprint": data.fingerprint(), "skipped": len(data.skipped), "failed": len(found.failed),
        "notes": list(data.notes), "methods": methods,
    }  # fmt: skip


def _candidates(name: str, data: datasets.Dataset, plan: Evaluation, settings: Settings, proposers: Mapping[str, Proposer]) -> Proposals:
    """The candidates of a data set, from the folder where they are there."""
    file = candidates_file(plan.out, name)
    if file.exists():
        made = time.strftime("%d %b %Y, %H:%M", time.localtime(file.stat().st_mtime))
        print(f"note: the candidates are those of {made}, from {file}; delete it to ask the detectors again.")
    else:
        propose(data, settings, proposers, file, Worker(), plan.batch)
        finish(data, settings, file)
    found = read_candidates(file, settings)
    if found.data["fingerprint"] != data.fingerprint():
        raise DataError(f"{file} belongs to other data. Delete it, or choose another --out.")
    return found


def judge(
    found: Proposals, method: Method, merging: Merging, llm: LanguageModel, answers: Answers
) -> tuple[list[Outcome], float, list[Skipped]]:
    """What becomes of every row, the mean milliseconds of selecting, and the rows that could not be answered.

    Answers that an earlier run has left in `answers` are taken from there.
    """
    todo = (row for row in found.rows if row.id not in answers.done)
    while rows := list(itertools.islice(todo, AT_ONCE)):
        names = method.proposers[:1] if method.how == "alone" else method.proposers  # a model's own answer is its own box
        questions = [row.question(names, merging, method.adapter) for row in rows]
        began = time.perf_counter()
        selections, whys = each_by_itself(_selector(method, llm, rows), questions)
        ms = 1000 * (time.perf_counter() - began) / len(rows)
        for row, q, s, why in zip(rows, questions, selections, whys, strict=True):
            answers.add(Answered(outcome(row.id, row.category, row.truth, q.candidates, s, row.image), ms, why))
    done = [answers.done[row.id] for row in found.rows]
    failed = [Skipped(a.outcome.id, a.failed) for a in done if a.failed is not None]
    return [a.outcome for a in done], round(sum(a.ms for a in done) / max(1, len(done)), 2), failed


def _selector(method: Method, llm: LanguageModel, rows: Sequence[Proposed]) -> Selector:
    if method.how == "oracle":
        return Oracle([row.truth for row in rows])
    return llm if method.how == "llm" else OwnAnswer(method.proposers[0])


def _adapters(sources: Mapping[str, str]) -> dict[str, Any]:
    """For each adapter in use, what its own config.json says, without the losses."""
    found = {name: adapters.record(source) for name, source in sources.items()}
    return {name: {k: v for k, v in data.items() if k != "losses"} for name, data in found.items() if data}


MOST_NAME = 120
"""Bytes of a data set's name in a file's; most file systems take 255 in all."""


def slug(data: str) -> str:
    """A data set's name as part of a file name; a long one's end, which differs, and what tells it from others of that end."""
    plain = "".join(c if c.isalnum() else "-" for c in data)
    if len(plain.encode()) <= MOST_NAME:
        return plain
    end = plain.encode()[-MOST_NAME // 2 :].decode(errors="ignore")
    return f"{hashlib.sha256(data.encode()).hexdigest()[:12]}-{end}"


def candidates_file(folder: Path, data: str) -> Path:
    """Where the candidates of a data set lie in a folder of results."""
    return folder / f"candidates-{slug(data)}.jsonl"


def answers_file(folder: Path, data: str, method: Method) -> Path:
    """Where a method's answers about a data set lie in a folder of results."""
    return folder / "answers" / f"{slug(data)}-{hashlib.sha256(str(method).encode()).hexdigest()[:12]}.jsonl"


def read_results(folder: Path) -> dict[str, Any]:
    """results.json of a folder; DataError where there is none."""
    try:
        data = read_json(folder / RESULTS)
    except (OSError, ValueError) as error:
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


def pictures(entry: Mapping[str, Any]) -> Sequence[str]:
    """The pictures of the same expressions; none where results were written before they were kept."""
    return [str(o["picture"]) for o in entry["outcomes"] if "picture" in o]
