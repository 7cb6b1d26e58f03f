"""The pieces of work that are measured, each in the plain way and in ours.

python -m wrapper bench                                              # the bundled models
python -m wrapper bench --work llm --preset cpu --llama FOLDER --tokens 40   # a checkpoint, of random weights too
"""

import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image

from wrapper import datasets
from wrapper.bench.measure import Answers, Way, Work
from wrapper.bench.plain import Plain, plain_proposer, write_answer
from wrapper.candidates import Candidate
from wrapper.errors import DataError
from wrapper.evaluation.compare import compare_methods, methods_with
from wrapper.evaluation.methods import every
from wrapper.expressions import normalise
from wrapper.inventory import check_room, parts
from wrapper.pipeline import Wrapper, check_proposers, load_llm, load_proposers
from wrapper.presets import Preset, adapter_name
from wrapper.proposers.base import Proposer
from wrapper.proposers.decoding import Decoder
from wrapper.proposers.florence2 import Florence2
from wrapper.proposers.grounding_dino import GroundingDino, GroundingDinoRec
from wrapper.selectors.base import Question
from wrapper.selectors.llama import Llm
from wrapper.training.settings import TrainSettings
from wrapper.training.sft import answer_loss, computes_bfloat16, side_by_side, tokens, with_lora

EACH_PICTURE = 4
"""Expressions about a picture in `evaluate`, as in RefCOCOg's files or more."""
ALL_OF_THEM = ("locate", "compare", "evaluate", "again", "florence2", "grounding-dino", "llm", "train")
NEEDS_LLM = ("locate", "compare", "evaluate", "again", "llm")


@dataclass(frozen=True)
class Plan:
    """What is measured, on what. data: of which the questions are; questions: how many; beams: of the plain Florence-2's search; tokens:
    that Florence-2 writes in each answer, where its weights are random; None to let it end by itself. listed: candidates of each list in
    `llm` and `train`; length: tokens of a training row.
    """

    preset: Preset
    settings: TrainSettings
    works: Sequence[str] = ALL_OF_THEM
    data: str = "refscenes:val:16"
    questions: int = 8
    beams: int = 3
    tokens: int | None = None
    listed: int = 10
    length: int = 1024


Asked = Sequence[tuple[Image.Image, str]]


def works(plan: Plan) -> Iterator[Work]:
    """The pieces of work of a plan, with the models they need loaded. DataError for one that there is not."""
    if unknown := [name for name in plan.works if name not in ALL_OF_THEM]:
        raise DataError(f"There is no work {', '.join(unknown)} to measure. Choose from {', '.join(ALL_OF_THEM)}.")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if "again" in plan.works and plan.questions < 2:
        raise DataError("A second question about a picture needs two pictures, whose questions change places. Ask for 2 questions or more.")
    names, asks_llm = _proposers(plan), any(name in NEEDS_LLM for name in plan.works)
    check_room(parts(plan.preset, device.type == "cuda", names, asks_llm), device)
    proposers = {n: _of_tokens(p, plan.tokens) for n, p in (load_proposers(plan.preset, names, device) if names else {}).items()}
    asked = questions(plan.data, plan.questions)
    llm = load_llm(plan.preset, device) if asks_llm else None
    for name in plan.works:
        yield _work(name, plan, proposers, llm, asked)


def questions(data: str, count: int) -> Asked:
    """So many different pictures with an expression each, from the first on."""
    different = {e.image.key: e for e in datasets.read(data).examples}
    if len(different) < count:
        raise DataError(f"{data} has {len(different)} pictures, fewer than {count} questions. Ask for fewer, or name more data.")
    return [(e.image.open(), normalise(e.expression)) for e in itertools.islice(different.values(), count)]


def _proposers(plan: Plan) -> list[str]:
    if {"compare", "evaluate"} & set(plan.works):
        return list(plan.preset.proposers)
    if {"locate", "again"} & set(plan.works):
        return list(plan.preset.usual)
    names = [{"florence2": "florence2", "grounding-dino": "gdrec"}[w] for w in plan.works if w in ("florence2", "grounding-dino")]
    if names:
        check_proposers(names, plan.preset.proposers)
    return names


def _of_tokens(proposer: Proposer, count: int | None) -> Proposer:
    """Florence-2 that writes just so many tokens: random weights would not know where to end."""
    if count is None or not isinstance(proposer, Florence2):
        return proposer
    proposer.model.generation_config.min_new_tokens = count
    return replace(proposer, max_new_tokens=count)


def _work(name: str, plan: Plan, proposers: Mapping[str, Proposer], llm: Llm | None, asked: Asked) -> Work:
    if name == "train":
        return _train(plan, asked)
    if llm is None:
        return _proposing(name, plan, proposers, asked)
    plain = Plain(Wrapper(proposers, llm, plan.preset.merging), llm, plan.beams)
    making: dict[str, Callable[[], Work]] = {
        "locate": lambda: _locate(plan, plain, asked),
        "compare": lambda: _compare("compare", plan, plain, asked, 1),
        "evaluate": lambda: _compare("evaluate", plan, plain, several_a_picture(asked), 4 * EACH_PICTURE),
        "again": lambda: _again(plan, plain, asked),
        "llm": lambda: _llm(plan, llm, asked),
    }
    return making[name]() if name in making else _proposing(name, plan, proposers, asked)


def _locate(plan: Plan, plain: Plain, asked: Asked) -> Work:
    names, wrapper = plan.preset.usual, plain.wrapper
    return Work(
        "locate",
        f"{len(asked)} questions, one after the other, each about another picture; {', '.join(names)} and the LLM",
        Way(lambda: [_boxes(plain.locate(image, text, names)) for image, text in asked]),
        Way(lambda: [_boxes(wrapper.locate(image, text, names).chosen) for image, text in asked], lambda: forget(wrapper.proposers)),
        forwards(wrapper.proposers.values(), plain.llm),
    )


def _again(plan: Plan, plain: Plain, asked: Asked) -> Work:
    """Here the plain way is ours as well, for a picture that was not seen before."""
    names, wrapper = plan.preset.usual, plain.wrapper
    second = [(image, asked[i - 1][1]) for i, (image, _) in enumerate(asked)]

    def ask(questions: Asked) -> Answers:
        return [_boxes(wrapper.locate(image, text, names).chosen) for image, text in questions]

    def ask_before() -> None:
        forget(wrapper.proposers)
        ask(asked)

    return Work(
        "again",
        f"{len(asked)} questions about pictures that are new (plain), and the same ones about pictures that were asked about before (ours)",
        Way(lambda: ask(second), lambda: forget(wrapper.proposers)),
        Way(lambda: ask(second), ask_before),
    )


def _compare(name: str, plan: Plan, plain: Plain, asked: Asked, batch: int) -> Work:
    wrapper = plain.wrapper
    methods = methods_with(wrapper, every(plan.preset.proposers))

    def in_the_plain_way() -> Answers:
        return [_boxes(plain.method(image, text, m)) for image, text in asked for m in methods]

    def ours() -> Answers:
        found = []
        for start in range(0, len(asked), batch):
            part = asked[start : start + batch]
            found += compare_methods(wrapper, [image for image, _ in part], [text for _, text in part], methods)
        return [_boxes(c.selection.chosen) for row in found for c in row]

    about = f"{len(asked)} questions by {len(methods)} methods" + (f", {EACH_PICTURE} a picture" if batch > 1 else "")
    ways = Way(in_the_plain_way), Way(ours, lambda: forget(wrapper.proposers))
    return Work(name, about, *ways, forwards(wrapper.proposers.values(), plain.llm))


def several_a_picture(asked: Asked) -> Asked:
    """Four expressions about each picture: its own and those of others, which for speed are as good."""
    texts = [text for _, text in asked]
    return [(image, texts[(i + k) % len(texts)]) for i, (image, _) in enumerate(asked) for k in range(EACH_PICTURE)]


def _proposing(name: str, plan: Plan, proposers: Mapping[str, Proposer], asked: Asked) -> Work:
    proposer = proposers["florence2" if name == "florence2" else "gdrec"]
    if name == "grounding-dino":
        asked = [(asked[0][0], text) for _, text in asked]
    plain = plain_proposer(proposer, plan.beams)

    def one_by_one(who: Proposer) -> Answers:
        return [[c.box for found in who.propose([image], [text]) for c in found] for image, text in asked]

    def together() -> Answers:
        return [[c.box for c in row] for row in proposer.propose([image for image, _ in asked], [text for _, text in asked])]

    about = f"{len(asked)} questions, each about another picture" if name == "florence2" else f"{len(asked)} expressions about one picture"
    ours = (lambda: one_by_one(proposer)) if name == "florence2" else together
    return Work(name, about, Way(lambda: one_by_one(plain)), Way(ours, lambda: forget({name: proposer})), forwards([proposer], None))


def forget(proposers: Mapping[str, Proposer]) -> None:
    """Make every picture new to these proposers."""
    for p in proposers.values():
        if isinstance(p, Florence2):
            p.forget()
        elif isinstance(p, (GroundingDino, GroundingDinoRec)):
            p.detector.forget()


def _llm(plan: Plan, llm: Llm, asked: Asked) -> Work:
    lists = questions_of(asked, llm, plan.listed)
    longest = max(len(llm.prompt(q).ids) for q in lists)
    return Work(
        "llm",
        f"{len(lists)} lists of {plan.listed} candidates, prompts of up to {longest} tokens",
        Way(lambda: [_boxes(write_answer(llm, q)) for q in lists]),
        Way(lambda: [_boxes(s.chosen) for s in llm.select(lists)]),
        forwards([], llm),
    )


def questions_of(asked: Asked, llm: Llm, listed: int) -> list[Question]:
    """Lists of so many boxes at random places, such as a detector might give; the same each time."""
    rng, adapter = random.Random(0), adapter_name(["gdrec"])
    lists = []
    for image, text in asked:
        candidates = []
        for rank in range(listed):
            x, y = rng.uniform(0, 0.7) * image.width, rng.uniform(0, 0.7) * image.height
            box = (x, y, x + rng.uniform(0.05, 0.3) * image.width, y + rng.uniform(0.05, 0.3) * image.height)
            candidates.append(Candidate(box, rng.choice(["a red cup", "book", "the dog", "clock"]), rng.random(), "gdrec", rank))
        lists.append(Question(tuple(candidates), text, image.size, adapter if adapter in llm.adapters else None))
    return lists


def _train(plan: Plan, asked: Asked) -> Work:
    """A step of fine-tuning an LLM of its own: logits of every place (plain) against those of the answers' places only."""
    s, llm = plan.settings, load_llm(replace(plan.preset, adapters={}), torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    lists_of = questions_of(list(itertools.islice(itertools.cycle(asked), s.batch)), llm, plan.listed)
    rows = [tokens(llm, llm.text(q, llm.template), i % plan.listed) for i, q in enumerate(lists_of)]
    rows = [{k: (v[:1] * plan.length)[: max(0, plan.length - len(v))] + v for k, v in row.items()} for row in rows]
    lists = {k: v.to(llm.model.device) for k, v in side_by_side(rows).items()}
    model = with_lora(llm.model, s, plan.preset.four_bit)
    if s.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=s.lr)

    def step(loss: Callable[[], torch.Tensor]) -> Answers:
        model.train()
        with torch.autocast(model.device.type, torch.bfloat16, enabled=s.bf16 and computes_bfloat16(model.device)):
            found = loss()
        found.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        return []

    return Work(
        "train",
        f"a step of {len(rows)} rows of {lists['input_ids'].shape[1]} tokens, LoRA of rank {s.rank}",
        Way(lambda: step(lambda: model(**lists, use_cache=False).loss)),
        Way(lambda: step(lambda: answer_loss(model, lists)[0])),
    )


def _boxes(chosen: Candidate | None) -> list[Any]:
    return [] if chosen is None else [chosen.box]


def forwards(proposers: Any, llm: Llm | None) -> list[tuple[Any, str]]:
    """What of these models is arithmetic, as (object, method)."""
    found: list[tuple[Any, str]] = []
    for p in proposers:
        if isinstance(p, Florence2):
            inner = p.model.model
            found += [(m, "forward") for m in (inner.vision_tower, inner.multi_modal_projector, inner.language_model.encoder)]
            found += [(Decoder, "step"), (Decoder, "reading")]
        elif isinstance(p, GroundingDinoRec):
            found += [(p.detector.model, "forward"), (p.detector.model.model.backbone, "look")]
        elif not isinstance(p, GroundingDino):  # GD's is GDrec's
            found += [(session, "run")] if (session := getattr(getattr(p, "detector", None), "session", None)) is not None else []
    return found + ([(llm.model, "forward")] if llm is not None else [])
