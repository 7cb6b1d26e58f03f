"""The whole method, to be read in one sitting: propose, merge, select.

>>> from wrapper import Wrapper
>>> selection = Wrapper.from_preset("tiny").locate("examples/relation.png", "...")  # doctest: +SKIP
>>> selection.box, selection.reason  # doctest: +SKIP
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import torch
from PIL import Image

from wrapper.candidates import Candidate, Selection
from wrapper.errors import ExpressionError, ModelError
from wrapper.images import load_image
from wrapper.presets import Preset, find_preset
from wrapper.proposers.base import Proposer
from wrapper.proposers.florence2 import Florence2
from wrapper.proposers.grounding_dino import Detector, GroundingDino, GroundingDinoRec
from wrapper.selectors.base import Selector
from wrapper.selectors.llama import LlamaSelector

Picture = Image.Image | Path | str | bytes
PROPOSERS = ("florence2", "gdrec", "gd")
ENSEMBLE = ("florence2", "gdrec")
MAX_EXPRESSION = 500


def check_expression(expression: str) -> str:
    """The expression on one line, without blanks around it; ExpressionError where it is empty or too long."""
    text = " ".join("".join(c if c.isprintable() else " " for c in expression).split())
    if not any(c.isalnum() for c in text):
        raise ExpressionError("There is no expression. Describe one object in words, such as “the cup left of the green book”.")
    if len(text) > MAX_EXPRESSION:
        raise ExpressionError(
            f"The expression has {len(text):,} characters; at most {MAX_EXPRESSION} are read. Describe one object in a sentence."
        )
    return text


def open_picture(picture: Picture) -> Image.Image:
    """A picture as RGB; paths and bytes are decoded as untrusted images."""
    return picture.convert("RGB") if isinstance(picture, Image.Image) else load_image(picture)


@dataclass(frozen=True)
class Collected:
    """Candidates of several proposers for a batch of expressions, merged, with each proposer's time an expression."""

    lists: list[list[Candidate]]
    timings_ms: dict[str, float]


def collect(proposers: Sequence[Proposer], images: Sequence[Image.Image], expressions: Sequence[str]) -> Collected:
    """Every proposer's candidates, one proposer's list after the other's. The only place where lists are merged."""
    lists: list[list[Candidate]] = [[] for _ in expressions]
    timings = {}
    for proposer in proposers:
        began = time.perf_counter()
        for merged, more in zip(lists, proposer.propose(images, expressions), strict=True):
            merged.extend(more)
        timings[proposer.name] = 1000 * (time.perf_counter() - began) / max(1, len(expressions))
    return Collected(lists, timings)


@dataclass(frozen=True)
class Wrapper:
    """Proposers and a selector, loaded."""

    proposers: Mapping[str, Proposer]
    selector: Selector

    @classmethod
    def from_preset(cls, preset: str | Preset, proposers: Sequence[str] = ENSEMBLE) -> "Wrapper":
        """Load the models of a preset, of the proposers only those named."""
        chosen = find_preset(preset) if isinstance(preset, str) else preset
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        dtype = torch.bfloat16 if chosen.half and device.type == "cuda" else torch.float32
        loaded = load_proposers(chosen, proposers, device, dtype)
        # NF4 computes in bfloat16 on any device, as the paper does
        selector = LlamaSelector.load(chosen.llama, chosen.adapter, device, torch.bfloat16 if chosen.four_bit else dtype, chosen.four_bit)
        return cls(MappingProxyType(loaded), selector)

    def locate(self, image: Picture, expression: str, proposers: Sequence[str] | None = None) -> Selection:
        """The object that an expression means in a picture.

        image: a PIL picture, a path or the bytes of a file. proposers: names of some of the loaded ones, all where
        None. Raises WrapperError for pictures and expressions that cannot be used.
        """
        return self.locate_batch([image], [expression], proposers)[0]

    def locate_batch(
        self, images: Sequence[Picture], expressions: Sequence[str], proposers: Sequence[str] | None = None
    ) -> list[Selection]:
        """As `locate`, for pairs of picture and expression; models run on the whole batch at once."""
        if len(images) != len(expressions):
            raise ValueError(f"{len(images)} images for {len(expressions)} expressions; give one image an expression")
        texts = [check_expression(e) for e in expressions]
        pictures = [open_picture(i) for i in images]
        collected = collect([self.proposer(name) for name in proposers or self.proposers], pictures, texts)
        began = time.perf_counter()
        selections = self.selector.select(collected.lists, texts, [p.size for p in pictures])
        asked = 1000 * (time.perf_counter() - began) / max(1, len(texts))
        timings = MappingProxyType({**collected.timings_ms, self.selector.name: asked})
        return [replace(selection, timings_ms=timings) for selection in selections]

    def proposer(self, name: str) -> Proposer:
        """A loaded proposer by name."""
        if name not in self.proposers:
            raise ModelError(f"The proposer {name!r} is not loaded. Choose from {', '.join(self.proposers)}.")
        return self.proposers[name]


def load_proposers(preset: Preset, names: Sequence[str], device: torch.device, dtype: torch.dtype) -> dict[str, Proposer]:
    """The proposers of a preset by name, in the order given; GD and GDrec share one model."""
    unknown = [name for name in names if name not in PROPOSERS]
    if unknown or not names:
        raise ModelError(f"There is no proposer {', '.join(unknown) or 'named'}. Choose from {', '.join(PROPOSERS)}.")
    loaded: dict[str, Proposer] = {}
    detector = Detector.load(preset.grounding_dino, device, dtype) if {"gd", "gdrec"} & set(names) else None
    for name in names:
        if name == "florence2":
            loaded[name] = Florence2.load(
                preset.florence2,
                device,
                dtype,
                beams=preset.beams,
                max_new_tokens=preset.max_new_tokens,
                same_box=preset.same_box,
            )
        elif detector is not None:
            reader = GroundingDinoRec if name == "gdrec" else GroundingDino
            loaded[name] = reader(detector, same_box=preset.same_box)
    return loaded
