"""Grounding DINO as a proposer, plain (GD) and for referring expressions (GDrec).

Liu et al. 2024. GD scores a box by its best token of the whole expression. GDrec takes the expression's noun groups
and scores a box for a group by its worst token of that group; the subject's best box comes first (METHOD: Grounding
DINO). Loads any checkpoint of transformers' native classes: Grounding DINO, such as IDEA-Research/grounding-dino-tiny, and
MM-Grounding-DINO and LLMDet, whose forward is the same.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import AutoModelForZeroShotObjectDetection, GroundingDinoProcessor

from wrapper.candidates import Candidate
from wrapper.control_tokens import spell_out
from wrapper.proposers.base import clipped, listed, once
from wrapper.proposers.loading import check_kind, load_pretrained
from wrapper.subject import NounGroup, parse

KINDS = ("grounding-dino", "mm-grounding-dino")
"""As checkpoints call themselves; LLMDet's are of the second."""
PARTS = str.maketrans(".?", ",,")
"""The model takes a full stop or a question mark for the end of one of several texts (LIBRARY_FACTS: Grounding DINO's text mask)."""


@dataclass(frozen=True)
class Detection:
    """What the model says about one picture and text.

    text: what it was asked, without the closing full stop. probabilities: (queries, tokens) of the text's tokens; boxes:
    (queries, 4) xyxy in pixels; offsets: the characters that each token covers, (0, 0) for special tokens, for one that stands for
    all that the model has no token for ("🦄"), and for the closing full stop.
    """

    text: str
    probabilities: Tensor
    boxes: Tensor
    offsets: tuple[tuple[int, int], ...]

    def tokens_of(self, start: int, end: int) -> list[int]:
        """Indices of the tokens that lie within characters start to end."""
        return [i for i, (s, e) in enumerate(self.offsets) if e > s and s >= start and e <= end]


class SharedBackbone(nn.Module):
    """A model's image backbone that runs once for pictures that stand in a batch several times.

    The model's forward takes no features computed beforehand, so the sharing sits where it calls its backbone.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.position_embedding = backbone.position_embedding
        self._which: list[int] | None = None
        self._lock = threading.Lock()

    @contextmanager
    def showing(self, which: list[int]) -> Iterator[None]:
        """Forward passes inside have batches whose row i shows picture which[i], counted from 0 in order of appearance."""
        with self._lock:
            self._which = which
            try:
                yield
            finally:
                self._which = None

    def forward(self, pixel_values: Tensor, pixel_mask: Tensor) -> Any:
        """As the backbone's own."""
        if self._which is None or len(set(self._which)) == len(self._which):
            return self.backbone(pixel_values, pixel_mask)
        first = [self._which.index(n) for n in range(max(self._which) + 1)]
        features, positions = self.backbone(pixel_values[first], pixel_mask[first])
        return [(f[self._which], m[self._which]) for f, m in features], [p[self._which] for p in positions]


@dataclass(frozen=True)
class Detector:
    """A loaded Grounding DINO, shared by both ways of reading it."""

    model: Any
    processor: Any
    _last: list[tuple[Sequence[Image.Image], Sequence[str], list[Detection]]] = field(default_factory=list, repr=False, compare=False)

    @classmethod
    def load(cls, source: str, device: torch.device, revision: str | None = None) -> "Detector":
        """Load model and processor from a Hub id, at a commit where one is given, or from a folder.

        In 32 bits on any device: bfloat16 moves the boxes' edges by 1.4 pixels in the median.
        """
        check_kind("Grounding DINO", source, KINDS, revision)
        model: Any = load_pretrained(
            "Grounding DINO", source, AutoModelForZeroShotObjectDetection.from_pretrained, dtype=torch.float32, use_safetensors=True,
            revision=revision,
        )  # fmt: skip
        processor = load_pretrained("Grounding DINO", source, GroundingDinoProcessor.from_pretrained, backend="pil", revision=revision)
        model.model.backbone = SharedBackbone(model.model.backbone)
        return cls(model.to(device).eval(), processor)

    def detect(self, images: Sequence[Image.Image], expressions: Sequence[str]) -> list[Detection]:
        """Run the model on pairs of picture and expression; a picture that stands there several times is encoded once.

        The last batch is remembered, because GD and GDrec read the same detections.
        """
        if not images:
            return []
        for seen, asked, found in self._last:
            if len(seen) == len(images) and all(a is b for a, b in zip(seen, images, strict=True)) and list(asked) == list(expressions):
                return found
        found = self._detect(images, expressions)
        self._last[:] = [(tuple(images), tuple(expressions), found)]
        return found

    @torch.inference_mode()
    def _detect(self, images: Sequence[Image.Image], expressions: Sequence[str]) -> list[Detection]:
        texts = [asked(e, self.processor.tokenizer) + "." for e in expressions]
        limit = self.model.config.max_text_len
        encoded = self.processor.tokenizer(
            texts, padding=True, truncation=True, max_length=limit, return_offsets_mapping=True, return_tensors="pt"
        )
        different, which = once(images)
        pixels = self.processor.image_processor(images=different, return_tensors="pt")
        device, dtype = self.model.device, self.model.dtype
        with self.model.model.backbone.showing(which):
            out = self.model(
                pixel_values=pixels["pixel_values"][which].to(device, dtype), pixel_mask=pixels["pixel_mask"][which].to(device),
                input_ids=encoded["input_ids"].to(device), attention_mask=encoded["attention_mask"].to(device),
            )  # fmt: skip
        length = encoded["input_ids"].shape[1]
        known = encoded["input_ids"] != self.processor.tokenizer.unk_token_id
        probabilities = out.logits[..., :length].float().sigmoid().cpu()
        boxes = out.pred_boxes.float().cpu()
        return [
            self._detection(probabilities[i], boxes[i], image.size, text[:-1], (encoded["offset_mapping"][i] * known[i, :, None]).tolist())
            for i, (image, text) in enumerate(zip(images, texts, strict=True))
        ]

    def _detection(self, probabilities: Tensor, boxes: Tensor, size: tuple[int, int], text: str, offsets: Any) -> Detection:
        center, half = boxes[:, :2], boxes[:, 2:] / 2
        corners = torch.cat([center - half, center + half], 1) * torch.tensor([*size, *size])
        inside = tuple((s, e) if e <= len(text) else (0, 0) for s, e in offsets)
        return Detection(text, probabilities, corners, inside)


def asked(expression: str, tokenizer: Any) -> str:
    """An expression as the model is asked about it: one text, in which nothing is a control token."""
    return spell_out(expression.translate(PARTS), tokenizer).strip(" ,")


@dataclass(frozen=True)
class GroundingDino:
    """GD: boxes whose best token is above `threshold`, best first, labelled with the noun group that has the best token."""

    detector: Detector
    threshold: float = 0.15
    same_box: float = 1.0
    name: str = "gd"

    def propose(self, images: Sequence[Image.Image], expressions: Sequence[str]) -> list[list[Candidate]]:
        """Candidates by falling score."""
        found = self.detector.detect(images, expressions)
        return [self._candidates(d, i.size) for d, i in zip(found, images, strict=True)]

    def _candidates(self, found: Detection, size: tuple[int, int]) -> list[Candidate]:
        tokens = found.tokens_of(0, len(found.text))
        if not tokens:
            return []
        groups = {g.text: t for g in parse(found.text).groups if (t := found.tokens_of(g.start, g.end))}
        scores = found.probabilities[:, tokens].max(1).values
        out = []
        for query in scores.argsort(descending=True).tolist():
            box = clipped(found.boxes[query].tolist(), size)
            if scores[query] <= self.threshold or box is None:
                continue
            best = {float(found.probabilities[query, t].max()): label for label, t in groups.items()}
            label = best[max(best)] if best else found.text
            out.append(Candidate(box, label, float(scores[query]), self.name))
        return listed(out, self.same_box)


@dataclass(frozen=True)
class GroundingDinoRec:
    """GDrec: the best box for the subject, then every noun group's boxes above its threshold."""

    detector: Detector
    subject_threshold: float = 0.15
    group_threshold: float = 0.2
    same_box: float = 1.0
    name: str = "gdrec"

    def propose(self, images: Sequence[Image.Image], expressions: Sequence[str]) -> list[list[Candidate]]:
        """The subject's best box first, then the groups' in the order they stand, the subject's group first."""
        found = self.detector.detect(images, expressions)
        return [self._candidates(d, i.size) for d, i in zip(found, images, strict=True)]

    def _candidates(self, found: Detection, size: tuple[int, int]) -> list[Candidate]:
        parsed = parse(found.text)
        groups = list(parsed.groups) or [NounGroup(0, len(found.text), found.text)]
        subject = groups.pop(parsed.subject or 0)
        best: dict[int, Candidate] = {}
        for group, threshold in [(subject, self.subject_threshold), *((g, self.group_threshold) for g in groups)]:
            for query, score in self._scored(found, group):
                box = clipped(found.boxes[query].tolist(), size)
                if score <= threshold:
                    break
                if box is not None and query not in best:
                    best[query] = Candidate(box, group.text, score, self.name)
        return listed(list(best.values()), self.same_box)

    def _scored(self, found: Detection, group: NounGroup) -> list[tuple[int, float]]:
        """Queries by falling score for a group: the least probable of the group's tokens."""
        tokens = found.tokens_of(group.start, group.end)
        if not tokens:
            return []
        scores = found.probabilities[:, tokens].min(1).values
        return [(q, float(scores[q])) for q in scores.argsort(descending=True).tolist()]
