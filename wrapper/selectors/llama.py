"""A local causal LLM as the selector: Llama 3 (or another chat model), with any number of LoRA adapters.

The answer is scored, not parsed: the probability of each candidate's index, all its tokens and the end of the turn
included, given the prompt. All candidates of a batch of prompts are scored in one forward pass: the answers stand side
by side behind the prompt, and a mask lets each see the prompt and itself only.
"""

import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
from transformers.utils.hub import cached_file

from wrapper.candidates import Reason, Selection
from wrapper.control_tokens import spell_out
from wrapper.errors import ModelError
from wrapper.memory import by_halves
from wrapper.merging import shortened
from wrapper.prompt import FILE_NAME, PromptTemplate, messages, render
from wrapper.proposers.loading import load_pretrained
from wrapper.selectors.base import Question, own_answer, with_labels, without_asking
from wrapper.selectors.experts import has_experts, quantise_experts

MAX_TOKENS = 1024
"""Of a prompt and its answer together (the paper)."""
LEAST = 2
"""Candidates that a prompt has at least (METHOD: Pipeline)."""


@dataclass(frozen=True)
class Adapter:
    """An adapter in memory. key: its name inside PEFT; template: the wording it reads."""

    key: str
    template: PromptTemplate


@dataclass(frozen=True)
class Prompt:
    """A question as the LLM reads it. places: of the candidates that stand in it, in the question's list."""

    text: str
    ids: list[int]
    places: list[int]
    template: PromptTemplate


class Llm:
    """A loaded LLM; it answers questions, each with one of its adapters or none.

    template: the wording that the LLM reads without an adapter. max_tokens: of a prompt and its answer together; candidates are left
    out of a longer one. batch: prompts in one forward pass. Threads may share it.
    """

    name = "llama"

    def __init__(
        self, model: Any, tokenizer: Any, template: PromptTemplate | None = None, max_tokens: int = MAX_TOKENS, batch: int = 8
    ) -> None:
        self.model, self.tokenizer, self.template = model, tokenizer, template or PromptTemplate()
        self.max_tokens, self.batch = max_tokens, batch
        self._adapters: dict[str, Adapter] = {}
        self._answers: dict[tuple[PromptTemplate, str], list[int]] = {}
        self._keys = itertools.count()
        self._frame = frame_words(tokenizer)
        self._lock = threading.Lock()

    @classmethod
    def load(
        cls, source: str, device: torch.device, dtype: torch.dtype, four_bit: bool = False, revision: str | None = None, **options: Any
    ) -> "Llm":
        """Load model, tokenizer and prompt template from a Hub id or a folder.

        four_bit: quantise the model to NF4 with double quantisation (Dettmers et al. 2023), as the paper does. options: as of
        the class.
        """
        tokenizer: Any = load_pretrained("The LLM's tokenizer", source, AutoTokenizer.from_pretrained, revision=revision)
        if not tokenizer.chat_template:
            raise ModelError(f"{source} has no chat template. Choose an instruction-tuned model.")
        kwargs: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, "revision": revision}
        if four_bit:
            kwargs["quantization_config"] = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
                load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
            )
            config = load_pretrained("The LLM", source, AutoConfig.from_pretrained, revision=revision)
            kwargs["device_map"] = {"": "cpu" if has_experts(config) else device}  # those come to a GPU when they are quantised
        model: Any = load_pretrained("The LLM", source, AutoModelForCausalLM.from_pretrained, **kwargs)
        if four_bit:
            quantise_experts(model, device)
        return cls(model.to(device).eval(), tokenizer, template_of(source), **options)

    @property
    def adapters(self) -> Mapping[str, Adapter]:
        """The adapters by name."""
        return MappingProxyType(self._adapters)

    def add_adapter(self, name: str, source: str) -> None:
        """Load a LoRA adapter (folder or Hub id) beside the others, with the prompt template that lies beside it.

        ModelError where it does not fit; then nothing has changed. Its file is read on the CPU and its weights go where the
        model's are: a Space with ZeroGPU has no CUDA yet.
        """
        from wrapper.selectors.lora import attach  # here: PEFT takes a second or two to import, and not everybody has an adapter

        key = f"adapter{next(self._keys)}"
        with self._lock:
            self.model = attach(self.model, source, key)
            self._adapters[name] = Adapter(key, template_of(source) or self.template)

    def template_for(self, adapter: str | None) -> PromptTemplate:
        """The wording that is read with an adapter; ModelError where there is none of that name."""
        if adapter is None:
            return self.template
        if adapter not in self._adapters:
            raise ModelError(
                f"There is no adapter {adapter!r} here. Choose from {', '.join(self._adapters) or 'none, for none is loaded'}."
            )
        return self._adapters[adapter].template

    def select(self, questions: Sequence[Question]) -> list[Selection]:
        """The most probable candidate of each question. The LLM is not asked about an empty list, and about a single candidate only
        where it has learnt to say "none"."""
        done: dict[int, Selection] = {}
        prompts: dict[int, Prompt] = {}
        for i, q in enumerate(questions):
            if len(q.candidates) < (1 if self.template_for(q.adapter).none else LEAST):
                done[i] = without_asking(q.candidates)
                continue
            prompt = self.prompt(q)
            if self._length(prompt) > self.max_tokens:
                done[i] = Selection(q.candidates, own_answer(q.candidates), (), Reason.FALLBACK_TOO_LONG, prompt.text, left_out=q.left_out)
            else:
                prompts[i] = prompt
        # Prompts of like length waste little padding; PEFT's batches of mixed adapters refuse DoRA and leave hooks behind when they fail
        order = sorted(prompts, key=lambda i: (questions[i].adapter or "", len(prompts[i].ids)))
        for adapter, group in groupby(order, key=lambda i: questions[i].adapter):
            same = list(group)
            for start in range(0, len(same), self.batch):
                part = same[start : start + self.batch]
                scored = by_halves(partial(self.score, adapter=adapter), [prompts[i] for i in part], "The LLM")
                for i, logs in zip(part, scored, strict=True):
                    done[i] = _chosen(questions[i], prompts[i], logs)
        return [done[i] for i in range(len(questions))]

    def prompt(self, q: Question) -> Prompt:
        """A question as text and token ids. Candidates are left out, the least important first, until it is short enough."""
        template, most = self.template_for(q.adapter), len(q.candidates)
        while True:
            places = [q.candidates.index(c) for c in shortened(q.candidates, most)]
            text = self.text(replace(q, candidates=tuple(q.candidates[i] for i in places)), template)
            found = Prompt(text, self.encode(text, template), places, template)
            if most <= LEAST or self._length(found) <= self.max_tokens:
                return found
            most -= 1

    def text(self, q: Question, template: PromptTemplate) -> str:
        """A question as the LLM reads it; nothing in it is a control token."""

        def plain(words: str) -> str:
            return spell_out(words, self.tokenizer, self._frame)

        labelled = [with_labels(c, plain) for c in q.candidates]
        return spell_out(render(labelled, plain(q.expression), template, q.size), self.tokenizer)

    def _length(self, prompt: Prompt) -> int:
        return len(prompt.ids) + max(len(tokens) for tokens in self.answers(len(prompt.places), prompt.template))

    def answers(self, count: int, template: PromptTemplate) -> list[list[int]]:
        """Token ids of every answer to a list of so many candidates: their indices, and "none" at the end where there is one."""
        return [self.answer(i, template) for i in range(count)] + ([self.answer(template.none, template)] if template.none else [])

    def encode(self, prompt: str, template: PromptTemplate | None = None) -> list[int]:
        """Token ids of a prompt, up to where the answer begins."""
        return self._tokens(messages(prompt, template or self.template), template, add_generation_prompt=True)

    def count_tokens(self, prompt: str, adapter: str | None) -> int | None:
        """Of a prompt, as it is read with an adapter."""
        return len(self.encode(prompt, self.template_for(adapter)))

    def answer(self, said: int | str, template: PromptTemplate | None = None) -> list[int]:
        """Token ids of an index, or of another answer, the end of the turn included."""
        template, text = template or self.template, str(said)
        if (template, text) not in self._answers:
            before = self.encode("x", template)
            whole = self._tokens([*messages("x", template), {"role": "assistant", "content": text}], template)
            if whole[: len(before)] != before:
                raise ModelError("This model's chat template changes the question when it is answered. Choose another model.")
            tail = whole[len(before) :]
            end = tail.index(self.tokenizer.eos_token_id) + 1 if self.tokenizer.eos_token_id in tail else len(tail)
            self._answers[template, text] = tail[:end]
        return self._answers[template, text]

    def _tokens(self, chat: list[dict[str, str]], template: PromptTemplate | None, **options: Any) -> list[int]:
        date = (template or self.template).date
        ids: list[int] = self.tokenizer.apply_chat_template(chat, return_dict=False, date_string=date, **options)
        return ids

    @contextmanager
    def using(self, adapter: str | None) -> Iterator[Any]:
        """The model with an adapter at work, or exactly as it was without any. Whatever happens inside, the next use is not
        touched by it."""
        with self._lock:
            if not self._adapters:
                yield self.model
            elif adapter is None:
                with self.model.disable_adapter():
                    yield self.model
            else:
                self.model.set_adapter(self._adapters[adapter].key)
                yield self.model

    @torch.inference_mode()
    def score(self, prompts: Sequence[Prompt], adapter: str | None = None) -> list[Tensor]:
        """Log-probabilities of each prompt's answers (`answers`), (candidates,) or one more, float32 on the CPU."""
        packs = [_Pack.of(p.ids, self.answers(len(p.places), p.template)) for p in prompts]
        before = max(p.prompt for p in packs)  # prompts end in one column, answers follow
        after = max(len(p.ids) - p.prompt for p in packs)
        ids = torch.zeros(len(packs), before + after, dtype=torch.long)
        positions = torch.zeros_like(ids)
        seen = torch.eye(before + after, dtype=torch.bool).repeat(len(packs), 1, 1)
        for row, pack in enumerate(packs):
            start, end = before - pack.prompt, before - pack.prompt + len(pack.ids)
            ids[row, start:end] = torch.tensor(pack.ids)
            positions[row, start:end] = torch.tensor(pack.positions)
            seen[row, start:end, start:end] = pack.visible()
        with self.using(adapter) as model, _with_masks(model):
            dtype = _dtype(model)
            mask = torch.zeros(seen.shape, dtype=dtype).masked_fill(~seen, torch.finfo(dtype).min)
            logits = model(
                input_ids=ids.to(model.device), position_ids=positions.to(model.device), attention_mask=mask[:, None].to(model.device),
                logits_to_keep=after + 1, use_cache=False,
            ).logits  # fmt: skip
        return [pack.totals(logs) for pack, logs in zip(packs, logits.float().log_softmax(-1).cpu(), strict=True)]


def frame_words(tokenizer: Any) -> tuple[str, ...]:
    """Words of a chat format that are plain text, as Mixtral's "[INST]": an LLM takes them for the frame wherever they stand."""
    chat = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}, {"role": "user", "content": "x"}]
    text = tokenizer.apply_chat_template(chat, tokenize=False, date_string="")
    return tuple(sorted({word for word in text.split() if len(word) > 2 and not word.isalnum()}))


def template_of(source: str) -> PromptTemplate | None:
    """The prompt.json in a folder or a Hub repository; None where there is none."""
    path = cached_file(
        source, FILE_NAME, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False,
        _raise_exceptions_for_gated_repo=False,
    )  # fmt: skip
    return None if path is None else PromptTemplate.load(Path(path).parent)


def _chosen(q: Question, prompt: Prompt, logs: Tensor) -> Selection:
    """The most probable candidate of those that stand in the prompt, and how probable it is that none is meant."""
    count, temperature = len(prompt.places), prompt.template.temperature
    logs = logs / (temperature or 1.0)
    logs[count:] += prompt.template.none_bias
    all_of_them = logs.softmax(0)
    probabilities = all_of_them[:count]
    left_out = q.left_out + len(q.candidates) - count
    reason = Reason.CHOSEN_FROM_PART if left_out else Reason.CHOSEN
    candidates = tuple(q.candidates[i] for i in prompt.places)
    return Selection(
        candidates, int(probabilities.argmax()), tuple(probabilities.tolist()), reason, prompt.text, left_out=left_out,
        absent=float(all_of_them[count]) if len(logs) > count else None, calibrated=temperature > 0,
    )  # fmt: skip


@contextmanager
def _with_masks(model: Any) -> Iterator[None]:
    """Attention that takes a mask of our own: flash attention, which a model may have been trained with, does not."""
    before = model.config._attn_implementation
    if not before.startswith("flash"):
        yield
        return
    model.config._attn_implementation = "sdpa"
    try:
        yield
    finally:
        model.config._attn_implementation = before


@dataclass(frozen=True)
class _Pack:
    """A prompt and its possible answers in one sequence. An answer's last token is scored but not read.

    branch: for each token the answer it belongs to, -1 in the prompt.
    """

    ids: list[int]
    positions: list[int]
    branch: list[int]
    prompt: int
    answers: list[list[int]]

    @classmethod
    def of(cls, prompt: Sequence[int], answers: list[list[int]]) -> "_Pack":
        ids, positions, branch = list(prompt), list(range(len(prompt))), [-1] * len(prompt)
        for i, tokens in enumerate(answers):
            read = tokens[:-1]
            ids += read
            positions += range(len(prompt), len(prompt) + len(read))
            branch += [i] * len(read)
        return cls(ids, positions, branch, len(prompt), answers)

    def visible(self) -> Tensor:
        """(T, T): a token sees earlier ones of the prompt and of its own answer."""
        branch = torch.tensor(self.branch)
        same = (branch[:, None] == branch[None]) | (branch[None] == -1)
        return same & torch.ones(len(branch), len(branch), dtype=torch.bool).tril()

    def totals(self, logs: Tensor) -> Tensor:
        """Log-probability of every answer. logs: (1 + T', V), from the prompt's last token on."""
        out, at = [], 1
        for tokens in self.answers:
            rows = [0, *range(at, at + len(tokens) - 1)]
            out.append(logs[rows, tokens].sum())
            at += len(tokens) - 1
        return torch.stack(out)


def _dtype(model: Any) -> torch.dtype:
    """The dtype attention computes in: that of the norms, which quantisation leaves alone."""
    found: torch.dtype = next(p.dtype for n, p in model.named_parameters() if "norm" in n)
    return found
