"""The models behind the page: loaded once, with a plain account of what is loaded and of what did not work."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

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


def load(name: str, adapters: Mapping[str, str] | None = None, tell: Callable[[str], None] = print) -> Loaded:
    """Load a preset for the handlers, before the page is served. Where it cannot be loaded, the bundled models serve instead.

    adapters: LLM adapters (folders or Hub ids) by name, besides the preset's own. tell: is told each part before it is loaded.
    """
    began = time.monotonic()
    bundled = find_preset("tiny")
    preset, trouble = find_preset(name), None
    if adapters:
        preset = replace(preset, adapters={**preset.adapters, **adapters})
    try:
        wrapper = Wrapper.from_preset(preset, PROPOSERS, tell)
    except ModelError as error:
        if preset == bundled:
            raise
        name, preset, trouble = "tiny", bundled, f"The preset {name} could not be loaded: {error}"
        tell(trouble)
        wrapper = Wrapper.from_preset(preset, PROPOSERS, tell)
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
