"""A local causal LLM as the selector: Llama 3 (or another chat model), with or without a LoRA adapter.

The answer is scored, not parsed: the probability of each candidate's index, all its tokens and the end of the turn
included, given the prompt. All candidates of a batch of prompts are scored in one forward pass: the answers stand side
by side behind the prompt, and a mask lets each see the prompt and itself only.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
from transformers.utils.hub import cached_file

from wrapper.candidates import Candidate, Reason, Selection
from wrapper.errors import ModelError
from wrapper.prompt import FILE_NAME, PromptTemplate, render
from wrapper.proposers.loading import load_pretrained
from wrapper.selectors.base import Size, without_asking


class Llm:
    """A causal LLM in memory with any number of LoRA adapters, of which one or none is in use at a time.

    Selectors share it; a lock keeps one thread's adapter from being another's.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self._adapters: list[str] = []
        self._lock = threading.Lock()

    def add_adapter(self, source: str) -> str:
        """Load an adapter beside the others; gives the name under which it can be used.

        Its file is read on the CPU and its weights go where the model's are: a Space with ZeroGPU has no CUDA yet.
        """
        name = f"adapter{len(self._adapters)}"
        with self._lock:
            if self._adapters:
                load = self.model.load_adapter
            else:
                load = partial(PeftModel.from_pretrained, self.model)
            loaded = load_pretrained("The adapter", source, load, adapter_name=name, torch_device="cpu")
            if not self._adapters:
                self.model = loaded
            self._adapters.append(name)
            self.model.eval()
        return name

    @contextmanager
    def using(self, adapter: str | None) -> Iterator[Any]:
        """The model with an adapter at work, or exactly as it was without any."""
        with self._lock:
            if not self._adapters:
                yield self.model
            elif adapter is None:
                with self.model.disable_adapter():
                    yield self.model
            else:
                self.model.set_adapter(adapter)
                yield self.model

    def run(self, adapters: Sequence[str | None], **inputs: Any) -> Any:
        """One forward pass over a batch whose rows use an adapter each, or none (PEFT's mixed batches)."""
        if len(set(adapters)) == 1:
            with self.using(adapters[0]) as model:
                return model(**inputs)
        with self._lock:
            return self.model(**inputs, adapter_names=[a or "__base__" for a in adapters])


@dataclass(frozen=True)
class LlamaSelector:
    """A loaded LLM, with or without one of its adapters.

    template: the wording it reads. max_tokens: a longer prompt is not asked; the first candidate is taken instead, and
    the selection says so (the paper: 1,024). batch: prompts in one forward pass.
    """

    llm: Llm
    tokenizer: Any
    template: PromptTemplate = field(default_factory=PromptTemplate)
    adapter: str | None = None
    max_tokens: int = 1024
    batch: int = 8
    name: str = "llama"
    _answers: dict[int, list[int]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def load(
        cls,
        source: str,
        adapter: str | None,
        device: torch.device,
        dtype: torch.dtype,
        four_bit: bool = False,
        **options: Any,
    ) -> "LlamaSelector":
        """Load model, tokenizer, adapter and prompt template from Hub ids or folders.

        four_bit: quantise the model to NF4 with double quantisation (Dettmers et al. 2023), as the paper does. The
        adapter's own prompt.json counts before the model's.
        """
        kwargs: dict[str, Any] = {"dtype": dtype, "use_safetensors": True}
        if four_bit:
            kwargs["quantization_config"] = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
                load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
            )
            kwargs["device_map"] = {"": device}
        tokenizer: Any = load_pretrained("The LLM's tokenizer", source, AutoTokenizer.from_pretrained)
        if not tokenizer.chat_template:
            raise ModelError(f"{source} has no chat template. Choose an instruction-tuned model.")
        model: Any = load_pretrained("The LLM", source, AutoModelForCausalLM.from_pretrained, **kwargs)
        if not four_bit:
            model = model.to(device)
        plain = cls(Llm(model.eval()), tokenizer, _template(source) or PromptTemplate(), **options)
        return plain if adapter is None else plain.with_adapter(adapter)

    def with_adapter(self, source: str) -> "LlamaSelector":
        """A selector on the same model that uses a LoRA adapter (Hub id or folder) and its prompt template."""
        return replace(self, adapter=self.llm.add_adapter(source), template=_template(source) or self.template)

    def select(self, lists: Sequence[Sequence[Candidate]], expressions: Sequence[str], sizes: Sequence[Size]) -> list[Selection]:
        """The most probable candidate of each list. The LLM is not asked about lists of none or one."""
        return select_together([self] * len(lists), lists, expressions, sizes)

    def messages(self, prompt: str) -> list[dict[str, str]]:
        """The chat that carries a prompt."""
        system = [{"role": "system", "content": self.template.system}] if self.template.system else []
        return [*system, {"role": "user", "content": prompt}]

    def encode(self, prompt: str) -> list[int]:
        """Token ids of a prompt, up to where the answer begins."""
        ids: list[int] = self.tokenizer.apply_chat_template(self.messages(prompt), add_generation_prompt=True, return_dict=False)
        return ids

    def answer(self, index: int) -> list[int]:
        """Token ids of an index as an answer, the end of the turn included."""
        if index not in self._answers:
            before = self.encode("x")
            chat = [*self.messages("x"), {"role": "assistant", "content": str(index)}]
            whole: list[int] = self.tokenizer.apply_chat_template(chat, return_dict=False)
            if whole[: len(before)] != before:
                raise ModelError("This model's chat template changes the question when it is answered. Choose another model.")
            tail = whole[len(before) :]
            end = tail.index(self.tokenizer.eos_token_id) + 1 if self.tokenizer.eos_token_id in tail else len(tail)
            self._answers[index] = tail[:end]
        return self._answers[index]


def select_together(
    selectors: Sequence[LlamaSelector], lists: Sequence[Sequence[Candidate]], expressions: Sequence[str], sizes: Sequence[Size]
) -> list[Selection]:
    """As `LlamaSelector.select`, with a selector a list. They share one LLM, which reads all prompts, whatever their adapters, in
    the same batches."""
    done: dict[int, Selection] = {}
    prompts: dict[int, tuple[str, list[int]]] = {}
    for i, (selector, candidates) in enumerate(zip(selectors, lists, strict=True)):
        if len(candidates) < 2:
            done[i] = without_asking(candidates)
            continue
        text = render(candidates, expressions[i], selector.template, sizes[i])
        ids = selector.encode(text)
        if len(ids) > selector.max_tokens:
            done[i] = Selection(tuple(candidates), 0, (), Reason.FALLBACK_TOO_LONG, text)
        else:
            prompts[i] = text, ids
    order = sorted(prompts, key=lambda i: len(prompts[i][1]))  # prompts of like length waste little padding
    size = min((s.batch for s in selectors), default=1)
    for start in range(0, len(order), size):
        part = order[start : start + size]
        scores = score([selectors[i] for i in part], [prompts[i][1] for i in part], [len(lists[i]) for i in part])
        for i, logs in zip(part, scores, strict=True):
            probabilities = logs.softmax(0)
            done[i] = Selection(tuple(lists[i]), int(probabilities.argmax()), tuple(probabilities.tolist()), Reason.CHOSEN, prompts[i][0])
    return [done[i] for i in range(len(lists))]


@torch.inference_mode()
def score(selectors: Sequence[LlamaSelector], prompts: Sequence[Sequence[int]], counts: Sequence[int]) -> list[Tensor]:
    """Log-probabilities of the indices 0..count-1 after each prompt (token ids), (count,) each, float32."""
    rows = zip(selectors, prompts, counts, strict=True)
    packs = [_Pack.of(ids, [selector.answer(i) for i in range(n)]) for selector, ids, n in rows]
    before = max(p.prompt for p in packs)  # prompts end in one column, answers follow
    after = max(len(p.ids) - p.prompt for p in packs)
    llm = selectors[0].llm
    device, dtype = llm.model.device, _dtype(llm.model)
    ids = torch.zeros(len(packs), before + after, dtype=torch.long)
    positions = torch.zeros_like(ids)
    seen = torch.eye(before + after, dtype=torch.bool).repeat(len(packs), 1, 1)
    for row, pack in enumerate(packs):
        start, end = before - pack.prompt, before - pack.prompt + len(pack.ids)
        ids[row, start:end] = torch.tensor(pack.ids)
        positions[row, start:end] = torch.tensor(pack.positions)
        seen[row, start:end, start:end] = pack.visible()
    mask = torch.zeros(seen.shape, dtype=dtype).masked_fill(~seen, torch.finfo(dtype).min)
    logits = llm.run(
        [s.adapter for s in selectors],
        input_ids=ids.to(device),
        position_ids=positions.to(device),
        attention_mask=mask[:, None].to(device),
        logits_to_keep=after + 1,
        use_cache=False,
    ).logits
    return [pack.totals(logs) for pack, logs in zip(packs, logits.float().log_softmax(-1).cpu(), strict=True)]


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


def _template(source: str) -> PromptTemplate | None:
    """The prompt.json in a folder or a Hub repository, where there is one."""
    path = cached_file(
        source, FILE_NAME, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False,
        _raise_exceptions_for_gated_repo=False,
    )  # fmt: skip
    return None if path is None else PromptTemplate.load(Path(path).parent)
