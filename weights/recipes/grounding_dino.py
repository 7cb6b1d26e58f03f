"""Train the bundled Grounding DINO on RefScenes.

    python -m weights.recipes.grounding_dino          # both stages, resumes where it was cut
    python -m weights.recipes.grounding_dino --save   # write weights/tiny/grounding-dino from the last checkpoint

Stage 1 warms the convolutional backbone up by dense per-cell classification and box regression, with live batch
norm; the detector then gets it with the statistics frozen, as Grounding DINO's are. Stage 2 trains the whole detector
on sentences and on "a. b. c." lists, every object that fits a noun phrase being positive for that phrase's tokens.
"""

import random
import sys
from typing import Any

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    BertConfig,
    BertTokenizer,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessorPil,
    GroundingDinoProcessor,
    ResNetBackbone,
    ResNetConfig,
)
from transformers.image_transforms import center_to_corners_format
from transformers.loss.loss_for_object_detection import generalized_box_iou

from weights.recipes.common import (
    SIZE,
    TINY_WEIGHTS,
    DenseHead,
    Plan,
    dense_collate,
    dense_sample,
    device,
    focal,
    normalize,
    paired_giou,
    picture_tensor,
    restore,
    shares,
    train,
)
from weights.recipes.words import vocabulary
from wrapper.scenes.dataset import draw_scene, scenes
from wrapper.scenes.expressions import CATEGORIES, Phrase, ask
from wrapper.scenes.kinds import KINDS, SYNONYMS
from wrapper.scenes.layout import Layout
from wrapper.training.sft import computes_bfloat16

MAX_TEXT = 48
QUERIES = 24
WARM_UP = Plan("gd-backbone", steps=3500, batch=24, lr=2e-3)
DETECT = Plan("gd", steps=2000, batch=16, lr=6e-4, floor=0.01)

# The model builds its text mask from these ids, whatever the tokenizer.
FIXED_IDS = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103, ".": 1012, "?": 1029}


def tokenizer() -> BertTokenizer:
    """WordPiece over the words of RefScenes, single characters for everything else, with BERT's special ids."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789'-"
    pieces = [*vocabulary(), *letters, *(f"##{c}" for c in letters)]
    free = iter(i for i in range(1, 1030) if i not in FIXED_IDS.values())
    vocab = dict(FIXED_IDS)
    for piece in dict.fromkeys(pieces):
        if piece not in vocab:
            vocab[piece] = next(free)
    for i in free:
        vocab[f"[unused{i}]"] = i
    return BertTokenizer(vocab=dict(sorted(vocab.items(), key=lambda item: item[1])), model_max_length=MAX_TEXT)


def backbone_config() -> ResNetConfig:
    return ResNetConfig(
        embedding_size=32, hidden_sizes=[32, 64, 128, 192], depths=[1, 1, 2, 1], layer_type="basic",
        out_features=["stage2", "stage3"],
    )  # fmt: skip


def build() -> GroundingDinoForObjectDetection:
    width = 128
    text = BertConfig(
        vocab_size=1030, hidden_size=width, num_hidden_layers=1, num_attention_heads=4, intermediate_size=2 * width,
        max_position_embeddings=64, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    config = GroundingDinoConfig(
        backbone_config=backbone_config(), text_config=text, d_model=width, encoder_layers=1, decoder_layers=2,
        encoder_ffn_dim=2 * width, decoder_ffn_dim=2 * width, encoder_attention_heads=4, decoder_attention_heads=4,
        encoder_n_points=2, num_queries=QUERIES, num_feature_levels=2, max_text_len=MAX_TEXT, auxiliary_loss=True,
        dropout=0.0, fusion_droppath=0.0,
    )  # fmt: skip
    return GroundingDinoForObjectDetection(config).requires_grad_(True)


# ---- stage 1


def warm_up() -> ResNetBackbone:
    """The trained backbone."""
    torch.manual_seed(0)
    backbone = ResNetBackbone(backbone_config())
    head = DenseHead(backbone.channels)
    both = nn.ModuleDict({"backbone": backbone, "head": head}).to(device(), memory_format=torch.channels_last)

    def loss(batch: tuple[Tensor, Tensor, Tensor], step: int) -> dict[str, Tensor]:
        pictures, boxes, kinds = (t.to(device()) for t in batch)
        pixels = normalize(pictures).to(memory_format=torch.channels_last)
        with torch.autocast(device().type, torch.bfloat16, enabled=computes_bfloat16(device())):
            features = backbone(pixels).feature_maps
        return {"loss": head.loss(features, boxes, kinds)}

    train(WARM_UP, both, [{"params": list(both.parameters()), "share": 1.0}], dense_sample, dense_collate, loss)
    return backbone


# ---- stage 2


def list_text(rng: random.Random, layout: Layout) -> tuple[str, list[Phrase]]:
    """ "red ball. dog. ...": kinds that are there and a few that need not be."""
    kinds = list(dict.fromkeys(o.kind for o in layout.objects)) + rng.sample(KINDS, 2)
    rng.shuffle(kinds)
    text, phrases = "", []
    for kind in kinds[:6]:
        color = kind.color if rng.random() < 0.7 else None
        noun = rng.choice((kind.noun, *SYNONYMS.get(kind.noun, ())))
        name = f"{color} {noun}" if color else noun
        phrases.append(Phrase(len(text), len(text) + len(name), kind.noun, color))
        text += f"{name}. "
    return text.strip(), phrases


def detection_sample(rng: random.Random, index: int) -> dict[str, Any]:
    """A picture, a text ending in a full stop, its phrases, and the layout."""
    scene = draw_scene(rng, "train", f"detect/{index}")
    layout, roll = scene.layout, rng.random()
    if roll < 0.25:
        text, phrases = list_text(rng, layout)
    else:
        nouns = sorted({o.kind.noun for o in layout.objects if sum(p.kind.noun == o.kind.noun for p in layout.objects) > 1})
        other = ask(rng, layout, rng.choice(CATEGORIES), rng.choice(nouns), tries=3) if roll < 0.5 else None
        expression = other or scene.expression
        text, phrases = expression.text + ".", list(expression.phrases)
    return {"picture": picture_tensor(scene), "text": text, "phrases": phrases, "layout": layout}


class Collate:
    """Samples -> tensors: pixels, ids, mask (B, T), boxes (B, M, 4) cxcywh, maps (B, M, T), valid (B, M)."""

    def __init__(self) -> None:
        self.tokenizer = tokenizer()

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        encoded = self.tokenizer(
            [row["text"] for row in rows], padding=True, truncation=True, return_offsets_mapping=True, return_tensors="pt"
        )
        length = encoded["input_ids"].shape[1]
        boxes, maps = [], []
        for row, offsets in zip(rows, encoded["offset_mapping"].tolist(), strict=True):
            kept_boxes, kept_maps = [], []
            for thing in row["layout"].objects:
                tokens = [
                    float(any(p.start <= s and e <= p.end and p.fits(thing.kind) for p in row["phrases"]) and e > s) for s, e in offsets
                ]
                if any(tokens):
                    x1, y1, x2, y2 = shares(row["layout"], thing.box)
                    kept_boxes.append([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1])
                    kept_maps.append(tokens)
            boxes.append(kept_boxes)
            maps.append(kept_maps)
        most = max(1, *(len(b) for b in boxes))
        out = {
            "pixels": torch.stack([row["picture"] for row in rows]),
            "ids": encoded["input_ids"],
            "mask": encoded["attention_mask"],
            "boxes": torch.full((len(rows), most, 4), 0.5),
            "maps": torch.zeros(len(rows), most, length),
            "valid": torch.zeros(len(rows), most, dtype=torch.bool),
        }
        for i, (row_boxes, row_maps) in enumerate(zip(boxes, maps, strict=True)):
            n = len(row_boxes)
            if n:
                out["boxes"][i, :n] = torch.tensor(row_boxes)
                out["maps"][i, :n] = torch.tensor(row_maps)
                out["valid"][i, :n] = True
        return out


def matching_cost(logits: Tensor, boxes: Tensor, batch: dict[str, Tensor]) -> Tensor:
    """Cost of giving each proposal to each object, (B, N, M): DETR's terms, with the class term over token maps."""
    p = logits.sigmoid()
    share = batch["maps"] / batch["maps"].sum(-1, keepdim=True).clamp_min(1)
    gain = 0.25 * (1 - p) ** 2 * -(p + 1e-8).log() - 0.75 * p**2 * -(1 - p + 1e-8).log()
    overlap = torch.stack([
        generalized_box_iou(center_to_corners_format(a), center_to_corners_format(b))
        for a, b in zip(boxes, batch["boxes"], strict=True)
    ])  # fmt: skip
    cost = 2 * gain @ share.transpose(1, 2) + 5 * torch.cdist(boxes, batch["boxes"], p=1) - 2 * overlap
    return cost.nan_to_num(1e4, 1e4, -1e4).masked_fill(~batch["valid"][:, None], 1e6)


def one_to_one(cost: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Hungarian matching -> row of the batch, proposal, object."""
    out: list[tuple[int, int, int]] = []
    for i, (matrix, real) in enumerate(zip(cost.cpu(), valid.cpu(), strict=True)):
        proposals, objects = linear_sum_assignment(matrix[:, real].numpy())
        out += [(i, int(q), int(g)) for q, g in zip(proposals, objects, strict=True)]
    index = torch.tensor(out, device=cost.device).reshape(-1, 3)
    return index[:, 0], index[:, 1], index[:, 2]


def one_to_many(cost: Tensor, valid: Tensor, k: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """The k cheapest proposals of every object; one wanted by two goes to the one it costs less."""
    best = cost.topk(k, dim=1, largest=False).indices  # (B, k, M)
    wanted = torch.zeros_like(cost, dtype=torch.bool).scatter(1, best, True) & valid[:, None]
    price, owner = cost.masked_fill(~wanted, torch.inf).min(-1)
    rows, proposals = price.isfinite().nonzero(as_tuple=True)
    return rows, proposals, owner[rows, proposals]


Matcher = Any


def detection_loss(logits: Tensor, boxes: Tensor, batch: dict[str, Tensor], match: Matcher) -> tuple[Tensor, Tensor]:
    """Loss of one layer's proposals, and its class part. logits (B, N, T'), boxes (B, N, 4) cxcywh."""
    logits = logits[..., : batch["mask"].shape[1]].clamp(-50, 50)  # -inf where masked, and past the text
    with torch.no_grad():
        rows, proposals, objects = match(matching_cost(logits, boxes, batch), batch["valid"])
    target = torch.zeros_like(logits)
    target[rows, proposals] = batch["maps"][rows, objects]
    count = max(1, len(rows))
    classes = (focal(logits, target) * batch["mask"][:, None]).sum() / count
    got, want = boxes[rows, proposals], batch["boxes"][rows, objects]
    overlap = paired_giou(center_to_corners_format(got), center_to_corners_format(want))
    return 2 * classes + 5 * F.l1_loss(got, want, reduction="sum") / count + 2 * (1 - overlap).sum() / count, classes


def layer_outputs(model: GroundingDinoForObjectDetection, out: Any, mask: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Logits and boxes of the decoder's layers before the last."""
    hidden, references = out.intermediate_hidden_states, out.intermediate_reference_points
    layers = []
    for i in range(hidden.shape[1] - 1):
        start = torch.special.logit(out.init_reference_points if i == 0 else references[:, i - 1], eps=1e-5)
        logits = model.class_embed[i](
            vision_hidden_state=hidden[:, i], text_hidden_state=out.encoder_last_hidden_state_text, text_token_mask=mask.bool()
        )
        layers.append((logits, (model.bbox_embed[i](hidden[:, i]) + start).sigmoid()))
    return layers


def recall(model: GroundingDinoForObjectDetection, n: int = 150) -> dict[str, float]:
    """On val scenes: share of named objects, and of targets, with a box above 0.15 at IoU > 0.5; boxes a picture."""
    collate, hit, total, boxes_kept, targets = Collate(), 0, 0, 0, 0
    rows = [
        {
            "picture": picture_tensor(s),
            "text": s.expression.text + ".",
            "phrases": list(s.expression.phrases),
            "layout": s.layout,
            "box": s.box,
        }
        for s in scenes("val", n, 1)
    ]
    for start in range(0, n, 25):
        part = rows[start : start + 25]
        batch = {k: v.to(device()) for k, v in collate(part).items()}
        out = model(pixel_values=normalize(batch["pixels"]), input_ids=batch["ids"], attention_mask=batch["mask"])
        for i, row in enumerate(part):
            keep = out.logits[i].sigmoid().max(-1).values > 0.15
            boxes_kept += int(keep.sum())
            kept = center_to_corners_format(out.pred_boxes[i][keep]).cpu()
            for thing in row["layout"].objects:
                if not any(p.fits(thing.kind) for p in row["phrases"]):
                    continue
                want = torch.tensor([shares(row["layout"], thing.box)]).expand(len(kept), 4)
                found = bool(len(kept)) and bool((iou(kept, want) > 0.5).any())
                hit, total = hit + found, total + 1
                targets += found and thing.box == row["box"]
    return {"recall": hit / total, "target_recall": targets / n, "boxes": boxes_kept / n}


def iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of boxes in pairs, (N, 4) xyxy each -> (N,)."""
    common = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp_min(0).prod(-1)
    return common / ((a[:, 2:] - a[:, :2]).prod(-1) + (b[:, 2:] - b[:, :2]).prod(-1) - common)


def detector() -> GroundingDinoForObjectDetection:
    """The detector with the warmed-up backbone, before stage 2."""
    backbone = warm_up()
    torch.manual_seed(1)
    model = build()
    inner = model.model.backbone.conv_encoder.model
    inner.load_state_dict({k: v for k, v in backbone.state_dict().items() if not k.endswith("num_batches_tracked")})
    return model.to(device())


def main() -> None:
    model = detector()
    convolutions = list(model.model.backbone.conv_encoder.parameters())
    ids = {id(p) for p in convolutions}
    rest = [p for p in model.parameters() if id(p) not in ids]

    def loss(batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        batch = {k: v.to(device()) for k, v in batch.items()}
        out = model(pixel_values=normalize(batch["pixels"]), input_ids=batch["ids"], attention_mask=batch["mask"])
        total, classes = detection_loss(out.logits, out.pred_boxes, batch, one_to_one)
        for logits, boxes in layer_outputs(model, out, batch["mask"]):
            total = total + detection_loss(logits, boxes, batch, one_to_one)[0]
        # Not encoder_logits and encoder_pred_boxes: those are about the queries and carry no gradient to the boxes.
        proposals, _ = detection_loss(out.enc_outputs_class, out.enc_outputs_coord_logits.sigmoid(), batch, one_to_many)
        return {"loss": total + proposals, "class": classes, "encoder": proposals}

    groups = [{"params": rest, "share": 1.0}, {"params": convolutions, "share": 0.25}]
    if "--save" not in sys.argv:
        train(DETECT, model, groups, detection_sample, Collate(), loss, lambda: recall(model), weight_decay=1e-4, eval_every=500)
    else:
        restore(DETECT, model)
    save(model)


def save(model: GroundingDinoForObjectDetection) -> None:
    """Write model and processor as the published checkpoints are laid out."""
    folder = TINY_WEIGHTS / "grounding-dino"
    model.cpu().eval().half().save_pretrained(folder)
    images = GroundingDinoImageProcessorPil(size={"height": SIZE, "width": SIZE})
    GroundingDinoProcessor(images, tokenizer()).save_pretrained(folder)
    print(f"wrote {folder}")


if __name__ == "__main__":
    main()
