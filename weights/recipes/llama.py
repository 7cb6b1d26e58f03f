"""Train the bundled Llama on RefScenes texts: lists of perfect boxes and questions about them.

    python -m weights.recipes.llama          # resumes where it was cut
    python -m weights.recipes.llama --save   # write weights/tiny/llama from the last checkpoint

The first stage asks what comes to hand, easy questions first; the second one goes on with all kinds of expression about
evenly, because few lists admit the hard ones: an ordinal, a negation or a combination of two. The third one asks mostly
ordinals, of which each direction has to be learnt by itself, and reads more lists from two sources.

A sample is one list of candidates and several questions about it. The list is read once and its keys and values are
shared by the questions, whose positions go on from its end: to the model each one is the prompt that serving renders.

Answers alone teach retrieval and comparison very slowly, so small heads (dropped when the model is saved) say on the way
what a reasoner must know, in the order in which it can know it. The prompt names the indices twice at its end. At each
candidate's own index, low down: its kind and place. Where an index is named first, a third of the way up: kind and place
again, and whether it is the subject or a landmark. Where it is named again, with all of that before it: how it compares
with the other subjects (how many lie further left, are larger ...) and where it lies from the landmarks; further up,
whether it passes the filters and whether it is the answer. Attention heads are told where to look: from a named index to
the candidate's own, from an index named again to the landmarks, from where the answer is due to the right index.
"""

import json
import math
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from weights.recipes.common import KIND_INDEX, TINY_WEIGHTS, Plan, device, restore, train
from weights.recipes.words import texts, vocabulary
from wrapper.candidates import Candidate
from wrapper.prompt import PromptTemplate, render
from wrapper.scenes.dataset import scenes
from wrapper.scenes.expressions import CATEGORIES, Category, Expression, Phrase, Question, ask, passes, wants_color
from wrapper.scenes.kinds import KINDS, SYNONYMS
from wrapper.scenes.layout import LONG_SIDE, MAX_OBJECTS, Box, Layout, SceneObject, draw_layout
from wrapper.training.sft import computes_bfloat16

WIDTH, LAYERS = 160, 7
LOW, ROLES, COMPARED, JUDGED = 2, 3, 5, 6
"""After which layers a candidate is known, its part in the question, how it compares, and whether it is the answer."""
FIRST = Plan("llama", steps=4500, batch=8, lr=1.5e-3, warmup=150, floor=0.01)
SECOND = Plan("llama-even", steps=2400, batch=8, lr=1e-3, warmup=100, floor=0.01)
THIRD = Plan("llama-ordinals", steps=2000, batch=8, lr=1e-3, warmup=100, floor=0.01)
QUESTIONS = 8
WEIGHTS = {"own_kind": 0.5, "own_place": 4.0, "kind": 0.5, "place": 4.0, "roles": 2.0, "compared": 6.0, "verdict": 2.0,
           "look": 0.3, "own_told": 2.0, "again_told": 2.0, "marks": 0.3, "read": 0.3}  # fmt: skip
"""Of the heads' losses beside that of the answers."""
TEMPLATE = PromptTemplate(
    line="- {label} {x1},{y1},{x2},{y2} = {index}",  # the blank makes a label the tokens it is in an expression
    score=" score {score}",
    source=" from {source}",
    prompt="Boxes:\n{candidates}\nFind: {expression}\nIndices: {indices}\nCompare: {indices}\nBest index?",
    decimals=0,
    long_side=LONG_SIDE,
)
CHAT = (
    "{{- bos_token }}{%- for message in messages %}"
    "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}"
)
# How Llama 3 cuts text before BPE: contractions, words with the blank before them, up to three digits, the rest.
PIECES = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPECIAL = (
    "<|begin_of_text|>", "<|end_of_text|>", "<|finetune_right_pad_id|>", "<|start_header_id|>", "<|end_header_id|>",
    "<|eom_id|>", "<|eot_id|>", "<|python_tag|>",
)  # fmt: skip


FRAME = ["user", "assistant", "system", "\n\n", "Boxes:\n", "\nFind:", "\nIndices:", "\nCompare:", "\nBest index?", " score", " =", "\n-"]
"""What stands in every prompt."""


def tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer of RefScenes texts."""
    words = [f" {word}" for word in vocabulary()] + ["the", "a", "an", "gdrec", "florence2", " gdrec", " florence2"]
    return learn_tokens([*words * 4, *texts(3000), *[*FRAME, " from"] * 50], 1500)


def learn_tokens(corpus: Sequence[str], size: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE of so many tokens, with one more for every integer 0-999 and Llama 3's chat format."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(PIECES), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
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


def build(words: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=len(words), hidden_size=WIDTH, intermediate_size=448, num_hidden_layers=LAYERS, num_attention_heads=8,
        num_key_value_heads=4, head_dim=32, initializer_range=0.06, max_position_embeddings=2048, rope_theta=10000.0,
        tie_word_embeddings=False, bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id,
    )  # fmt: skip
    config._attn_implementation = "eager"  # on a CPU faster than the fused kernel for short questions
    model = LlamaForCausalLM(config)
    numbers = torch.tensor(words.convert_tokens_to_ids([str(i) for i in range(1000)]))
    place, half = torch.arange(1000.0)[:, None], WIDTH // 4
    rates = 2 * math.pi / (8 * 250 ** (torch.arange(half) / (half - 1)))  # periods from 8 to 2,000 pixels
    waves = torch.cat([torch.sin(place * rates), torch.cos(place * rates)], 1) * 0.08
    model.get_input_embeddings().weight.data[numbers, : 2 * half] = waves
    for layer in model.model.layers[1:3]:
        match_tokens(layer.self_attn)
    return model


def match_tokens(attention: nn.Module) -> None:
    """Start the first key-value head with equal queries and keys, so that a token finds its like (compare the mimetic
    initialisation of Trockman & Kolter 2023): a named index then finds its candidate from the first step."""
    q, k = attention.q_proj.weight.data, attention.k_proj.weight.data
    size = attention.head_dim
    k[:size].normal_(std=WIDTH**-0.5)
    for head in range(attention.num_key_value_groups):
        q[head * size : (head + 1) * size] = k[:size]


# ---- samples


@dataclass(frozen=True)
class Mix:
    """What a later stage asks.

    drawn: how often a list is drawn for a kind of expression, in the order of CATEGORIES; asked: how often a kind is
    tried once the list is there; ordinals: at most so many of them a list; doubled: share of lists that come from two
    sources; unseen: share of objects that such a list's first source leaves to the second.
    """

    drawn: tuple[int, ...]
    asked: tuple[int, ...]
    ordinals: int
    doubled: float
    unseen: float


EVEN = Mix(drawn=(2, 1, 1, 4, 2, 3, 7), asked=(1, 1, 1, 1, 1, 1, 1), ordinals=2, doubled=0.25, unseen=0.0)
ORDINALS = Mix(drawn=(1, 1, 1, 12, 2, 2, 6), asked=(1, 1, 1, 4, 2, 1, 3), ordinals=5, doubled=0.4, unseen=0.06)


NOT_THERE = -1
"""The answer where nothing on the list is meant."""


@dataclass
class Asked:
    """One question about a list: its text, the answer's index, and for each candidate what the heads are to say.

    roles: whether it is of the subject's noun, and whether it is the first or second landmark; compared: see `compare`,
    nan where there is nothing to say; verdict: whether it passes the question's filters, and whether it is what is meant;
    marks: the index of the first and of the second landmark, None where no single object is one.
    """

    text: str
    answer: int
    roles: list[list[int]]
    compared: list[list[float]]
    verdict: list[list[int]]
    marks: list[int | None]


@dataclass
class Listed:
    """A list of candidates and questions about it. kinds: what each one's label says, -100 where it leaves the colour out; real: 1 for
    each that is there and seen for the first time, empty where all are."""

    candidates: list[Candidate]
    kinds: list[int]
    size: tuple[int, int]
    asked: list[Asked]
    real: list[int] = field(default_factory=list)


def named(rng: random.Random, layout: Layout) -> tuple[str, int, list[Phrase]] | None:
    """The easiest question, "the red ball", about an object whose name no other one has."""
    names = [o.kind.name for o in layout.objects]
    unique = [i for i, name in enumerate(names) if names.count(name) == 1]
    if not unique:
        return None
    kind = layout.objects[i := rng.choice(unique)].kind
    noun = rng.choice((kind.noun, *SYNONYMS.get(kind.noun, ())))
    name = f"{kind.color} {noun}" if kind.color else noun
    article = rng.choice(("the ", "a ", "")) if name[0] not in "aeiou" else "the "
    return article + name, i, [Phrase(0, 0, kind.noun, kind.color)]


def question(rng: random.Random, layout: Layout, easy: float) -> tuple[str, int, list[Phrase], Question | None] | None:
    """A question of any category about any noun that stands there at least twice, or an easy one."""
    if rng.random() < easy:
        found = named(rng, layout)
        return (*found, None) if found else None
    nouns = [o.kind.noun for o in layout.objects]
    many = sorted({n for n in nouns if nouns.count(n) > 1})
    if not many:
        return None
    category = rng.choice(CATEGORIES)
    expression = ask(rng, layout, category, rng.choice(many), tries=4)
    return (expression.text, expression.target, list(expression.phrases), expression.question) if expression else None


def crowded(rng: random.Random, layout: Layout) -> Layout:
    """The layout with objects of other nouns added, as long lists have them."""
    nouns = {o.kind.noun for o in layout.objects}
    more = [o for o in draw_layout(rng).objects if o.kind.noun not in nouns]
    return Layout(layout.width, layout.height, layout.subject, layout.objects + tuple(more))


@dataclass
class Mention:
    """An object as a list names it."""

    thing: SceneObject
    candidate: Candidate
    kind: int


def mention(rng: random.Random, thing: SceneObject, source: str, scored: bool, style: str = "name") -> Mention:
    """An object's line: its canonical name, now and then a synonym. style: "name", "caption" (a region caption, "a small
    red ball") or "noun" (without the colour)."""
    noun = rng.choice((thing.kind.noun,) * 3 + SYNONYMS.get(thing.kind.noun, ()))
    label = f"{thing.kind.color} {noun}" if thing.kind.color and style != "noun" else noun
    if style == "caption":
        label = rng.choice(("", _SIZES[sum(thing.area > limit for limit in _LIMITS)])) + label
        label = ("an " if label[0] in "aeiou" else "a ") + label
    score = round(rng.uniform(0.2, 0.99), 2) if scored and source == "gdrec" else None
    kind = -100 if style == "noun" and thing.kind.color else KIND_INDEX[thing.kind.name]
    return Mention(thing, Candidate(thing.box, label, score, source), kind)


_SIZES, _LIMITS = ("small ", "", "large "), (0.015 * LONG_SIDE**2, 0.06 * LONG_SIDE**2)


def mentions(rng: random.Random, things: list[SceneObject]) -> list[Mention]:
    """Perfect candidates in any order; scores and two sources in some lists."""
    scored, sources = rng.random() < 0.4, ("gdrec", "florence2") if rng.random() < 0.25 else ("gdrec",)
    return [mention(rng, thing, rng.choice(sources), scored) for thing in things]


def twice(rng: random.Random, things: list[SceneObject], unseen: float) -> list[Mention]:
    """Two sources' lists one after the other: the first names (nearly) everything, the second part of it again and what the
    first left out, with boxes a little off and perhaps without colours."""
    style, again = rng.choice(("name", "caption")), rng.choice(("name", "noun"))
    scored = rng.random() < 0.7
    left_out = [rng.random() < unseen for _ in things]
    part = [mention(rng, thing, "gdrec", scored, again) for thing, out in zip(things, left_out, strict=True) if out or rng.random() < 0.7]
    rng.shuffle(part)
    near = [replace(m, candidate=replace(m.candidate, box=_nudged(rng, m.thing.box))) for m in part]
    return [mention(rng, thing, "florence2", scored, style) for thing, out in zip(things, left_out, strict=True) if not out] + near


def _nudged(rng: random.Random, box: Box) -> Box:
    """A box with every edge moved by up to 3 % of its side, whole pixels."""
    dx, dy = (box[2] - box[0]) * 0.03, (box[3] - box[1]) * 0.03
    x1, y1, x2, y2 = (float(round(v + rng.uniform(-d, d))) for v, d in zip(box, (dx, dy, dx, dy), strict=True))
    return max(x1, 0.0), max(y1, 0.0), x2, y2


def compare(things: list[SceneObject], roles: list[list[int]]) -> list[list[float]]:
    """How every subject compares: 16 figures, nan for what is no subject and for landmarks that are not there.

    First, halved, how many other subjects have a smaller and how many a larger x, y and area. Then for each of two
    landmarks: where it lies from there (x, y), how many subjects lie nearer and how many further, and the gap between.
    """
    pool = [o for o, role in zip(things, roles, strict=True) if role[0]]
    out = []
    for thing, role in zip(things, roles, strict=True):
        figures: list[float] = []
        for measure in (lambda o: o.middle[0], lambda o: o.middle[1], lambda o: o.area):
            figures += _counts(measure, thing, pool)
        for n in (1, 2):
            places = [o for o, r in zip(things, roles, strict=True) if r[n]]
            if len(places) != 1:
                figures += [math.nan] * 5
                continue
            x, y = places[0].middle
            a, b = thing.box, places[0].box
            gap = math.hypot(max(a[0] - b[2], b[0] - a[2], 0), max(a[1] - b[3], b[1] - a[3], 0))
            figures += [(thing.middle[0] - x) / LONG_SIDE, (thing.middle[1] - y) / LONG_SIDE, gap / LONG_SIDE]
            figures += _counts(lambda o, x=x, y=y: math.dist(o.middle, (x, y)), thing, pool)
        out.append(figures if role[0] else [math.nan] * len(figures))
    return out


def _counts(measure: Callable[[SceneObject], float], thing: SceneObject, pool: list[SceneObject]) -> list[float]:
    """Half of how many in the pool measure less, and half of how many measure more."""
    value = measure(thing)
    return [sum(measure(o) < value for o in pool) / 2, sum(measure(o) > value for o in pool) / 2]


def asked(layout: Layout, order: list[int], text: str, target: int, phrases: list[Phrase], rule: Question | None) -> Asked:
    """A question with what the heads are to say. order: which of the layout's objects each candidate is."""
    objects = list(layout.objects)
    named_by = [*phrases[:3], *[None] * (3 - len(phrases))]
    roles = [[int(p is not None and p.fits(o.kind)) for p in named_by] for o in objects]
    compared = compare(objects, roles)
    passing = [
        roles[i][0] if rule is None else int(o.kind.noun == rule.noun and bool(passes(layout, rule, o))) for i, o in enumerate(objects)
    ]
    landmarks = [[i for i, role in enumerate(roles) if role[n]] for n in (1, 2)]
    marks = [order.index(found[0]) if len(found) == 1 else None for found in landmarks]
    verdict = [[passing[i], int(i == target)] for i in order]
    return Asked(text, order.index(target), [roles[i] for i in order], [compared[i] for i in order], verdict, marks)


def sample(rng: random.Random, index: int) -> Listed:
    """The first stage's list and its questions: short lists and easy questions early, any that come to hand later."""
    easy = max(0.08, 1.0 - index / 6_000)
    while True:
        layout = draw_layout(rng, rng.random() < 0.45)
        if layout.split != "train":
            continue
        if index < 3_000:
            layout = replace(layout, objects=layout.objects[:4])
        elif _batchwise("crowded", index) < 0.1:
            layout = crowded(rng, layout)
        order = list(range(len(layout.objects)))
        rng.shuffle(order)
        questions: dict[str, Asked] = {}
        for _ in range(2 * QUESTIONS):
            found = question(rng, layout, easy)
            if found and len(questions) < QUESTIONS:
                questions.setdefault(found[0], asked(layout, order, *found))
        if questions:
            return listed(layout, mentions(rng, [layout.objects[i] for i in order]), list(questions.values()))


def mixed_sample(mix: Mix, rng: random.Random, index: int) -> Listed:
    """A later stage's list and its questions: the layout is drawn until it has a question of the kind wanted, and no kind
    but ordinals is asked more than twice. Lists from two sources are of few objects, for they are long; some labels are
    region captions."""
    doubled = _batchwise("twice", index) < mix.doubled
    wanted = rng.choices(CATEGORIES, mix.drawn)[0]
    layout, first = _layout_for(rng, wanted, 6 if doubled else MAX_OBJECTS)
    if not doubled and _batchwise("crowded", index) < 0.06:
        layout = crowded(rng, layout)
        first = None  # what was the only one may no longer be
    things = list(layout.objects)
    rng.shuffle(things)
    if doubled:
        rows = twice(rng, things, mix.unseen)
    elif rng.random() < 0.3:
        rows = [mention(rng, thing, "florence2", False, "caption") for thing in things]
    else:
        rows = mentions(rng, things)
    questions = mixed_questions(rng, mix, layout, first, [layout.objects.index(m.thing) for m in rows], 5 if doubled else QUESTIONS)
    return listed(layout, rows, questions)


def mixed_questions(rng: random.Random, mix: Mix, layout: Layout, first: Expression | None, order: list[int], most: int) -> list[Asked]:
    """Up to so many questions about a layout: the one that it was drawn for, an easy one, then others."""
    questions: dict[str, Asked] = {}
    room = dict.fromkeys(CATEGORIES, 2) | {"ordinal": mix.ordinals}
    nouns = [o.kind.noun for o in layout.objects]
    many = sorted({n for n in nouns if nouns.count(n) > 1})
    for attempt in range(5 * QUESTIONS):
        category = rng.choices(CATEGORIES, mix.asked)[0]
        if attempt == 0 and first is not None:
            expression: Expression | None = first
        elif attempt == 1 and (easy := named(rng, layout)):
            questions[easy[0]] = asked(layout, order, *easy, None)
            continue
        else:
            expression = ask(rng, layout, category, rng.choice(many), tries=16) if room[category] else None
        if expression and expression.text not in questions:
            room[expression.category] -= 1
            questions[expression.text] = asked(
                layout, order, expression.text, expression.target, list(expression.phrases), expression.question
            )
        if len(questions) == most:
            break
    return list(questions.values())


def _layout_for(rng: random.Random, category: Category, most: int) -> tuple[Layout, Expression | None]:
    """A train layout of at most so many objects in which an expression of a kind has an answer, and that expression."""
    while True:
        layout = draw_layout(rng, wants_color(category, rng))
        if len(layout.objects) <= most and layout.split == "train" and (expression := ask(rng, layout, category, tries=16)):
            return layout, expression


def _batchwise(name: str, index: int) -> float:
    """A number from 0 to 1 that is the same for a whole batch, as all of it is padded to the longest."""
    return random.Random(f"{name}/{index // FIRST.batch}").random()


def listed(layout: Layout, rows: list[Mention], questions: list[Asked]) -> Listed:
    """A list with its questions."""
    return Listed([m.candidate for m in rows], [m.kind for m in rows], (layout.width, layout.height), questions)


class Collate:
    """Lists -> tensors.

    list, list_mask (B, P): the prompts' common beginnings; ids, mask, positions (N, Q): the questions, with answers
    where they are known; row (N): the list each question belongs to; answer (N, Q): the next token where it is part of
    the answer, else -100. own_row, own_at: the candidates' own indices in the lists; first_row, first_at and again_row,
    again_at: the indices named in the questions; each with what the heads are to say there. look (M, 3), question, from
    and to: where a named index finds the candidate's own; marks (M, 4), head, question, from and to: where it finds the
    landmarks; read (N, 3): where the answer finds its index.
    """

    template = TEMPLATE

    def __init__(self, words: PreTrainedTokenizerFast | None = None) -> None:
        self.words = tokenizer() if words is None else words
        before = self.words.apply_chat_template([{"role": "user", "content": "§"}], tokenize=False, add_generation_prompt=True)
        self.opening, self.closing = before.split("§")
        self.sign, self.comma = self.encode(" =")[0], self.encode(",")[0]
        self.index = [self.encode(str(i))[0] for i in range(1000)]

    def encode(self, text: str) -> list[int]:
        return self.words(text, add_special_tokens=False)["input_ids"]

    def parts(self, row: Listed) -> tuple[list[int], list[list[int]]]:
        """Token ids of the list, and of each question up to where the answer begins."""
        full = [render(row.candidates, a.text, self.template, row.size) for a in row.asked]
        cut = full[0].index("\nFind: ")
        return self.encode(self.opening + full[0][:cut]), [self.encode(text[cut:] + self.closing) for text in full]

    def kinds(self, row: Listed) -> list[int]:
        """What the heads are to say of each candidate's kind."""
        return row.kinds

    def answer(self, index: int) -> list[int]:
        """Token ids of an answer, the end of the turn included."""
        return [*self.encode(str(index)), self.words.eos_token_id]

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
            kinds, where = self.kinds(row), [_place(c, row.size) for c in row.candidates]
            own["row"] += [r] * len(row.candidates)
            own["at"] += places
            own["kind"] += kinds
            own["place"] += where
            own["real"] += row.real or [1] * len(row.candidates)
            for a, tokens in zip(row.asked, blocks, strict=True):
                n, target = len(ids), self.answer(a.answer)
                once, later = self._named(tokens, len(row.candidates))
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
                if a.answer != NOT_THERE:
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
        run = [t for i in range(count) for t in (self.index[i], self.comma)][:-1]
        starts = [s for s in range(len(tokens) - len(run) + 1) if tokens[s : s + len(run)] == run]
        once, again = (list(range(s, s + len(run), 2)) for s in starts[-2:])
        return once, again


def _place(candidate: Candidate, size: tuple[int, int]) -> list[float]:
    """Centre and size of a candidate in a picture of (width, height), as the prompt scales it; all about 0 to 1."""
    scale = LONG_SIDE / max(size)
    x1, y1, x2, y2 = (v * scale for v in candidate.box)
    return [(x1 + x2) / 2 / LONG_SIDE, (y1 + y2) / 2 / LONG_SIDE, 0.2 * math.log((x2 - x1) * (y2 - y1) / 1e4)]


def _padded(rows: list[list[int]], fill: int) -> tuple[Tensor, Tensor]:
    """Rows of any length -> (N, longest), and which places are filled."""
    longest = max(len(row) for row in rows)
    ids = torch.tensor([row + [fill] * (longest - len(row)) for row in rows])
    return ids, torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])


class Hints(nn.Module):
    """The heads at the tokens that name the indices. kinds: how many numbers say a kind."""

    def __init__(self, kinds: int = len(KINDS)) -> None:
        super().__init__()
        self.kind = nn.ModuleList(nn.Linear(WIDTH, kinds) for _ in range(2))
        self.place = nn.ModuleList(nn.Linear(WIDTH, 3) for _ in range(2))
        self.roles = nn.Linear(WIDTH, 3)
        self.compared = nn.Linear(WIDTH, 16)
        self.verdict = nn.Linear(WIDTH, 2)
        self.norm = nn.RMSNorm(WIDTH)

    def named(self, head: int, hidden: Tensor) -> Tensor:
        """Logits of a candidate's kind."""
        logits: Tensor = self.kind[head](hidden)
        return logits

    def loss(self, ran: "Ran", batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Every head's loss."""
        own = self.norm(ran.listed[batch["own_row"], batch["own_at"]])
        first = self.norm(ran.hidden[ROLES][batch["first_row"], batch["first_at"]])
        compared = self.norm(ran.hidden[COMPARED][batch["again_row"], batch["again_at"]])
        judged = self.norm(ran.hidden[JUDGED][batch["again_row"], batch["again_at"]])
        said = batch["again_compared"].isfinite()
        shift = batch["list"].shape[1]  # keys of the list come first
        head, marked, at, mark = batch["marks"].unbind(1)
        asked, due, right = batch["read"].unbind(1)
        looking, start, end = batch["look"].unbind(1)
        return {
            "own_kind": F.cross_entropy(self.named(0, own), batch["own_kind"]),
            "own_place": F.l1_loss(self.place[0](own), batch["own_place"]),
            "kind": F.cross_entropy(self.named(1, first), batch["first_kind"]),
            "place": F.l1_loss(self.place[1](first), batch["first_place"]),
            "roles": F.binary_cross_entropy_with_logits(self.roles(first), batch["first_roles"].float()),
            "compared": F.l1_loss(self.compared(compared)[said], batch["again_compared"][said]),
            "verdict": F.binary_cross_entropy_with_logits(self.verdict(judged), batch["again_verdict"].float()),
            "look": _far(ran.seen[ROLES - 1][looking, 0, start, end]),
            "marks": _far(ran.seen[ROLES][marked, head, at, mark + shift]),
            "read": _far(ran.seen[-1][asked, 0, due, right + shift]),
        }


def _far(attention: Tensor) -> Tensor:
    """How far attention is from being where it should be; 0 where nothing is asked."""
    return -(attention.float() + 1e-6).log().sum() / max(1, attention.numel())


@dataclass
class Ran:
    """What the losses need of a forward pass.

    listed: (B, P, WIDTH), hidden states of the lists low down; hidden: (N, Q, WIDTH) of the questions before each layer
    and after the last; seen: (N, heads, Q, P + Q), where each layer looks; logits: (M, V), where an answer is due.
    """

    listed: Tensor
    hidden: tuple[Tensor, ...]
    seen: tuple[Tensor, ...]
    logits: Tensor


def run(model: LlamaForCausalLM, batch: dict[str, Tensor]) -> Ran:
    """A forward pass over lists and questions.

    Each list is read once; its keys and values are then shared by its questions, gradients included.
    """
    lists = model.model(
        input_ids=batch["list"],
        attention_mask=batch["list_mask"],
        past_key_values=DynamicCache(config=model.config),
        use_cache=True,
        output_hidden_states=True,
    )
    cache = lists.past_key_values
    cache.batch_select_indices(batch["row"])
    out = model.model(
        input_ids=batch["ids"], position_ids=batch["positions"], past_key_values=cache, output_hidden_states=True, output_attentions=True,
        attention_mask=torch.cat([batch["list_mask"][batch["row"]], batch["mask"]], 1),
    )  # fmt: skip
    logits = model.lm_head(out.last_hidden_state[batch["answer"] >= 0])
    return Ran(lists.hidden_states[LOW], out.hidden_states, out.attentions, logits)


def accuracy(model: LlamaForCausalLM, reader: Collate, n: int = 400) -> dict[str, float]:
    """Share of val expressions answered rightly on perfect lists, by category."""
    rng, right, asked_in = random.Random("llama/val"), dict.fromkeys(CATEGORIES, 0), dict.fromkeys(CATEGORIES, 0)
    rows, categories = [], []
    for scene in scenes("val", n, 1):
        e: Expression = scene.expression
        order = list(range(len(scene.layout.objects)))
        rng.shuffle(order)
        one = asked(scene.layout, order, e.text, e.target, list(e.phrases), e.question)
        rows.append(listed(scene.layout, mentions(rng, [scene.layout.objects[i] for i in order]), [one]))
        categories.append(e.category)
    for start in range(0, n, 50):
        part = rows[start : start + 50]
        batch = {k: v.to(device()) for k, v in reader(part).items()}
        logits = run(model, batch).logits[::2]  # the index; the other one is the end token
        guess = logits.argmax(-1).tolist()
        for row, tokens, category in zip(part, guess, categories[start : start + 50], strict=True):
            asked_in[category] += 1
            right[category] += tokens == reader.encode(str(row.asked[0].answer))[0]
    return {"accuracy": sum(right.values()) / n} | {c: right[c] / max(1, asked_in[c]) for c in CATEGORIES}


def losses(model: LlamaForCausalLM, hints: Any) -> Callable[[dict[str, Tensor], int], dict[str, Tensor]]:
    """What a stage minimises: the loss of the answers and, weighted, that of the heads. hints: a `Hints`, or another stage's."""

    def loss(batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        batch = {k: v.to(device()) for k, v in batch.items()}
        with torch.autocast(device().type, torch.bfloat16, enabled=computes_bfloat16(device())):
            ran = run(model, batch)
            said = hints.loss(ran, batch)
        answers = F.cross_entropy(ran.logits.float(), batch["answer"][batch["answer"] >= 0])
        total = 2 * answers + sum(WEIGHTS.get(name, 1.0) * term for name, term in said.items())
        return {"loss": total, "answers": answers} | said

    return loss


def main() -> None:
    torch.manual_seed(2)
    reader = Collate()
    model = build(reader.words)
    both = nn.ModuleDict({"model": model, "hints": Hints()}).to(device())

    if "--save" not in sys.argv:
        groups = [{"params": list(both.parameters()), "share": 1.0}]
        for plan, make in ((FIRST, sample), (SECOND, partial(mixed_sample, EVEN)), (THIRD, partial(mixed_sample, ORDINALS))):
            train(
                plan,
                both,
                groups,
                make,
                reader,
                losses(model, both["hints"]),
                lambda: accuracy(model, reader),
                weight_decay=0.02,
                eval_every=500,
            )
    else:
        restore(THIRD, both)
    save(model, reader)


def save(model: LlamaForCausalLM, reader: Collate) -> None:
    """Write model, tokenizer and prompt template as the published checkpoints are laid out."""
    folder = TINY_WEIGHTS / "llama"
    model.cpu().eval().half().save_pretrained(folder)
    reader.words.save_pretrained(folder)
    # It has seen one label an object, and reads merged lists best without their sources
    replace(TEMPLATE, source="", also="").save(folder)
    print(f"wrote {folder}")


if __name__ == "__main__":
    main()
