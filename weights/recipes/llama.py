"""Train the bundled Llama on RefScenes texts: lists of perfect boxes and questions about them.

    python -m weights.recipes.llama          # resumes where it was cut
    python -m weights.recipes.llama --save   # write weights/tiny/llama from the last checkpoint

A sample is one list of candidates and several questions about it. The list is read once and its keys and values are
shared by the questions, whose positions go on from its end: to the model each one is the prompt that serving renders.

Answers alone teach retrieval and comparison very slowly, so small heads (dropped when the model is saved) say on the way
what a reasoner must know. At each candidate's own index, low down: its kind and place. At each index named at the
prompt's end, halfway up: kind and place again, whether it is of the subject's noun, whether it is a landmark; at the top:
whether it passes the filters and whether it is the answer. At each landmark's words, halfway up: where that landmark is.
Two attention heads below the middle are told where to look: from an index at the prompt's end, and from a landmark's
words, to the candidate's own index. A head of the last layer is told to look from where the answer is due to the
right index at the prompt's end.
"""

import json
import math
import random
import sys
from dataclasses import dataclass, replace
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from weights.recipes.common import KIND_INDEX, TINY, Plan, device, restore, train
from weights.recipes.words import texts, vocabulary
from wrapper.candidates import Candidate
from wrapper.prompt import PromptTemplate, render
from wrapper.scenes.dataset import scenes
from wrapper.scenes.expressions import CATEGORIES, Expression, Phrase, Question, ask, passes
from wrapper.scenes.kinds import KINDS, SYNONYMS
from wrapper.scenes.layout import LONG_SIDE, Layout, SceneObject, draw_layout

WIDTH, LAYERS, LOW, MIDDLE = 160, 6, 2, 3
PLAN = Plan("llama", steps=3600, batch=8, lr=1.5e-3, warmup=150, floor=0.01)
QUESTIONS = 8
WEIGHTS = {"own_kind": 0.5, "own_place": 4.0, "kind": 0.5, "place": 4.0, "roles": 2.0, "verdict": 2.0, "mark": 4.0, "look": 0.3,
           "read": 0.3}  # fmt: skip
"""Of the heads' losses beside that of the answers."""
TEMPLATE = PromptTemplate(
    line="- {label} {x1},{y1},{x2},{y2} = {index}",  # the blank makes a label the tokens it is in an expression
    score=" score {score}",
    source=" from {source}",
    prompt="Boxes:\n{candidates}\nFind: {expression}\nIndices: {indices}\nBest index?",
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


def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE trained on RefScenes texts, with a token for every integer 0-999 and Llama 3's chat format."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(PIECES), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=1500, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    frame = ["user", "assistant", "system", "\n\n", "Boxes:\n", "\nFind:", "\nIndices:", "\nBest index?", " score", " from", " =", "\n-"]
    words = [f" {word}" for word in vocabulary()] + ["the", "a", "an", "gdrec", "florence2", " gdrec", " florence2"]
    core.train_from_iterator([*words * 4, *texts(3000), *frame * 50], trainer)
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
        vocab_size=len(words), hidden_size=WIDTH, intermediate_size=448, num_hidden_layers=LAYERS, num_attention_heads=4,
        num_key_value_heads=2, initializer_range=0.06, max_position_embeddings=2048, rope_theta=10000.0, tie_word_embeddings=False,
        bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id,
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


@dataclass
class Asked:
    """One question about a list: its text, the answer's index, and for each candidate what the heads are to say.

    marks: where the words for a landmark end (characters of the text), and that landmark's index.
    """

    text: str
    answer: int
    marks: list[tuple[int, int]]
    subject: list[int]
    landmark: list[int]
    passing: list[int]


@dataclass
class Listed:
    """A list of candidates and questions about it."""

    candidates: list[Candidate]
    kinds: list[int]
    size: tuple[int, int]
    asked: list[Asked]


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


def candidates(rng: random.Random, things: list[SceneObject]) -> list[Candidate]:
    """Perfect candidates: canonical names, now and then a synonym; scores and two sources in some lists."""
    scored, sources = rng.random() < 0.4, ("gdrec", "florence2") if rng.random() < 0.25 else ("gdrec",)
    out = []
    for thing in things:
        noun = rng.choice((thing.kind.noun,) * 3 + SYNONYMS.get(thing.kind.noun, ()))
        label = f"{thing.kind.color} {noun}" if thing.kind.color else noun
        source = rng.choice(sources)
        score = round(rng.uniform(0.2, 0.99), 2) if scored and source == "gdrec" else None
        out.append(Candidate(thing.box, label, score, source))
    return out


def asked(layout: Layout, order: list[int], text: str, target: int, phrases: list[Phrase], rule: Question | None) -> Asked:
    """A question with what the heads are to say, for candidates in the given order."""
    things = [layout.objects[i] for i in order]
    subject = [int(phrases[0].fits(o.kind)) for o in things]
    landmark = [int(any(p.fits(o.kind) for p in phrases[1:])) for o in things]
    if rule is None:
        passing = subject
    else:
        passing = [int(o.kind.noun == rule.noun and bool(passes(layout, rule, o))) for o in things]
    marks = [(p.end, i) for p in phrases[1:] for i, o in enumerate(things) if p.fits(o.kind)]
    return Asked(text, order.index(target), marks, subject, landmark, passing)


def sample(rng: random.Random, index: int) -> Listed:
    """One list and its questions: short lists and easy questions early, any later."""
    easy = max(0.08, 1.0 - index / 6_000)
    while True:
        layout = draw_layout(rng, rng.random() < 0.45)
        if layout.split != "train":
            continue
        if index < 3_000:
            layout = replace(layout, objects=layout.objects[:4])
        elif rng.random() < 0.15:
            layout = crowded(rng, layout)
        order = list(range(len(layout.objects)))
        rng.shuffle(order)
        questions: dict[str, Asked] = {}
        for _ in range(2 * QUESTIONS):
            found = question(rng, layout, easy)
            if found and len(questions) < QUESTIONS:
                questions.setdefault(found[0], asked(layout, order, *found))
        if questions:
            things = [layout.objects[i] for i in order]
            size = layout.width, layout.height
            return Listed(candidates(rng, things), [KIND_INDEX[o.kind.name] for o in things], size, list(questions.values()))


class Collate:
    """Lists -> tensors.

    list, list_mask (B, P): the prompts' common beginnings; ids, mask, positions (N, Q): the questions, with answers
    where they are known; row (N): the list each question belongs to; answer (N, Q): the next token where it is part of
    the answer, else -100; look (M, 4): question, head, from and to, where attention is to go in the middle; read
    (N, 3): question, from and to, within the question, at the top. The tokens that name the indices stand in tail_row,
    tail_at, the candidates' own indices in own_row, own_at, the landmarks' last words in mark_row, mark_at, each with
    what the heads are to say there.
    """

    def __init__(self) -> None:
        self.words = tokenizer()
        before = self.words.apply_chat_template([{"role": "user", "content": "§"}], tokenize=False, add_generation_prompt=True)
        self.opening, self.closing = before.split("§")

    def encode(self, text: str) -> list[int]:
        return self.words(text, add_special_tokens=False)["input_ids"]

    def parts(self, row: Listed) -> tuple[list[int], list[list[int]]]:
        """Token ids of the list, and of each question up to where the answer begins."""
        full = [render(row.candidates, a.text, TEMPLATE, row.size) for a in row.asked]
        cut = full[0].index("\nFind: ")
        return self.encode(self.opening + full[0][:cut]), [self.encode(text[cut:] + self.closing) for text in full]

    def __call__(self, rows: list[Listed]) -> dict[str, Tensor]:
        end, comma = self.words.eos_token_id, self.encode(",")[0]
        heads, ids, starts, row_of, answers = [], [], [], [], []
        tail: dict[str, list[Any]] = {k: [] for k in ("row", "at", "subject", "landmark", "passing", "answer", "kind", "place")}
        own: dict[str, list[Any]] = {k: [] for k in ("row", "at", "kind", "place")}
        look: list[tuple[int, int, int, int]] = []  # question, head, from, to
        read: list[tuple[int, int, int]] = []  # question, from, to
        mark: dict[str, list[Any]] = {k: [] for k in ("row", "at", "place")}
        sign = self.encode(" =")[0]
        for r, row in enumerate(rows):
            head, blocks = self.parts(row)
            heads.append(head)
            places = [at + 2 for at, token in enumerate(head) if token == sign]
            own["row"] += [r] * len(row.candidates)
            own["at"] += places
            own["kind"] += row.kinds
            own["place"] += [_place(c) for c in row.candidates]
            for a, tokens in zip(row.asked, blocks, strict=True):
                target = [*self.encode(str(a.answer)), end]
                for i, at in enumerate(self._indices(tokens, len(row.candidates), comma)):
                    look.append((len(ids), 0, at, places[i]))
                    tail["row"].append(len(ids))
                    tail["at"].append(at)
                    tail["subject"].append(a.subject[i])
                    tail["landmark"].append(a.landmark[i])
                    tail["passing"].append(a.passing[i])
                    tail["answer"].append(int(i == a.answer))
                    tail["kind"].append(row.kinds[i])
                    tail["place"].append(_place(row.candidates[i]))
                for end_of_words, i in a.marks:
                    at = self._token_before(a.text, end_of_words)
                    look.append((len(ids), 1, at, places[i]))
                    mark["row"].append(len(ids))
                    mark["at"].append(at)
                    mark["place"].append(_place(row.candidates[i]))
                read.append((len(ids), len(tokens) - 1, self._indices(tokens, len(row.candidates), comma)[a.answer]))
                starts.append(len(head))
                row_of.append(r)
                ids.append(tokens + target[:-1])
                answers.append([-100] * (len(tokens) - 1) + target)
        list_ids, list_mask = _padded(heads, self.words.pad_token_id)
        question_ids, mask = _padded(ids, self.words.pad_token_id)
        out = {"list": list_ids, "list_mask": list_mask, "ids": question_ids, "mask": mask}
        out["positions"] = torch.tensor(starts)[:, None] + torch.arange(mask.shape[1])
        out |= {"row": torch.tensor(row_of), "answer": _padded(answers, -100)[0], "look": torch.tensor(look), "read": torch.tensor(read)}
        for name, table in (("tail", tail), ("own", own), ("mark", mark)):
            out |= {f"{name}_{k}": torch.tensor(v) for k, v in table.items()}
        return out

    def _token_before(self, text: str, end: int) -> int:
        """Which token of a question ends at a character of its expression."""
        return len(self.encode("\nFind: " + text[:end])) - 1

    def _indices(self, tokens: list[int], count: int, comma: int) -> list[int]:
        """Where a question's tokens name the indices: the last run of `count` tokens with commas between them."""
        digits = [self.encode(str(i))[0] for i in range(count)]
        run = [t for d in digits for t in (d, comma)][:-1]
        start = next(s for s in range(len(tokens) - len(run), -1, -1) if tokens[s : s + len(run)] == run)
        return list(range(start, start + len(run), 2))


def _place(candidate: Candidate) -> list[float]:
    """Centre and size of a candidate, all about 0 to 1."""
    x1, y1, x2, y2 = candidate.box
    return [(x1 + x2) / 2 / LONG_SIDE, (y1 + y2) / 2 / LONG_SIDE, 0.2 * math.log((x2 - x1) * (y2 - y1) / 1e4)]


def _padded(rows: list[list[int]], fill: int) -> tuple[Tensor, Tensor]:
    """Rows of any length -> (N, longest), and which places are filled."""
    longest = max(len(row) for row in rows)
    ids = torch.tensor([row + [fill] * (longest - len(row)) for row in rows])
    return ids, torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])


class Hints(nn.Module):
    """The heads at the tokens that name the indices: retrieval halfway up, reasoning at the top."""

    def __init__(self) -> None:
        super().__init__()
        self.kind = nn.ModuleList(nn.Linear(WIDTH, len(KINDS)) for _ in range(2))
        self.place = nn.ModuleList(nn.Linear(WIDTH, 3) for _ in range(3))
        self.roles = nn.Linear(WIDTH, 2)
        self.verdict = nn.Linear(WIDTH, 2)
        self.norm = nn.RMSNorm(WIDTH)

    def loss(self, ran: "Ran", batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Every head's loss."""
        own = self.norm(ran.listed[batch["own_row"], batch["own_at"]])
        low = self.norm(ran.middle[batch["tail_row"], batch["tail_at"]])
        high = ran.top[batch["tail_row"], batch["tail_at"]]
        question, head, start, end = batch["look"].unbind(1)
        asked, due, right = batch["read"].unbind(1)
        right = right + batch["list"].shape[1]  # keys of the list come first
        roles = torch.stack([batch["tail_subject"], batch["tail_landmark"]], -1).float()
        verdict = torch.stack([batch["tail_passing"], batch["tail_answer"]], -1).float()
        terms = {
            "own_kind": F.cross_entropy(self.kind[0](own), batch["own_kind"]),
            "own_place": F.l1_loss(self.place[0](own), batch["own_place"]),
            "kind": F.cross_entropy(self.kind[1](low), batch["tail_kind"]),
            "place": F.l1_loss(self.place[1](low), batch["tail_place"]),
            "roles": F.binary_cross_entropy_with_logits(self.roles(low), roles),
            "verdict": F.binary_cross_entropy_with_logits(self.verdict(high), verdict),
            "look": -(ran.seen[question, head, start, end].float() + 1e-6).log().mean(),
            "read": -(ran.read[asked, 0, due, right].float() + 1e-6).log().mean(),
            "mark": ran.top.new_zeros(()),
        }
        if len(batch["mark_row"]):
            marks = self.norm(ran.middle[batch["mark_row"], batch["mark_at"]])
            terms["mark"] = F.l1_loss(self.place[2](marks), batch["mark_place"])
        return terms


@dataclass
class Ran:
    """What the losses need of a forward pass.

    listed: (B, P, WIDTH), hidden states of the lists low down; middle, top: (N, Q, WIDTH), of the questions halfway and
    at the top; seen, read: (N, heads, Q, P + Q), where the questions look just below the middle and at the top; logits: (M, V), where an
    answer is due.
    """

    listed: Tensor
    middle: Tensor
    top: Tensor
    seen: Tensor
    read: Tensor
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
    top = out.last_hidden_state
    logits = model.lm_head(top[batch["answer"] >= 0])
    return Ran(lists.hidden_states[LOW], out.hidden_states[MIDDLE], top, out.attentions[MIDDLE - 1], out.attentions[-1], logits)


def accuracy(model: LlamaForCausalLM, reader: Collate, n: int = 400) -> dict[str, float]:
    """Share of val expressions answered rightly on perfect lists, by category."""
    rng, right, asked_in = random.Random("llama/val"), dict.fromkeys(CATEGORIES, 0), dict.fromkeys(CATEGORIES, 0)
    rows, categories = [], []
    for scene in scenes("val", n, 1):
        e: Expression = scene.expression
        order = list(range(len(scene.layout.objects)))
        rng.shuffle(order)
        things = [scene.layout.objects[i] for i in order]
        one = asked(scene.layout, order, e.text, e.target, list(e.phrases), e.question)
        rows.append(Listed(candidates(rng, things), [0] * len(things), (scene.layout.width, scene.layout.height), [one]))
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


def main() -> None:
    torch.manual_seed(2)
    reader = Collate()
    model = build(reader.words)
    both = nn.ModuleDict({"model": model, "hints": Hints()}).to(device())

    def loss(batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        batch = {k: v.to(device()) for k, v in batch.items()}
        with torch.autocast(device().type, torch.bfloat16):
            ran = run(model, batch)
            hints = both["hints"].loss(ran, batch)
        answers = F.cross_entropy(ran.logits.float(), batch["answer"][batch["answer"] >= 0])
        total = 2 * answers + sum(WEIGHTS[name] * term for name, term in hints.items())
        return {"loss": total, "answers": answers} | hints

    if "--save" not in sys.argv:
        groups = [{"params": list(both.parameters()), "share": 1.0}]
        train(PLAN, both, groups, sample, reader, loss, lambda: accuracy(model, reader), weight_decay=0.02, eval_every=500)
    else:
        restore(PLAN, both)
    save(model, reader)


def save(model: LlamaForCausalLM, reader: Collate) -> None:
    """Write model, tokenizer and prompt template as the published checkpoints are laid out."""
    folder = TINY / "llama"
    model.cpu().eval().half().save_pretrained(folder)
    reader.words.save_pretrained(folder)
    TEMPLATE.save(folder)
    print(f"wrote {folder}")


if __name__ == "__main__":
    main()
