"""What Florence-2 writes, token by token, without the cost of `generate` in every step.

The same tokens as `model.generate(..., do_sample=False)` with one beam or several. A step of the small decoder takes less time than what
`generate` does around it (masks, caches, inputs and stopping rules made anew for each token). Here keys and values lie in
one place from the start, beams of a prompt share what they read of the picture, and prompts that are done leave the batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, scaled_dot_product_attention
from transformers import GenerationConfig, LogitsProcessorList
from transformers.generation.logits_process import (
    ForcedBOSTokenLogitsProcessor,
    ForcedEOSTokenLogitsProcessor,
    MinNewTokensLengthLogitsProcessor,
    NoRepeatNGramLogitsProcessor,
)
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.bart.modeling_bart import BartModel

KNOWN = {
    "bos_token_id", "decoder_start_token_id", "early_stopping", "eos_token_id", "forced_bos_token_id", "forced_eos_token_id",
    "min_new_tokens", "no_repeat_ngram_size", "num_beams", "pad_token_id", "transformers_version", "_from_model_config", "use_cache",
    "output_attentions", "output_hidden_states",
}  # fmt: skip
"""Settings of generation that are followed here, or that do not change what is written."""
PLACES = 32
"""Tokens for which there is room at first."""


@dataclass(frozen=True)
class Rules:
    """How text begins, ends and goes on: a checkpoint's generation settings. most: tokens that are written at most, the first one, which
    starts the text, not among them."""

    start: int
    end: int
    processors: LogitsProcessorList
    early_stopping: bool
    most: int

    @classmethod
    def of(cls, settings: GenerationConfig, most: int, device: torch.device) -> "Rules | None":
        """The rules of a checkpoint for texts on a device; None where it sets something that is not followed here."""
        end, start, early = settings.eos_token_id, settings.decoder_start_token_id, settings.early_stopping
        said = {name for name, value in settings.to_diff_dict().items() if value is not None}
        if said - KNOWN or type(end) is not int or type(start) is not int or early not in (None, False, True):
            return None
        processors = LogitsProcessorList()
        if settings.no_repeat_ngram_size:
            processors.append(NoRepeatNGramLogitsProcessor(settings.no_repeat_ngram_size))
        if settings.min_new_tokens:
            processors.append(MinNewTokensLengthLogitsProcessor(1, settings.min_new_tokens, end, device))  # type: ignore[arg-type]
        if settings.forced_bos_token_id is not None:
            processors.append(ForcedBOSTokenLogitsProcessor(settings.forced_bos_token_id))
        if settings.forced_eos_token_id is not None:
            processors.append(ForcedEOSTokenLogitsProcessor(most + 1, settings.forced_eos_token_id))
        return cls(start, end, processors, bool(early), most)


def write(model: Any, hidden: Tensor, mask: Tensor, beams: int, most: int) -> list[list[int]]:
    """The token ids that a Florence-2 writes for prompts that its encoder has read, the starting token and the ending one included.

    hidden: what the encoder says, (B, S, width); mask: 1 where it is of the prompt, (B, S). most: tokens that are written at most.
    """
    rules = Rules.of(model.generation_config, most, hidden.device)
    if rules is None or not isinstance(model.model.language_model, BartModel):
        read = BaseModelOutput(last_hidden_state=hidden)
        written = model.generate(encoder_outputs=read, attention_mask=mask, num_beams=beams, max_new_tokens=most, do_sample=False)
        return [list(row) for row in written.tolist()]
    decoder = Decoder.reading(model, hidden, mask, beams)
    return best_first(decoder, rules) if beams == 1 else by_beams(decoder, rules, beams)


@dataclass
class Decoder:
    """A decoder with what it has read and written so far, for N = prompts x beams texts.

    read: for each layer keys and values of the prompts, (prompts, heads, S, width of a head); mask: which of them are to be read,
    None for all. written: keys and values of the texts, (layers, 2, N, heads, places, width of a head), of which there are more when
    they are needed: texts are mostly short, and a beam search copies them all.
    """

    model: Any
    read: list[tuple[Tensor, Tensor]]
    mask: Tensor | None
    written: Tensor
    beams: int

    @classmethod
    def reading(cls, model: Any, hidden: Tensor, mask: Tensor, beams: int) -> "Decoder":
        """A decoder that has read prompts and written nothing."""
        prompts, length, width = hidden.shape
        layers = model.model.language_model.decoder.layers
        heads = layers[0].encoder_attn.num_heads
        read = []
        for layer in layers:
            attention = layer.encoder_attn
            both = (project(hidden).view(prompts, length, heads, -1) for project in (attention.k_proj, attention.v_proj))
            keys, values = (one.transpose(1, 2).contiguous() for one in both)
            read.append((keys, values))
        shown = None if bool(mask.all()) else mask.bool()[:, None, None, :]
        return cls(model, read, shown, hidden.new_empty(len(layers), 2, prompts * beams, heads, PLACES, width // heads), beams)

    def step(self, tokens: Tensor, at: int) -> Tensor:
        """The logits of the token that follows, (N, words). tokens: the last ones, (N,), of which `at` stand before them in a text."""
        if at >= self.written.shape[4]:
            self.written = torch.cat([self.written, torch.empty_like(self.written)], 4)
        decoder = self.model.model.language_model.decoder
        places = decoder.embed_positions
        hidden = decoder.layernorm_embedding(decoder.embed_tokens(tokens) + places.weight[at + places.offset])
        n, width = hidden.shape
        for layer, (keys, values), own in zip(decoder.layers, self.read, self.written, strict=True):
            attention = layer.self_attn
            heads = attention.num_heads
            own[0, :, :, at] = attention.k_proj(hidden).view(n, heads, -1)
            own[1, :, :, at] = attention.v_proj(hidden).view(n, heads, -1)
            query = attention.q_proj(hidden).view(n, heads, 1, -1)
            seen = scaled_dot_product_attention(query, own[0, :, :, : at + 1], own[1, :, :, : at + 1], scale=attention.scaling)
            hidden = layer.self_attn_layer_norm(hidden + attention.out_proj(seen.reshape(n, width)))
            attention = layer.encoder_attn  # the beams of a prompt ask it together
            query = attention.q_proj(hidden).view(n // self.beams, self.beams, heads, -1).transpose(1, 2)
            seen = scaled_dot_product_attention(query, keys, values, self.mask, scale=attention.scaling)
            hidden = layer.encoder_attn_layer_norm(hidden + attention.out_proj(seen.transpose(1, 2).reshape(n, width)))
            hidden = layer.final_layer_norm(hidden + layer.fc2(layer.activation_fn(layer.fc1(hidden))))
        logits: Tensor = self.model.lm_head(hidden)
        return logits

    def keep(self, prompts: Sequence[int], texts: Sequence[int]) -> None:
        """Go on with some prompts, and with texts that continue these ones."""
        if list(prompts) != list(range(len(self.read[0][0]))):
            which = torch.tensor(prompts, device=self.written.device)
            self.read = [(keys[which], values[which]) for keys, values in self.read]
            self.mask = None if self.mask is None else self.mask[which]
        if list(texts) != list(range(self.written.shape[2])):
            self.written = self.written[:, :, torch.tensor(texts, device=self.written.device)]


def best_first(decoder: Decoder, rules: Rules) -> list[list[int]]:
    """The text of each prompt that takes the likeliest token at every step."""
    device = decoder.written.device
    texts = torch.full((decoder.written.shape[2], 1), rules.start, device=device)
    done: list[list[int]] = [[] for _ in texts]
    open_ = list(range(len(done)))
    for at in range(rules.most):
        logits = decoder.step(texts[:, -1], at).float()
        texts = torch.cat([texts, rules.processors(texts, logits).argmax(-1, keepdim=True)], 1)  # type: ignore[arg-type]
        ended = (texts[:, -1] == rules.end).tolist()
        going = [i for i, end in enumerate(ended) if not end and at + 1 < rules.most]
        if len(going) < len(open_):
            for i in sorted(set(range(len(open_))) - set(going)):
                done[open_[i]] = texts[i].tolist()
            if not going:
                break
            decoder.keep(going, going)
            texts, open_ = texts[torch.tensor(going, device=device)], [open_[i] for i in going]
    return done


@dataclass
class Beams:
    """The beam search of one prompt. scores: of the running texts, their summed log-probabilities; ended: texts that are done, the best
    first, with the mean log-probability of their tokens."""

    scores: list[float]
    ended: list[tuple[float, list[int]]] = field(default_factory=list)

    def end(self, text: list[int], score: float, width: int) -> None:
        """Keep a text that is done, if it is one of the best."""
        self.ended = sorted([*self.ended, (score / (len(text) - 1), text)], key=lambda e: -e[0])[:width]

    def is_over(self, width: int, early_stopping: bool, length: int) -> bool:
        """Whether no running text of so many tokens can become better than those that are done."""
        if len(self.ended) < width:
            return False
        return early_stopping or max(self.scores) / length <= self.ended[-1][0]


def by_beams(decoder: Decoder, rules: Rules, beams: int) -> list[list[int]]:
    """The best text of each prompt by beam search, as transformers' own with a length penalty of 1 (each text's score is its mean)."""
    device = decoder.written.device
    texts = torch.full((decoder.written.shape[2], 1), rules.start, device=device)
    searches = [Beams([0.0, *[-1e9] * (beams - 1)]) for _ in range(len(texts) // beams)]
    open_ = list(range(len(searches)))
    for at in range(rules.most):
        chances = rules.processors(texts, log_softmax(decoder.step(texts[:, -1], at).float(), -1))  # type: ignore[arg-type]
        running = torch.tensor([searches[i].scores for i in open_], device=device)
        best = (chances.view(len(open_), beams, -1) + running[..., None]).flatten(1).topk(2 * beams)
        words = chances.shape[-1]
        going: list[int] = []
        order: list[int] = []
        tokens: list[int] = []
        for n, (scores, places) in enumerate(zip(best.values.tolist(), best.indices.tolist(), strict=True)):
            search, last = searches[open_[n]], at + 1 == rules.most
            options = [(score, n * beams + place // words, place % words) for score, place in zip(scores, places, strict=True)]
            for score, text, token in options[:beams]:
                if token == rules.end or last:
                    search.end([*texts[text].tolist(), token], score, beams)
            on = [option for option in options if option[2] != rules.end][:beams]
            search.scores = [score for score, _, _ in on]
            if not last and not search.is_over(beams, rules.early_stopping, at + 1):
                going.append(n)
                order += [text for _, text, _ in on]
                tokens += [token for _, _, token in on]
        if not going:
            break
        decoder.keep(going, order)
        texts = torch.cat([texts[torch.tensor(order, device=device)], torch.tensor(tokens, device=device)[:, None]], 1)
        open_ = [open_[n] for n in going]
    return [search.ended[0][1] for search in searches]
