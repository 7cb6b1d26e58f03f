"""The paper's tables and figures from a folder of results.

    python -m wrapper report results

Table 1: each vision-language model alone, with the LLM zero-shot and fine-tuned. Table 2: the ensemble against the best
single model, on every data set. Table 3: an adapter trained on one model's candidates and used on the other's. Figure
2: P@1 against rows seen, from the adapters' own records. Figure 3: wins and losses as pictures, chosen by rule. The
paper's figures stand in columns of their own: they are RefCOCOg's, with full-size models, and not comparable.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from PIL import Image

mpl.use("Agg")

from matplotlib import pyplot as plt

from wrapper import datasets
from wrapper.candidates import Reason, Selection
from wrapper.datasets import Example
from wrapper.draw import annotate
from wrapper.evaluation.methods import Method
from wrapper.evaluation.metrics import Share, difference
from wrapper.evaluation.runner import candidates_file, figures_of, hits, pictures, read_results, slug
from wrapper.merging import Merging
from wrapper.presets import adapter_name
from wrapper.proposals import Proposed, read_candidates
from wrapper.writing import write_whole

PAPER = {
    "gd": ("60.09", "58.05", "about 78.0"),
    "gdrec": ("67.61", "67.48", "at least 77.1"),
    "florence2": ("68.28", "67.69", "about 77.7"),
}
"""Alone, zero-shot, fine-tuned: P@1 on RefCOCOg umd val with Llama 3 8B (Cardiel et al. 2025; "about" is read off a figure,
"at least" is the stated gain added)."""
PAPER_ENSEMBLE = "+3.0 val, +2.1 test"
PAPER_TRANSFER = "+5.6 to +6.3"
NAMES = {"gd": "GD", "gdrec": "GDrec", "florence2": "Florence-2"}
SINGLE = ("gdrec", "florence2")
ENSEMBLE = "florence2,gdrec"
SHOWN = 4
"""Wins, and losses, that figure 3 shows."""


def report(folder: Path) -> str:
    """Write report.md and the figures into a folder of results; gives the text."""
    results = read_results(folder)
    parts = [_head(results)]
    for record in results["data"]:
        parts += [f"## {record['name']}", left_out(record)]
        parts += [table_1(record), table_2(record), table_3(record), categories(record), behaviour(record), gap(record)]
    if figure := learning_curves(results, folder):
        parts.append(figure)
    parts += [p for record in results["data"] if (p := wins_and_losses(record, results, folder))]
    text = "\n\n".join(p for p in parts if p) + "\n"
    write_whole(folder / "report.md", text)
    return text


def _head(results: Mapping[str, Any]) -> str:
    models = ", ".join(f"{k} {v}" for k, v in results["models"].items())
    return (
        f"# Results, preset {results['preset']}\n\n"
        f"P@1: per cent of all expressions whose box has IoU > {results['iou_threshold']} with the true one, with bootstrap 95 % "
        "intervals, for which whole pictures are drawn where several expressions are about one. "
        f"Models: {models}.\n\n"
        "Columns headed “paper” are published figures on RefCOCOg umd val with full-size models; they are another data set and not "
        "comparable."
    )


def left_out(record: Mapping[str, Any]) -> str:
    """Of how many expressions the figures are, and what is not among them or counts as wrong without having been asked."""
    n = next((len(m["outcomes"]) for m in record["methods"]), 0)
    said = [f"{n:,} expressions."]
    if record["skipped"]:
        said.append(f"{record['skipped']:,} more rows of the data could not be read and are in no figure.")
    if failed := record.get("failed"):
        said.append(f"{failed:,} have no candidates because their picture or words could not be used; they count as wrong.")
    return " ".join([*said, *(f"{note.rstrip('.')}." for note in record.get("notes", ()))])


def table_1(record: Mapping[str, Any]) -> str:
    """Each vision-language model alone, with the LLM zero-shot and fine-tuned."""
    rows = []
    for name in ("gd", *SINGLE):
        alone, zero = figures_of(record, name), figures_of(record, f"{name}+llm")
        tuned = figures_of(record, f"{name}+llm:{adapter_name([name])}")
        if alone is None:
            continue
        gain = _gain(tuned, alone) if tuned else "–"
        rows.append([NAMES[name], _p(alone), _p(zero), _p(tuned), gain, *PAPER[name]])
    head = [
        "",
        "alone",
        "+ LLM zero-shot",
        "+ LLM fine-tuned",
        "gain of fine-tuning",
        "paper: alone",
        "paper: zero-shot",
        "paper: fine-tuned",
    ]
    note = "\n\nGD's boxes are read with GDrec's adapter." if figures_of(record, "gd+llm:gdrec") else ""
    return "### Table 1: does fine-tuning on a model's own boxes help?\n\n" + _table(head, rows) + note if rows else ""


def table_2(record: Mapping[str, Any]) -> str:
    """The ensemble against the best single model, both fine-tuned."""
    singles = [e for n in SINGLE if (e := figures_of(record, f"{n}+llm:{n}"))]
    both = figures_of(record, f"{ENSEMBLE}+llm:ensemble")
    if both is None or not singles:
        return ""
    best = max(singles, key=lambda e: e["figures"]["p_at_1"]["value"])
    rows = [[best["label"], _p(best), "–", "–"], [both["label"], _p(both), _gain(both, best), PAPER_ENSEMBLE]]
    return "### Table 2: do two models help each other?\n\n" + _table(["", "P@1", "gain over the best single one", "paper: gain"], rows)


def table_3(record: Mapping[str, Any]) -> str:
    """An adapter used on the candidates of the model it was not trained on."""
    rows = []
    for name, other in (SINGLE, SINGLE[::-1]):
        alone, moved = figures_of(record, name), figures_of(record, f"{name}+llm:{other}")
        if alone and moved:
            own = figures_of(record, f"{name}+llm:{name}")
            rows.append([NAMES[other], NAMES[name], _p(alone), _p(moved), _gain(moved, alone), _p(own), PAPER_TRANSFER])
    head = ["adapter trained on", "used on", "alone", "with that adapter", "gain", "with its own adapter", "paper: gain"]
    return "### Table 3: does an adapter move to another model?\n\n" + _table(head, rows) if rows else ""


def categories(record: Mapping[str, Any]) -> str:
    """P@1 by category of expression, with how many there are of each."""
    counts = {c: share["n"] for e in record["methods"] for c, share in sorted(e["figures"]["categories"].items())}
    if not counts or len(counts) > 12:
        return ""
    rows = [[e["label"], *(_text(e["figures"]["categories"][c]) for c in counts)] for e in record["methods"]]
    return "### P@1 by kind of expression\n\n" + _table(["", *(f"{c}, n = {n}" for c, n in counts.items())], rows)


def behaviour(record: Mapping[str, Any]) -> str:
    """What else there is to know of every method."""
    rows = []
    for e in record["methods"]:
        f = e["figures"]
        reasons = ", ".join(f"{v} {k.replace('_', ' ')}" for k, v in f["reasons"].items())
        ms = " + ".join(f"{v:.0f} {k}" for k, v in f["ms"].items())
        rows.append([e["label"], _p(e), _text(f["recall"]), f"{f['mean_iou']:.3f}", f"{f['boxes']:.1f}", reasons, ms])
    head = ["", "P@1", "recall of the candidates", "mean IoU", "boxes a prompt", "how answers came about", "ms an expression"]
    return "### All methods\n\n" + _table(head, rows)


def gap(record: Mapping[str, Any]) -> str:
    """How much of the way from a model alone to the best that its candidates allow is gone by fine-tuning."""
    lines = []
    for proposers, adapter in (("gdrec", "gdrec"), ("florence2", "florence2"), (ENSEMBLE, "ensemble")):
        ceiling, tuned = figures_of(record, f"{proposers}+oracle"), figures_of(record, f"{proposers}+llm:{adapter}")
        starts = [e for n in proposers.split(",") if (e := figures_of(record, n))]
        if ceiling and tuned and starts:
            start, end = max(_value(e) for e in starts), _value(ceiling)
            if end <= start:
                lines.append(f"- {tuned['label']}: there is no gap; the best single model is right wherever a candidate is")
                continue
            closed = (_value(tuned) - start) / (end - start)
            lines.append(f"- {tuned['label']}: {100 * closed:.0f} % of the way from {100 * start:.1f} to {100 * end:.1f}")
    return "### Share of the gap to the best candidate that fine-tuning closes\n\n" + "\n".join(lines) if lines else ""


def learning_curves(results: Mapping[str, Any], folder: Path) -> str:
    """Figure 2: P@1 on validation candidates against training rows seen, one line an adapter."""
    curves = {name: record["curve"] for name, record in results["adapters"].items() if record.get("curve")}
    if not curves:
        return ""
    figure, axes = plt.subplots(figsize=(6.4, 4))
    for (name, curve), mark in zip(curves.items(), "osD^v*" * 5, strict=False):
        axes.plot([p["rows"] for p in curve], [100 * p["p_at_1"] for p in curve], marker=mark, label=NAMES.get(name, name))
    axes.set_xlabel("training rows seen")
    axes.set_ylabel("P@1 on validation candidates, %")
    axes.grid(alpha=0.3)
    axes.legend(title="adapter for")
    figure.tight_layout()
    for kind in ("png", "svg"):
        figure.savefig(folder / f"learning-curves.{kind}", dpi=150)
    plt.close(figure)
    seen = sorted({p["rows"] for curve in curves.values() for p in curve})
    found = {name: {p["rows"]: f"{100 * p['p_at_1']:.1f}" for p in curve} for name, curve in curves.items()}
    rows = [[NAMES.get(name, name), *(row.get(n, "–") for n in seen)] for name, row in found.items()]
    table = _table(["adapter", *(f"{n:,}" for n in seen)], rows)
    return f"## Figure 2: P@1 against rows seen\n\n![P@1 against rows seen](learning-curves.png)\n\n{table}"


def wins_and_losses(record: Mapping[str, Any], results: Mapping[str, Any], folder: Path) -> str:
    """Figure 3: the first expressions, category by category in turn, that the ensemble gets right and the best single model
    alone does not, and the other way round."""
    alone = max((e for n in SINGLE if (e := figures_of(record, n))), key=_value, default=None)
    both = figures_of(record, f"{ENSEMBLE}+llm:ensemble")
    if alone is None or both is None:
        return ""
    pairs = list(zip(both["outcomes"], alone["outcomes"], strict=True))
    sets = {
        "win": [a for a, b in pairs if a["correct"] and not b["correct"]],
        "loss": [a for a, b in pairs if b["correct"] and not a["correct"]],
    }
    shown = {kind: by_turns(outcomes)[:SHOWN] for kind, outcomes in sets.items()}
    ids = {o["id"] for outcomes in shown.values() for o in outcomes}
    rows = {r.id: r for r in read_candidates(candidates_file(folder, record["data"])).rows if r.id in ids}
    images = Path(results["images"]) if results.get("images") else None
    title = f"## Figure 3: wins and losses on {record['name']}"
    data = datasets.read(record["data"], images, len(both["outcomes"]))
    examples = {e.id: e for e in data.examples}
    if data.fingerprint() != record["fingerprint"]:
        return f"{title}\n\nLeft out: the data are not those that were evaluated any more. Evaluate again into another folder."
    parts = [
        title,
        f"{both['label']} against {alone['label']}: {len(sets['win'])} wins, {len(sets['loss'])} losses. Shown are the first of "
        "each kind of expression in turn.",
    ]
    for kind, outcomes in shown.items():
        for n, o in enumerate(outcomes):
            name = f"{kind}-{slug(record['data'])}-{n}.png"
            _picture(examples[o["id"]], rows[o["id"]], Method.parse(both["method"]), Merging(results["merging"]), o).save(folder / name)
            parts.append(f"![{kind}: {rows[o['id']].expression}]({name})\n*{kind}, {o['category']}: {rows[o['id']].expression}*")
    return "\n\n".join(parts)


def by_turns(outcomes: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """One of each category in turn, each category in the data's order."""
    queues: dict[str, list[Mapping[str, Any]]] = {}
    for o in outcomes:
        queues.setdefault(str(o["category"]), []).append(o)
    longest = max((len(q) for q in queues.values()), default=0)
    return [q[i] for i in range(longest) for _, q in sorted(queues.items()) if i < len(q)]


def _picture(example: Example, row: Proposed, method: Method, merging: Merging, o: Mapping[str, Any]) -> Image.Image:
    candidates = row.question(method.proposers, merging).candidates
    pick = next((i for i, c in enumerate(candidates) if list(c.box) == o["box"]), None)
    return annotate(
        example.image.open(), Selection(candidates, pick, (), Reason.OWN_ANSWER if candidates else Reason.NO_CANDIDATES), row.truth
    )


def _value(entry: Mapping[str, Any]) -> float:
    return float(entry["figures"]["p_at_1"]["value"])


def _text(plain: Mapping[str, Any]) -> str:
    return Share(**plain).text()


def _p(entry: Mapping[str, Any] | None) -> str:
    return "–" if entry is None else _text(entry["figures"]["p_at_1"])


def _gain(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """The difference in points, with the interval of the paired differences."""
    d = difference(hits(ours), hits(theirs), pictures(ours))
    return f"{100 * d.value:+.1f} ({100 * d.low:+.1f} to {100 * d.high:+.1f})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
