"""Object detectors of transformers as proposers, by the class that a checkpoint's own config names.

    python -m wrapper propose --detector rtdetr=transformers:PekingU/rtdetr_r50vd --proposers rtdetr ...

Closed-set ones (DETR, RT-DETR, D-FINE, YOLOS ...) list what they know; zero-shot ones (OWLv2, Grounding DINO, MM-Grounding-DINO,
OmDet ...) are asked about the expression's noun groups, one query a group.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from PIL import Image
from transformers import AutoConfig, AutoImageProcessor, AutoModelForObjectDetection, AutoModelForZeroShotObjectDetection, AutoProcessor
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES,
    MODEL_FOR_ZERO_SHOT_OBJECT_DETECTION_MAPPING_NAMES,
)

from wrapper.control_tokens import spell_out
from wrapper.errors import ModelError
from wrapper.memory import by_halves
from wrapper.proposers.detections import Detections, Detector, detections
from wrapper.proposers.loading import load_pretrained
from wrapper.subject import parse

BATCH = 8
"""Pictures in one forward pass."""


def load(source: str, device: torch.device, threshold: float = 0.3) -> Detector:
    """The detector of a Hub id or a folder. threshold: least score of a box that is kept.

    In 32 bits, as boxes move by pixels in fewer. ModelError where the checkpoint is no detector.
    """
    config = load_pretrained("The detector", source, AutoConfig.from_pretrained)
    options: dict[str, Any] = {"dtype": torch.float32, "use_safetensors": True}
    if config.model_type in MODEL_FOR_ZERO_SHOT_OBJECT_DETECTION_MAPPING_NAMES:
        model: Any = load_pretrained("The detector", source, AutoModelForZeroShotObjectDetection.from_pretrained, **options)
        processor = load_pretrained("The detector's processor", source, AutoProcessor.from_pretrained, backend="pil")
        return ZeroShotDetector(model.to(device).eval(), processor, threshold)
    if config.model_type in MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES:
        model = load_pretrained("The detector", source, AutoModelForObjectDetection.from_pretrained, **options)
        processor = load_pretrained("The detector's processor", source, AutoImageProcessor.from_pretrained, backend="pil")
        return ClosedSetDetector(model.to(device).eval(), processor, threshold)
    raise ModelError(
        f"{source} is a {config.model_type} checkpoint, which transformers does not know as an object detector. Choose one it does."
    )


@dataclass(frozen=True)
class ClosedSetDetector:
    """A detector with classes of its own; their names are in the checkpoint's config."""

    model: Any
    processor: Any
    threshold: float
    reads_words: bool = False

    @torch.inference_mode()
    def detect(self, images: Sequence[Image.Image], expressions: Sequence[str]) -> list[Detections]:
        """The boxes above the threshold."""
        parts = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
        return [one for part in parts for one in by_halves(self._detect, part, "The detector")]

    def _detect(self, images: Sequence[Image.Image]) -> list[Detections]:
        names: dict[int, str] = self.model.config.id2label
        inputs = self.processor(images=list(images), return_tensors="pt").to(self.model.device)
        if len(images) > 1 and self._is_misled(inputs):
            return [found for image in images for found in self._detect([image])]
        sizes = [(i.height, i.width) for i in images]
        results = self.processor.post_process_object_detection(self.model(**inputs), threshold=self.threshold, target_sizes=sizes)
        found = []
        for r in results:
            labels = [names[i].replace("_", " ") for i in r["labels"].tolist()]
            found.append(detections(r["boxes"].cpu().numpy(), labels, r["scores"].cpu().numpy()))
        return found

    def _is_misled(self, inputs: Mapping[str, Any]) -> bool:
        """Whether pictures were padded to one size for a model that is not told so (YOLOS): its boxes would be shares of the larger."""
        mask = inputs.get("pixel_mask")
        return mask is not None and "pixel_mask" not in signature(self.model.forward).parameters and not bool(mask.all())


@dataclass(frozen=True)
class ZeroShotDetector:
    """A detector that is asked about words."""

    model: Any
    processor: Any
    threshold: float
    reads_words: bool = True

    def detect(self, images: Sequence[Image.Image], expressions: Sequence[str]) -> list[Detections]:
        """The boxes above the threshold for the noun groups of each expression, labelled with their groups."""
        return [self._detect(image, queries(expression)) for image, expression in zip(images, expressions, strict=True)]

    @torch.inference_mode()
    def _detect(self, image: Image.Image, asked: list[str]) -> Detections:
        texts = [[spell_out(q, self.processor.tokenizer) for q in asked]]
        inputs = self.processor(images=image, text=texts, return_tensors="pt", padding=True, truncation=True).to(self.model.device)
        [r] = self.processor.post_process_grounded_object_detection(
            self.model(**inputs), threshold=self.threshold, target_sizes=[(image.height, image.width)], text_labels=texts
        )  # fmt: skip
        labels = [asked[texts[0].index(t)] if t in texts[0] else str(t) for t in r["text_labels"]]
        return detections(r["boxes"].cpu().numpy(), labels, r["scores"].cpu().numpy())


def queries(expression: str) -> list[str]:
    """The noun groups of an expression, each once; the whole where it has none."""
    return list(dict.fromkeys(g.text for g in parse(expression).groups)) or [expression]
