"""Named sets of models. An explicit table: nothing is guessed from a model's name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from wrapper.errors import ModelError
from wrapper.merging import Merging
from wrapper.proposers.tasks import DENSE_REGIONS, PAPER_TASKS

if TYPE_CHECKING:
    import torch

TINY_WEIGHTS = Path(__file__).parents[1] / "weights" / "tiny"
PHOTO_WEIGHTS = TINY_WEIGHTS.parent / "photo"


@dataclass(frozen=True)
class Preset:
    """What to load and how to run it. Models are Hub ids or folders.

    llama: the LLM. florence2, grounding_dino: None where the preset has none. detectors: others by name, each a spec of
    `wrapper.detectors`. adapters: LoRA adapters for the LLM by name; one named as a proposer reads the candidates of that proposer, and
    "ensemble" those of several; without any, the LLM works zero-shot. revisions: the commit of each Hub id that is loaded. four_bit:
    run the LLM in NF4. half: run Florence-2 and an LLM that is not quantised in bfloat16 where there is a GPU (Grounding DINO's edges
    would move by 1.4 pixels in the median, so it is run in 32 bits). merging: how several proposers' lists become one.
    tasks: Florence-2's task prompts, whose boxes are listed one after the other; beams and max_new_tokens: its beam search.
    same_box: IoU above which a proposer's box repeats an earlier one of the same label and is left out; 1.0 keeps all.
    photographs: the name of a preset whose models are asked about photographs, where this one's know RefScenes only.
    """

    llama: str
    florence2: str | None = None
    grounding_dino: str | None = None
    detectors: Mapping[str, str] = field(default_factory=dict)
    adapters: Mapping[str, str] = field(default_factory=dict)
    revisions: Mapping[str, str] = field(default_factory=dict)
    four_bit: bool = False
    half: bool = True
    tasks: tuple[str, ...] = PAPER_TASKS
    beams: int = 3
    max_new_tokens: int = 1024
    same_box: float = 1.0
    photographs: str = ""
    merging: Merging = Merging.CANONICAL

    @property
    def proposers(self) -> tuple[str, ...]:
        """The names of all who can propose."""
        published = [*(["florence2"] if self.florence2 else []), *(["gdrec", "gd"] if self.grounding_dino else [])]
        return (*published, *self.detectors)

    @property
    def usual(self) -> tuple[str, ...]:
        """Who proposes where nothing else is said: all but GD, which says nothing that GDrec does not."""
        return tuple(name for name in self.proposers if name != "gd")

    def revision(self, source: str) -> str | None:
        """The commit of a Hub id that this preset was made for; None for a folder or another model."""
        return self.revisions.get(source)

    def dtype(self, device: "torch.device") -> "torch.dtype":
        """What Florence-2, and an LLM that is not quantised, compute in."""
        import torch

        return torch.bfloat16 if self.half and device.type == "cuda" else torch.float32


REVISIONS = {
    "florence-community/Florence-2-base": "00921df66db728a9ceb750f5eca43e5c203a2051",
    "florence-community/Florence-2-large": "4271c66b88cdbc05735372ec13b2360108de5317",
    "IDEA-Research/grounding-dino-tiny": "a2bb814dd30d776dcf7e30523b00659f4f141c71",
    "HuggingFaceTB/SmolLM2-1.7B-Instruct": "31b70e2e869a7173562077fd711b654946d38674",
    "meta-llama/Meta-Llama-3-8B-Instruct": "8afb486c1db24fe5011ec46dfbe5b5dccdb575c2",
    "mistralai/Mixtral-8x7B-Instruct-v0.1": "41bd4c9e7e4fb318ca40e721131d4933966c2cc1",
}
"""Commits on the Hub, so that a preset is the same models tomorrow. As others cite them: the Hub itself was out of reach here."""

PRESETS: dict[str, Preset] = {
    "tiny": Preset(
        florence2=str(TINY_WEIGHTS / "florence-2"),
        grounding_dino=str(TINY_WEIGHTS / "grounding-dino"),
        llama=str(TINY_WEIGHTS / "llama"),
        adapters={p.name: str(p) for p in sorted((TINY_WEIGHTS / "adapters").glob("*")) if p.is_dir()},
        half=False,
        tasks=(*PAPER_TASKS, DENSE_REGIONS),
        beams=1,
        max_new_tokens=100,
        same_box=0.7,
    ),
    "photo": Preset(
        detectors={"yolox": f"onnx:{PHOTO_WEIGHTS / 'yolox-nano' / 'detector.json'}"},
        llama=str(PHOTO_WEIGHTS / "llama"),
        half=False,
        same_box=0.7,
    ),
    "cpu": Preset(
        florence2="florence-community/Florence-2-base",
        grounding_dino="IDEA-Research/grounding-dino-tiny",
        llama="HuggingFaceTB/SmolLM2-1.7B-Instruct",
        revisions=REVISIONS,
    ),
    "paper": Preset(
        florence2="florence-community/Florence-2-large",
        grounding_dino="IDEA-Research/grounding-dino-tiny",
        llama="meta-llama/Meta-Llama-3-8B-Instruct",
        revisions=REVISIONS,
        four_bit=True,
    ),
    "mixtral": Preset(
        florence2="florence-community/Florence-2-large",
        grounding_dino="IDEA-Research/grounding-dino-tiny",
        llama="mistralai/Mixtral-8x7B-Instruct-v0.1",
        revisions=REVISIONS,
        four_bit=True,
    ),
}


PRESETS["bundled"] = replace(PRESETS["tiny"], photographs="photo")
"""What the page loads where there is nothing larger: the models of both worlds, of which those that know a picture's are asked."""


def adapter_name(proposers: Sequence[str]) -> str:
    """Under which name an adapter for these proposers' candidates is kept. GD's are read as GDrec's."""
    return "ensemble" if len(set(proposers)) > 1 else {"gd": "gdrec"}.get(proposers[0], proposers[0])


def best_preset() -> str:
    """What "auto" stands for: the first full-size preset whose models are all on this machine, where there is a CUDA GPU;
    else the bundled ones of both worlds."""
    import torch

    from wrapper.inventory import parts

    if torch.cuda.is_available():
        for name in ("paper", "cpu"):
            preset = PRESETS[name]
            if all(part.here for part in parts(preset, on_cuda=True)):
                return name
    return "bundled"


def find_preset(name: str) -> Preset:
    """The preset of a name; ModelError names the others where there is none."""
    if name not in PRESETS:
        raise ModelError(f"There is no preset {name!r}. Choose one of {', '.join(PRESETS)}.")
    return PRESETS[name]
