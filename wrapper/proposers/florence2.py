"""Florence-2 as a proposer: open-vocabulary detection and phrase grounding of the same expression, and region captions.

Xiao et al. 2024; the first two task prompts and their order are the paper's, dense region captions the third source that it
reports as slightly better. Loads any checkpoint of transformers' native class, such as florence-community/Florence-2-large.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import Florence2ForConditionalGeneration, Florence2Processor

from wrapper.candidates import Candidate, iou
from wrapper.control_tokens import spell_out
from wrapper.kept import Kept, digest
from wrapper.memory import by_halves
from wrapper.proposers.base import clipped, listed, once
from wrapper.proposers.decoding import write
from wrapper.proposers.loading import check_kind, load_pretrained
from wrapper.proposers.tasks import PAPER_TASKS, TASKS_WITHOUT_TEXT

NAME = "florence2"
LOCATION = "loc_"
LOOKS, WRITTEN, KEPT = 128_000_000, 4_000_000, 3600.0
"""Bytes and seconds for which features of pictures (2 MB each) and what is written about them are kept."""


@dataclass(frozen=True)
class Prompt:
    """A task, such as "<OD>", and the text that it is about; none where the task reads the picture alone."""

    task: str
    text: str = ""


@dataclass(frozen=True)
class Florence2:
    """A loaded Florence-2.

    tasks: the task prompts whose boxes are listed one after the other; the first one's first box is the model's own
    answer. beams and max_new_tokens: of the beam search (the paper: 3 and 1,024). same_box: see `base.distinct`; where a
    task that reads no expression finds an earlier box again, that box takes its label if it says more of the same thing,
    because a label that only repeats the expression says nothing about what is seen there ("the ball that is not red" makes
    every ball a "ball"). looks, written: what is kept of the last pictures.
    """

    model: Any  # Florence2ForConditionalGeneration, whose generate() defies a type checker
    processor: Any
    tasks: tuple[str, ...] = PAPER_TASKS
    beams: int = 3
    max_new_tokens: int = 1024
    same_box: float = 1.0
    name: str = NAME
    looks: Kept[bytes, Tensor] = field(default_factory=lambda: Kept(LOOKS, KEPT), repr=False, compare=False)
    written: Kept[tuple[bytes, Prompt, int, int], str] = field(default_factory=lambda: Kept(WRITTEN, KEPT), repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @classmethod
    def load(cls, source: str, device: torch.device, dtype: torch.dtype, revision: str | None = None, **options: Any) -> "Florence2":
        """Load model and processor from a Hub id, at a commit where one is given, or from a folder."""
        check_kind("Florence-2", source, ["florence2"], revision)
        model: Any = load_pretrained(
            "Florence-2", source, Florence2ForConditionalGeneration.from_pretrained, dtype=dtype, use_safetensors=True, revision=revision
        )
        processor = load_pretrained("Florence-2", source, Florence2Processor.from_pretrained, backend="pil", revision=revision)
        return cls(model.to(device).eval(), processor, **options)

    def propose(self, images: Sequence[Image.Image], expressions: Sequence[str]) -> list[list[Candidate]]:
        """Boxes of every task prompt, in the order of `tasks`, without scores (the model gives none)."""
        found = self.answer(images, [[Prompt(task, "" if task in TASKS_WITHOUT_TEXT else e) for task in self.tasks] for e in expressions])
        return [self.candidates(image, answers) for image, answers in zip(images, found, strict=True)]

    def answer(self, images: Sequence[Image.Image], prompts: Sequence[Sequence[Prompt]]) -> list[list[dict[str, Any]]]:
        """What the model writes for several prompts about each picture, parsed.

        prompts: for each picture its own. Each picture is encoded once, and nothing is written twice; what a picture looks like, and
        what is written about it without any expression, is kept for further questions about it.
        """
        different, which = once(images)
        marks = [digest(image) for image in different]
        wanted = dict.fromkeys((n, p) for n, row in zip(which, prompts, strict=True) for p in row)
        how = (self.beams, self.max_new_tokens)
        texts = {(n, p): text for n, p in wanted if (text := self.written.find((marks[n], p, *how))) is not None}
        todo = [key for key in wanted if key not in texts]
        written = by_halves(lambda some: self._write(different, marks, some), todo, "Florence-2") if todo else []
        for (n, p), text in zip(todo, written, strict=True):
            texts[n, p] = text
            if not p.text:
                self.written.put((marks[n], p, *how), text, len(text.encode()))
        return [[self.parse(p, texts[n, p], image.size) for p in row] for n, image, row in zip(which, images, prompts, strict=True)]

    @torch.inference_mode()
    def _write(self, images: Sequence[Image.Image], marks: Sequence[bytes], asked: Sequence[tuple[int, Prompt]]) -> list[str]:
        """What the model writes for prompts about pictures, each named by its place, all in one batch."""
        device = self.model.device
        features = self._features(images, marks, sorted({n for n, _ in asked}))
        text = self.tokens([p for _, p in asked])
        ids, mask = text["input_ids"].to(device), text["attention_mask"].to(device)
        embeddings = self.model.get_input_embeddings()(ids)
        where = (ids == self.model.config.image_token_id)[..., None]
        embeddings = embeddings.masked_scatter(where, torch.stack([features[n] for n, _ in asked]).to(embeddings))
        hidden = self.model.get_encoder()(inputs_embeds=embeddings, attention_mask=mask).last_hidden_state
        written = write(self.model, hidden, mask, self.beams, self.most_tokens)
        return list(self.processor.batch_decode(written, skip_special_tokens=False))

    def _features(self, images: Sequence[Image.Image], marks: Sequence[bytes], needed: Sequence[int]) -> dict[int, Tensor]:
        """What pictures look like to the model, (places, width) each, by their place; kept in main memory, as a GPU may be lent only."""
        found = {n: kept for n in needed if (kept := self.looks.find(marks[n])) is not None}
        if new := [n for n in needed if n not in found]:
            pixels = self.processor.image_processor(images=[images[n] for n in new], return_tensors="pt")["pixel_values"]
            features = self.model.get_image_features(pixels.to(self.model.device, self.model.dtype)).pooler_output.cpu()
            for n, one in zip(new, features, strict=True):
                found[n] = one.clone()  # not a view of the whole batch, which would stay with it
                self.looks.put(marks[n], found[n], one.nbytes)
        return found

    def forget(self) -> None:
        """Forget what is kept of pictures."""
        self.looks.clear()
        self.written.clear()

    @property
    def most_tokens(self) -> int:
        """Tokens that are written at most: the model has no more places."""
        return min(self.max_new_tokens, self._longest())

    def _longest(self) -> int:
        return int(self.model.config.text_config.max_position_embeddings) - 2

    def tokens(self, prompts: list[Prompt]) -> Any:
        """Token ids of prompts with the image's place-holders in front, as the processor builds them.

        One thread at a time: a tokenizer keeps the padding of a call as its own until the next.
        """
        with self._lock:
            return self._padded(prompts)

    def _padded(self, prompts: list[Prompt]) -> Any:
        tokenizer = self.processor.tokenizer
        head = self.processor.image_token * self.processor.num_image_tokens + tokenizer.bos_token
        limit = self._longest() - self.processor.num_image_tokens - 2
        texts = [head + self._cut(self._spoken(p), limit) + tokenizer.eos_token for p in prompts]
        return tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")

    def _spoken(self, prompt: Prompt) -> str:
        """A prompt in the words that the model was trained on; nothing in its text is a control token."""
        if prompt.task in self.processor.task_prompts_without_inputs:
            return str(self.processor.task_prompts_without_inputs[prompt.task])
        wording: str = self.processor.task_prompts_with_input[prompt.task]
        return wording.format(input=spell_out(prompt.text, self.processor.tokenizer))

    def _cut(self, text: str, limit: int) -> str:
        """The text's beginning of at most `limit` tokens, whole characters; a script may need several tokens a character."""
        encoded = self.processor.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        offsets = encoded["offset_mapping"]
        return text if len(offsets) <= limit else text[: offsets[limit][0]]

    def parse(self, prompt: Prompt, text: str, size: tuple[int, int]) -> dict[str, Any]:
        """Boxes in pixels, and their labels, from what the model wrote for a prompt."""
        parsed: dict[str, Any] = self.processor.post_process_generation(text, task=prompt.task, image_size=size)[prompt.task]
        return {"boxes": parsed["bboxes"], "labels": parsed.get("bboxes_labels", parsed.get("labels", []))}

    def candidates(self, image: Image.Image, answers: list[dict[str, Any]]) -> list[Candidate]:
        """The list of candidates from what the model wrote for each task."""
        out: list[Candidate] = []
        for task, found in zip(self.tasks, answers, strict=True):
            for raw, label in zip(found["boxes"], found["labels"], strict=True):
                box = clipped(raw, image.size)
                if box is None or LOCATION in label:  # a label with a piece of a location: one of the box's four was not written
                    continue
                again = [i for i, c in enumerate(out) if iou(c.box, box) > self.same_box] if task in TASKS_WITHOUT_TEXT else []
                for i in again:
                    if _same_noun(label, out[i].label):
                        out[i] = replace(out[i], label=label)
                if not again:
                    out.append(Candidate(box, label, None, self.name))
        return listed(out, self.same_box)


def _same_noun(caption: str, label: str) -> bool:
    """Whether a caption names what a label ends in, "a small red ball" what "balls" does. Where it names something else, the
    label is kept: looking for something named finds it more surely than naming what is seen."""
    noun = label.split()[-1].removesuffix("s") if label.split() else ""
    return noun in {word.removesuffix("s") for word in caption.split()}
