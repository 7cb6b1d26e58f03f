"""The whole method, to be read in one sitting: propose, merge, select.

>>> from wrapper import Wrapper
>>> selection = Wrapper.from_preset("tiny").locate("examples/relation.png", "...")  # doctest: +SKIP
>>> selection.box, selection.reason  # doctest: +SKIP
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch
from PIL import Image

from wrapper.adapters import AUTO, ZERO_SHOT, check_adapter
from wrapper.candidates import Candidate, Reason, Selection
from wrapper.colors import with_colors
from wrapper.detectors import load_detector
from wrapper.errors import ModelError
from wrapper.expressions import normalise
from wrapper.images import Picture, open_picture
from wrapper.inventory import check_room, parts
from wrapper.merging import MOST, Merged, Merging, merge, relist
from wrapper.presets import Preset, adapter_name, find_preset
from wrapper.proposers.base import Proposer
from wrapper.proposers.florence2 import Florence2
from wrapper.proposers.grounding_dino import Detector, GroundingDino, GroundingDinoRec
from wrapper.selectors import endpoint
from wrapper.selectors.base import LanguageModel, Question
from wrapper.selectors.llama import MAX_TOKENS, Llm

ENSEMBLE = ("florence2", "gdrec")
"""The paper's two models together."""
SCORING = ("gdrec", "gd")
"""Proposers that propose nothing where nothing looks like the words, the one that takes them more strictly first."""
LIKELY = 0.5
"""Above which probability that none is meant the answer is "not found"."""
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Collected:
    """Candidates of several proposers for a batch of expressions, by proposer, with each proposer's time an expression."""

    by_proposer: Mapping[str, list[list[Candidate]]]
    timings_ms: dict[str, float]

    def of(self, i: int) -> dict[str, list[Candidate]]:
        """The candidates for one expression, by proposer."""
        return {name: lists[i] for name, lists in self.by_proposer.items()}


def collect(proposers: Sequence[Proposer], images: Sequence[Image.Image], expressions: Sequence[str]) -> Collected:
    """Every proposer's candidates for pairs of picture and expression (as `expressions.normalise` gives it), with the colours there."""
    found, timings = {}, {}
    for proposer in proposers:
        began = time.perf_counter()
        proposed = proposer.propose(images, expressions)
        found[proposer.name] = [with_colors(image, one) for image, one in zip(images, proposed, strict=True)]
        timings[proposer.name] = 1000 * (time.perf_counter() - began) / max(1, len(expressions))
    if {"gd", "gdrec"} <= timings.keys():  # whoever comes second reads what the first one's look found; alone it would look itself
        timings["gd"] = timings["gdrec"] = timings["gd"] + timings["gdrec"]
    return Collected(found, timings)


def seen(selection: Selection, by_proposer: Mapping[str, Sequence[Candidate]]) -> Selection:
    """The selection, or "not found": where a detector that was asked has no box for any of the words (others propose what they see,
    whatever they are asked), or where the LLM finds it more probable than not that none is meant. An addition to the method, which
    always answers."""
    asked = [by_proposer[name] for name in SCORING if name in by_proposer]
    if selection.index is None:
        return selection
    if asked and not asked[0]:
        return replace(selection, index=None, reason=Reason.NOTHING_LIKE_IT)
    if selection.absent is not None and selection.absent > LIKELY:
        return replace(selection, index=None, reason=Reason.NONE_MEANT)
    return selection


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
    """Proposers and an LLM, loaded. merging: how several proposers' lists become one."""

    proposers: Mapping[str, Proposer]
    llm: LanguageModel
    merging: Merging = Merging.CANONICAL

    @classmethod
    def from_preset(cls, preset: str | Preset, proposers: Sequence[str] | None = None, tell: Tell = lambda part: None) -> "Wrapper":
        """Load the models of a preset, of the proposers only those named, or its usual ones. tell: is told each part before it is
        loaded."""
        chosen = find_preset(preset) if isinstance(preset, str) else preset
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        names = chosen.usual if proposers is None else proposers
        check_proposers(names, chosen.proposers)
        check_room(parts(chosen, device.type == "cuda", names), device)
        loaded = load_proposers(chosen, names, device, tell)
        return cls(MappingProxyType(loaded), load_language_model(chosen, device, tell), chosen.merging)

    def locate(self, image: Picture, expression: str, proposers: Sequence[str] | None = None, adapter: str = AUTO) -> Selection:
        """The object that an expression means in a picture.

        image: a PIL picture, a numpy array, a path, the bytes of a file or an open one. proposers: names of some of the loaded
        ones, all where None; their order does not matter. adapter: as for `adapter_for`. Raises WrapperError for pictures, expressions and
        names that cannot be used.
        """
        return self.locate_batch([image], [expression], proposers, adapter)[0]

    def locate_batch(
        self, images: Sequence[Picture], expressions: Sequence[str], proposers: Sequence[str] | None = None, adapter: str = AUTO
    ) -> list[Selection]:
        """As `locate`, for pairs of picture and expression; models run on the whole batch at once."""
        images = list(images)  # an array or a lazy sequence makes each picture anew whenever it is asked for it
        if len(images) != len(expressions):
            raise ValueError(f"{len(images)} images for {len(expressions)} expressions; give one image an expression")
        texts = [normalise(e) for e in expressions]
        names = list(proposers or self.proposers)
        loaded = [self.proposer(name) for name in names]
        check_proposers(names, tuple(self.proposers))
        opened = {id(image): open_picture(image) for image in images}  # the same picture once, so that it is encoded once
        pictures = [opened[id(image)] for image in images]
        found = collect(loaded, pictures, texts)
        rows = [found.of(i) for i in range(len(texts))]
        name, began = self.adapter_for(names, adapter), time.perf_counter()
        questions = [question(self.merge(r), t, p.size, name) for r, t, p in zip(rows, texts, pictures, strict=True)]
        selections = self.llm.select(questions)
        asked = 1000 * (time.perf_counter() - began) / max(1, len(texts))
        timings = {**found.timings_ms, self.llm.name: asked}
        return [seen(replace(s, timings_ms=timings), row) for s, row in zip(selections, rows, strict=True)]

    def stages(self, image: Image.Image, expression: str, proposers: Sequence[str], adapter: str = AUTO) -> Iterator[Stage]:
        """As `locate` for an RGB picture, step by step: one stage a proposer as it is done, then the LLM's choice."""
        text, began = normalise(expression), time.monotonic()
        name = self.adapter_for(proposers, adapter)
        found: dict[str, list[Candidate]] = {}
        timings: dict[str, float] = {}
        for proposer in proposers:
            collected = collect([self.proposer(proposer)], [image], [text])
            found |= collected.of(0)
            timings |= collected.timings_ms
            yield Stage(proposer, self.merge(found).candidates, dict(timings), began)
        selection = seen(self._choose(question(self.merge(found), text, image.size, name)), found)
        timings |= selection.timings_ms
        yield Stage("choice", selection.candidates, timings, began, replace(selection, timings_ms=timings))

    def merge(self, found: Mapping[str, Sequence[Candidate]], most: int = MOST) -> Merged:
        """One list of some proposers' candidates."""
        return merge(list(found.values()), self.merging, most)

    def choose(self, candidates: Sequence[Candidate], expression: str, size: tuple[int, int], adapter: str | None) -> Selection:
        """Only the last step: one of these candidates, of a picture of (width, height) pixels, listed as always, or "not found" where
        the LLM says that none is meant.

        adapter: the name of one of the LLM's, None for none.
        """
        return seen(self._choose(question(relist(candidates, self.merging), normalise(expression), size, adapter)), {})

    def _choose(self, asked: Question) -> Selection:
        began = time.perf_counter()
        [selection] = self.llm.select([asked])
        return replace(selection, timings_ms={self.llm.name: 1000 * (time.perf_counter() - began)})

    def adapter_for(self, proposers: Sequence[str], adapter: str = AUTO) -> str | None:
        """The name of the adapter that reads these proposers' candidates, None for the LLM without one.

        adapter: AUTO for their own where there is one, ZERO_SHOT for none, else a name; ModelError where that is none.
        """
        if adapter == ZERO_SHOT:
            return None
        if adapter == AUTO:
            own = adapter_name(proposers)
            return own if own in self.llm.adapters else None
        check_adapter(adapter, self.llm.adapters)
        return adapter

    def proposer(self, name: str) -> Proposer:
        """A loaded proposer by name."""
        if name not in self.proposers:
            raise ModelError(f"The proposer {name!r} is not loaded. Choose from {', '.join(self.proposers)}.")
        return self.proposers[name]


def question(merged: Merged, expression: str, size: tuple[int, int], adapter: str | None) -> Question:
    """What the LLM is asked about a merged list."""
    return Question(merged.candidates, expression, size, adapter, merged.left_out)


def check_proposers(names: Sequence[str], known: Sequence[str]) -> None:
    """ModelError where one of these is none of the known ones, or stands there twice: its boxes would be listed twice."""
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ModelError(f"There is no proposer {', '.join(unknown) or 'named'}. Choose from {', '.join(known)}.")
    if len(set(names)) < len(names):
        raise ModelError(f"A proposer is named twice in {', '.join(names)}. Name each once.")


def load_proposers(preset: Preset, names: Sequence[str], device: torch.device, tell: Tell = lambda part: None) -> dict[str, Proposer]:
    """The proposers of a preset by name, in the order given; GD and GDrec share one model."""
    check_proposers(names, preset.proposers)
    loaded: dict[str, Proposer] = {}
    detector = None
    if preset.grounding_dino and {"gd", "gdrec"} & set(names):
        tell(f"Loading Grounding DINO, {preset.grounding_dino} ...")
        detector = Detector.load(preset.grounding_dino, device, preset.revision(preset.grounding_dino))
    for name in names:
        if name in preset.detectors:
            tell(f"Loading the detector {name}, {preset.detectors[name]} ...")
            loaded[name] = load_detector(name, preset.detectors[name], device, preset.same_box)
        elif name == "florence2" and preset.florence2:
            tell(f"Loading Florence-2, {preset.florence2} ...")
            loaded[name] = Florence2.load(
                preset.florence2,
                device,
                preset.dtype(device),
                preset.revision(preset.florence2),
                tasks=preset.tasks,
                beams=preset.beams,
                max_new_tokens=preset.max_new_tokens,
                same_box=preset.same_box,
            )
        elif detector is not None:
            reader = GroundingDinoRec if name == "gdrec" else GroundingDino
            loaded[name] = reader(detector, same_box=preset.same_box)
    return loaded


def load_llm(preset: Preset, device: torch.device, tell: Tell = lambda part: None, max_tokens: int = MAX_TOKENS) -> Llm:
    """The LLM of a preset with the preset's adapters, in this process. max_tokens: see `Llm`. ModelError where it is a service."""
    if preset.llama.startswith(endpoint.SCHEME):
        raise ModelError(f"The LLM {preset.llama} is a service, and here one is needed whose weights are at hand. Name it with --llama.")
    tell(f"Loading the LLM, {preset.llama} ...")
    # NF4 computes in bfloat16 on any device, as the paper does
    dtype = torch.bfloat16 if preset.four_bit else preset.dtype(device)
    llm = Llm.load(preset.llama, device, dtype, preset.four_bit, preset.revision(preset.llama), max_tokens=max_tokens)
    for name, source in preset.adapters.items():
        tell(f"Loading the LLM's adapter {name}, {source} ...")
        llm.add_adapter(name, source)
    return llm


def load_language_model(preset: Preset, device: torch.device, tell: Tell = lambda part: None) -> LanguageModel:
    """The LLM of a preset: its own with its adapters, or a service where `llama` says openai:..."""
    if not preset.llama.startswith(endpoint.SCHEME):
        return load_llm(preset, device, tell)
    tell(f"Connecting to the LLM, {preset.llama} ...")
    return endpoint.Endpoint.load(preset.llama)
