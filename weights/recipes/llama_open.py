"""Teach the bundled Llama lists of an open world: photographs' detections beside those of RefScenes.

    python -m weights.recipes.llama_open          # resumes where it was cut
    python -m weights.recipes.llama_open --save   # write weights/photo/llama from the last checkpoint

Goes on from the Llama of `weights.recipes.llama`, which knows how to compare boxes but few words: the vocabulary is made
anew, words that it had keep their embeddings, and the lists come from `weights.recipes.open_world` (and RefScenes, so that nothing is
forgotten). Lists are merged and ordered as serving does it. "none" is an answer like an index. The hints (see there) stay;
instead of a kind, a head names the label's last word.
"""

import json
import random
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from weights.recipes import open_world as world
from weights.recipes.common import RUNS, TINY_WEIGHTS, Plan, device, restore, train
from weights.recipes.llama import (
    CHAT,
    COMPARED,
    EVEN,
    JUDGED,
    PIECES,
    ROLES,
    SPECIAL,
    TEMPLATE,
    WEIGHTS,
    WIDTH,
    Asked,
    Listed,
    Ran,
    _counts,
    _far,
    _layout_for,
    _padded,
    _place,
    mention,
    mentions,
    mixed_questions,
    named,
    run,
    twice,
)  # fmt: skip
from weights.recipes.llama import asked as asked_in_scene
from weights.recipes.words import texts, vocabulary
from wrapper.candidates import Candidate, iou
from wrapper.merging import canonical, merge
from wrapper.presets import PHOTO_WEIGHTS
from wrapper.prompt import PromptTemplate, render
from wrapper.scenes.dataset import scenes
from wrapper.scenes.expressions import CATEGORIES, ask, wants_color
from wrapper.scenes.layout import LONG_SIDE, MAX_OBJECTS, Layout, draw_layout

PLAN = Plan("llama-open", steps=3000, batch=8, lr=1.0e-3, warmup=150, floor=0.02, stop=2300)
DETECTED = Plan("llama-detected", steps=900, batch=8, lr=6e-4, warmup=60, floor=0.02)
"""Second stage: mostly lists as a detector of COCO's kinds makes them, with what it made up told from what is there."""
QUESTIONS = 8
NONE = "none"
OPEN_TEMPLATE: PromptTemplate = replace(TEMPLATE, source="", line="- {label} {x1},{y1},{x2},{y2}{score} = {index}")
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
    """Byte-level BPE over both worlds' words, with a token for every integer 0-999 and Llama 3's chat format."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(PIECES), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=WORDS, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    frame = [
        "user",
        "assistant",
        "system",
        "\n\n",
        "Boxes:\n",
        "\nFind:",
        "\nIndices:",
        "\nCompare:",
        "\nBest index?",
        " score",
        " /",
        " =",
        "\n-",
        NONE,
    ]
    coco = [w for k in world.coco() for name in (k.name, *k.same, *k.kinds[:40], *k.kin) for w in name.split()]
    other = [w for k in world.others() for name in (k.name, *k.same, *k.kin) for w in name.split()]
    plain = [*world.COLORS, *world.LOOKS, *world.CLOTHES, *world.ACTIONS]
    known = [f" {w}" for w in vocabulary()]
    written = [f" {w}" for w in coco + plain]
    corpus = [*known * 40, *written * 12, *(f" {w}" for w in other), *spoken(6000), *texts(3000), *frame * 300]
    core.train_from_iterator(corpus, trainer)
    learned = json.loads(core.to_str())["model"]
    vocab = dict(learned["vocab"])
    for number in range(1000):
        vocab.setdefault(str(number), len(vocab))
    merges = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in learned["merges"]]
    core.model = models.BPE(vocab=vocab, merges=merges, ignore_merges=True)
    core.add_special_tokens([AddedToken(t, normalized=False) for t in SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token=SPECIAL[0], eos_token="<|eot_id|>", pad_token="<|finetune_right_pad_id|>",
        chat_template=CHAT, model_max_length=2048,
    )  # fmt: skip


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
    return random.Random(f"{name}/{index // PLAN.batch}").random()


def sample(rng: random.Random, index: int) -> Listed:
    """A list with its questions, of either world; how long its list may be is the batch's."""
    ordered = _batchwise("order", index) < 0.8
    if _batchwise("world", index) < 0.3:
        return refscenes(rng, ordered)
    most, questions = ((5, 10), (9, 9), (13, 7), (20, 5))[int(4 * _batchwise("long", index) ** 0.9)]
    easy = max(0.0, 0.7 - index / 6_000)
    return opened(rng, world.example(rng, most, questions, easy), ordered)


def detected_sample(rng: random.Random, index: int) -> Listed:
    """As `sample`, of the second stage."""
    if _batchwise("world", index) < 0.2:
        return refscenes(rng, True)
    most, questions = ((7, 10), (12, 8), (16, 6), (20, 5))[int(4 * _batchwise("long", index))]
    example = world.example(rng, most, questions, 0.0, opened_share=0.3, clean_share=0.25)
    return opened(rng, example, _batchwise("order", index) < 0.95)


def opened(rng: random.Random, e: world.Example, ordered: bool = True) -> Listed:
    """An example of the open world with what the heads are to say."""
    things = list(e.listed)
    if not ordered:
        rng.shuffle(things)
    real = [int(t.real and t.copy_of is None) for t in things]
    return Listed([world.candidate(t) for t in things], real, e.size, [question(things, a) for a in e.questions])


def question(things: list[world.Item], a: world.Asked) -> Asked:
    """A question with what the heads are to say."""
    pools = [a.pool, *a.landmarks[:2], *[[]] * (2 - len(a.landmarks[:2]))]

    def of(t: world.Item, pool: Sequence[world.Item]) -> int:
        return int(any(t is o or t.copy_of is o for o in pool))

    roles = [[of(t, pool) for pool in pools] for t in things]
    marks = [things.index(pool[0]) if len(pool) == 1 else None for pool in pools[1:]]
    verdict = [[of(t, a.passing), of(t, [a.target] if a.target else [])] for t in things]
    compared = [comparison(t, a.pool, pools[1:]) if role[0] else [float("nan")] * 16 for t, role in zip(things, roles, strict=True)]
    return Asked(a.text, world.NONE if a.target is None else things.index(a.target), roles, compared, verdict, marks)


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
    return Listed(candidates, [1] * len(candidates), (layout.width, layout.height), questions)


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
        return Asked(text, world.NONE, [[0, 0, 0]] * count, [[float("nan")] * 16] * count, [[0, 0]] * count, [None, None])


class Collate:
    """Lists -> tensors, as `weights.recipes.llama.Collate`; own_kind and first_kind are the token of a label's last word, -100
    where that is several; own_real: whether a candidate is there and seen for the first time; answers may be "none"."""

    def __init__(self, words: PreTrainedTokenizerFast) -> None:
        self.words = words
        before = words.apply_chat_template([{"role": "user", "content": "§"}], tokenize=False, add_generation_prompt=True)
        self.opening, self.closing = before.split("§")
        self.sign, self.comma = self.encode(" =")[0], self.encode(",")[0]
        self.index = [self.encode(str(i))[0] for i in range(1000)]
        self._words: dict[str, int] = {}

    def encode(self, text: str) -> list[int]:
        return self.words(text, add_special_tokens=False)["input_ids"]

    def word(self, label: str) -> int:
        """The token of a label's last word."""
        last = label.split()[-1]
        if last not in self._words:
            ids = self.encode(" " + last)
            self._words[last] = ids[0] if len(ids) == 1 else -100
        return self._words[last]

    def parts(self, row: Listed) -> tuple[list[int], list[list[int]]]:
        """Token ids of the list, and of each question up to where the answer begins."""
        full = [render(row.candidates, a.text, OPEN_TEMPLATE, row.size) for a in row.asked]
        cut = full[0].index("\nFind: ")
        return self.encode(self.opening + full[0][:cut]), [self.encode(text[cut:] + self.closing) for text in full]

    def answer(self, index: int) -> list[int]:
        return [*self.encode(NONE if index == world.NONE else str(index)), self.words.eos_token_id]

    def __call__(self, rows: list[Listed]) -> dict[str, Tensor]:
        heads, ids, starts, row_of, answers = [], [], [], [], []
        own: dict[str, list[Any]] = {k: [] for k in ("row", "at", "kind", "place", "real")}
        first: dict[str, list[Any]] = {k: [] for k in ("row", "at", "kind", "place", "roles")}
        again: dict[str, list[Any]] = {k: [] for k in ("row", "at", "compared", "verdict")}
        look: list[tuple[int, int, int]] = []
        marks: list[tuple[int, int, int, int]] = []
        read: list[tuple[int, int, int]] = []
        for r, row in enumerate(rows):
            head, blocks = self.parts(row)
            heads.append(head)
            places = [at + 2 for at, token in enumerate(head) if token == self.sign]
            # a score stands between the box and the end of the line, the sign before the index
            kinds = [self.word(c.label) for c in row.candidates]
            where = [_place(scaled(c, row.size)) for c in row.candidates]
            own["row"] += [r] * len(kinds)
            own["at"] += places
            own["kind"] += kinds
            own["place"] += where
            own["real"] += row.kinds
            for a, tokens in zip(row.asked, blocks, strict=True):
                n, target = len(ids), self.answer(a.answer)
                once, later = self._named(tokens, len(kinds))
                look += [(n, at, place) for at, place in [*zip(once, places, strict=True), *zip(later, places, strict=True)]]
                first["row"] += [n] * len(once)
                first["at"] += once
                first["kind"] += kinds
                first["place"] += where
                first["roles"] += a.roles
                again["row"] += [n] * len(later)
                again["at"] += later
                again["compared"] += a.compared
                again["verdict"] += a.verdict
                subjects = [at for at, role in zip(later, a.roles, strict=True) if role[0]]
                for mark, place in enumerate(a.marks):
                    if place is not None:
                        marks += [(mark, n, at, once[place]) for at in subjects]
                if a.answer != world.NONE:
                    read.append((n, len(tokens) - 1, later[a.answer]))
                starts.append(len(head))
                row_of.append(r)
                ids.append(tokens + target[:-1])
                answers.append([-100] * (len(tokens) - 1) + target)
        list_ids, list_mask = _padded(heads, self.words.pad_token_id)
        question_ids, mask = _padded(ids, self.words.pad_token_id)
        out = {"list": list_ids, "list_mask": list_mask, "ids": question_ids, "mask": mask}
        out["positions"] = torch.tensor(starts)[:, None] + torch.arange(mask.shape[1])
        out |= {"row": torch.tensor(row_of), "answer": _padded(answers, -100)[0]}
        out |= {"look": torch.tensor(look), "marks": torch.tensor(marks, dtype=torch.long).reshape(-1, 4)}
        out["read"] = torch.tensor(read, dtype=torch.long).reshape(-1, 3)
        for name, table in (("own", own), ("first", first), ("again", again)):
            out |= {f"{name}_{k}": torch.tensor(v) for k, v in table.items()}
        return out

    def _named(self, tokens: list[int], count: int) -> tuple[list[int], list[int]]:
        """Where a question's tokens name the indices, first and again: the last two runs of them with commas between."""
        run_of = [t for i in range(count) for t in (self.index[i], self.comma)][:-1]
        starts = [s for s in range(len(tokens) - len(run_of) + 1) if tokens[s : s + len(run_of)] == run_of]
        once, again = (list(range(s, s + len(run_of), 2)) for s in starts[-2:])
        return once, again


def scaled(c: Candidate, size: tuple[int, int]) -> Candidate:
    """With the box as the prompt gives it."""
    scale = LONG_SIDE / max(size)
    return replace(c, box=tuple(v * scale for v in c.box)) if scale != 1.0 else c


class Hints(nn.Module):
    """The heads at the tokens that name the indices."""

    def __init__(self) -> None:
        super().__init__()
        self.kind = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(2))
        self.place = nn.ModuleList(nn.Linear(WIDTH, 3) for _ in range(2))
        self.roles = nn.Linear(WIDTH, 3)
        self.compared = nn.Linear(WIDTH, 16)
        self.verdict = nn.Linear(WIDTH, 2)
        self.norm = nn.RMSNorm(WIDTH)
        self.real = nn.Linear(WIDTH, 1)

    def loss(self, ran: Ran, batch: dict[str, Tensor], embeddings: Tensor) -> dict[str, Tensor]:
        """Every head's loss. embeddings: (V, WIDTH), of the words."""
        own = self.norm(ran.listed[batch["own_row"], batch["own_at"]])
        first = self.norm(ran.hidden[ROLES][batch["first_row"], batch["first_at"]])
        compared = self.norm(ran.hidden[COMPARED][batch["again_row"], batch["again_at"]])
        judged = self.norm(ran.hidden[JUDGED][batch["again_row"], batch["again_at"]])
        said = batch["again_compared"].isfinite()
        shift = batch["list"].shape[1]  # keys of the list come first
        head, marked, at, mark = batch["marks"].unbind(1)
        asked, due, right = batch["read"].unbind(1)
        looking, start, end = batch["look"].unbind(1)
        words = 8 * F.normalize(embeddings.detach(), dim=-1)
        return {
            "own_kind": F.cross_entropy(self.kind[0](own) @ words.T, batch["own_kind"]),
            "own_place": F.l1_loss(self.place[0](own), batch["own_place"]),
            "real": F.binary_cross_entropy_with_logits(self.real(own)[:, 0], batch["own_real"].float()),
            "kind": F.cross_entropy(self.kind[1](first) @ words.T, batch["first_kind"]),
            "place": F.l1_loss(self.place[1](first), batch["first_place"]),
            "roles": F.binary_cross_entropy_with_logits(self.roles(first), batch["first_roles"].float()),
            "compared": F.l1_loss(self.compared(compared)[said], batch["again_compared"][said]),
            "verdict": F.binary_cross_entropy_with_logits(self.verdict(judged), batch["again_verdict"].float()),
            "look": _far(ran.seen[ROLES - 1][looking, 0, start, end]),
            "marks": _far(ran.seen[ROLES][marked, head, at, mark + shift]),
            "read": _far(ran.seen[-1][asked, 0, due, right + shift]),
        }


# ---- how good it is


@cache
def validation() -> tuple[list[Listed], list[Listed]]:
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
    return open_rows, scene_rows


def accuracy(model: LlamaForCausalLM, reader: Collate) -> dict[str, float]:
    """Shares of validation questions answered rightly: those with an answer and those without, of either world."""
    out: dict[str, float] = {}
    for name, rows in zip(("open", "scenes"), validation(), strict=True):
        right: dict[bool, list[bool]] = {True: [], False: []}
        for start in range(0, len(rows), 25):
            part = rows[start : start + 25]
            batch = {k: v.to(device()) for k, v in reader(part).items()}
            guess = run(model, batch).logits[::2].argmax(-1).tolist()  # the index; the other one is the end token
            wanted = [a.answer for row in part for a in row.asked]
            for token, answer in zip(guess, wanted, strict=True):
                right[answer != world.NONE].append(token == reader.answer(answer)[0])
        out |= {name: sum(right[True]) / len(right[True]), f"{name}_none": sum(right[False]) / max(1, len(right[False]))}
    return out


def main() -> None:
    torch.manual_seed(4)
    folder = TINY_WEIGHTS / "llama"
    vocabulary_of_run = RUNS / PLAN.name
    if not (vocabulary_of_run / "tokenizer.json").exists():
        tokenizer().save_pretrained(vocabulary_of_run)
    words = PreTrainedTokenizerFast.from_pretrained(vocabulary_of_run)
    reader = Collate(words)
    model = build(words, str(folder))
    both = nn.ModuleDict({"model": model, "hints": Hints()}).to(device())

    def loss(batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        batch = {k: v.to(device()) for k, v in batch.items()}
        with torch.autocast(device().type, torch.bfloat16):
            ran = run(model, batch)
            hints = both["hints"].loss(ran, batch, model.get_input_embeddings().weight)
        answers = F.cross_entropy(ran.logits.float(), batch["answer"][batch["answer"] >= 0])
        total = 2 * answers + sum(WEIGHTS.get(name, 1.0) * term for name, term in hints.items())
        return {"loss": total, "answers": answers} | hints

    if "--save" not in sys.argv:
        tables = {id(model.get_input_embeddings().weight), id(model.lm_head.weight)} | {id(p) for p in both["hints"].parameters()}
        groups = [
            {"params": [p for p in both.parameters() if id(p) in tables], "share": 1.5},
            {"params": [p for p in both.parameters() if id(p) not in tables], "share": 0.8},
        ]
        evaluate = partial(accuracy, model, reader)
        begun = (RUNS / PLAN.name / "checkpoint.pt").exists() and restore(PLAN, both, strict=False)
        if begun < PLAN.last:
            train(PLAN, both, groups, sample, reader, loss, evaluate, weight_decay=0.01, eval_every=300, save_every=100)
        train(DETECTED, both, groups, detected_sample, reader, loss, evaluate, weight_decay=0.01, eval_every=300, save_every=100)
    else:
        restore(DETECTED if (RUNS / DETECTED.name / "checkpoint.pt").exists() else PLAN, both)
    save(model, words)


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
