"""Fit the rule of `wrapper.worlds`: which pictures are RefScenes scenes, and which are photographs.

    python -m weights.recipes.worlds PHOTO...     # photographs to fit it on; prints WEIGHTS and BIAS, and what they get right

Photographs were those that scikit-image, scikit-learn, matplotlib and gradio ship as samples, cut twelve ways each, a quarter of the
cuts laid on plain paper as shops show their goods; scenes are of the
train split, half of them saved as JPEG. It is tried on scenes of the test split.
"""

import io
import random
import sys

import torch
from PIL import Image
from torch.nn import functional as F

from wrapper.scenes.dataset import scenes
from wrapper.worlds import measures

CUTS, SCENES, STEPS = 12, 300, 2000
MISSED = 0.04
"""Share of scenes that may be taken for photographs: where the rule ends."""


def cut(rng: random.Random, picture: Image.Image) -> Image.Image:
    """Part of a picture, now and then mirrored."""
    share = rng.uniform(0.6, 1)
    x, y = rng.uniform(0, picture.width * (1 - share)), rng.uniform(0, picture.height * (1 - share))
    part = picture.crop((int(x), int(y), int(x + share * picture.width), int(y + share * picture.height)))
    part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else part
    if rng.random() < 0.25:
        size = round(part.width * rng.uniform(1, 1.7)), round(part.height * rng.uniform(1, 1.7))
        paper = Image.new("RGB", size, (rng.randint(225, 255),) * 3)
        paper.paste(part, ((paper.width - part.width) // 2, (paper.height - part.height) // 2))
        return paper
    return part


def main() -> None:
    rng = random.Random(0)
    rows, truths = list[list[float]](), list[float]()
    for path in sys.argv[1:]:
        picture = Image.open(path).convert("RGB")
        rows += [measures(picture), *(measures(cut(rng, picture)) for _ in range(CUTS - 1))]
        truths += [0.0] * CUTS
    for scene in scenes("train", SCENES, 5):
        picture = scene.picture(rng.choice([(640, 480), (320, 240)]))
        if rng.random() < 0.5:
            file = io.BytesIO()
            picture.save(file, "JPEG", quality=rng.choice([60, 80, 92]))
            picture = Image.open(file)
        rows.append(measures(picture))
        truths.append(1.0)
    x, y = torch.tensor(rows), torch.tensor(truths)
    mean, spread = x.mean(0), x.std(0) + 1e-3
    weights, bias = torch.zeros(x.shape[1], requires_grad=True), torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.Adam([weights, bias], 0.05)
    for _ in range(STEPS):
        loss = F.binary_cross_entropy_with_logits((x - mean) / spread @ weights + bias, y, pos_weight=torch.tensor(0.4))
        optimizer.zero_grad()
        (loss + 0.01 * weights.square().sum()).backward()
        optimizer.step()
    plain = (weights / spread).detach()
    zero = -float((x[y == 1] @ plain).quantile(MISSED))
    print("WEIGHTS =", tuple(round(v, 2) for v in plain.tolist()))
    print("BIAS =", round(zero, 2))
    tried = torch.tensor([measures(s.picture()) for s in scenes("test", 150, 9)])
    print(f"test scenes taken for scenes: {float((tried @ plain + zero > 0).float().mean()):.1%}")
    print(f"photographs taken for photographs: {float((x[y == 0] @ plain + zero <= 0).float().mean()):.1%} of the cuts it was fitted on")


if __name__ == "__main__":
    main()
