"""The Benchmark tab: methods over many expressions, with what was measured beforehand shown at once."""

import csv
import html
import io
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import pandas as pd
import spaces

from wrapper import datasets
from wrapper.adapters import AUTO
from wrapper.candidates import IOU_THRESHOLD
from wrapper.datasets import Example, Skipped
from wrapper.datasets.archive import MAX_BYTES, MAX_FILES, read_zip
from wrapper.errors import DataError, ImageError, WrapperError
from wrapper.evaluation.live import Answer, answers, figures
from wrapper.evaluation.methods import Method, every
from wrapper.export import plain_cell
from wrapper.presets import TINY_WEIGHTS
from wrapper.ui import common, models, reel
from wrapper.ui.canvas import reel as reel_component
from wrapper.ui.compare import by_models, offered
from wrapper.ui.described import describe
from wrapper.ui.locate import Tab
from wrapper.ui.picture import FileUpload
from wrapper.ui.reel import Run
from wrapper.ui.turns import turns
from wrapper.ui.view import LOOKS_LIKE, out_of_place
from wrapper.worlds import World, world_of

BUNDLED = TINY_WEIGHTS / "results.json"
LEAST, MOST = 8, 5000
KIND = "Kind of expression"
HEADERS = ["Method", "P@1, %", "95 % interval", "Recall of the candidates, %", "Mean IoU", "Boxes", "How answers came about", "ms"]
WIDTHS: list[str | int] = [250, 80, 130, 150, 90, 80, 200, 200]
CHOSEN = ["gdrec", "florence2", "florence2,gdrec+llm"]
RUNS = 4
"""That are kept to be held against each other."""
READING = "<label>Reading the data …<br><progress style='width:100%'></progress></label>"
REST = tuple(gr.skip() for _ in range(6))
"""Nothing new for what stands below the progress."""
BATCH = 8
SLICE = 4 * BATCH
LOOKED_AT = 5
"""Pictures of which the first that can be opened tells what the data are of."""


@dataclass(frozen=True)
class Results:
    """What is done so far of `asked` expressions. folder: where an uploaded data set is unpacked; left_out: which of its rows
    were not used, and why; preset and seed: the models, and the scenes where there is no folder; spent: seconds so far;
    note: what the models do not know of such pictures."""

    data: str
    asked: int
    folder: str | None
    left_out: tuple[Skipped, ...]
    methods: tuple[Method, ...]
    preset: str
    seed: int
    done: tuple[Answer, ...]
    spent: float
    note: str = ""


def seconds(examples: list[Example], methods: list[str], adapter: str) -> int:
    """How long a GPU is asked for, at most, for one slice: batches, of which each model has a step."""
    return models.seconds_a_step() * -(-len(examples) // BATCH) * 3


@spaces.GPU(duration=seconds)  # type: ignore[untyped-decorator]
def _answers(examples: list[Example], methods: list[str], adapter: str) -> Iterator[list[Answer]]:
    with common.as_page_errors():
        parts = [answers(wrapper, examples, found, BATCH) for wrapper, found in by_models(methods, [adapter])]
        for batches in zip(*parts, strict=True):
            yield [_together(rows) for rows in zip(*batches, strict=True)]


def _together(rows: tuple[Answer, ...]) -> Answer:
    """One example's answers by models of several worlds, as one."""
    failed = next((row.failed for row in rows if row.failed), None)
    return Answer(rows[0].example, tuple(c for row in rows for c in row.compared), failed)


def _in_slices(examples: list[Example], methods: list[str], adapter: str) -> Iterator[list[Answer]]:
    """A GPU is asked for slice by slice, as a visitor's quota is minutes and what a cancelled run has asked for is lost."""
    for start in range(0, len(examples), SLICE):
        yield from _answers(examples[start : start + SLICE], methods, adapter)


def live(
    visit: gr.Request,
    pressed: int,
    path: str | None,
    n: int | None,
    methods: list[str],
    adapter: str = AUTO,
    seed: int | None = 1,
    before: Results | None = None,
) -> Iterator[tuple[Any, ...] | Any]:
    """The page's Run button: progress, a table, P@1 by method and by kind, and what is done, again and again, until the visitor has had
    enough.

    Arguments as `benchmark`'s; pressed: when the button was, as `press` says it; before: what the page shows already.
    """
    if turns.are_over(_visitor(visit), pressed):  # it was cancelled while it waited for its turn
        return
    try:
        yield (READING, *REST)
        for results in _measured(path, n, methods, adapter, seed):
            if len(results.done) <= BATCH:  # only now does the page let go of what it showed
                forget(before)
                before = None
            yield *_shown(results), results, gr.Column(visible=True)
            if turns.are_over(_visitor(visit), pressed):
                yield (halted(results), *REST)
                return
    except (WrapperError, gr.Error) as error:
        common.warn(error)
        yield ("" if before is None else halted(before), *REST)


def cancellable(visit: gr.Request, pressed: int, *asked: Any) -> Iterator[tuple[Any, ...]]:
    """As `live`, with the Cancel button there until the end."""
    shown = gr.Button(visible=True)
    for step in live(visit, pressed, *asked):
        yield *step, shown
    yield gr.skip(), *REST, gr.Button(visible=False)


def cancel(visit: gr.Request) -> None:
    """The page's Cancel button: the run ends after the batch that it is at."""
    press(visit)


def press(visit: gr.Request) -> int:
    """The page's Run or Cancel button is pressed: a run that was begun before ends after the batch that it is at. Gives when that was."""
    now = time.monotonic_ns() // 1000
    turns.begin(_visitor(visit), now)
    return now


def _visitor(visit: gr.Request) -> str:
    return f"{visit.session_hash}/benchmark"


def benchmark(
    path: str | None = None, n: int = 40, methods: list[str] = CHOSEN, adapter: str = AUTO, seed: int = 1
) -> Iterator[tuple[Any, ...]]:
    """P@1 of methods over many expressions.

    Gives progress, a table, P@1 by method, P@1 by kind of expression, that as a table; again and again until all is done.

    Args:
        path: A zip file with pictures and one .jsonl file (rows of image, expression, bbox); nothing for RefScenes test.
        n: How many expressions.
        methods: Such as "gdrec" (a model alone) or "florence2,gdrec+llm" (the LLM over the boxes of two).
        adapter: "auto", "zero-shot" or the name of an LLM adapter, for the methods with an LLM.
        seed: Of the scenes.
    """
    results = None
    try:
        with common.as_page_errors():
            for results in _measured(path, n, methods, adapter, seed):
                yield _shown(results)
    finally:
        forget(results)


def _measured(path: str | None, n: int | None, methods: list[str], adapter: str, seed: int | None) -> Iterator[Results]:
    """What is done, batch by batch. Who gets the first of it has the folder to forget."""
    if not methods:
        raise DataError("No method is chosen. Tick at least one.")
    count, number = min(MOST, max(1, int(n or LEAST))), int(seed or 0)
    parsed = tuple(m for _, found in by_models(methods, [adapter]) for m in found)
    folder, handed = str(common.scratch()) if path else None, False
    try:
        data = read_zip(Path(path), Path(folder), count) if path and folder else datasets.read(f"refscenes:test:{count}:{number}")
        examples = data.examples[:count]
        name = data.name if folder is None else f"{Path(str(path)).name}, {len(examples)} expressions"
        note = misplaced(examples, parsed)
        done: list[Answer] = []
        began = time.monotonic()
        for part in _in_slices(examples, methods, adapter):
            if folder:
                os.utime(folder)  # it is in use, however long this takes
            done += part
            failed = [Skipped(a.example.id, f"{a.failed} It counts as wrong.") for a in done if a.failed]
            left_out = (*data.skipped, *failed)
            handed = True
            spent = time.monotonic() - began
            yield Results(name, len(examples), folder, left_out, parsed, models.now().name, number, tuple(done), spent, note)
    finally:
        if folder and not handed:
            shutil.rmtree(folder, ignore_errors=True)


def misplaced(examples: Sequence[Example], methods: Sequence[Method]) -> str:
    """What is to be said of methods whose models were not made for such pictures, by the first of them that can be opened."""
    for e in examples[:LOOKED_AT]:
        with suppress(ImageError):
            world = world_of(e.image.open())
            clauses = dict.fromkeys(c for m in methods if (c := out_of_place(world, m.proposers)))
            knowing = [name for name in models.fitting(world) if not out_of_place(world, [name])]
            ticked = any(set(knowing) & set(m.proposers) for m in methods)
            way_out = f" Tick {' and '.join(map(common.name_of, knowing))} for such pictures." if knowing and not ticked else ""
            return "".join(f"These look like {LOOKS_LIKE[world]}s, and {c}: those figures mean nothing.{way_out}" for c in clauses)
    return ""


def fitting_methods(path: str | None, methods: list[str]) -> Any:
    """The methods that are ticked when data are brought: as they are where anything was ticked or unticked, else those that know such
    pictures."""
    if path is None or methods != usual_methods(World.SCENE):
        return gr.skip()
    folder = common.scratch()
    try:
        [first, *_] = read_zip(Path(path), folder, 1).examples
        return usual_methods(world_of(first.image.open()))
    except WrapperError as error:
        return common.warn(error)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def usual_methods(world: World) -> list[str]:
    """The methods that are ticked at first, for pictures of a world."""
    found = every(models.fitting(world))
    return [m for m in CHOSEN if m in found] or found


def _shown(results: Results) -> tuple[Any, ...]:
    found = {m.label(): f.plain() for m, f in figures(results.done, results.methods).items()}
    bars = [{"Method": m, "P@1, %": round(100 * f["p_at_1"]["value"], 1)} for m, f in found.items()]
    kinds = [{KIND: c, "P@1, %": round(100 * s["value"], 1), "Method": m} for m, f in found.items() for c, s in f["categories"].items()]
    return (
        progress(results), table(found), pd.DataFrame(bars), pd.DataFrame(kinds, columns=[KIND, "P@1, %", "Method"]),
        by_kind_table({m: f["categories"] for m, f in found.items()}),
    )  # fmt: skip


def forget(results: Results | None) -> None:
    """Delete what an uploaded data set was unpacked to."""
    if results is not None and results.folder is not None:
        shutil.rmtree(results.folder, ignore_errors=True)


def progress(results: Results, ahead: str | None = None) -> str:
    """How far it is, as HTML. ahead: what comes, in words; the time left where not given."""
    done, total = len(results.done), results.asked
    if ahead is None:
        ahead = f"about {results.spent / done * (total - done):.0f} s left" if done < total else "done"
    words = html.escape(f"{results.data}: {done} of {total}, {ahead}")
    notes = f"<p>{html.escape(results.note)}</p>" if results.note else ""
    if results.left_out:
        notes += f'<pre style="white-space:pre-wrap">{html.escape(datasets.summary(results.left_out, "trouble with"))}</pre>'
    return f'<label>{words}<br><progress max="{total}" value="{done}" style="width:100%">{words}</progress></label>{notes}'


def halted(results: Results) -> str:
    """What the page says after Cancel."""
    return progress(results, "cancelled; the figures are of these" if len(results.done) < results.asked else "done")


def table(found: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """A row a method, from figures (`Figures.plain`) by its name."""
    rows = []
    for name, f in found.items():
        p = f["p_at_1"]
        reasons = ", ".join(f"{v} {k.replace('_', ' ')}" for k, v in f["reasons"].items())
        interval = f"{100 * p['low']:.1f}-{100 * p['high']:.1f}"
        numbers = (f"{100 * p['value']:.1f}", interval, f"{100 * f['recall']['value']:.1f}", f"{f['mean_iou']:.2f}", f"{f['boxes']:.1f}")
        rows.append([name, *numbers, reasons, common.times(f["ms"])])
    return rows


def by_kind_table(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> pd.DataFrame:
    """P@1 in per cent with its 95 % interval, a row a method, a column a kind of expression; from shares by method and kind."""
    counts = {kind: share["n"] for shares in found.values() for kind, share in shares.items()}
    rows = [
        {"Method": m} | {f"{kind} (n {n:.0f})": _share(shares[kind]) for kind, n in sorted(counts.items()) if kind in shares}
        for m, shares in found.items()
    ]
    return pd.DataFrame(rows, columns=["Method", *(f"{kind} (n {n:.0f})" for kind, n in sorted(counts.items()))])


def _share(share: Mapping[str, float]) -> str:
    return f"{100 * share['value']:.0f} ({100 * share['low']:.0f}-{100 * share['high']:.0f})"


def add_run(runs: tuple[Run, ...], results: Results | None) -> tuple[tuple[Run, ...], dict[str, Any]]:
    """The last runs, this one among them, and the reel of its wrong answers. Runs on uploaded pictures go with their pictures."""
    if results is None or (runs and runs[-1].done == results.done):
        return runs, reel.shown(runs).value()
    earlier = [r for r in runs if r.done and r.done[0].example.id.startswith("refscenes/")]
    kept = (*earlier, Run(results.methods, results.done))[-RUNS:]
    return kept, reel.shown(kept).value()


def open_in_locate(event: gr.EventData, runs: tuple[Run, ...]) -> tuple[Any, Any]:
    """The answer that is shown, in the Locate tab with its boxes."""
    return reel.opened(event, runs), gr.Tabs(selected="locate")


def files(results: Results | None) -> list[str] | None:
    """What is done so far as CSV, a row an expression and method, and as JSON with the figures."""
    if results is None:
        return None
    folder = common.scratch()
    rows = [(a, c, o) for a in results.done for c, o in zip(a.compared, a.outcomes, strict=True)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["id", "category", "expression", "method", "correct", "iou", "recalled", "boxes", "reason", "margin"])
    for a, c, o in rows:
        cells = [plain_cell(str(v)) for v in (o.id, o.category or "", a.example.expression, c.method)]
        writer.writerow([*cells, int(o.correct), round(o.iou, 4), int(o.recalled), o.boxes, o.reason, c.selection.margin])
    (folder / "results.csv").write_text(out.getvalue(), encoding="utf-8")
    found = figures(results.done, results.methods)
    record = {
        "data": results.data,
        "seed": None if results.folder else results.seed,
        "preset": results.preset,
        "iou_threshold": IOU_THRESHOLD,
        "not_used": [asdict(s) for s in results.left_out],
        "methods": {str(m): f.plain() for m, f in found.items()},
    }
    (folder / "results.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    return [str(folder / "results.csv"), str(folder / "results.json")]


# ---- measured beforehand


def bundled() -> dict[str, Any] | None:
    """The results that come with the bundled models; None where they are not there."""
    return json.loads(BUNDLED.read_text(encoding="utf-8")) if BUNDLED.is_file() else None


def curves(results: dict[str, Any]) -> pd.DataFrame:
    """The adapters' learning curves: P@1 on validation candidates against rows seen."""
    rows = [
        {"Rows seen": p["rows"], "P@1, %": round(100 * p["p_at_1"], 1), "Adapter": common.ADAPTERS.get(name, name)}
        for name, record in results["adapters"].items() for p in record["curve"]
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["Rows seen", "P@1, %", "Adapter"])


def _build_bundled(results: dict[str, Any]) -> None:
    record: Sequence[Any] = results["data"]
    gr.Markdown(
        "The bundled models on RefScenes, with bootstrap 95 % intervals. A pick is right when its IoU with "
        f"the true box is above {results['iou_threshold']}. RefScenes is synthetic: these figures cannot be compared with the paper's."
    )
    for data in record[::-1]:
        with gr.Accordion(data["name"], open=data is record[-1]):
            found = {e["label"]: e["figures"] for e in data["methods"]}
            gr.Dataframe(
                table(found), headers=HEADERS, interactive=False, wrap=True, label=data["name"], column_widths=WIDTHS, max_height=1400
            )
            kinds = {name: f["categories"] for name, f in found.items()}
            gr.Dataframe(by_kind_table(kinds), interactive=False, wrap=True, label="P@1 by kind of expression, %, with 95 % intervals")
    if results["adapters"]:
        gr.LinePlot(
            curves(results), x="Rows seen", y="P@1, %", color="Adapter", title="Fine-tuning: P@1 on validation candidates", height=300
        )
        with gr.Accordion("The learning curves as a table", open=False):
            gr.Dataframe(curves(results), interactive=False, label="P@1 on validation candidates by rows seen")


def build(first: Tab, tabs: gr.Tabs) -> gr.Dropdown:
    """Lay the tab out inside the current Blocks; gives the choice of adapters."""
    gr.Markdown("### Measure now\nUnseen RefScenes pictures, or a data set of your own.")
    state, pressed = gr.State(None, time_to_live=3600, delete_callback=forget), gr.State(0)
    found = offered()
    with gr.Row():
        with gr.Column(scale=4, min_width=300):
            chosen = gr.CheckboxGroup(
                [(common.method_name(m), m) for m in found], value=usual_methods(World.SCENE), label="Methods",
                info="GD: Grounding DINO asked with the whole expression; GDrec: asked for its noun groups, the subject first.",
            )  # fmt: skip
            n = gr.Slider(LEAST, MOST, 40, step=8, label="Expressions", info="How many are asked. Each model runs once for each.")
        with gr.Column(scale=4, min_width=300):
            adapter = gr.Dropdown(common.adapter_choices(), value=AUTO, label="LLM adapter", info="For methods with an LLM.")
            seed = gr.Number(1, precision=0, minimum=0, label="Seed", info="Another seed draws other scenes.")
            upload = FileUpload(label="Your own data, as a zip file", file_types=[".zip"], height=140)
            gr.Markdown(
                "Pictures and one .jsonl file with one row per expression: image, expression, bbox (x1, y1, x2, y2 in pixels). At most "
                f"{common.MAX_UPLOAD} to upload, {MAX_BYTES // 10**6} MB unpacked and {MAX_FILES:,} files.",
                elem_id="upload-hint",
            )
    with gr.Row():
        button = gr.Button("Run", variant="primary", scale=2)
        stop = gr.Button("Cancel, keep what is done", scale=1, visible=False)
    bar = gr.HTML("", label="Progress", elem_id="progress")
    with gr.Column(visible=False) as found_here:
        rows = gr.Dataframe(headers=HEADERS, label="Figures", interactive=False, wrap=True, elem_id="figures", column_widths=WIDTHS)
        with gr.Accordion("P@1 by method and by kind of expression", open=False):
            with gr.Row():
                by_method = gr.BarPlot(x="Method", y="P@1, %", title="P@1 by method", height=320, y_lim=[0, 100], x_label_angle=-30)
                by_kind = gr.ScatterPlot(
                    x=KIND, y="P@1, %", color="Method", title="P@1 by kind of expression", height=320, y_lim=[-4, 104], x_label_angle=-30
                )
            kinds = gr.Dataframe(interactive=False, wrap=True, label="P@1, %, with 95 % intervals", elem_id="kinds")
        gr.Markdown("### What went wrong")
        runs, answers_ = gr.State((), time_to_live=3600), reel_component()
        results_files = gr.Files(label="Results as CSV and JSON", interactive=False)

    private: dict[str, Any] = {"api_visibility": "private"}
    asked, outputs = [upload, n, chosen, adapter, seed], [bar, rows, by_method, by_kind, kinds]
    upload.upload(fitting_methods, [upload, chosen], [chosen], queue=False, **private)
    button.click(None, None, None, js=common.scroll_to("progress"), **private)
    button.click(lambda: gr.Button(visible=True), None, [stop], queue=False, **private)  # also while it waits for its turn
    begun = button.click(press, None, [pressed], queue=False, **private)
    shown = [*outputs, state, found_here, stop]
    run = begun.then(cancellable, [pressed, *asked, state], shown, concurrency_limit=1, show_progress_on=[rows], **private)
    describe(benchmark, asked, [None, LEAST, ["gdrec", "gdrec+llm"], AUTO, 1])
    # For programs: no session among the results, which the MCP server cannot take
    gr.Button(visible=False).click(benchmark, asked, outputs, api_name="benchmark", concurrency_limit=1)
    silent = private | {"show_progress": "hidden"}
    run.then(add_run, [runs, state], [runs, answers_], **silent).then(files, [state], [results_files], **private)
    answers_.look(reel.look, [runs], [answers_], trigger_mode="multiple", **silent)
    answers_.locate(common.keep_page(open_in_locate), [runs], [first.canvas, tabs], **silent)
    stop.click(cancel, None, None, queue=False, **private)
    if measured := bundled():
        with gr.Accordion("Measured beforehand", open=False):
            _build_bundled(measured)
    return adapter
