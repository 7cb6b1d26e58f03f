"""The models behind the page: loaded once, with a plain account of what is loaded and of what did not work."""

import time
from dataclasses import dataclass

import torch

from wrapper.errors import ModelError
from wrapper.pipeline import PROPOSERS, Wrapper
from wrapper.presets import Preset, find_preset


@dataclass(frozen=True)
class Loaded:
    """trouble: why the preset that was asked for is not the one that is loaded; None where it is."""

    wrapper: Wrapper
    name: str
    preset: Preset
    seconds: float
    trouble: str | None = None


_loaded: dict[str, Loaded] = {}


def load(name: str) -> Loaded:
    """Load a preset for the handlers, on a Space at import. Where it cannot be loaded, the bundled models serve instead."""
    began = time.monotonic()
    preset, trouble = find_preset(name), None
    try:
        wrapper = Wrapper.from_preset(preset, PROPOSERS)
    except ModelError as error:
        if name == "tiny":
            raise
        name, preset, trouble = "tiny", find_preset("tiny"), f"The preset {name} could not be loaded: {error}"
        wrapper = Wrapper.from_preset(preset, PROPOSERS)
    _loaded["now"] = Loaded(wrapper, name, preset, time.monotonic() - began, trouble)
    return _loaded["now"]


def now() -> Loaded:
    """What is loaded."""
    return _loaded["now"]


def status(loaded: Loaded) -> str:
    """What is loaded, in words, as Markdown."""
    cuda = torch.cuda.is_available()
    device = f"GPU ({torch.cuda.get_device_name(0)})" if cuda else "CPU"
    precision = "the LLM in 4 bits (NF4), " if loaded.preset.four_bit else ""
    precision += "16-bit floats" if loaded.preset.half and cuda else "32-bit floats"
    names = ", ".join(
        source.rstrip("/").split("/")[-1] for source in (loaded.preset.florence2, loaded.preset.grounding_dino, loaded.preset.llama)
    )
    adapters = ", ".join(loaded.wrapper.adapted) or "none"
    return (
        f"Preset **{loaded.name}**: {names}; on the {device}, {precision}; loaded in {loaded.seconds:.1f} s. LLM adapters: {adapters}. "
        "Another preset: start the app with `--preset`, or set `WRAPPER_PRESET` on a Space."
    )
