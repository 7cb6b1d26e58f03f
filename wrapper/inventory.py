"""What a preset is made of, before anything is loaded: where each part comes from, whether it is here, and the memory it takes.

    python -m wrapper models --preset paper

Memory is estimated from the number of weights and how they are kept; `tests/test_real_shapes.py` holds the estimates against what
checkpoints of the published shapes take at their peak.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from huggingface_hub import try_to_load_from_cache
from safetensors import SafetensorError, safe_open

from wrapper.errors import ModelError
from wrapper.presets import Preset
from wrapper.settings_file import read_json

if TYPE_CHECKING:
    import torch

SERVICE = "openai:"
"""How the spec of an LLM begins that is asked for elsewhere (`wrapper.selectors.endpoint`)."""
ZERO_GPU = 48e9
"""Bytes of the GPU that ZeroGPU lends (Hub docs, Spaces ZeroGPU, size `large`)."""
NF4 = 0.516
"""Bytes a weight: 4 bits, and 0.127 bits of constants (Dettmers et al. 2023, double quantisation)."""
WORKING = {"Florence-2": 0.4e9, "Grounding DINO": 1.27e9, "detector": 1.27e9, "LLM": 0.25e9}
"""Bytes that one question takes beside the weights, measured on checkpoints of the published shapes; a detector's are taken for as
many as Grounding DINO's."""


@dataclass(frozen=True)
class Weights:
    """The weights of a checkpoint. quantised: how many of them NF4 takes, which are those of linear layers but the output's;
    file_bytes: as stored. experts: whether it is a mixture of experts, which is put together in main memory before NF4."""

    count: int
    quantised: int
    file_bytes: int
    experts: bool = False

    @property
    def stored(self) -> float:
        """Bytes a weight in its file."""
        return self.file_bytes / max(1, self.count)


@dataclass(frozen=True)
class Published:
    """What is known of a checkpoint on the Hub. gated: its licence must be accepted there first."""

    licence: str
    gated: bool
    weights: Weights


PUBLISHED = {
    "florence-community/Florence-2-base": Published("MIT", False, Weights(231_435_136, 0, 463_178_864)),
    "florence-community/Florence-2-large": Published("MIT", False, Weights(776_721_497, 0, 1_553_600_000)),
    "IDEA-Research/grounding-dino-tiny": Published("Apache 2.0", False, Weights(172_249_090, 0, 689_359_096)),
    "HuggingFaceTB/SmolLM2-1.7B-Instruct": Published("Apache 2.0", False, Weights(1_711_376_384, 1_610_612_736, 3_422_777_952)),
    "meta-llama/Llama-3.2-1B-Instruct": Published("Llama 3.2", True, Weights(1_235_814_400, 973_078_528, 2_471_645_608)),
    "meta-llama/Meta-Llama-3-8B-Instruct": Published("Llama 3", True, Weights(8_030_261_248, 6_979_321_856, 16_060_556_376)),
    "mistralai/Mixtral-8x7B-Instruct-v0.1": Published(
        "Apache 2.0", True, Weights(46_702_792_704, 46_440_382_464, 93_405_585_408, experts=True)
    ),
}
"""Counted on models made from the published configurations; file sizes are two or four bytes a weight, to a thousandth."""


@dataclass(frozen=True)
class Need:
    """Bytes of memory. least: what must be free; peak: what is seen at most, files that are read included, whose pages the system can
    take back; host: what must be free of main memory while a GPU is filled."""

    least: float
    peak: float
    host: float = 0.0


@dataclass(frozen=True)
class Part:
    """One model of a preset. kind: "Florence-2", "Grounding DINO", "detector" or "LLM"; bytes_each: of a weight at work, NF4's where
    quantised."""

    kind: str
    source: str
    revision: str | None
    bytes_each: int
    four_bit: bool = False

    @property
    def published(self) -> Published | None:
        return PUBLISHED.get(self.source)

    @property
    def licence(self) -> str:
        if Path(self.source).is_dir():
            return "Apache 2.0, bundled" if "weights" in Path(self.source).parts else "see its folder"
        return self.published.licence if self.published else "see its page"

    @property
    def here(self) -> bool:
        """Whether it is a folder, or lies whole in the Hub's cache at its revision: a download may have been cut."""
        if Path(self.source).is_dir():
            return True
        if (index := self._cached("model.safetensors.index.json")) is not None:
            try:
                shards = set(read_json(index)["weight_map"].values())
            except (OSError, ValueError, KeyError):
                return False
            return all((index.parent / shard).is_file() for shard in shards)
        return self._cached("config.json") is not None and self._cached("model.safetensors") is not None

    @property
    def weights(self) -> Weights | None:
        """Counted in its files where it is here, else as published; None where neither says."""
        folder = Path(self.source)
        if not folder.is_dir():
            config = self._cached("config.json")
            folder = folder if config is None else config.parent
        counted = count_weights(folder) if folder.is_dir() else None
        return counted or (self.published.weights if self.published else None)

    def need(self, on_cuda: bool) -> Need | None:
        """The memory it takes on a device for one question at a time; None where its size is not known."""
        w = self.weights
        if w is None:
            return None
        quantised = NF4 * w.quantised if self.four_bit else 0.0
        kept = quantised + self.bytes_each * (w.count - (w.quantised if self.four_bit else 0))
        working = min(WORKING[self.kind], 2 * kept)  # small models have small pictures and vocabularies
        host = float(w.file_bytes) if self.four_bit and w.experts else 0.0
        if on_cuda:
            return Need(kept + working, kept + working, host)
        packed = quantised  # a second copy, in the layout of the CPU's kernels
        least = max(kept + packed + working, host)
        if self.four_bit:
            return Need(least, kept + packed + working + w.file_bytes)
        converted = abs(w.stored - self.bytes_each) > 0.5
        return Need(kept + working, kept + max(working, w.file_bytes if converted else 0.0))

    def _cached(self, name: str) -> Path | None:
        try:
            found = try_to_load_from_cache(self.source, name, revision=self.revision)
        except ValueError:  # no name that the Hub could have
            return None
        return Path(found) if isinstance(found, str) else None


@cache
def count_weights(folder: Path) -> Weights | None:
    """The weights in a folder's safetensors files, from their headers, or in its ONNX files, by their size; None where there are none
    that can be read."""
    count = quantised = size = 0
    experts = False
    files = [f for f in sorted(folder.glob("*.safetensors")) if f.name != "adapter_model.safetensors"]
    try:
        for file in files:
            size += file.stat().st_size
            with safe_open(file, "pt") as opened:
                for name in opened.keys():  # noqa: SIM118  a safetensors file is no dict
                    shape = opened.get_slice(name).get_shape()
                    count += math.prod(shape)
                    if len(shape) > 1 and "embed" not in name and "lm_head" not in name:
                        quantised += math.prod(shape)
                    experts = experts or ".experts." in name
    except (OSError, SafetensorError):
        return None
    if not count:
        size = sum(file.stat().st_size for file in folder.glob("*.onnx"))
        count = size // 4
    return Weights(count, quantised, size, experts) if count else None


def parts(preset: Preset, on_cuda: bool, proposers: Sequence[str] | None = None, llm: bool = True) -> list[Part]:
    """The models of a preset that these proposers need (all where None), and the LLM unless it is not asked."""
    half, found = 2 if preset.half and on_cuda else 4, list[Part]()
    names = preset.proposers if proposers is None else proposers
    if preset.florence2 and "florence2" in names:
        found.append(Part("Florence-2", preset.florence2, preset.revision(preset.florence2), half))
    if preset.grounding_dino and {"gd", "gdrec"} & set(names):
        found.append(Part("Grounding DINO", preset.grounding_dino, preset.revision(preset.grounding_dino), 4))
    for spec in (preset.detectors[name] for name in names if name in preset.detectors):
        scheme, _, place = spec.partition(":")
        if scheme in ("transformers", "onnx"):  # the others keep no weights of ours in memory
            source = place if scheme == "transformers" else str(Path(place).parent)
            found.append(Part("detector", source, preset.revision(source), 4))
    if llm and not preset.llama.startswith(SERVICE):
        found.append(Part("LLM", preset.llama, preset.revision(preset.llama), 2 if preset.four_bit else half, preset.four_bit))
    return found


def free_bytes(device: "torch.device") -> float:
    """Memory that is free on a device."""
    if device.type == "cuda":
        if os.environ.get("SPACES_ZERO_GPU"):  # there is no GPU yet that could be asked
            return ZERO_GPU
        import torch

        return float(torch.cuda.mem_get_info(device)[0])
    return float(psutil.virtual_memory().available)


def check_room(wanted: Sequence[Part], device: "torch.device") -> None:
    """ModelError, with numbers, where the models of a preset need more memory than is free. Those whose size is not known pass."""
    needs = [(p, n) for p in wanted if (n := p.need(device.type == "cuda")) is not None]
    total, free = sum(n.least for _, n in needs), free_bytes(device)
    where = "the GPU" if device.type == "cuda" else "main memory"
    host, main = max((n.host for _, n in needs), default=0.0), float(psutil.virtual_memory().available)
    if device.type == "cuda" and host > main:
        total, free, where = host, main, "main memory, where experts are put together"
    if total > free:
        each = ", ".join(f"{p.kind} {n.least / 1e9:.1f}" for p, n in needs)
        raise ModelError(
            f"These models need {total / 1e9:.1f} GB of {where} ({each}), and {free / 1e9:.1f} GB are free. Close other programs, or "
            "choose smaller models; `python -m wrapper models` lists what each preset needs."
        )
