"""The command line: python -m wrapper locate | scenes."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, get_args

import typer

from wrapper.errors import WrapperError
from wrapper.presets import PRESETS, Preset, find_preset

app = typer.Typer(
    help="Find the object that a referring expression means: frozen vision-language models propose, an LLM picks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def override(preset: Preset, **parts: str | None) -> Preset:
    """The preset with the parts that are given in place of its own; another LLM comes without the preset's adapter."""
    given = {name: value for name, value in parts.items() if value is not None}
    if "llama" in given:
        given.setdefault("adapter", "")
    return replace(preset, **{name: value or None for name, value in given.items()})  # type: ignore[arg-type]


@app.command()
def locate(
    image: Annotated[Path, typer.Argument(help="JPEG, PNG, WebP, GIF, BMP or TIFF file.")],
    expression: Annotated[str, typer.Argument(help="What to find, such as “the cup left of the green book”.")],
    preset: Annotated[str, typer.Option(help=f"Set of models: {', '.join(PRESETS)}.")] = "tiny",
    proposers: Annotated[str, typer.Option(help="Who proposes boxes, of florence2, gdrec, gd.")] = "florence2,gdrec",
    florence2: Annotated[str | None, typer.Option(help="Florence-2 checkpoint: Hub id or folder.")] = None,
    grounding_dino: Annotated[str | None, typer.Option(help="Grounding DINO checkpoint: Hub id or folder.")] = None,
    llama: Annotated[str | None, typer.Option(help="LLM checkpoint: Hub id or folder.")] = None,
    adapter: Annotated[str | None, typer.Option(help="LoRA adapter for the LLM: Hub id or folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the annotated picture here.")] = None,
) -> None:
    """Find one object in a picture."""
    from wrapper.images import load_image
    from wrapper.quiet import quiet_libraries

    picture = load_image(image)
    quiet_libraries()
    from wrapper.draw import annotate
    from wrapper.pipeline import Wrapper, check_expression
    from wrapper.trace import explain, trace

    text = check_expression(expression)
    chosen = override(find_preset(preset), florence2=florence2, grounding_dino=grounding_dino, llama=llama, adapter=adapter)
    wrapper = Wrapper.from_preset(chosen, [name.strip() for name in proposers.split(",")])
    selection = wrapper.locate(picture, text)
    if out is not None:
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
        print(f"{mark} {row['index']:2}  {box}  score {score}  probability {share}  {row['source']}  {row['label']}")


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
    from wrapper.scenes.layout import Split

    if split not in get_args(Split):
        raise WrapperError(f"There is no split {split!r}. Choose one of {', '.join(get_args(Split))}.")
    try:
        for _ in tqdm(write(split, n, seed, out), total=n, unit="scene"):  # type: ignore[arg-type]
            pass
    except OSError as error:
        raise WrapperError(f"The scenes cannot be written to {out} ({error}). Choose a folder you may write to.") from error


def main() -> None:
    """Run the command line; a WrapperError is one line on stderr and exit status 1."""
    try:
        app()
    except WrapperError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
