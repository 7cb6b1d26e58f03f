"""Train the bundled Florence-2 on RefScenes.

    python -m weights.recipes.florence2          # every stage, resumes where it was cut
    python -m weights.recipes.florence2 --save   # write weights/tiny/florence-2 from the last checkpoint

Stage 1 warms the DaViT tower up by dense per-cell classification and box regression. Stage 2 trains the whole model
on its task prompts. Left to the sequence loss alone the decoder ignores the picture for a very long time; what wakes
it up are losses that say on the way what it must know. `Locator` (dropped when the model is saved) reads the image
positions: as they enter the text encoder, the words that name the object in each cell; as they leave it, which cells
hold the centre of an object that the prompt asks for, in which turn it is written, and which four location tokens its
box has. Two cross-attention heads of the decoder's upper layers are told where to look: at the cell whose box is written.
Stage 3 goes on with region captions every other time, because they are what tells the LLM which of two balls is red;
stage 4 is more of the same.
"""

import math
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    BartConfig,
    CLIPImageProcessorPil,
    Florence2Config,
    Florence2ForConditionalGeneration,
    Florence2Processor,
    Florence2VisionConfig,
    PreTrainedTokenizerFast,
)
from transformers.models.florence2.modeling_florence2 import Florence2VisionBackbone

from weights.recipes.common import (
    SIZE,
    TINY_WEIGHTS,
    DenseHead,
    Plan,
    dense_collate,
    dense_sample,
    device,
    normalize,
    picture_tensor,
    restore,
    shares,
    train,
)
from weights.recipes.words import texts, vocabulary
from wrapper.candidates import iou
from wrapper.scenes.dataset import Scene, draw_scene, scenes
from wrapper.scenes.expressions import Phrase, plural
from wrapper.scenes.kinds import KINDS, SYNONYMS, Kind
from wrapper.scenes.layout import Layout, SceneObject
from wrapper.training.sft import computes_bfloat16

WIDTH = 192
GRID = SIZE // 16
IMAGE_TOKENS = GRID * GRID + 1
WARM_UP = Plan("florence-tower", steps=1500, batch=24, lr=1.5e-3)
READ = Plan("florence", steps=5000, batch=24, lr=1e-3, floor=0.01)
REGIONS = Plan("florence-regions", steps=700, batch=24, lr=6e-4, warmup=50, floor=0.01)
MORE_REGIONS = Plan("florence-more-regions", steps=1700, batch=24, lr=7e-4, warmup=50, floor=0.01)
WEIGHTS = {"names": 0.5, "located": 1.0, "wanted": 2.0, "turn": 0.5, "look": 0.5}
"""Of the losses beside that of the answers."""
TURNS = 10
"""Later turns count as the last."""
SPREAD = 6.0
"""Standard deviation of the soft target over location bins: a box a few bins off is nearly right."""

OD, OVD = "<OD>", "<OPEN_VOCABULARY_DETECTION>"
GROUND, DENSE = "<CAPTION_TO_PHRASE_GROUNDING>", "<DENSE_REGION_CAPTION>"


def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE over the words of RefScenes and of the task prompts, with Florence-2's special tokens."""
    prompts = [
        "Locate the objects with category name in the image.", "Locate the objects in the image, with their descriptions.",
        "Locate the phrases in the caption: the", "Locate a",
    ]  # fmt: skip
    words = [form for word in vocabulary() for form in (word, f" {word}")]
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    core = Tokenizer(models.BPE(unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2200, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    core.train_from_iterator([*words, *texts(3000), *prompts, " a small", " a large"], trainer)
    places = [f"<loc_{i}>" for i in range(1000)]
    core.add_special_tokens([AddedToken(t, normalized=False) for t in [*places, "<image>"]])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, model_max_length=512, bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        sep_token="</s>", cls_token="<s>", pad_token="<pad>", mask_token="<mask>",
        extra_special_tokens={"image_token": "<image>"},
    )  # fmt: skip


def processor() -> Florence2Processor:
    images = CLIPImageProcessorPil(
        size={"height": SIZE, "width": SIZE}, do_center_crop=False, resample=3,
        image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225],
    )  # fmt: skip
    images.image_seq_length = IMAGE_TOKENS
    parsers = ("pure_text", "description_with_bboxes", "description_with_bboxes_or_polygons", "phrase_grounding", "bboxes")
    return Florence2Processor(images, tokenizer(), post_processor_config={name: {} for name in parsers})


def vision_config() -> Florence2VisionConfig:
    return Florence2VisionConfig(
        depths=(0, 1, 2, 1), embed_dim=(32, 64, 128, WIDTH), num_heads=(2, 4, 8, 8), num_groups=(2, 4, 8, 8),
        window_size=GRID, projection_dim=WIDTH, patch_stride=(4, 2, 2, 1), patch_size=(7, 3, 3, 3),
        patch_padding=(3, 1, 1, 1), drop_path_rate=0.0,
    )  # fmt: skip


def warm_up() -> Florence2VisionBackbone:
    """The trained tower."""
    torch.manual_seed(0)
    tower = Florence2VisionBackbone(vision_config())
    head = DenseHead([WIDTH])
    both = nn.ModuleDict({"tower": tower, "head": head}).to(device())

    def loss(batch: tuple[Tensor, Tensor, Tensor], step: int) -> dict[str, Tensor]:
        pictures, boxes, kinds = (t.to(device()) for t in batch)
        return {"loss": head.loss([tower(normalize(pictures)).last_hidden_state], boxes, kinds)}

    train(WARM_UP, both, [{"params": list(both.parameters()), "share": 1.0}], dense_sample, dense_collate, loss)
    return tower


def build(words: PreTrainedTokenizerFast) -> Florence2ForConditionalGeneration:
    text = BartConfig(
        vocab_size=len(words), d_model=WIDTH, encoder_layers=3, decoder_layers=3, encoder_ffn_dim=512,
        decoder_ffn_dim=512, encoder_attention_heads=4, decoder_attention_heads=4, max_position_embeddings=512,
        dropout=0.0, pad_token_id=1, bos_token_id=0, eos_token_id=2, decoder_start_token_id=2, forced_bos_token_id=0,
        forced_eos_token_id=2,
    )  # fmt: skip
    model = Florence2ForConditionalGeneration(
        Florence2Config(
            vision_config=vision_config(),
            text_config=text,
            image_token_id=words.convert_tokens_to_ids("<image>"),
            pad_token_id=1,
            bos_token_id=0,
            eos_token_id=2,
            decoder_start_token_id=2,
        )
    )
    model.set_attn_implementation("eager")  # the fused kernels do not tell where a head looks
    first = words.convert_tokens_to_ids("<loc_0>")
    position = torch.arange(1000.0)[:, None]
    rates = torch.exp(-torch.arange(WIDTH // 2) / (WIDTH // 2) * math.log(300.0))
    smooth = torch.cat([torch.sin(position * rates), torch.cos(position * rates)], 1) * 0.06
    model.get_input_embeddings().weight.data[first : first + 1000] = smooth
    model.tie_weights()
    for layer in model.model.language_model.encoder.layers[:2]:
        match_tokens(layer.self_attn)
    return model


def match_tokens(attention: nn.Module) -> None:
    """Start the first head with equal queries and keys, so that a cell finds the words that name what it shows."""
    size = attention.head_dim
    with torch.no_grad():
        attention.q_proj.weight[:size].normal_(std=WIDTH**-0.5)
        attention.k_proj.weight[:size] = attention.q_proj.weight[:size]


def place_pictures(model: Florence2ForConditionalGeneration) -> None:
    """Start the picture's position embeddings as smooth waves as loud as the tower's features, not as faint noise."""
    pixels = torch.stack([picture_tensor(s) for s in scenes("train", 16, 0)])
    with torch.no_grad():
        loudness = model.model.vision_tower(normalize(pixels).to(device())).last_hidden_state.std()
        embed = model.model.multi_modal_projector.image_position_embed
        for table in (embed.row_embeddings, embed.column_embeddings):
            count, half = table.num_embeddings, table.embedding_dim // 2
            rates = torch.exp(-torch.arange(half) / half * math.log(30.0))
            angles = torch.arange(count)[:, None] * rates
            table.weight.copy_(torch.cat([angles.sin(), angles.cos()], 1).to(table.weight.device) * loudness)


class Locator(nn.Module):
    """The losses at the image positions."""

    def __init__(self, first_location: int) -> None:
        super().__init__()
        self.first = first_location
        self.places = nn.Linear(WIDTH, 4 * WIDTH)
        self.wanted = nn.Linear(WIDTH, 1)
        self.turn = nn.Linear(WIDTH, TURNS)
        self.loud = nn.Parameter(torch.tensor(2.0))

    def loss(self, entering: Tensor, leaving: Tensor, embeddings: Tensor, batch: dict[str, Tensor], soft: Tensor) -> dict[str, Tensor]:
        """entering, leaving: (B, GRID * GRID, WIDTH) of the text encoder; embeddings: the tied token embeddings."""
        rows, cells, bins = batch["cell_row"], batch["cell"], batch["cell_bins"]
        said = (entering[rows, cells] @ embeddings.T * self.loud).log_softmax(-1)
        guess = self.places(leaving[rows, cells]).view(-1, 4, WIDTH) @ embeddings[self.first : self.first + 1000].T * 4
        turn = batch["cell_turn"]
        target = torch.zeros(leaving.shape[:2], device=leaving.device)
        target[rows, cells] = (turn >= 0).float()
        return {
            "names": -(said * batch["cell_names"]).sum(-1).mean(),
            "located": -(guess.log_softmax(-1) * soft[bins]).sum(-1).mean(),
            "wanted": F.binary_cross_entropy_with_logits(self.wanted(leaving)[..., 0], target, 1 + 9 * target),
            "turn": F.cross_entropy(self.turn(leaving[rows, cells]), turn, ignore_index=-1, reduction="sum")
            / max(1, int((turn >= 0).sum())),
        }


# ---- samples


def bins(layout: Layout, thing: SceneObject) -> list[int]:
    """The four location bins of a box, floored as Florence-2's processor does."""
    return [min(999, int(v * 1000)) for v in shares(layout, thing.box)]


def in_order(things: list[SceneObject]) -> list[SceneObject]:
    """Objects from left to right, as they are written."""
    return sorted(things, key=lambda o: o.middle)


def written(layout: Layout, things: list[SceneObject]) -> str:
    """Location tokens of several boxes."""
    return "".join(f"<loc_{b}>" for thing in things for b in bins(layout, thing))


def described(layout: Layout, thing: SceneObject) -> str:
    share = thing.area / (layout.width * layout.height)
    size = "small " if share < 0.015 else "large " if share > 0.06 else ""
    article = "an" if not size and thing.kind.name[0] in "aeiou" else "a"
    return f"{article} {size}{thing.kind.name}"


def grouped(layout: Layout, name: Callable[[SceneObject], str]) -> tuple[str, list[SceneObject]]:
    """Every object under its name, names from left to right; and the objects in the order they are written."""
    text, order = "", []
    ordered = in_order(list(layout.objects))
    for label in dict.fromkeys(name(o) for o in ordered):
        things = [o for o in ordered if name(o) == label]
        text += label + written(layout, things)
        order += things
    return text, order


def answer(layout: Layout, text: str, phrases: list[Phrase]) -> tuple[str, list[SceneObject]]:
    """What is to be written for some phrases of a text, and the objects in the order they are written."""
    out, wanted = "", []
    for phrase in sorted(phrases, key=lambda p: p.start):
        things = in_order([o for o in layout.objects if phrase.fits(o.kind)])
        if things and text[phrase.start : phrase.end] + "<" not in out:
            out += text[phrase.start : phrase.end] + written(layout, things)
            wanted += things
    return out, wanted


def crowd(index: int, rng: random.Random) -> int:
    """The most objects a picture may hold at this point of the curriculum."""
    return 1 if index < 7_000 else rng.randint(1, 4) if index < 16_000 else 99


def reading_sample(rng: random.Random, index: int) -> dict[str, Any]:
    """A picture, a task prompt, what is to be written, and the objects asked for."""
    scene = draw_scene(rng, "train", f"read/{index}")
    full, most = scene.layout, crowd(index, rng)
    target = full.objects[scene.expression.target]
    others = [o for o in full.objects if o is not target]
    kept = [target, *rng.sample(others, min(most - 1, len(others)))]
    layout = replace(full, objects=tuple(o for o in full.objects if o in kept))
    text, phrases, roll = scene.expression.text, list(scene.expression.phrases), rng.random()
    if roll < 0.33:
        prompt = OVD + text
        out, wanted = answer(layout, text, phrases[:1])
    elif roll < 0.75:
        prompt = GROUND + text
        out, wanted = answer(layout, text, phrases)
    elif roll < 0.85:
        kind = rng.choice(layout.objects).kind if rng.random() < 0.8 else rng.choice(KINDS)
        noun = rng.choice((kind.noun, *SYNONYMS.get(kind.noun, ())))
        color = kind.color if rng.random() < 0.6 else None
        text = f"{color} {noun}" if color else noun
        prompt = OVD + text
        out, wanted = answer(layout, text, [Phrase(0, len(text), kind.noun, color)])
    else:
        prompt = OD if roll < 0.94 else DENSE
        out, wanted = grouped(layout, lambda o: o.kind.name if prompt == OD else described(layout, o))
    drawn = Scene(layout, scene.expression, scene.seed)
    return {"picture": picture_tensor(drawn), "prompt": prompt, "answer": out, "layout": layout, "wanted": wanted}


def region_sample(rng: random.Random, index: int) -> dict[str, Any]:
    """Every other time the captions of all regions of a picture, else what `reading_sample` gives at its end."""
    if rng.random() < 0.5:
        return reading_sample(rng, READ.steps * READ.batch + index)
    scene = draw_scene(rng, "train", f"regions/{index}")
    out, wanted = grouped(scene.layout, lambda o: described(scene.layout, o))
    return {"picture": picture_tensor(scene), "prompt": DENSE, "answer": out, "layout": scene.layout, "wanted": wanted}


class Collate:
    """Samples -> tensors, with the image tokens in front of every prompt as the processor puts them."""

    def __init__(self) -> None:
        self.processor = processor()
        self.words = self.processor.tokenizer
        self.first = self.words.convert_tokens_to_ids("<loc_0>")
        self.names = {kind.name: self._names(kind) for kind in KINDS}

    def _names(self, kind: Kind) -> Tensor:
        """(V,): equal shares for every token of every word that names a kind, its colour among them."""
        nouns = (kind.noun, *SYNONYMS.get(kind.noun, ()))
        words = [*nouns, *(plural(noun) for noun in nouns), *([kind.color] if kind.color else [])]
        tokens = {t for word in words for form in (word, f" {word}") for t in self.words(form, add_special_tokens=False)["input_ids"]}
        share = torch.zeros(len(self.words))
        share[list(tokens)] = 1 / len(tokens)
        return share

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        prompts = self.processor._construct_prompts([row["prompt"] for row in rows])
        image = self.processor.image_token * IMAGE_TOKENS
        asked = self.words([f"{image}<s>{p}</s>" for p in prompts], padding=True, return_tensors="pt", add_special_tokens=False)
        wanted = self.words([f"<s>{row['answer']}</s>" for row in rows], padding=True, return_tensors="pt", add_special_tokens=False)
        row_of, cell, cell_bins, cell_turn, cell_names = [], [], [], [], []
        look = []
        for i, row in enumerate(rows):
            places = [at for at, token in enumerate(wanted["input_ids"][i].tolist()) if self.first <= token < self.first + 1000]
            look += [(i, at, cell_of(row["layout"], row["wanted"][k // 4])) for k, at in enumerate(places)]
            for thing in row["layout"].objects:
                row_of.append(i)
                cell.append(cell_of(row["layout"], thing))
                cell_bins.append(bins(row["layout"], thing))
                cell_turn.append(min(row["wanted"].index(thing), TURNS - 1) if thing in row["wanted"] else -1)
                cell_names.append(self.names[thing.kind.name])
        return {
            "pixels": torch.stack([row["picture"] for row in rows]),
            "ids": asked["input_ids"],
            "mask": asked["attention_mask"],
            "answer": wanted["input_ids"].masked_fill(wanted["attention_mask"] == 0, -100),
            "cell_row": torch.tensor(row_of),
            "cell": torch.tensor(cell),
            "cell_bins": torch.tensor(cell_bins),
            "cell_turn": torch.tensor(cell_turn),
            "cell_names": torch.stack(cell_names),
            "look": torch.tensor(look, dtype=torch.long).reshape(-1, 3),
        }


def cell_of(layout: Layout, thing: SceneObject) -> int:
    """The cell of the image grid that holds an object's centre, counted row by row."""
    x, y = thing.middle[0] / layout.width, thing.middle[1] / layout.height
    return min(GRID - 1, int(y * GRID)) * GRID + min(GRID - 1, int(x * GRID))


def looking(attentions: tuple[Tensor, ...], look: Tensor) -> Tensor:
    """How far two heads of the upper layers are from looking at the cell of the object whose box is written.

    attentions: the decoder's cross-attentions, (B, heads, T, S) each; look: (M, 3) row, step and cell.
    """
    row, step, cell = look.unbind(1)
    seen = torch.stack([layer[row, :2, step, cell + 1] for layer in attentions[1:]])  # the first position is the mean of all cells
    return -(seen.float() + 1e-6).log().mean()


def soft_bins() -> Tensor:
    """(1000, 1000): row i is the soft target for location bin i."""
    place = torch.arange(1000.0)
    near = torch.exp(-(((place[:, None] - place[None]) / SPREAD) ** 2) / 2)
    return near / near.sum(-1, keepdim=True)


def sequence_loss(logits: Tensor, answers: Tensor, first: int, soft: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean loss a token, and its parts on location tokens and on words. logits (B, T, V), answers (B, T)."""
    kept = answers >= 0
    scores, wanted = logits[kept].log_softmax(-1), answers[kept]
    place = (wanted >= first) & (wanted < first + 1000)
    places = -(scores[place][:, first : first + 1000] * soft[wanted[place] - first]).sum(-1)
    words = F.nll_loss(scores[~place], wanted[~place], reduction="none")
    return (places.sum() + words.sum()) / len(wanted), places.mean(), words.mean()


def coverage(model: Florence2ForConditionalGeneration, reader: Collate, n: int) -> dict[str, float]:
    """On val scenes: share of targets with a box at IoU > 0.5 among open-vocabulary and grounding boxes together."""
    chosen, hit, seen = list(scenes("val", n, 1)), 0, 0
    found: list[list[list[float]]] = [[] for _ in chosen]
    for task in (OVD, GROUND):
        rows = [
            {"picture": picture_tensor(s), "prompt": task + s.expression.text, "answer": "", "layout": s.layout, "wanted": []}
            for s in chosen
        ]
        batch = {k: v.to(device()) for k, v in reader(rows).items()}
        written_ids = model.generate(
            pixel_values=normalize(batch["pixels"]), input_ids=batch["ids"], attention_mask=batch["mask"],
            max_new_tokens=70, num_beams=1, do_sample=False,
        )  # fmt: skip
        for i, ids in enumerate(written_ids):
            size = chosen[i].layout.width, chosen[i].layout.height
            text = reader.words.decode(ids, skip_special_tokens=False)
            parsed = reader.processor.post_process_generation(text, task=task, image_size=size)[task]
            found[i] += parsed["bboxes"]
    for scene, boxes in zip(chosen, found, strict=True):
        seen += len(boxes)
        hit += any(iou(box, scene.box) > 0.5 for box in boxes)
    return {"coverage": hit / n, "boxes": seen / n}


def main() -> None:
    tower = None if "--save" in sys.argv else warm_up()
    torch.manual_seed(1)
    reader = Collate()
    model = build(reader.words).to(device())
    if tower is not None:
        model.model.vision_tower.load_state_dict(tower.state_dict())
        place_pictures(model)
    first = reader.words.convert_tokens_to_ids("<loc_0>")
    both = nn.ModuleDict({"model": model, "locator": Locator(first)}).to(device())
    soft = soft_bins().to(device())

    def loss(batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        batch = {k: v.to(device()) for k, v in batch.items()}
        start = torch.full_like(batch["answer"][:, :1], 2)
        given = torch.cat([start, batch["answer"][:, :-1].masked_fill(batch["answer"][:, :-1] < 0, 1)], 1)
        with torch.autocast(device().type, torch.bfloat16, enabled=computes_bfloat16(device())):
            out = model.model(
                pixel_values=normalize(batch["pixels"]),
                input_ids=batch["ids"],
                attention_mask=batch["mask"],
                decoder_input_ids=given,
                output_attentions=True,
                output_hidden_states=True,
            )
        logits = model.lm_head(out.last_hidden_state.float())
        total, places, words = sequence_loss(logits, batch["answer"], first, soft)
        entering, leaving = (h.float()[:, 1:IMAGE_TOKENS] for h in (out.encoder_hidden_states[0], out.encoder_last_hidden_state))
        terms = both["locator"].loss(entering, leaving, model.get_input_embeddings().weight, batch, soft)
        terms["look"] = looking(out.cross_attentions, batch["look"])
        total = total + sum(WEIGHTS[name] * term for name, term in terms.items())
        return {"loss": total, "places": places, "words": words} | terms

    tower_parts = list(model.model.vision_tower.parameters())
    ids = {id(p) for p in tower_parts}
    groups = [{"params": [p for p in both.parameters() if id(p) not in ids], "share": 1.0}, {"params": tower_parts, "share": 0.4}]
    if tower is not None:
        for plan, make in ((READ, reading_sample), (REGIONS, region_sample), (MORE_REGIONS, region_sample)):
            train(plan, both, groups, make, reader, loss, lambda: coverage(model, reader, 100), eval_every=1000)
    else:
        restore(MORE_REGIONS, both)
    save(model, reader)


def save(model: Florence2ForConditionalGeneration, reader: Collate) -> None:
    """Write model and processor as the published checkpoints are laid out."""
    folder = TINY_WEIGHTS / "florence-2"
    for old in folder.glob("*.safetensors*"):  # another number of parts would leave some behind
        old.unlink()
    model.cpu().eval().half().save_pretrained(folder, max_shard_size="8MB")
    reader.processor.save_pretrained(folder)
    print(f"wrote {folder}")


if __name__ == "__main__":
    main()
