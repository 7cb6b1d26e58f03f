"""The bundled LoRA adapters: propose on RefScenes train, fine-tune one adapter a set of proposers, put them in place.

    python -m weights.recipes.adapters                  # all three, one after the other
    python -m weights.recipes.adapters gdrec florence2  # some of them

Everything happens with the package's own commands (`wrapper propose`, `wrapper train`), written out here so that one
line does it. Goes on where it was cut; work lies in runs/adapters. Delete that folder to begin anew.
"""

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

import torch

from wrapper import datasets
from wrapper.pipeline import ENSEMBLE, load_proposers
from wrapper.presets import PRESETS, TINY_WEIGHTS
from wrapper.prompt import PromptTemplate
from wrapper.proposals import Proposals, Settings, read_candidates
from wrapper.proposing import Worker, finish, propose
from wrapper.quiet import quiet_libraries
from wrapper.training import sft
from wrapper.training.settings import settings_of

WORK = Path("runs/adapters")
DATA = {"train": "refscenes:train:4000:7", "validation": "refscenes:val:300:11"}
ADAPTERS = {"gdrec": ("gdrec",), "florence2": ("florence2",), "ensemble": ENSEMBLE}
COLORED = ("gdrec",)
"""Whose lists say the colours that the picture shows: GDrec's labels say a colour only where the expression does."""
FILES = ("adapter_model.safetensors", "adapter_config.json", "prompt.json", "config.json", "README.md")


def proposals(name: str) -> Proposals:
    """Candidates of one of the data sets."""
    out, preset, device = WORK / f"{name}.jsonl", PRESETS["tiny"], torch.device("cpu")
    if not out.exists():
        proposers = load_proposers(preset, ENSEMBLE, device)
        data, settings = datasets.read(DATA[name]), Settings.of("tiny", preset, proposers)
        propose(data, settings, proposers, out, Worker())
        finish(data, settings, out)
    return read_candidates(out)


def wording(name: str) -> PromptTemplate | None:
    """How an adapter's lists are worded; None for as the LLM's are."""
    own = PromptTemplate.load(Path(PRESETS["tiny"].llama))
    if own is None or name not in COLORED:
        return None
    return replace(own, line=own.line.replace("{label}", "{colors}{label}"), color="{color} ")  # "red cup", as Florence-2 says it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*ADAPTERS, []])  # argparse checks an empty list too
    names = parser.parse_args().names or list(ADAPTERS)
    quiet_libraries()
    train, validation = proposals("train"), proposals("validation")
    for name in names:
        out, proposers = WORK / name, ADAPTERS[name]
        if not (out / sft.CONFIG).exists():
            print(f"adapter {name}", flush=True)
            sft.train(sft.Run("tiny", PRESETS["tiny"], proposers, settings_of("tiny"), train, validation, out, wording(name)))
        (TINY_WEIGHTS / "adapters" / name).mkdir(parents=True, exist_ok=True)
        for file in FILES:
            shutil.copy(out / file, TINY_WEIGHTS / "adapters" / name / file)


if __name__ == "__main__":
    main()
