"""Named sets of models. An explicit table: nothing is guessed from a model's name."""

from dataclasses import dataclass
from pathlib import Path

from wrapper.errors import ModelError

TINY = Path(__file__).parents[1] / "weights" / "tiny"


@dataclass(frozen=True)
class Preset:
    """What to load and how to run it. Models are Hub ids or folders.

    adapter: a LoRA adapter for the LLM, None for zero-shot. four_bit: run the LLM in NF4. half: run in bfloat16 where
    there is a GPU. beams and max_new_tokens: Florence-2's beam search.
    same_box: IoU above which a proposer's box repeats an earlier one of the same label and is left out; 1.0 keeps all.
    """

    florence2: str
    grounding_dino: str
    llama: str
    adapter: str | None = None
    four_bit: bool = False
    half: bool = True
    beams: int = 3
    max_new_tokens: int = 1024
    same_box: float = 1.0


PRESETS: dict[str, Preset] = {
    "tiny": Preset(
        florence2=str(TINY / "florence-2"),
        grounding_dino=str(TINY / "grounding-dino"),
        llama=str(TINY / "llama"),
        half=False,
        beams=1,
        max_new_tokens=100,
        same_box=0.7,
    ),
    "cpu": Preset(
        florence2="florence-community/Florence-2-base",
        grounding_dino="IDEA-Research/grounding-dino-tiny",
        llama="meta-llama/Llama-3.2-1B-Instruct",
    ),
    "paper": Preset(
        florence2="florence-community/Florence-2-large",
        grounding_dino="IDEA-Research/grounding-dino-tiny",
        llama="meta-llama/Meta-Llama-3-8B-Instruct",
        four_bit=True,
    ),
    "mixtral": Preset(
        florence2="florence-community/Florence-2-large",
        grounding_dino="IDEA-Research/grounding-dino-tiny",
        llama="mistralai/Mixtral-8x7B-Instruct-v0.1",
        four_bit=True,
    ),
}


def find_preset(name: str) -> Preset:
    """The preset of a name; ModelError names the others where there is none."""
    if name not in PRESETS:
        raise ModelError(f"There is no preset {name!r}. Choose one of {', '.join(PRESETS)}.")
    return PRESETS[name]
