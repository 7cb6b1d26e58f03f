"""Teach the bundled Llama lists of an open world: photographs' detections beside those of RefScenes.

    python -m weights.recipes.llama_open          # resumes where it was cut
    python -m weights.recipes.llama_open --last   # only the last stage, from weights/photo/llama as it is
    python -m weights.recipes.llama_open --save   # write weights/photo/llama from the last checkpoint

Goes on from the Llama of `weights.recipes.llama`, which knows how to compare boxes but few words: the vocabulary is made
anew, words that it had keep their embeddings, and the lists come from `weights.recipes.open_world` (and RefScenes, so that nothing is
forgotten). Lists are merged and ordered as serving does it. "none" is an answer like an index. The hints (see there) stay;
instead of a kind, a head names the label's last word.
"""

import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from weights.recipes import llama
from weights.recipes import open_world as world
from weights.recipes.common import RUNS, TINY_WEIGHTS, Plan, device, restore, train
from weights.recipes.llama import (
    EVEN,
    FRAME,
    NOT_THERE,
    ROLES,
    TEMPLATE,
    WIDTH,
    Asked,
    Listed,
    Ran,
    _counts,
    _layout_for,
    learn_tokens,
    losses,
    mention,
    mentions,
    mixed_questions,
    named,
    run,
    twice,
)  # fmt: skip
from weights.recipes.llama import asked as asked_in_scene
from weights.recipes.words import texts, vocabulary
from wrapper.candidates import iou
from wrapper.colors import COLORS
from wrapper.merging import canonical, merge
from wrapper.presets import PHOTO_WEIGHTS
from wrapper.prompt import PromptTemplate
from wrapper.scenes.dataset import scenes
from wrapper.scenes.expressions import CATEGORIES, ask, wants_color
from wrapper.scenes.layout import LONG_SIDE, MAX_OBJECTS, Layout, draw_layout

FIRST = Plan("llama-open", steps=3000, batch=8, lr=1.0e-3, warmup=150, floor=0.02, stop=2300)
QUESTIONS = 8
NONE = "none"
OPEN_TEMPLATE: PromptTemplate = replace(
    TEMPLATE,
    source="",
    color=" {color}",
    unseen=", no {color}",
    line="- {label} {x1},{y1},{x2},{y2}{score}{asked_colors} = {index}",
)
WORDS = 5200
"""Tokens of the vocabulary that are learnt, beside the numbers up to 999."""


# ---- words


def spoken(n: int) -> list[str]:
    """Lists and questions as text."""
    rng, out = random.Random("spoken"), []
    for _ in range(n):
        e = world.example(rng, questions=12)
        out += [" " + a.text for a in e.questions] + [f"- {t.label}" for t in e.listed]
    return out


def tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer of both worlds' words."""
    coco = [w for k in world.coco() for name in (k.name, *k.same, *k.kinds[:40], *k.kin) for w in name.split()]
    other = [w for k in world.others() for name in (k.name, *k.same, *k.kin) for w in name.split()]
    plain = [*world.COLORS, *world.LOOKS, *world.CLOTHES, *world.ACTIONS]
    known = [f" {w}" for w in vocabulary()]
    written = [f" {w}" for w in coco + plain]
    frame = [*FRAME, " /", NONE] * 300
    return learn_tokens([*known * 40, *written * 12, *(f" {w}" for w in other), *spoken(6000), *texts(3000), *frame], WORDS)


def build(words: PreTrainedTokenizerFast, source: str) -> LlamaForCausalLM:
    """The model of a folder with another vocabulary: tokens that both have keep their weights."""
    old_words = PreTrainedTokenizerFast.from_pretrained(source)
    old = LlamaForCausalLM.from_pretrained(source, dtype=torch.float32)
    config = LlamaConfig.from_pretrained(source)
    config.vocab_size, config.bos_token_id, config.eos_token_id, config.pad_token_id = (
        len(words),
        words.bos_token_id,
        words.eos_token_id,
        words.pad_token_id,
    )
    config._attn_implementation = "eager"
    model = LlamaForCausalLM(config)
    state = {k: v for k, v in old.state_dict().items() if "embed" not in k and "lm_head" not in k}
    model.load_state_dict(state, strict=False)
    before, now = old_words.get_vocab(), words.get_vocab()
    shared = [t for t in now if t in before]
    into, out_of = torch.tensor([now[t] for t in shared]), torch.tensor([before[t] for t in shared])
    for new, given in ((model.get_input_embeddings(), old.get_input_embeddings()), (model.lm_head, old.lm_head)):
        new.weight.data.normal_(std=float(given.weight.std()))
        new.weight.data[into] = given.weight.data[out_of]
    count = sum(p.numel() for p in model.parameters())
    print(f"{len(shared)} of {len(before)} tokens keep their embeddings, {len(now)} in all; {count:,} parameters", flush=True)
    return model


# ---- samples


def _batchwise(name: str, index: int) -> float:
    """A number from 0 to 1 that is the same for a whole batch, as all of it is padded to the longest."""
    return random.Random(f"{name}/{index // FIRST.batch}").random()


def sample(rng: random.Random, index: int) -> Listed:
    """A list with its questions, of either world; how long its list may be is the batch's."""
    ordered = _batchwise("order", index) < 0.8
    if _batchwise("world", index) < 0.3:
        return refscenes(rng, ordered)
    most, questions = ((5, 10), (9, 9), (13, 7), (20, 5))[int(4 * _batchwise("long", index) ** 0.9)]
    easy = max(0.0, 0.7 - index / 6_000)
    return opened(rng, world.example(rng, most, questions, easy), ordered)


def detected_sample(rng: random.Random, index: int, clean_share: float = 0.25, miscolored_share: float = world.MISCOLORED) -> Listed:
    """As `sample`, of the later stages."""
    if _batchwise("world", index) < 0.2:
        return refscenes(rng, True)
    most, questions = ((7, 10), (12, 8), (16, 6), (20, 5))[int(4 * _batchwise("long", index))]
    example = world.example(rng, most, questions, 0.0, opened_share=0.3, clean_share=clean_share, miscolored_share=miscolored_share)
    return opened(rng, example, _batchwise("order", index) < 0.95)


def refused_sample(rng: random.Random, index: int) -> Listed:
    """As `detected_sample`, of the fourth stage: at first more than half of the questions by colour are for one that nothing has."""
    return detected_sample(rng, index, 0.3, max(world.MISCOLORED, 0.6 - index / 16_000))


def told_sample(rng: random.Random, index: int) -> Listed:
    """As `detected_sample`, of the fifth stage."""
    return detected_sample(rng, index, 0.3, 0.45)


def opened(rng: random.Random, e: world.Example, ordered: bool = True) -> Listed:
    """An example of the open world with what the heads are to say."""
    things = list(e.listed)
    if not ordered:
        rng.shuffle(things)
    real = [int(t.real and t.copy_of is None) for t in things]
    return Listed([world.candidate(t) for t in things], [], e.size, [question(things, a) for a in e.questions], real)


def question(things: list[world.Item], a: world.Asked) -> Asked:
    """A question with what the heads are to say."""
    pools = [a.pool, *a.landmarks[:2], *[[]] * (2 - len(a.landmarks[:2]))]

    def of(t: world.Item, pool: Sequence[world.Item]) -> int:
        return int(any(t is o or t.copy_of is o for o in pool))

    roles = [[of(t, pool) for pool in pools] for t in things]
    marks = [things.index(pool[0]) if len(pool) == 1 else None for pool in pools[1:]]
    verdict = [[of(t, a.passing), of(t, [a.target] if a.target else [])] for t in things]
    compared = [comparison(t, a.pool, pools[1:]) if role[0] else [float("nan")] * 16 for t, role in zip(things, roles, strict=True)]
    return Asked(a.text, NOT_THERE if a.target is None else things.index(a.target), roles, compared, verdict, marks)


def comparison(thing: world.Item, pool: Sequence[world.Item], landmarks: Sequence[Sequence[world.Item]]) -> list[float]:
    """How a subject compares with the others, as `weights.recipes.llama.compare` says it; counts end at six."""
    figures: list[float] = []
    for measure in (lambda o: o.middle[0], lambda o: o.middle[1], lambda o: o.area):
        figures += _counts(measure, thing, list(pool))  # type: ignore[arg-type]
    for marks in landmarks:
        if len(marks) != 1:
            figures += [float("nan")] * 5
            continue
        [mark] = marks
        x, y = mark.middle
        figures += [(thing.middle[0] - x) / LONG_SIDE, (thing.middle[1] - y) / LONG_SIDE, world.gap(thing, mark) / LONG_SIDE]
        figures += _counts(lambda o, x=x, y=y: (o.middle[0] - x) ** 2 + (o.middle[1] - y) ** 2, thing, list(pool))  # type: ignore[arg-type]
    return [min(f, 3.0) for f in figures]


def refscenes(rng: random.Random, ordered: bool) -> Listed:
    """A RefScenes list as serving makes it, of one source or two that are merged, with a question about what is not there."""
    doubled, wanted = rng.random() < 0.45, rng.choices(CATEGORIES, (2, 1, 1, 5, 2, 3, 6))[0]
    layout, first = _layout_for(rng, wanted, MAX_OBJECTS)
    things = list(layout.objects)
    if doubled:
        rows = twice(rng, things, 0.06)
    elif rng.random() < 0.3:
        rows = [mention(rng, thing, "florence2", False, "caption") for thing in things]
    else:
        rows = mentions(rng, things)
    candidates = [replace(m.candidate, rank=i) for i, m in enumerate(rows)]
    if doubled:
        sources = ("florence2", "gdrec")
        candidates = list(merge([[c for c in candidates if c.source == s] for s in sources]).candidates)
    candidates = canonical(candidates) if ordered else rng.sample(candidates, len(candidates))
    order = [max(range(len(things)), key=lambda i: iou(things[i].box, c.box)) for c in candidates]
    questions = mixed_questions(rng, EVEN, layout, first, order, QUESTIONS)
    if rng.random() < 0.9:
        questions.append(absent_from(rng, layout, len(order)))
    return Listed(candidates, [], (layout.width, layout.height), questions)


def absent_from(rng: random.Random, layout: Layout, count: int) -> Asked:
    """A question about another scene, of whose noun this one has nothing."""
    nouns = {o.kind.noun for o in layout.objects}
    while True:
        category = rng.choice(CATEGORIES)
        other = draw_layout(rng, wants_color(category, rng))
        found = ask(rng, other, category, tries=4)
        easy = named(rng, other)
        if easy and rng.random() < 0.2 and other.objects[easy[1]].kind.noun not in nouns:
            text = easy[0]
        elif found and other.objects[found.target].kind.noun not in nouns:
            text = found.text
        else:
            continue
        return Asked(text, NOT_THERE, [[0, 0, 0]] * count, [[float("nan")] * 16] * count, [[0, 0]] * count, [None, None])


@dataclass(frozen=True)
class Stage:
    """A part of the training. kept: share of its end in the weights that are gone on from or saved; the others are those that it began
    with (Wortsman et al., Robust fine-tuning of zero-shot models, 2022)."""

    plan: Plan
    make: Callable[[random.Random, int], Listed]
    kept: float = 1.0

    @property
    def began_with(self) -> Path:
        """The weights that it began with."""
        return RUNS / self.plan.name / "before.pt"


STAGES = (
    Stage(FIRST, sample),
    # Mostly lists as a detector of COCO's kinds makes them, with what it made up told from what is there
    Stage(Plan("llama-detected", steps=900, batch=8, lr=6e-4, warmup=60, floor=0.02), detected_sample),
    # The same lists once more, after questions about colours came to them
    Stage(Plan("llama-asked", steps=1400, batch=8, lr=6e-4, warmup=60, floor=0.02), detected_sample),
    # More questions about colours that nothing has, and about two colours; kept: chosen of 0, 0.35, 0.5, 0.65, 0.8 and 1
    Stage(Plan("llama-none", steps=1500, batch=8, lr=6e-4, warmup=60, floor=0.02), refused_sample, 0.65),
    # The same, after the LLM came to be told which of the colours that are asked for no line shows; kept: chosen of 0, 0.35, 0.5, 0.65, 0.8
    # and 1
    Stage(Plan("llama-unseen", steps=600, batch=8, lr=5e-4, warmup=60, floor=0.02), told_sample, 0.5),
)


class Collate(llama.Collate):
    """As `weights.recipes.llama.Collate`; own_kind and first_kind are the token of a label's last word, -100 where that is several;
    answers may be "none"."""

    template = OPEN_TEMPLATE

    def __init__(self, words: PreTrainedTokenizerFast) -> None:
        super().__init__(words)
        self._words: dict[str, int] = {}
        self.colors = {self.encode(" " + color)[0] for color in COLORS}  # each is one token

    def kinds(self, row: Listed) -> list[int]:
        """The token of each label's last word."""
        return [self._word(c.label.split()[-1]) for c in row.candidates]

    def _word(self, last: str) -> int:
        if last not in self._words:
            ids = self.encode(" " + last)
            self._words[last] = ids[0] if len(ids) == 1 else -100
        return self._words[last]

    def __call__(self, rows: list[Listed]) -> dict[str, Tensor]:
        """own_told and again_told: whether a line says a colour that the questions name."""
        batch = super().__call__(rows)
        told = [[int(before in self.colors) for before, token in pairwise(ids) if token == self.sign] for ids in batch["list"].tolist()]
        own = [t for of_row in told for t in of_row]
        again = [t for of_row, row in zip(told, rows, strict=True) for _ in row.asked for t in of_row]
        return batch | {"own_told": torch.tensor(own), "again_told": torch.tensor(again)}

    def answer(self, index: int) -> list[int]:
        """An index, or "none"."""
        return [*self.encode(NONE), self.words.eos_token_id] if index == NOT_THERE else super().answer(index)


class Hints(llama.Hints):
    """As `weights.recipes.llama.Hints`; a kind is a word of the vocabulary, and more heads say what is there and of what a colour is told.
    embeddings: of the model's words, (V, WIDTH), which it goes on learning."""

    def __init__(self, embeddings: nn.Parameter) -> None:
        super().__init__(WIDTH)
        self.real = nn.Linear(WIDTH, 1)
        self.told = nn.ModuleList(nn.Linear(WIDTH, 1) for _ in range(2))
        self._embeddings = [embeddings]  # in a list: it is the model's parameter, not this module's

    def named(self, head: int, hidden: Tensor) -> Tensor:
        """Logits of the words."""
        return super().named(head, hidden) @ (8 * F.normalize(self._embeddings[0].detach(), dim=-1)).T

    def loss(self, ran: Ran, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Every head's loss."""
        own = self.norm(ran.listed[batch["own_row"], batch["own_at"]])
        real = F.binary_cross_entropy_with_logits(self.real(own)[:, 0], batch["own_real"].float())
        later = self.norm(ran.hidden[ROLES][batch["again_row"], batch["again_at"]])
        told = {
            name: F.binary_cross_entropy_with_logits(head(hidden)[:, 0], batch[f"{name}_told"].float())
            for name, head, hidden in zip(("own", "again"), self.told, (own, later), strict=True)
        }
        return super().loss(ran, batch) | {"real": real} | {f"{name}_told": loss for name, loss in told.items()}


# ---- how good it is


@cache
def validation() -> tuple[list[Listed], list[Listed], list[Listed]]:
    """Lists of either world that training does not see."""
    rng = random.Random("llama-open/val")
    open_rows = [opened(rng, world.example(rng, 20, 3)) for _ in range(150)]
    scene_rows = []
    for scene in scenes("val", 300, 1):
        e = scene.expression
        things = list(scene.layout.objects)
        candidates = canonical([m.candidate for m in mentions(rng, things)])
        order = [max(range(len(things)), key=lambda i: iou(things[i].box, c.box)) for c in candidates]
        one = asked_in_scene(scene.layout, order, e.text, e.target, list(e.phrases), e.question)
        scene_rows.append(
            Listed(
                candidates, [0] * len(order), (scene.layout.width, scene.layout.height), [one, absent_from(rng, scene.layout, len(order))]
            )
        )
    colored = random.Random("llama-open/colored")
    examples = [world.example(colored, 14, 4, clean_share=0.3) for _ in range(260)]
    return open_rows, scene_rows, [opened(colored, e) for e in examples if e.colors]


def accuracy(model: LlamaForCausalLM, reader: Collate) -> dict[str, float]:
    """Shares of validation questions answered rightly: those with an answer and those without, of either world."""
    out: dict[str, float] = {}
    for name, rows in zip(("open", "scenes", "colored"), validation(), strict=True):
        right: dict[bool, list[bool]] = {True: [], False: []}
        for start in range(0, len(rows), 25):
            part = rows[start : start + 25]
            batch = {k: v.to(device()) for k, v in reader(part).items()}
            guess = run(model, batch).logits[::2].argmax(-1).tolist()  # the index; the other one is the end token
            wanted = [a.answer for row in part for a in row.asked]
            for token, answer in zip(guess, wanted, strict=True):
                right[answer != NOT_THERE].append(token == reader.answer(answer)[0])
        out |= {name: sum(right[True]) / len(right[True]), f"{name}_none": sum(right[False]) / max(1, len(right[False]))}
    return out


def main() -> None:
    torch.manual_seed(4)
    last = "--last" in sys.argv
    folder = PHOTO_WEIGHTS / "llama" if last else TINY_WEIGHTS / "llama"
    vocabulary_of_run = folder if last else RUNS / FIRST.name
    if not (vocabulary_of_run / "tokenizer.json").exists():
        tokenizer().save_pretrained(vocabulary_of_run)
    words = PreTrainedTokenizerFast.from_pretrained(vocabulary_of_run)
    reader = Collate(words)
    model = build(words, str(folder))
    hints = Hints(model.get_input_embeddings().weight)
    both = nn.ModuleDict({"model": model, "hints": hints}).to(device())
    stages = STAGES[-1:] if last else STAGES
    begun = [i for i, stage in enumerate(stages) if (RUNS / stage.plan.name / "checkpoint.pt").exists()]
    at = begun[-1] if begun else 0

    if "--save" in sys.argv:
        restore(stages[at].plan, both)
        average(stages[at], model, reader)
    else:
        tables = {id(model.get_input_embeddings().weight), id(model.lm_head.weight)} | {id(p) for p in hints.parameters()}
        groups = [
            {"params": [p for p in both.parameters() if id(p) in tables], "share": 1.5},
            {"params": [p for p in both.parameters() if id(p) not in tables], "share": 0.8},
        ]
        terms, evaluate = losses(model, hints), partial(accuracy, model, reader)
        for stage in stages[at:]:
            if not stage.began_with.exists():
                stage.began_with.parent.mkdir(parents=True, exist_ok=True)
                torch.save(model.state_dict(), stage.began_with)
            train(stage.plan, both, groups, stage.make, reader, terms, evaluate, weight_decay=0.01, eval_every=300, save_every=100)
            average(stage, model, reader)
    save(model, words)


def average(stage: Stage, model: LlamaForCausalLM, reader: Collate) -> None:
    """Put a stage's end and what it began with together, and print how good that is."""
    if stage.kept == 1:
        return
    before, now = torch.load(stage.began_with, map_location="cpu", weights_only=True), model.state_dict()
    model.load_state_dict({name: torch.lerp(before[name], value.cpu(), stage.kept) for name, value in now.items()})
    print(f"average, {stage.kept} of {stage.plan.name}: {accuracy(model.eval(), reader)}")


def save(model: LlamaForCausalLM, words: PreTrainedTokenizerFast) -> None:
    """Write model, tokenizer and prompt template as the published checkpoints are laid out."""
    folder = PHOTO_WEIGHTS / "llama"
    folder.mkdir(parents=True, exist_ok=True)
    model.cpu().eval().half().save_pretrained(folder)
    words.save_pretrained(folder)
    replace(OPEN_TEMPLATE, none=NONE).save(folder)
    print(f"wrote {folder}")


if __name__ == "__main__":
    main()
