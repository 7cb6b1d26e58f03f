"""The plain way, as the method's first implementation and most demos have it, to measure against.

One question at a time; Florence-2's whole `generate` for every task prompt, from the pixels on; Grounding DINO once for every
expression; the LLM writes text, which is parsed; every method of a comparison runs its models again.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image

from wrapper.candidates import Candidate
from wrapper.colors import with_colors
from wrapper.evaluation.methods import Method
from wrapper.expressions import normalise
from wrapper.pipeline import Wrapper, question
from wrapper.proposers.base import Proposer
from wrapper.proposers.florence2 import Florence2, Prompt
from wrapper.proposers.grounding_dino import Detector, GroundingDino, GroundingDinoRec
from wrapper.proposers.tasks import TASKS_WITHOUT_TEXT
from wrapper.selectors.base import OwnAnswer, Question
from wrapper.selectors.llama import Llm

WRITTEN = 8
"""Tokens that the LLM may write for an answer."""


@dataclass(frozen=True)
class PlainFlorence2:
    """Florence-2, one prompt after the other. beams: of the search (the paper and the model's own page: 3)."""

    model: Florence2
    beams: int = 3

    @property
    def name(self) -> str:
        return self.model.name

    def propose(self, images: Sequence[Image.Image], expressions: Sequence[str]) -> list[list[Candidate]]:
        """As `Florence2.propose`."""
        return [self._propose(image, e) for image, e in zip(images, expressions, strict=True)]

    def _propose(self, image: Image.Image, expression: str) -> list[Candidate]:
        prompts = [Prompt(task, "" if task in TASKS_WITHOUT_TEXT else expression) for task in self.model.tasks]
        return self.model.candidates(image, [self._answer(image, p) for p in prompts])

    @torch.inference_mode()
    def _answer(self, image: Image.Image, prompt: Prompt) -> dict[str, Any]:
        m = self.model
        text = m.tokens([prompt]).to(m.model.device)
        pixels = m.processor.image_processor(images=[image], return_tensors="pt")["pixel_values"].to(m.model.device, m.model.dtype)
        written = m.model.generate(**text, pixel_values=pixels, num_beams=self.beams, max_new_tokens=m.most_tokens, do_sample=False)
        return m.parse(prompt, m.processor.batch_decode(written, skip_special_tokens=False)[0], image.size)


@dataclass(frozen=True)
class PlainGroundingDino:
    """Grounding DINO, read either way, once for every expression."""

    reader: GroundingDino | GroundingDinoRec

    @property
    def name(self) -> str:
        return self.reader.name

    def propose(self, images: Sequence[Image.Image], expressions: Sequence[str]) -> list[list[Candidate]]:
        """As the reader's own."""
        shared, out = self.reader.detector, []
        for image, expression in zip(images, expressions, strict=True):
            fresh = replace(self.reader, detector=Detector(shared.model, shared.processor))  # it remembers nothing
            out += fresh.propose([image], [expression])
        return out


@dataclass(frozen=True)
class PlainDetector:
    """Any other detector, one picture after the other."""

    detector: Proposer

    @property
    def name(self) -> str:
        return self.detector.name

    def propose(self, images: Sequence[Image.Image], expressions: Sequence[str]) -> list[list[Candidate]]:
        """As the detector's own."""
        return [found for image, e in zip(images, expressions, strict=True) for found in self.detector.propose([image], [e])]


def plain_proposer(proposer: Proposer, beams: int) -> Proposer:
    """A loaded proposer, asked the plain way."""
    if isinstance(proposer, Florence2):
        return PlainFlorence2(proposer, beams)
    if isinstance(proposer, (GroundingDino, GroundingDinoRec)):
        return PlainGroundingDino(proposer)
    return PlainDetector(proposer)


@torch.inference_mode()
def write_answer(llm: Llm, q: Question) -> Candidate | None:
    """The candidate whose index the LLM writes as text; None where it writes something else."""
    if len(q.candidates) < 2:
        return q.candidates[0] if q.candidates else None
    prompt = llm.prompt(q)
    with llm.using(q.adapter) as model:
        ids = torch.tensor([prompt.ids], device=model.device)
        end, none = llm.tokenizer.eos_token_id, prompt.template.none
        written = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=WRITTEN, do_sample=False, eos_token_id=end, pad_token_id=end,
            bad_words_ids=[llm.answer(none, prompt.template)[:-1]] if none else None,  # the method always answers with a candidate
        )  # fmt: skip
    said = re.search(r"\d+", llm.tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True))
    index = int(said.group()) if said else -1
    return q.candidates[prompt.places[index]] if 0 <= index < len(prompt.places) else None


@dataclass(frozen=True)
class Plain:
    """Loaded models, used the plain way. llm: the wrapper's."""

    wrapper: Wrapper
    llm: Llm
    beams: int = 3

    def locate(self, image: Image.Image, expression: str, proposers: Sequence[str]) -> Candidate | None:
        """The object that an expression means."""
        adapter = self.wrapper.adapter_for(proposers)
        return self.method(image, expression, Method(tuple(proposers), "llm", adapter))

    def method(self, image: Image.Image, expression: str, method: Method) -> Candidate | None:
        """One method's answer; its models are run for it."""
        text = normalise(expression)
        names = method.proposers[:1] if method.how == "alone" else method.proposers
        found = {n: with_colors(image, plain_proposer(self.wrapper.proposer(n), self.beams).propose([image], [text])[0]) for n in names}
        asked = question(self.wrapper.merge(found), text, image.size, method.adapter)
        if method.how == "alone":
            [own] = OwnAnswer(method.proposers[0]).select([asked])
            return own.chosen
        return write_answer(self.llm, asked)
