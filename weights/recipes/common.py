"""What the three training recipes share: indexed samples, a loop that resumes exactly, and a dense warm-up.

A sample is a function of its number and nothing else, so the data position of a run is its step; a checkpoint holds
step, weights, optimizer state and the curve so far, and a run that was killed goes on as if nothing had happened.
"""

import json
import math
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from wrapper.scenes.dataset import Scene, draw_scene
from wrapper.scenes.kinds import KINDS
from wrapper.scenes.layout import Box, Layout

RUNS = Path(__file__).parents[2] / "runs"
TINY_WEIGHTS = Path(__file__).parents[1] / "tiny"


def device() -> torch.device:
    """A GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass(frozen=True)
class Plan:
    """How long a stage trains and how fast.

    lr: peak learning rate, reached after `warmup` steps, then a cosine down to `floor` of it. stop: the step at which it ends before
    its schedule does; 0 for none.
    """

    name: str
    steps: int
    batch: int
    lr: float
    warmup: int = 200
    floor: float = 0.02
    stop: int = 0

    @property
    def last(self) -> int:
        """The step at which it ends."""
        return self.stop or self.steps

    def rate(self, step: int) -> float:
        """Learning rate at a step."""
        done = min(1.0, step / self.steps)
        cosine = self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * done))
        return self.lr * min(1.0, (step + 1) / self.warmup) * cosine


class Samples(Dataset[Any]):
    """Sample i is `make(Random("name/i"))`."""

    def __init__(self, name: str, make: Callable[[random.Random, int], Any], start: int, stop: int) -> None:
        self.name, self.make, self.start, self.stop = name, make, start, stop

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, i: int) -> Any:
        return self.make(random.Random(f"{self.name}/{self.start + i}"), self.start + i)


@dataclass
class Curve:
    """What a run printed: one row every so many steps, written beside the checkpoint."""

    rows: list[dict[str, float]] = field(default_factory=list)

    def add(self, row: dict[str, float]) -> None:
        self.rows.append(row)
        print(" ".join(f"{k} {v:.4g}" for k, v in row.items()), flush=True)


def train(
    plan: Plan,
    module: nn.Module,
    groups: Sequence[dict[str, Any]],
    make: Callable[[random.Random, int], Any],
    collate: Callable[[list[Any]], Any],
    loss: Callable[[Any, int], dict[str, Tensor]],
    evaluate: Callable[[], dict[str, float]] | None = None,
    workers: int = 0,
    weight_decay: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.98),
    log_every: int = 50,
    save_every: int = 300,
    eval_every: int = 1000,
) -> None:
    """Train `module` by a plan, from its last checkpoint where there is one.

    groups: optimizer parameter groups, each with "share", its share of the plan's learning rate. loss(batch, step)
    gives named terms; "loss" is the one that is minimised. evaluate gives named figures for the curve.
    """
    folder = RUNS / plan.name
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "checkpoint.pt"
    optimizer = torch.optim.AdamW(groups, lr=plan.lr, weight_decay=weight_decay, betas=betas)  # type: ignore[arg-type]
    curve, start, spent = Curve(), 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device(), weights_only=True)
        module.load_state_dict(state["module"])
        optimizer.load_state_dict(state["optimizer"])
        curve.rows, start, spent = state["curve"], state["step"], state["seconds"]
        print(f"{plan.name}: going on from step {start}", flush=True)
    samples = Samples(plan.name, make, start * plan.batch, plan.last * plan.batch)
    loader: Iterator[Any] = iter(DataLoader(samples, plan.batch, collate_fn=collate, num_workers=workers))
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    began, means = time.monotonic(), dict[str, list[float]]()

    def save(step: int) -> None:
        seconds = spent + time.monotonic() - began
        state = {"module": module.state_dict(), "optimizer": optimizer.state_dict(), "curve": curve.rows, "step": step, "seconds": seconds}
        torch.save(state, checkpoint.with_suffix(".part"))
        os.replace(checkpoint.with_suffix(".part"), checkpoint)
        (folder / "curve.json").write_text(json.dumps(curve.rows))

    module.train()
    for step in range(start, plan.last):
        for group in optimizer.param_groups:
            group["lr"] = plan.rate(step) * group["share"]
        terms = loss(next(loader), step)
        optimizer.zero_grad(set_to_none=True)
        terms["loss"].backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        for name, value in terms.items():
            means.setdefault(name, []).append(float(value.detach()))
        done = step + 1
        if done % log_every == 0:
            row = {"step": done, "seconds": round(spent + time.monotonic() - began)}
            curve.add(row | {name: sum(v) / len(v) for name, v in means.items()})
            means.clear()
        if evaluate is not None and (done % eval_every == 0 or done == plan.last):
            module.eval()
            with torch.no_grad():
                curve.add({"step": done, "samples": done * plan.batch} | evaluate())
            module.train()
        if done % save_every == 0 or done == plan.last:
            save(done)


def restore(plan: Plan, module: nn.Module, strict: bool = True) -> int:
    """Load a plan's last checkpoint into a module; gives its step. strict: whether it has to hold every part."""
    state = torch.load(RUNS / plan.name / "checkpoint.pt", map_location="cpu", weights_only=True)
    module.load_state_dict(state["module"], strict=strict)
    return int(state["step"])


def focal(logits: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Focal loss by element (Lin et al. 2017, eq. 5). logits and targets have the same shape."""
    p = logits.sigmoid()
    cross = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    right = p * targets + (1 - p) * (1 - targets)
    return cross * (1 - right) ** gamma * (alpha * targets + (1 - alpha) * (1 - targets))


MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
KIND_INDEX = {kind.name: i for i, kind in enumerate(KINDS)}


def normalize(pictures: Tensor) -> Tensor:
    """uint8 (B, 3, H, W) -> normalised float, as the image processors do."""
    return (pictures.float() / 255 - MEAN.to(pictures.device)) / STD.to(pictures.device)


SIZE = 160
"""Side of the square pictures that both bundled vision-language models see, in pixels."""


def picture_tensor(scene: Scene) -> Tensor:
    """The picture of a scene at the models' input size, uint8 (3, SIZE, SIZE)."""
    return torch.from_numpy(np.array(scene.picture((SIZE, SIZE)))).permute(2, 0, 1)


def shares(layout: Layout, box: Box) -> list[float]:
    """A box in shares of the picture."""
    return [box[0] / layout.width, box[1] / layout.height, box[2] / layout.width, box[3] / layout.height]


def dense_sample(rng: random.Random, index: int) -> tuple[Tensor, list[list[float]], list[int]]:
    scene = draw_scene(rng, "train", f"dense/{index}")
    things = scene.layout.objects
    return picture_tensor(scene), [shares(scene.layout, o.box) for o in things], [KIND_INDEX[o.kind.name] for o in things]


def dense_collate(rows: list[tuple[Tensor, list[list[float]], list[int]]]) -> tuple[Tensor, Tensor, Tensor]:
    most = max(len(row[2]) for row in rows)
    boxes, kinds = torch.zeros(len(rows), most, 4), torch.full((len(rows), most), -1)
    for i, (_, row_boxes, row_kinds) in enumerate(rows):
        boxes[i, : len(row_boxes)] = torch.tensor(row_boxes)
        kinds[i, : len(row_kinds)] = torch.tensor(row_kinds)
    return torch.stack([row[0] for row in rows]), boxes, kinds


class DenseHead(nn.Module):
    """For each cell of a feature map, which kind's object it lies in the middle of, and that object's box.

    Only used to warm up a backbone, then dropped.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.maps = nn.ModuleList(nn.Conv2d(c, len(KINDS) + 4, 1) for c in channels)
        for conv in self.maps:
            assert isinstance(conv, nn.Conv2d) and conv.bias is not None
            nn.init.constant_(conv.bias[: len(KINDS)], -4.6)

    def loss(self, features: Sequence[Tensor], boxes: Tensor, kinds: Tensor) -> Tensor:
        """features: (B, C, H, W) each; boxes: (B, M, 4) xyxy in shares of the picture; kinds: (B, M), -1 = none."""
        total = features[0].new_zeros(())
        for conv, feature in zip(self.maps, features, strict=True):
            out = conv(feature.float()).flatten(2).transpose(1, 2)  # (B, HW, kinds + 4)
            total = total + self._level(out, feature.shape[-2:], boxes, kinds)
        return total / len(self.maps)

    def _level(self, out: Tensor, shape: Sequence[int], boxes: Tensor, kinds: Tensor) -> Tensor:
        height, width = shape
        ys, xs = torch.meshgrid((torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing="ij")
        cells = torch.stack([xs, ys], -1).flatten(0, 1).to(boxes)  # (HW, 2)
        centers, sizes = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
        reach = (sizes * 0.3).clamp_min(0.5 / min(height, width))  # the middle 60 %, one cell at least
        inside = ((cells[None, :, None] - centers[:, None]).abs() <= reach[:, None]).all(-1) & (kinds >= 0)[:, None]
        area = torch.where(inside, sizes.prod(-1)[:, None], torch.inf)  # (B, HW, M)
        least, owner = area.min(-1)
        positive = least.isfinite()
        target = torch.zeros_like(out[..., :-4])
        rows, places = positive.nonzero(as_tuple=True)
        own = owner[rows, places]
        target[rows, places, kinds[rows, own]] = 1
        count = max(1, len(rows))
        classes = focal(out[..., :-4], target).sum() / count
        center = cells[places]
        extent = F.softplus(out[rows, places, -4:]) * 0.1
        guess = torch.cat([center - extent[:, :2], center + extent[:, 2:]], -1)
        iou = paired_giou(guess, boxes[rows, own])
        return classes + (1 - iou).sum() / count


def paired_giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised IoU of boxes in pairs, (N, 4) xyxy each -> (N,) (Rezatofighi et al. 2019)."""
    common = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp_min(0).prod(-1)
    union = (a[:, 2:] - a[:, :2]).prod(-1) + (b[:, 2:] - b[:, :2]).prod(-1) - common
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(-1)
    return common / union - (hull - union) / hull
