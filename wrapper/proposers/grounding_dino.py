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
from wrapper.kept import Kept, digest
from wrapper.memory import by_halves
from wrapper.proposers.base import clipped, listed, once
from wrapper.proposers.loading import check_kind, load_pretrained
from wrapper.subject import NounGroup, parse

KINDS = ("grounding-dino", "mm-grounding-dino")
"""As checkpoints call themselves; LLMDet's are of the second."""
PARTS = str.maketrans(".?", ",,")
"""The model takes a full stop or a question mark for the end of one of several texts (LIBRARY_FACTS: Grounding DINO's text mask)."""


LOOKS, FOUND, KEPT = 256_000_000, 64_000_000, 3600.0
"""Bytes and seconds for which features of pictures (40 MB each) and detections (1 MB each) are kept."""
AT_ONCE_ON_CPU, AT_ONCE = 32_000_000, 160_000_000
"""Bytes of features in a forward pass, on a CPU and on a GPU. An expression has 40 MB of them in the published size, and takes a gigabyte
at work: tensors of that size cost a CPU more than a second pass does, and fill a GPU (`wrapper bench --work grounding-dino`)."""


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


@dataclass(frozen=True)
class Look:
    """What a model's backbone makes of a batch of pictures: features with their masks, and positions, one of each for every scale."""

    features: tuple[tuple[Tensor, Tensor], ...]
    positions: tuple[Tensor, ...]

    @property
    def nbytes(self) -> int:
        return sum(f.nbytes + m.nbytes for f, m in self.features) + sum(p.nbytes for p in self.positions)

    def to(self, device: torch.device) -> "Look":
        return Look(tuple((f.to(device), m.to(device)) for f, m in self.features), tuple(p.to(device) for p in self.positions))

    def rows(self, which: list[int]) -> "Look":
        """Of a batch whose row i shows picture which[i]."""
        return Look(tuple((f[which], m[which]) for f, m in self.features), tuple(p[which] for p in self.positions))


class LookedBackbone(nn.Module):
    """A model's image backbone that may be told what it would see.

    The model's forward takes no features computed beforehand, so that sits where it calls its backbone.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.position_embedding = backbone.position_embedding
        self._look: Look | None = None
        self._lock = threading.Lock()

    def look(self, pixel_values: Tensor, pixel_mask: Tensor) -> Look:
        """What it makes of pictures."""
        features, positions = self.backbone(pixel_values, pixel_mask)
        return Look(tuple((f, m) for f, m in features), tuple(positions))

    @contextmanager
    def showing(self, look: Look) -> Iterator[None]:
        """Forward passes inside see this, whatever pixels they are given."""
        with self._lock:
            self._look = look
            try:
                yield
            finally:
                self._look = None

    def forward(self, pixel_values: Tensor, pixel_mask: Tensor) -> Any:
        """As the backbone's own."""
        if self._look is None:
            return self.backbone(pixel_values, pixel_mask)
        return list(self._look.features), list(self._look.positions)


@dataclass(frozen=True)
class Detector:
    """A loaded Grounding DINO, shared by both ways of reading it. looks, found: what is kept of the last pictures."""

    model: Any
    processor: Any
    looks: Kept[bytes, Look] = field(default_factory=lambda: Kept(LOOKS, KEPT), repr=False, compare=False)
    found: Kept[tuple[bytes, str], Detection] = field(default_factory=lambda: Kept(FOUND, KEPT), repr=False, compare=False)

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
        model.model.backbone = LookedBackbone(model.model.backbone)
        return cls(model.to(device).eval(), processor)

    def detect(self, images: Sequence[Image.Image], expressions: Sequence[str]) -> list[Detection]:
        """Run the model on pairs of picture and expression.

        Each picture is encoded once. What a picture looks like is kept for further questions about it, and what was found for some
        while, because GD and GDrec read the same detections.
        """
        different, which = once(images)
        marks = [digest(image) for image in different]
        keys = [(marks[n], e) for n, e in zip(which, expressions, strict=True)]
        known = {key: found for key in keys if (found := self.found.find(key)) is not None}
        todo = [i for i, key in enumerate(keys) if key not in known and key not in keys[:i]]
        if todo:

            def detected(some: Sequence[int]) -> list[Detection]:
                used = sorted({which[i] for i in some})
                shown = [used.index(which[i]) for i in some]
                return self._detect([different[n] for n in used], [marks[n] for n in used], shown, [expressions[i] for i in some])

            for i, one in zip(todo, by_halves(detected, todo, "Grounding DINO"), strict=True):
                known[keys[i]] = one
                self.found.put(keys[i], one, one.probabilities.nbytes + one.boxes.nbytes)
        return [known[key] for key in keys]

    @torch.inference_mode()
    def _detect(self, pictures: list[Image.Image], marks: list[bytes], which: list[int], expressions: list[str]) -> list[Detection]:
        """What is found for each expression in picture which[i]."""
        pixels = self.processor.image_processor(images=pictures, return_tensors="pt").to(self.model.device)
        look = self._look(pixels, marks)
        found: list[Detection] = []
        room = AT_ONCE_ON_CPU if self.model.device.type == "cpu" else AT_ONCE
        at_once = max(1, room * len(pictures) // look.nbytes)
        for start in range(0, len(expressions), at_once):
            rows = which[start : start + at_once]
            texts = [asked(e, self.processor.tokenizer) + "." for e in expressions[start : start + at_once]]
            found += self._answer(pixels, look.rows(rows), rows, texts, [pictures[n].size for n in rows])
        return found

    def _look(self, pixels: Any, marks: list[bytes]) -> Look:
        """What pictures look like; a single one's is kept, in main memory, as a GPU may be lent only. (Several are padded to one size, so
        each looks different in other company.)"""
        kept = self.looks.find(marks[0]) if len(marks) == 1 else None
        if kept is not None:
            return kept.to(self.model.device)
        look: Look = self.model.model.backbone.look(pixels["pixel_values"].to(self.model.dtype), pixels["pixel_mask"])
        if len(marks) == 1:
            self.looks.put(marks[0], look.to(torch.device("cpu")), look.nbytes)
        return look

    def _answer(self, pixels: Any, look: Look, rows: list[int], texts: list[str], sizes: list[tuple[int, int]]) -> list[Detection]:
        """One forward pass: what is found for each text in a row of the look."""
        limit, device = self.model.config.max_text_len, self.model.device
        encoded = self.processor.tokenizer(
            texts, padding=True, truncation=True, max_length=limit, return_offsets_mapping=True, return_tensors="pt"
        )
        with self.model.model.backbone.showing(look):
            out = self.model(
                pixel_values=pixels["pixel_values"][rows].to(self.model.dtype), pixel_mask=pixels["pixel_mask"][rows],
                input_ids=encoded["input_ids"].to(device), attention_mask=encoded["attention_mask"].to(device),
            )  # fmt: skip
        offsets = encoded["offset_mapping"] * (encoded["input_ids"] != self.processor.tokenizer.unk_token_id)[..., None]
        probabilities = out.logits[..., : encoded["input_ids"].shape[1]].float().sigmoid().cpu()
        boxes = out.pred_boxes.float().cpu()
        return [
            self._detection(probabilities[i].clone(), boxes[i].clone(), size, text[:-1], offsets[i].tolist())
            for i, (size, text) in enumerate(zip(sizes, texts, strict=True))
        ]

    def forget(self) -> None:
        """Forget what is kept of pictures."""
        self.looks.clear()
        self.found.clear()

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
