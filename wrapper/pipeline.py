"""The whole method, to be read in one sitting: propose, merge, select.

>>> from wrapper import Wrapper
>>> selection = Wrapper.from_preset("tiny").locate("examples/relation.png", "...")  # doctest: +SKIP
>>> selection.box, selection.reason  # doctest: +SKIP
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import torch
from PIL import Image

from wrapper.candidates import Candidate, Selection
from wrapper.errors import ModelError
from wrapper.images import load_image
from wrapper.presets import Preset, adapter_name, find_preset
from wrapper.proposers.base import Proposer
from wrapper.proposers.florence2 import Florence2
from wrapper.proposers.grounding_dino import Detector, GroundingDino, GroundingDinoRec
from wrapper.selectors.base import Selector
from wrapper.selectors.llama import LlamaSelector
from wrapper.subject import check_expression

Picture = Image.Image | Path | str | bytes
PROPOSERS = ("florence2", "gdrec", "gd")
ENSEMBLE = ("florence2", "gdrec")
AUTO, ZERO_SHOT = "auto", "zero-shot"


def open_picture(picture: Picture) -> Image.Image:
    """A picture as RGB; paths and bytes are decoded as untrusted images."""
    return picture.convert("RGB") if isinstance(picture, Image.Image) else load_image(picture)


@dataclass(frozen=True)
class Collected:
    """Candidates of several proposers for a batch of expressions, with each proposer's time an expression."""

    by_proposer: Mapping[str, list[list[Candidate]]]
    timings_ms: dict[str, float]

    @property
    def lists(self) -> list[list[Candidate]]:
        """The merged lists, one an expression."""
        return [merge(rows) for rows in zip(*self.by_proposer.values(), strict=True)]


def merge(lists: Sequence[Sequence[Candidate]]) -> list[Candidate]:
    """One list of several proposers' candidates: one proposer's after the other's. The only place where lists are merged."""
    return [candidate for proposed in lists for candidate in proposed]


def collect(proposers: Sequence[Proposer], images: Sequence[Image.Image], expressions: Sequence[str]) -> Collected:
    """Every proposer's candidates for pairs of picture and expression."""
    found, timings = {}, {}
    for proposer in proposers:
        began = time.perf_counter()
        found[proposer.name] = proposer.propose(images, expressions)
        timings[proposer.name] = 1000 * (time.perf_counter() - began) / max(1, len(expressions))
    if {"gd", "gdrec"} <= timings.keys():  # whoever comes second reads what the first one's look found; alone it would look itself
        timings["gd"] = timings["gdrec"] = timings["gd"] + timings["gdrec"]
    return Collected(found, timings)


@dataclass(frozen=True)
class Stage:
    """One step of an answer: what is done, all candidates so far, milliseconds by step; at the end the selection.

    began: `time.monotonic()` when the question was begun, by which a step that was kept from an earlier time is told.
    """

    done: str
    candidates: tuple[Candidate, ...]
    timings_ms: Mapping[str, float]
    began: float
    selection: Selection | None = None


@dataclass(frozen=True)
class Wrapper:
    """Proposers and a selector, loaded.

    adapted: selectors for the candidates of certain proposers, by `presets.adapter_name`; `selector` does the rest.
    """

    proposers: Mapping[str, Proposer]
    selector: Selector
    adapted: Mapping[str, Selector] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def from_preset(
        cls, preset: str | Preset, proposers: Sequence[str] = ENSEMBLE, tell: Callable[[str], None] = lambda part: None
    ) -> "Wrapper":
        """Load the models of a preset, of the proposers only those named. tell: is told each part before it is loaded."""
        chosen = find_preset(preset) if isinstance(preset, str) else preset
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        dtype = chosen.dtype(device)
        loaded = load_proposers(chosen, proposers, device, dtype, tell)
        tell(f"Loading the LLM, {chosen.llama} ...")
        # NF4 computes in bfloat16 on any device, as the paper does
        selector = LlamaSelector.load(chosen.llama, chosen.adapter, device, torch.bfloat16 if chosen.four_bit else dtype, chosen.four_bit)
        adapted: dict[str, Selector] = {}
        for name, source in ({} if chosen.adapter else chosen.adapters).items():
            tell(f"Loading the LLM's adapter {name}, {source} ...")
            adapted[name] = selector.with_adapter(source)
        return cls(MappingProxyType(loaded), selector, MappingProxyType(adapted))

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
        names = list(proposers or self.proposers)
        loaded = [self.proposer(name) for name in names]
        check_proposers(names)
        collected = collect(loaded, pictures, texts)
        selector = self.selector_for(names)
        began = time.perf_counter()
        selections = selector.select(collected.lists, texts, [p.size for p in pictures])
        asked = 1000 * (time.perf_counter() - began) / max(1, len(texts))
        timings = {**collected.timings_ms, selector.name: asked}
        return [replace(selection, timings_ms=timings) for selection in selections]

    def stages(self, image: Image.Image, expression: str, proposers: Sequence[str], adapter: str = AUTO) -> Iterator[Stage]:
        """As `locate` for an RGB picture, step by step: one stage a proposer as it is done, then the LLM's choice."""
        text, began = check_expression(expression), time.monotonic()
        found: list[Candidate] = []
        timings: dict[str, float] = {}
        for name in proposers:
            collected = collect([self.proposer(name)], [image], [text])
            found = merge([found, *collected.by_proposer[name]])
            timings |= collected.timings_ms
            yield Stage(name, tuple(found), dict(timings), began)
        selection = self.choose(found, text, image.size, self.selector_for(proposers, adapter))
        timings |= selection.timings_ms
        yield Stage("choice", tuple(found), timings, began, replace(selection, timings_ms=timings))

    def choose(self, candidates: Sequence[Candidate], expression: str, size: tuple[int, int], selector: Selector) -> Selection:
        """Only the last step: one of these candidates, of a picture of (width, height) pixels."""
        began = time.perf_counter()
        [selection] = selector.select([candidates], [check_expression(expression)], [size])
        return replace(selection, timings_ms={selector.name: 1000 * (time.perf_counter() - began)})

    def selector_for(self, proposers: Sequence[str], adapter: str = AUTO) -> Selector:
        """Who picks among the candidates of these proposers.

        adapter: AUTO for the LLM with their own adapter where there is one, ZERO_SHOT for none, else a name in `adapted`.
        """
        if adapter == ZERO_SHOT:
            return self.selector
        if adapter == AUTO:
            return self.adapted.get(adapter_name(proposers), self.selector)
        if adapter not in self.adapted:
            raise ModelError(f"There is no adapter {adapter!r} here. Choose from {', '.join([AUTO, ZERO_SHOT, *self.adapted])}.")
        return self.adapted[adapter]

    def proposer(self, name: str) -> Proposer:
        """A loaded proposer by name."""
        if name not in self.proposers:
            raise ModelError(f"The proposer {name!r} is not loaded. Choose from {', '.join(self.proposers)}.")
        return self.proposers[name]


def check_proposers(names: Sequence[str]) -> None:
    """ModelError where one of these is no proposer, or stands there twice: its boxes would be listed twice."""
    unknown = [name for name in names if name not in PROPOSERS]
    if unknown or not names:
        raise ModelError(f"There is no proposer {', '.join(unknown) or 'named'}. Choose from {', '.join(PROPOSERS)}.")
    if len(set(names)) < len(names):
        raise ModelError(f"A proposer is named twice in {', '.join(names)}. Name each once.")


def load_proposers(
    preset: Preset, names: Sequence[str], device: torch.device, dtype: torch.dtype, tell: Callable[[str], None] = lambda part: None
) -> dict[str, Proposer]:
    """The proposers of a preset by name, in the order given; GD and GDrec share one model."""
    check_proposers(names)
    loaded: dict[str, Proposer] = {}
    detector = None
    if {"gd", "gdrec"} & set(names):
        tell(f"Loading Grounding DINO, {preset.grounding_dino} ...")
        detector = Detector.load(preset.grounding_dino, device, dtype)
    for name in names:
        if name == "florence2":
            tell(f"Loading Florence-2, {preset.florence2} ...")
            loaded[name] = Florence2.load(
                preset.florence2,
                device,
                dtype,
                tasks=preset.tasks,
                beams=preset.beams,
                max_new_tokens=preset.max_new_tokens,
                same_box=preset.same_box,
            )
        elif detector is not None:
            reader = GroundingDinoRec if name == "gdrec" else GroundingDino
            loaded[name] = reader(detector, same_box=preset.same_box)
    return loaded
