"""Teach the bundled Llama the lists that it is served: what two detectors make of a RefScenes scene, mistakes included.

    python -m weights.recipes.llama_served          # resumes where it was cut
    python -m weights.recipes.llama_served --save   # write weights/tiny/llama from the last checkpoint

The stages of `weights.recipes.llama` read perfect lists. Served ones are merged from two detectors that each miss objects, find some
twice, box what is nothing and call things what they are not; one says colours and gives no scores, the other repeats the expression's
words whatever it boxes, and its score says how sure it is. Who proposes a box, what each calls it and how sure it is stand in its line, so
that one detector's mistake can be told by what the other says. How often each mistake happens was counted on the bundled detectors' boxes
of RefScenes train; the boxes themselves are not used, so that the adapters, which are trained on them, have something to learn.

"none" is an answer: what an expression means may not be there, or no box may be on it.
"""

import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

import torch
from torch import nn
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from weights.recipes import llama_open
from weights.recipes.common import RUNS, TINY_WEIGHTS, Plan, device, restore, train
from weights.recipes.llama import FRAME, NOT_THERE, TEMPLATE, Asked, Listed, asked, learn_tokens, losses, mention, named, run
from weights.recipes.llama_open import NONE, Hints, build
from weights.recipes.words import texts, vocabulary
from wrapper.candidates import IOU_THRESHOLD, Candidate, iou
from wrapper.merging import canonical, merge
from wrapper.prompt import PromptTemplate
from wrapper.scenes.expressions import CATEGORIES, Expression, Phrase, ask, wants_color
from wrapper.scenes.layout import LONG_SIDE, Box, Layout, SceneObject, Split, draw_layout

PLAN = Plan("llama-served", steps=2600, batch=8, lr=8e-4, warmup=100, floor=0.02)
SERVED: PromptTemplate = replace(
    TEMPLATE, line="- {label} {x1},{y1},{x2},{y2}{score}{source} = {index}", source=" from {sources}", also=" / {label}", none=NONE
)
QUESTIONS = 6
DRAWN = (2, 1, 1, 4, 2, 3, 6)
"""How often a list is drawn for a kind of expression, in the order of CATEGORIES: some kinds are rare on lists as they come."""


def tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer of RefScenes texts, with a token for "none"."""
    words = [f" {word}" for word in vocabulary()] + ["the", "a", "an", "gdrec", "florence2", " gdrec", " florence2"]
    return learn_tokens([*words * 4, *texts(3000), *[*FRAME, " from", " and", " /", NONE] * 50], 1500)


# ---- what two detectors make of a scene


@dataclass(frozen=True)
class Boxed:
    """A detector's box, and the number of the object that it is on; None where it is on nothing. again: the object has one already."""

    candidate: Candidate
    thing: int | None
    again: bool = False


def nudged(rng: random.Random, box: Box, share: float) -> Box:
    """A box with every edge moved by up to a share of its side, whole pixels, on the picture."""
    dx, dy = (box[2] - box[0]) * share, (box[3] - box[1]) * share
    x1, y1, x2, y2 = (float(round(v + rng.uniform(-d, d))) for v, d in zip(box, (dx, dy, dx, dy), strict=True))
    return max(x1, 0.0), max(y1, 0.0), max(x2, x1 + 2, 2.0), max(y2, y1 + 2, 2.0)


def beside(rng: random.Random, box: Box) -> Box:
    """A box beside another one that is on nothing; towards the picture's middle, so that it is on the picture."""
    w, h = box[2] - box[0], box[3] - box[1]
    dx = (1 if box[0] + box[2] < LONG_SIDE else -1) * w * rng.uniform(0.5, 1.0)
    dy = (1 if box[1] + box[3] < LONG_SIDE else -1) * h * rng.uniform(0.0, 0.6)
    return nudged(rng, (box[0] + dx, box[1] + dy, box[2] + dx, box[3] + dy), 0.2)


def captioned(rng: random.Random, layout: Layout, said: Sequence[tuple[Phrase, str]]) -> list[Boxed]:
    """As Florence-2 does it: everything in the picture by a caption, what the expression names perhaps by its words, and no scores."""
    found: list[Boxed] = []
    repeats = rng.random() < 0.5
    for i, thing in enumerate(layout.objects):
        if rng.random() < 0.03:
            continue
        box = beside(rng, thing.box) if rng.random() < 0.02 else nudged(rng, thing.box, 0.04)
        label = mention(rng, thing, "florence2", False, "caption").candidate.label
        words = next((text for phrase, text in said if phrase.fits(thing.kind)), None)
        if rng.random() < 0.05:
            label = mention(rng, rng.choice(layout.objects), "florence2", False, "caption").candidate.label
        elif words and repeats and rng.random() < 0.4:
            label = words
        on = i if iou(box, thing.box) > IOU_THRESHOLD else None
        found.append(Boxed(Candidate(box, label, None, "florence2", len(found)), on))
        if rng.random() < 0.007:
            found.append(Boxed(Candidate(nudged(rng, box, 0.12), label, None, "florence2", len(found)), on, again=True))
    if said and rng.random() < 0.06:
        wrong = rng.randrange(len(layout.objects))
        box = nudged(rng, layout.objects[wrong].box, 0.15)
        found.append(Boxed(Candidate(box, said[0][1], None, "florence2", len(found)), wrong, again=True))
    return found


def repeated(rng: random.Random, layout: Layout, said: Sequence[tuple[Phrase, str]], scored: bool = True) -> list[Boxed]:
    """As Grounding DINO does it: what the expression names, by its words. Where nothing fits, something else is taken for it."""
    found: list[Boxed] = []
    for n, (phrase, words) in enumerate(said):
        fitting = [i for i, o in enumerate(layout.objects) if phrase.fits(o.kind)]
        others = [i for i in range(len(layout.objects)) if i not in fitting]
        alike = [i for i in others if layout.objects[i].kind.noun == phrase.noun]
        rng.shuffle(fitting)
        mistaken = rng.choices((0, 1, 2, 3), (0.75, 0.2, 0.04, 0.01) if fitting else (0.1, 0.5, 0.25, 0.15))[0]
        taken = [*(i for i in alike if rng.random() < (0.1 if fitting else 0.7)), *rng.sample(others, min(mistaken, len(others)))]
        most = rng.gauss(0.72, 0.12) if n == 0 else rng.gauss(0.3, 0.08)
        for place, i in enumerate([*fitting, *dict.fromkeys(taken)]):
            if rng.random() < 0.03:
                continue
            if place >= len(fitting):
                score = rng.uniform(0.15, 0.4) if fitting else min(rng.uniform(0.15, 0.85), rng.uniform(0.15, 0.85))
            else:
                score = most if place == 0 else rng.gauss(0.38 if n == 0 else 0.25, 0.09)
            box = layout.objects[i].box
            found.append(Boxed(_scored(rng, nudged(rng, box, 0.06), words, score, scored, len(found)), i))
            if rng.random() < 0.14:
                found.append(Boxed(_scored(rng, nudged(rng, box, 0.2), words, rng.uniform(0.15, 0.25), scored, len(found)), i, again=True))
            if rng.random() < 0.09:
                found.append(Boxed(_scored(rng, beside(rng, box), words, rng.uniform(0.15, 0.28), scored, len(found)), None))
    return found


def _scored(rng: random.Random, box: Box, words: str, score: float, scored: bool, rank: int) -> Candidate:
    return Candidate(box, words, round(min(max(score, 0.15), 0.96), 2) if scored else None, "gdrec", rank)


# ---- samples


@dataclass(frozen=True)
class Task:
    """Expressions of one subject about a layout, and what they name first: phrases with their words. None as a target: it is not there."""

    asked: tuple[tuple[str, int | None, tuple[Phrase, ...], Expression | None], ...]
    said: tuple[tuple[Phrase, str], ...]


def sample(rng: random.Random, index: int, split: Split = "train") -> Listed:
    """A list as it is served, with its questions."""
    kind = random.Random(f"served/{index // PLAN.batch}").random()
    layout, first = _layout(rng, split)
    task = absent(rng, layout) if rng.random() < 0.25 else present(rng, layout, first)
    sources: list[list[Boxed]] = []
    if kind < 0.72:
        sources.append(captioned(rng, layout, task.said))
    if kind >= 0.25:
        sources.append(repeated(rng, layout, task.said, rng.random() < 0.93))
    boxed = {(b.candidate.source, b.candidate.rank): b for one in sources for b in one}
    if len(boxed) < 2:
        return sample(rng, index, split)
    candidates = list(merge([[b.candidate for b in one] for one in sources]).candidates)
    candidates = canonical(candidates) if rng.random() < 0.85 else rng.sample(candidates, len(candidates))
    rows = [_joined([boxed[part.source, part.rank] for part in (c, *c.others)]) for c in candidates]
    real: list[int] = []
    seen: set[int] = set()
    for row in rows:
        real.append(int(row.thing is not None and not row.again and row.thing not in seen))
        seen |= {row.thing} if row.thing is not None else set()
    questions = [judged(layout, rows, candidates, *one) for one in task.asked]
    return Listed(candidates, [], (layout.width, layout.height), questions, real)


def _layout(rng: random.Random, split: Split) -> tuple[Layout, Expression]:
    """A layout in which an expression of a kind has an answer, and that expression."""
    wanted = rng.choices(CATEGORIES, DRAWN)[0]
    while True:
        layout = draw_layout(rng, wants_color(wanted, rng))
        if layout.split == split and (expression := ask(rng, layout, wanted, tries=16)):
            return layout, expression


def _joined(parts: list[Boxed]) -> Boxed:
    """What a merged candidate is on: whatever one of its boxes is on."""
    return next((p for p in parts if p.thing is not None and not p.again), next((p for p in parts if p.thing is not None), parts[0]))


def present(rng: random.Random, layout: Layout, first: Expression) -> Task:
    """Questions of the same subject, in the same colour or in none, as one list answers them all."""
    asked_ = {first.text: first}
    head = first.phrases[0]
    for _ in range(4 * QUESTIONS):
        other = ask(rng, layout, rng.choice(CATEGORIES), head.noun, tries=2)
        if other and other.phrases[0].color == head.color:
            asked_.setdefault(other.text, other)
        if len(asked_) == QUESTIONS:
            break
    rows = [(e.text, e.target, e.phrases, e) for e in asked_.values()]
    if (easy := named(rng, layout)) and easy[2][0].noun == head.noun and easy[2][0].color == head.color:
        rows.append((easy[0], easy[1], tuple(easy[2]), None))
    said = {(p.noun, p.color): (p, words(e.text, p)) for e in asked_.values() for p in e.phrases}
    return Task(tuple(rows), tuple(list(said.values())[:4]))


def words(text: str, phrase: Phrase) -> str:
    """A noun phrase of an expression without its article, as a detector repeats it."""
    found = text[phrase.start : phrase.end].lower().split()
    return " ".join(found[1:] if len(found) > 1 and found[0] in ("the", "a", "an") else found) or phrase.noun


def absent(rng: random.Random, layout: Layout) -> Task:
    """Questions about another scene, whose subject is not in this one; now and then it is there in other colours only."""
    nouns, kinds = {o.kind.noun for o in layout.objects}, {(o.kind.noun, o.kind.color) for o in layout.objects}
    while True:
        wanted = rng.choice(CATEGORIES)
        other = draw_layout(rng, wants_color(wanted, rng))
        found = ask(rng, other, wanted, tries=4)
        if found is None:
            continue
        head = found.phrases[0]
        recoloured = head.color is not None and head.noun in nouns and (head.noun, head.color) not in kinds
        if head.noun not in nouns or recoloured:
            more = (ask(rng, other, rng.choice(CATEGORIES), head.noun, tries=2) for _ in range(6))
            all_of = {e.text: e for e in (found, *more) if e and e.phrases[0].color == head.color}
            easy = named(rng, other)
            rows = [(e.text, None, e.phrases, None) for e in list(all_of.values())[:3]]
            if easy and easy[2][0].noun == head.noun and easy[2][0].color == head.color:
                rows.append((easy[0], None, tuple(easy[2]), None))
            return Task(tuple(rows), tuple((p, words(found.text, p)) for p in found.phrases))


def judged(
    layout: Layout, rows: list[Boxed], candidates: list[Candidate], text: str, target: int | None, phrases: Sequence[Phrase],
    expression: Expression | None,
) -> Asked:  # fmt: skip
    """A question with what the heads are to say of every row."""
    if target is None:
        named_by = [*phrases[:3], *[None] * (3 - len(phrases[:3]))]
        of_object = [[int(p is not None and p.fits(o.kind)) for p in named_by] for o in layout.objects]
        roles = [[0, 0, 0] if row.thing is None else of_object[row.thing] for row in rows]
        return Asked(text, NOT_THERE, roles, [[float("nan")] * 16] * len(rows), [[0, 0]] * len(rows), [None, None])
    rule = expression.question if expression else None
    whole = asked(layout, list(range(len(layout.objects))), text, target, list(phrases), rule)
    thing: SceneObject = layout.objects[target]
    best = max(range(len(rows)), key=lambda i: iou(candidates[i].box, thing.box))
    there = iou(candidates[best].box, thing.box) > IOU_THRESHOLD
    on = [row.thing for row in rows]
    return Asked(
        text,
        best if there else NOT_THERE,
        [[0, 0, 0] if i is None else whole.roles[i] for i in on],
        [[float("nan")] * 16 if i is None else whole.compared[i] for i in on],
        [[0, 0] if i is None else [whole.verdict[i][0], int(there and n == best)] for n, i in enumerate(on)],
        [None if i is None or i not in on else on.index(i) for i in whole.marks],
    )


class Collate(llama_open.Collate):
    """As `weights.recipes.llama_open.Collate`, of lists as they are served."""

    template = SERVED


# ---- how good it is


@cache
def validation() -> list[Listed]:
    """Lists of val layouts, as many of each make."""
    return [sample(random.Random(f"llama-served/val/{i}"), i, "val") for i in range(320)]


def accuracy(model: LlamaForCausalLM, reader: Collate) -> dict[str, float]:
    """Shares of validation questions answered rightly, those with an answer and those without, by who proposes."""
    right: dict[str, list[bool]] = {}
    for start in range(0, len(validation()), PLAN.batch):
        part = validation()[start : start + PLAN.batch]
        batch = {k: v.to(device()) for k, v in reader(part).items()}
        guess = iter(run(model, batch).logits[::2].argmax(-1).tolist())  # the index; the other one is the end token
        for row in part:
            who = "+".join(sorted({s for c in row.candidates for s in c.sources}))
            for a in row.asked:
                name = f"{who}{'_none' if a.answer == NOT_THERE else ''}"
                right.setdefault(name, []).append(next(guess) == reader.answer(a.answer)[0])
    return {name: sum(found) / len(found) for name, found in sorted(right.items())}


def main() -> None:
    torch.manual_seed(5)
    run_folder = RUNS / PLAN.name
    if not (run_folder / "tokenizer.json").exists():
        tokenizer().save_pretrained(run_folder)
    reader = Collate(PreTrainedTokenizerFast.from_pretrained(run_folder))
    model = build(reader.words, str(TINY_WEIGHTS / "llama"))
    both = nn.ModuleDict({"model": model, "hints": Hints(model.get_input_embeddings().weight)}).to(device())

    if "--save" not in sys.argv:
        groups = [{"params": list(both.parameters()), "share": 1.0}]
        evaluate = partial(accuracy, model, reader)
        train(PLAN, both, groups, sample, reader, losses(model, both["hints"]), evaluate, weight_decay=0.02, eval_every=300, save_every=100)
    else:
        restore(PLAN, both)
    save(model, reader.words)


def save(model: LlamaForCausalLM, words: PreTrainedTokenizerFast) -> None:
    """Write model, tokenizer and prompt template as the published checkpoints are laid out."""
    folder = TINY_WEIGHTS / "llama"
    model.cpu().eval().half().save_pretrained(folder)
    words.save_pretrained(folder)
    SERVED.save(folder)
    print(f"wrote {folder}")


if __name__ == "__main__":
    main()
