"""The Locate tab: a picture and an expression in; boxes, the pick and what the LLM read out."""

import html
import json
from pathlib import Path
from typing import Any

import gradio as gr
import spaces
from PIL import Image

from wrapper.candidates import Reason, Selection
from wrapper.draw import annotate
from wrapper.errors import ImageError, ModelError, WrapperError
from wrapper.images import load_image
from wrapper.pipeline import ENSEMBLE, Wrapper
from wrapper.subject import MAX_EXPRESSION, check_expression
from wrapper.trace import explain, trace
from wrapper.ui.picture import unopened

EXAMPLES = Path(__file__).parents[2] / "examples"
HEADERS = ["#", "Proposed by", "Label", "Score", "LLM probability", "Box (x1, y1, x2, y2)"]
CHOICES = [("Florence-2", "florence2"), ("Grounding DINO (GDrec)", "gdrec")]
NAMES = {"florence2": "Florence-2", "gdrec": "GDrec", "gd": "Grounding DINO"}

_loaded: dict[str, Wrapper] = {}


def load(preset: str) -> None:
    """Load the models of a preset for the handlers; on a Space at import, so that they are in place for the GPU."""
    _loaded["wrapper"] = Wrapper.from_preset(preset)


@spaces.GPU(duration=30)  # type: ignore[untyped-decorator]
def _locate(picture: Image.Image, expression: str, proposers: list[str]) -> Selection:
    return _loaded["wrapper"].locate(picture, expression, proposers)


def locate(path: str | None, expression: str, proposers: list[str]) -> tuple[Image.Image, str, list[list[Any]], str, dict[str, Any]]:
    """Find the object that an expression means in a picture.

    Returns the annotated picture, a sentence about the answer, the table of candidates, the text the LLM read, and
    everything as JSON (the schema of the command line's --json).
    """
    try:
        if path is None:
            raise ImageError("There is no picture. Upload one, paste one, or choose an example.")
        text = check_expression(expression or "")
        if not proposers:
            raise ModelError("No model is chosen to propose boxes. Tick Florence-2, Grounding DINO or both.")
        picture = load_image(path)
        selection = _locate(picture, text, proposers)
    except WrapperError as error:
        raise gr.Error(html.escape(str(error)), title="That did not work", print_exception=False) from error
    read = selection.prompt or "The LLM was not asked."
    return annotate(picture, selection), sentence(selection), table(selection), read, trace(selection, text, picture.size)


def sentence(selection: Selection) -> str:
    """The answer in words, as Markdown."""
    why = explain(selection)
    seconds = sum(selection.timings_ms.values()) / 1000
    if selection.chosen is None or selection.index is None:
        return f"### Nothing found\n{why[0].upper()}{why[1:]}. Try other words for the object. ({seconds:.1f} s)"
    label = html.escape(selection.chosen.label)
    share = ""
    if selection.reason is Reason.CHOSEN and selection.probabilities:
        share = f", LLM probability {selection.probabilities[selection.index]:.0%} (uncalibrated)"
    return f"### Box {selection.index}: {label}\n{why[0].upper()}{why[1:]}{share}. ({seconds:.1f} s)"


def table(selection: Selection) -> list[list[Any]]:
    """A row a candidate."""
    shares = selection.probabilities or (None,) * len(selection.candidates)
    return [
        [
            i,
            NAMES.get(c.source, c.source),
            c.label,
            "" if c.score is None else f"{c.score:.2f}",
            "" if p is None else f"{p:.3f}",
            ", ".join(f"{v:.0f}" for v in c.box),
        ]
        for i, (c, p) in enumerate(zip(selection.candidates, shares, strict=True))
    ]


def examples() -> list[list[Any]]:
    """The bundled examples as rows of inputs."""
    file = EXAMPLES / "examples.json"
    rows = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
    return [[str(EXAMPLES / row["image"]), row["expression"]] for row in rows]


def build() -> None:
    """Lay the tab out inside the current Blocks."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300):
            picture = unopened(gr.Image(label="Picture", type="filepath", sources=["upload", "clipboard", "webcam"], height=380))
            expression = gr.Textbox(
                label="Referring expression", placeholder="the cup left of the green book", max_length=4 * MAX_EXPRESSION,
                info="Words that mean exactly one object.", lines=1, max_lines=3,
            )  # fmt: skip
            proposers = gr.CheckboxGroup(CHOICES, value=list(ENSEMBLE), label="Who proposes boxes")
            button = gr.Button("Locate", variant="primary")
        with gr.Column(scale=5, min_width=300):
            shown = gr.Image(
                label="Candidates and pick", type="pil", format="png", height=380, interactive=False, buttons=["download", "fullscreen"],
            )  # fmt: skip
            answer = gr.Markdown("Choose an example or upload a picture, then press **Locate**.", elem_id="answer")
            rows = gr.Dataframe(headers=HEADERS, label="Candidates", interactive=False, wrap=True)
            with gr.Accordion("What the LLM read", open=False):
                prompt = gr.Textbox(show_label=False, container=False, lines=8, buttons=["copy"], interactive=False)
            with gr.Accordion("Everything as JSON", open=False):
                everything = gr.JSON(show_label=False)
    # Below both columns, so that on a phone the answer stands right under the button.
    gr.Examples(examples(), [picture, expression], label="Examples: unseen RefScenes pictures", examples_per_page=12)
    gr.on(
        [button.click, expression.submit], locate, [picture, expression, proposers],
        [shown, answer, rows, prompt, everything], api_name="locate", concurrency_limit=1,
    )  # fmt: skip
