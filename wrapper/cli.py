"""The command line: python -m wrapper locate | compare | scenes | propose | train | adapter | evaluate | report | abstention |
bench | deploy."""

import errno
import inspect
import json
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

import typer

from wrapper import datasets
from wrapper.adapters import AUTO, ZERO_SHOT, check_adapter, parse_adapters
from wrapper.detectors import HELP, parse_detectors
from wrapper.errors import WrapperError
from wrapper.merging import Merging
from wrapper.presets import PRESETS, Preset, adapter_name, find_preset
from wrapper.scenes.layout import Split
from wrapper.training.settings import TrainSettings, settings_of

if TYPE_CHECKING:
    from PIL.Image import Image

PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EEXIST, errno.ENOTDIR, errno.EISDIR)
"""Of the operating system's errors those that a person can mend: no room, or no right to write."""
METHODS_HELP = (
    "May be given several times; the usual ones where not given. PROPOSERS (the first one's own answer), PROPOSERS+llm (zero-shot), "
    "PROPOSERS+llm:ADAPTER, PROPOSERS+oracle; such as florence2,gdrec+llm:ensemble."
)

app = typer.Typer(
    help="Find the object that a referring expression means: frozen vision-language models propose, an LLM picks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def override(
    preset: Preset, adapters: Sequence[str] = (), merging: Merging | None = None, detectors: Sequence[str] = (), **models: str | None
) -> Preset:
    """The preset with the parts that are given in place of its own.

    adapters: NAME=SOURCE texts, besides the preset's own; another LLM comes without those, as they were not made for it. detectors:
    NAME=SPEC texts, besides the preset's own. models: `florence2`, `grounding_dino`, `llama`.
    """
    given: dict[str, Any] = {name: value for name, value in models.items() if value is not None}
    own = {} if "llama" in given else dict(preset.adapters)
    more = parse_detectors(detectors, preset.detectors)
    return replace(
        preset, **given, adapters={**own, **parse_adapters(adapters)}, merging=merging or preset.merging,
        detectors={**preset.detectors, **more},
    )  # fmt: skip


ADAPTER = typer.Option(
    "--adapter", metavar="NAME=SOURCE",
    help="A LoRA adapter for the LLM, a folder or Hub id, besides the preset's own; may be given several times. It is used by itself for "
    "the candidates of one model if NAME is gdrec or florence2, for those of both if it is ensemble.",
)  # fmt: skip
MERGING = typer.Option(
    help="How several models' lists become one: canonical (one candidate an object, in reading order), or concatenated, as the paper "
    "has it; the preset's where not given."
)
ANY_PRESET = typer.Option(
    help=f"Set of models: {', '.join(PRESETS)}; auto: full size where a CUDA GPU and the checkpoints are at hand, else the bundled ones "
    "for photographs or for RefScenes, by the picture."
)
USE = typer.Option(help="Which adapter is used: auto (the one for each model), zero-shot for none, or a name.")
PROPOSERS = typer.Option(
    help="Who proposes boxes, with commas between: florence2, gdrec, gd, or the NAME of a detector; the preset's where not given."
)
DETECTOR = typer.Option("--detector", metavar="NAME=SPEC", help=HELP)
FLORENCE2 = typer.Option(help="Florence-2 checkpoint: Hub id or folder.")
GROUNDING_DINO = typer.Option(help="Grounding DINO checkpoint: Hub id or folder.")
LLAMA = typer.Option(
    help="LLM checkpoint: Hub id or folder; or openai:URL#MODEL, a service that speaks OpenAI's chat protocol, its token in LLM_API_TOKEN. "
    "The preset's adapters are left out then."
)


@app.command()
def locate(
    image: Annotated[Path, typer.Argument(help="JPEG, PNG, WebP, GIF, BMP or TIFF file.")],
    expression: Annotated[str, typer.Argument(help="What to find, such as “the cup left of the green book”.")],
    preset: Annotated[str, ANY_PRESET] = "auto",
    proposers: Annotated[str, PROPOSERS] = "",
    florence2: Annotated[str | None, FLORENCE2] = None,
    grounding_dino: Annotated[str | None, GROUNDING_DINO] = None,
    detector: Annotated[list[str] | None, DETECTOR] = None,
    llama: Annotated[str | None, LLAMA] = None,
    adapter: Annotated[list[str] | None, ADAPTER] = None,
    use: Annotated[str, USE] = AUTO,
    merging: Annotated[Merging | None, MERGING] = None,
    least_probability: Annotated[float, typer.Option(min=0, max=1, help="Answer “not found” below this LLM probability.")] = 0.0,
    least_score: Annotated[float, typer.Option(min=0, max=1, help="Answer “not found” where no detector's score is as high.")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the annotated picture here.")] = None,
) -> None:
    """Find one object in a picture."""
    from wrapper.expressions import written
    from wrapper.images import load_image
    from wrapper.quiet import quiet_libraries

    # What can be wrong with the question is said before the seconds that torch takes to import
    picture, text = load_image(image), written(expression)
    models = {"florence2": florence2, "grounding_dino": grounding_dino, "llama": llama}
    chosen = override(_preset(preset, picture), adapter or [], merging, detector or [], **models)
    quiet_libraries()
    from wrapper.candidates import Thresholds, abstain
    from wrapper.pipeline import Wrapper
    from wrapper.trace import explain, trace

    asked = _names(proposers) or list(chosen.usual)
    read_by = _adapter_of(chosen, asked, use, list(parse_adapters(adapter or [])))
    wrapper = Wrapper.from_preset(replace(chosen, adapters=read_by), asked)
    selection = abstain(wrapper.locate(picture, text, None, use), Thresholds(least_probability, least_score))
    if out is not None:
        from wrapper.draw import annotate

        _save(annotate(picture, selection), out)
    result = trace(selection, text, picture.size)
    if as_json:
        print(json.dumps(result))
        return
    print(explain(selection))
    for row in result["candidates"]:
        mark = ">" if row["index"] == selection.index else " "
        box = " ".join(f"{v:6.1f}" for v in row["box"])
        score, share = (f"{row[k]:.2f}" if row[k] is not None else "    " for k in ("score", "probability"))
        print(
            f"{mark} {row['index']:2}  {box}  score {score}  probability {share}  {' + '.join(row['sources'])}  {' / '.join(row['labels'])}"
        )


@app.command()
def compare(
    image: Annotated[Path, typer.Argument(help="JPEG, PNG, WebP, GIF, BMP or TIFF file.")],
    expression: Annotated[str, typer.Argument(help="What to find, such as “the cup left of the green book”.")],
    preset: Annotated[str, ANY_PRESET] = "auto",
    florence2: Annotated[str | None, FLORENCE2] = None,
    grounding_dino: Annotated[str | None, GROUNDING_DINO] = None,
    detector: Annotated[list[str] | None, DETECTOR] = None,
    llama: Annotated[str | None, LLAMA] = None,
    adapter: Annotated[list[str] | None, ADAPTER] = None,
    use: Annotated[str, USE] = AUTO,
    merging: Annotated[Merging | None, MERGING] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Find one object by every method: each model alone, each with the LLM, and both with the LLM."""
    from wrapper.expressions import written
    from wrapper.images import load_image
    from wrapper.quiet import quiet_libraries

    picture, text = load_image(image), written(expression)
    models = {"florence2": florence2, "grounding_dino": grounding_dino, "llama": llama}
    chosen = override(_preset(preset, picture), adapter or [], merging, detector or [], **models)
    quiet_libraries()
    from wrapper.evaluation.compare import as_record, in_words, methods_with, say_unseen
    from wrapper.evaluation.compare import compare_methods as run
    from wrapper.evaluation.methods import every
    from wrapper.pipeline import Wrapper
    from wrapper.trace import explain

    wrapper = Wrapper.from_preset(chosen, chosen.proposers)
    compared = methods_with(wrapper, every(chosen.proposers), use)
    _all_used(adapter or [], [m.adapter for m in compared])
    rows = say_unseen(run(wrapper, [picture], [text], compared)[0])
    if as_json:
        print(json.dumps(as_record(rows, text, picture.size)))
        return
    for r in rows:
        box = "nothing" if r.selection.box is None else " ".join(f"{v:6.1f}" for v in r.selection.box)
        print(f"{r.method!s:33}  {box:30}  {explain(r.selection)}")
    print(in_words(rows, [str(r.method) for r in rows]))


def _all_used(given: Sequence[str], used: Collection[str | None]) -> None:
    """WrapperError where an adapter on the command line is one that nothing reads."""
    if idle := [name for name in parse_adapters(given) if name not in used]:
        raise WrapperError(
            f"No method reads the adapter {idle[0]}. Name it as that of the candidates it reads (gdrec, florence2, ensemble), or by --use "
            f"{idle[0]} (compare) or --methods PROPOSERS+llm:{idle[0]} (evaluate)."
        )


def _adapter_of(preset: Preset, proposers: Sequence[str], use: str, given: Sequence[str]) -> dict[str, str]:
    """The only adapter that is used, as the others take time to load, or none. given: the names of those on the command line; WrapperError
    where they would be left unused without a word."""
    if use == ZERO_SHOT:
        return {}
    check_adapter(use, preset.adapters)
    name = adapter_name(proposers) if use == AUTO else use
    if use == AUTO and given and name not in given:
        raise WrapperError(
            f"The adapter {given[0]} is not used by itself for the candidates of {' and '.join(proposers)}. "
            f"Add --use {given[0]}, or call it {name}."
        )
    return {n: source for n, source in preset.adapters.items() if n == name}


def _preset(name: str, picture: "Image") -> Preset:
    """The preset of a name; for "auto" the one for a picture."""
    if name != "auto":
        return find_preset(name)
    from wrapper.presets import best_preset
    from wrapper.worlds import World, world_of

    if (best := best_preset()) != "bundled":
        return find_preset(best)
    return find_preset("photo" if world_of(picture) is World.PHOTOGRAPH else "tiny")


def _save(picture: "object", out: Path) -> None:
    try:
        picture.save(out)  # type: ignore[attr-defined]
    except (OSError, ValueError) as error:
        raise WrapperError(f"The picture cannot be written to {out} ({error}). Choose a path that ends in .png or .jpg.") from error


@app.command()
def scenes(
    out: Annotated[Path, typer.Option(help="Folder for the PNG files and data.jsonl.")],
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    n: Annotated[int, typer.Option(min=1, help="How many scenes.")] = 300,
    seed: Annotated[int, typer.Option(help="Another seed gives other scenes of the split.")] = 7,
) -> None:
    """Write RefScenes pictures with one expression each."""
    from tqdm import tqdm

    from wrapper.scenes.dataset import write

    try:
        for _ in tqdm(write(_split(split), n, seed, out), total=n, unit="scene"):
            pass
    except OSError as error:
        raise WrapperError(f"The scenes cannot be written to {out} ({error}). Choose a folder you may write to.") from error


def _split(name: str) -> Split:
    if name not in get_args(Split):
        raise WrapperError(f"There is no split {name!r}. Choose one of {', '.join(get_args(Split))}.")
    return name  # type: ignore[return-value]


def _names(proposers: str) -> list[str]:
    """The names in a comma-separated list."""
    return [name.strip() for name in proposers.split(",") if name.strip()]


@app.command()
def propose(
    data: Annotated[str, typer.Option(help=datasets.HELP)],
    out: Annotated[Path, typer.Option(help="Candidates file to write; a run that was cut goes on.")],
    images: Annotated[Path | None, typer.Option(help="Folder of the pictures, for data that only names them.")] = None,
    preset: Annotated[str, typer.Option(help=f"Set of models: {', '.join(PRESETS)}.")] = "tiny",
    proposers: Annotated[str, PROPOSERS] = "",
    florence2: Annotated[str | None, FLORENCE2] = None,
    grounding_dino: Annotated[str | None, GROUNDING_DINO] = None,
    detector: Annotated[list[str] | None, DETECTOR] = None,
    batch: Annotated[int, typer.Option(min=1, help="Examples at once.")] = 16,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many examples.")] = None,
) -> None:
    """Run the vision-language models over a data set and keep their candidates. `accelerate launch -m wrapper ...` shares the work."""
    from wrapper.quiet import quiet_libraries

    quiet_libraries()
    import torch
    from accelerate import PartialState

    from wrapper import proposals, proposing
    from wrapper.inventory import check_room, parts
    from wrapper.pipeline import check_proposers, load_proposers

    state = PartialState(cpu=not torch.cuda.is_available())
    found = datasets.read(data, images, limit)
    chosen = override(find_preset(preset), detectors=detector or [], florence2=florence2, grounding_dino=grounding_dino)
    names = _names(proposers) or list(chosen.usual)
    check_proposers(names, chosen.proposers)
    check_room(parts(chosen, state.device.type == "cuda", names, llm=False), state.device)
    loaded = load_proposers(chosen, names, state.device)
    settings = proposals.Settings.of(preset, chosen, loaded)
    if state.is_main_process:
        _tell(found)
    before = proposing.made_before(found, settings, out)
    if before is not None and not before.failed:
        if state.is_main_process:
            print(f"{out} is whole already: candidates for {len(before.rows):,} examples. Delete it to ask again.")
        return
    if before is not None and state.is_main_process:
        proposing.reopen(found, settings, out, before)
    state.wait_for_everyone()
    proposing.propose(found, settings, loaded, out, proposing.Worker(state.process_index, state.num_processes), batch)
    state.wait_for_everyone()
    if state.is_main_process:
        proposing.finish(found, settings, out)
        print(f"wrote {out}: candidates for {len(found.examples):,} examples")
        if failed := proposals.read_candidates(out).failed:
            print(datasets.summary(failed, "cannot be used, so without candidates:"))


def _tell(data: datasets.Dataset) -> None:
    """What was read, what was left out, and remarks."""
    print(f"{data.name}: {len(data.examples):,} examples")
    for note in data.notes:
        print(f"note: {note}")
    if data.skipped:
        print(datasets.summary(data.skipped))


def _with_fields(settings: type, function: "Callable[..., None]") -> "Callable[..., None]":
    """A command whose options are a settings class's fields, besides its own; None stands for the preset's own value."""
    hints = get_type_hints(settings, include_extras=True)
    extra = []
    for field in fields(settings):
        kind, help_text = get_args(hints[field.name])
        plain: Any = str if get_origin(kind) is tuple else kind
        annotation: Any = Annotated[plain | None, typer.Option(help=help_text, show_default="the preset's", rich_help_panel="Settings")]
        extra.append(inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation))
    own = [p for p in inspect.signature(function).parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    function.__signature__ = inspect.Signature([*own, *extra])  # type: ignore[attr-defined]
    function.__annotations__ = {p.name: p.annotation for p in [*own, *extra]}
    return function


def train(
    candidates: Annotated[Path, typer.Option(help="Candidates file of the training data, from `wrapper propose`.")],
    out: Annotated[Path, typer.Option(help="Folder for the adapter; a run that was cut goes on.")],
    validation: Annotated[Path | None, typer.Option(help="Candidates file on which P@1 is measured on the way.")] = None,
    preset: Annotated[str, typer.Option(help=f"Set of models: {', '.join(PRESETS)}.")] = "tiny",
    proposers: Annotated[str | None, typer.Option(help="Whose candidates are listed; all in the file where not given.")] = None,
    llama: Annotated[str | None, LLAMA] = None,
    merging: Annotated[Merging | None, MERGING] = None,
    template: Annotated[
        Path | None, typer.Option(help="A prompt.json with the wording of the lists; the LLM's own where not given.")
    ] = None,
    **given: Any,
) -> None:
    """Fine-tune a LoRA adapter for the LLM on candidates. `accelerate launch -m wrapper train ...` uses several devices."""
    from wrapper.quiet import quiet_libraries

    quiet_libraries()
    from wrapper.prompt import PromptTemplate
    from wrapper.proposals import read_candidates
    from wrapper.training.sft import Run
    from wrapper.training.sft import train as fine_tune

    changes: dict[str, Any] = {k: tuple(_names(v)) if k == "targets" else v for k, v in given.items() if v is not None}
    data = read_candidates(candidates)
    names = tuple(_names(proposers)) if proposers else data.settings.proposers
    checked = None if validation is None else read_candidates(validation, data.settings)
    if missing := set(names) - set(data.settings.proposers):
        raise WrapperError(f"{candidates} has no candidates of {', '.join(sorted(missing))}. It has {', '.join(data.settings.proposers)}.")
    chosen = override(find_preset(preset), merging=merging, llama=llama)
    wording = None if template is None else PromptTemplate.read(template)
    record = fine_tune(Run(preset, chosen, names, replace(settings_of(preset), **changes), data, checked, out, wording))
    print(
        f"wrote {out} after {record['seconds']} s, {record['tokens_per_second']:,} tokens a second, {record['peak_memory_mb']:,} MB at most"
    )


app.command()(_with_fields(TrainSettings, train))
adapters = typer.Typer(help="What to do with a trained adapter.", no_args_is_help=True)
app.add_typer(adapters, name="adapter")


@adapters.command()
def push(
    folder: Annotated[Path, typer.Argument(help="Adapter folder, from `wrapper train`.")],
    repository: Annotated[str, typer.Argument(help="Hub repository, such as you/gdrec-adapter.")],
    public: Annotated[bool, typer.Option("--public", help="Anyone may see it; private otherwise.")] = False,
) -> None:
    """Send an adapter to the Hugging Face Hub."""
    from wrapper.training.sft import push as send

    print(send(folder, repository, private=not public))


@adapters.command("import")
def take_over(
    paths: Annotated[list[Path], typer.Argument(help="A PEFT folder, a .tar.gz, or its parts (….part_aa finds the others beside it).")],
    out: Annotated[Path, typer.Option(help="Folder for the adapter.")],
    base: Annotated[str | None, typer.Option(help="The LLM it was trained on; what it says itself where not given.")] = None,
    template: Annotated[Path | None, typer.Option(help="A prompt.json with the wording it was trained with.")] = None,
    source: Annotated[str | None, typer.Option(help="Where it comes from, for the record; the file's name where not given.")] = None,
    licence: Annotated[str, typer.Option(help="Its licence, for the record.")] = "unknown",
    proposers: Annotated[str, typer.Option(help="Whose candidates it was trained on, such as florence2.")] = "",
) -> None:
    """Take over a released adapter: join, unpack, convert, and check it against its LLM."""
    from wrapper.quiet import quiet_libraries

    quiet_libraries()
    from wrapper.adapter_import import Origin, import_adapter

    origin = Origin(source or paths[0].name, licence, tuple(_names(proposers)))
    for note in import_adapter(paths, out, base, origin, template):
        print(f"note: {note}")
    print(f"wrote {out}")


@app.command()
def evaluate(
    out: Annotated[Path, typer.Option(help="Folder for the results; a run that was cut goes on.")],
    data: Annotated[list[str] | None, typer.Option(help=f"May be given several times. {datasets.HELP}")] = None,
    methods: Annotated[list[str] | None, typer.Option(help=METHODS_HELP)] = None,
    preset: Annotated[str, typer.Option(help=f"Set of models: {', '.join(PRESETS)}.")] = "tiny",
    images: Annotated[Path | None, typer.Option(help="Folder of the pictures, for data that only names them.")] = None,
    florence2: Annotated[str | None, FLORENCE2] = None,
    grounding_dino: Annotated[str | None, GROUNDING_DINO] = None,
    detector: Annotated[list[str] | None, DETECTOR] = None,
    llama: Annotated[str | None, LLAMA] = None,
    adapter: Annotated[list[str] | None, ADAPTER] = None,
    merging: Annotated[Merging | None, MERGING] = None,
    batch: Annotated[int, typer.Option(min=1, help="Examples at once.")] = 16,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many examples.")] = None,
) -> None:
    """Measure P@1 of methods on data sets; RefScenes val and test, 1,000 expressions each, where no data is given."""
    from wrapper.quiet import quiet_libraries

    quiet_libraries()
    from wrapper.evaluation.methods import Method, usual
    from wrapper.evaluation.report import report as write_report
    from wrapper.evaluation.runner import Evaluation
    from wrapper.evaluation.runner import evaluate as run

    models = {"florence2": florence2, "grounding_dino": grounding_dino, "llama": llama}
    chosen = override(find_preset(preset), adapter or [], merging, detector or [], **models)
    wanted = tuple(Method.parse(m) for m in methods) if methods else tuple(usual(chosen))
    _all_used(adapter or [], [m.adapter for m in wanted])
    run(Evaluation(preset, chosen, wanted, tuple(data or ("refscenes:val:1000", "refscenes:test:1000")), out, images, batch, limit))
    write_report(out)
    print(f"wrote {out / 'report.md'}")


@app.command()
def abstention(
    split: Annotated[str, typer.Option(help="train, val or test.")] = "val",
    n: Annotated[int, typer.Option(min=2, help="How many scenes.")] = 500,
    preset: Annotated[str, typer.Option(help=f"Set of models: {', '.join(PRESETS)}.")] = "tiny",
    proposers: Annotated[str, PROPOSERS] = "",
) -> None:
    """Measure what "not found" below a probability or a score costs and brings, on RefScenes with absent objects."""
    from wrapper.quiet import quiet_libraries

    quiet_libraries()
    from wrapper.evaluation.abstention import as_markdown, ask, by_none, by_probability, by_score
    from wrapper.pipeline import Wrapper

    wrapper = Wrapper.from_preset(preset, _names(proposers) or None)
    asked = ask(wrapper, list(wrapper.proposers), _split(split), n)
    print(as_markdown("detectors' best score at least", by_score(asked)))
    print("\n" + as_markdown("LLM's probability at least", by_probability(asked)))
    if none := by_none(asked):
        print("\n" + as_markdown("LLM's probability that none is meant above", none))


@app.command()
def bench(
    work: Annotated[
        list[str] | None,
        typer.Option(
            help="What is measured; may be given several times: locate, compare, evaluate, again, florence2, grounding-dino, llm, train. "
            "All but train where not given."
        ),
    ] = None,
    preset: Annotated[str, typer.Option(help=f"Set of models: {', '.join(PRESETS)}.")] = "tiny",
    florence2: Annotated[str | None, FLORENCE2] = None,
    grounding_dino: Annotated[str | None, GROUNDING_DINO] = None,
    llama: Annotated[str | None, LLAMA] = None,
    data: Annotated[str, typer.Option(help=f"Whose pictures are asked about. {datasets.HELP}")] = "refscenes:val:16",
    questions: Annotated[int, typer.Option(min=1, help="How many.")] = 8,
    pairs: Annotated[int, typer.Option(min=1, help="How often the plain way and ours are timed, in turns.")] = 5,
    beams: Annotated[int, typer.Option(min=1, help="Of the plain way's Florence-2; 3 is what the paper and most demos take.")] = 3,
    tokens: Annotated[
        int | None,
        typer.Option(min=1, help="For checkpoints of random weights: how many tokens Florence-2 writes; answers are not compared."),
    ] = None,
    listed: Annotated[int, typer.Option(min=2, max=25, help="Candidates of each list in `llm` and `train`.")] = 10,
    length: Annotated[int, typer.Option(min=16, help="Tokens of a row in `train`.")] = 1024,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Time the package against the plain way of doing the same work, on this machine's GPU where it has one."""
    from wrapper.quiet import quiet_libraries

    quiet_libraries()
    from wrapper.bench import report
    from wrapper.bench.measure import measure
    from wrapper.bench.work import ALL_OF_THEM, Plan, works

    chosen = override(find_preset(preset), florence2=florence2, grounding_dino=grounding_dino, llama=llama)
    wanted = tuple(work or (w for w in ALL_OF_THEM if w != "train"))
    plan = Plan(chosen, settings_of(preset), wanted, data, questions, beams, tokens, listed, length)
    found = []
    for piece in works(plan):
        print(f"measuring {piece.name} ...", file=sys.stderr, flush=True)
        found.append(measure(piece, pairs))
        if not as_json:  # row by row: what takes an hour may be cut
            rows = [report.HEAD] if len(found) == 1 else []
            print(*rows, report.as_row(found[-1], compared=tokens is None), sep="\n", flush=True)
    if as_json:
        print(json.dumps(report.as_record(found)))
        return
    told = report.machine()
    print(
        f"\n{told['device']}, {told['cores']} cores, Python {told['python']}, " + ", ".join(f"{k} {v}" for k, v in told["packages"].items())
    )


@app.command()
def deploy(
    space: Annotated[str, typer.Option(help="The Space, such as you/llm-wrapper.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the files and their sizes.")] = False,
    public: Annotated[bool, typer.Option("--public", help="Anyone may see a Space that is made; private otherwise.")] = False,
    preset: Annotated[str | None, typer.Option(help="The Space's models: sets WRAPPER_PRESET there, and preloads.")] = None,
    login: Annotated[
        str | None, typer.Option(help="openai:URL#MODEL, asked for visitors who log in: sets WRAPPER_LLAMA and WRAPPER_LOGIN there.")
    ] = None,
) -> None:
    """Send the app to a Hugging Face Space: exactly the files it needs."""
    from wrapper import deploy as space_files

    listed, card = space_files.items(preset=preset, login=login is not None), space_files.card(preset, login=login is not None)
    if preset or login:
        named = {"WRAPPER_PRESET": preset, "WRAPPER_LLAMA": login, "WRAPPER_LOGIN": "1" if login else None}
        said = ", ".join(f"{name} to {value}" for name, value in named.items() if value)
        print(f"README.md begins with\n---{card.split('---')[1]}---\nand of the Space's variables are set {said}.")
    for item in listed:
        print(f"{item.size:10,}  {item.name}")
    print(f"{sum(i.size for i in listed):10,}  bytes in {len(listed)} files")
    if not dry_run:
        print(space_files.deploy(space, private=not public, preset=preset, login=login))


@app.command("models")
def list_models(
    preset: Annotated[str | None, typer.Option(help=f"Set of models: {', '.join(PRESETS)}; all where not given.")] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch the preset's models that are not here.")] = False,
) -> None:
    """List the models of presets: source, licence, size, whether they are here, and the memory they need against what is free."""
    from wrapper.quiet import quiet_libraries

    quiet_libraries()
    from wrapper.model_list import as_text, fetch

    if download:
        if preset is None:
            raise WrapperError("Name the models to fetch with --preset.")
        fetch(find_preset(preset))
    print(as_text({name: find_preset(name) for name in ([preset] if preset else PRESETS)}))


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="Folder of results, from `wrapper evaluate`.")]) -> None:
    """Write the paper's tables and figures from results, and print them."""
    from wrapper.evaluation.report import report as write_report

    print(write_report(folder))


def main() -> None:
    """Run the command line; a WrapperError, or a full or locked disk, is one line on stderr and exit status 1."""
    try:
        app()
    except WrapperError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        if error.errno not in PLACE:
            raise
        print(
            f"error: {error.filename or 'A file'}: {error.strerror}. Make room or choose another place, and run it again.", file=sys.stderr
        )
        sys.exit(1)
