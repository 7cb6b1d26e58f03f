"""What Florence-2 writes without `generate` is what it writes with it."""

import itertools
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import Florence2Config, Florence2ForConditionalGeneration, Florence2VisionConfig, GenerationConfig
from transformers.modeling_outputs import BaseModelOutput

from wrapper.proposers.decoding import Rules, write

PUBLISHED = {
    "bos_token_id": 0, "decoder_start_token_id": 2, "early_stopping": True, "eos_token_id": 2, "forced_bos_token_id": 0,
    "forced_eos_token_id": 2, "no_repeat_ngram_size": 3, "num_beams": 3, "pad_token_id": 1,
}  # fmt: skip
"""The generation settings of Florence-2-base and -large."""
PLAIN = {"bos_token_id": 0, "decoder_start_token_id": 2, "eos_token_id": 2, "pad_token_id": 1}


def small(seed: int, **settings: Any) -> Any:
    """A Florence-2 with random weights and few words, so that texts end at different places."""
    torch.manual_seed(seed)
    vision = Florence2VisionConfig(
        depths=(1, 1, 1, 1), embed_dim=(8, 8, 8, 16), num_heads=(1, 1, 1, 2), num_groups=(1, 1, 1, 2), projection_dim=16
    )
    text = {
        "model_type": "bart", "vocab_size": 24, "d_model": 16, "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 2,
        "decoder_attention_heads": 4, "encoder_ffn_dim": 16, "decoder_ffn_dim": 32, "max_position_embeddings": 64, "scale_embedding": True,
        "init_std": 0.4,
    }  # fmt: skip
    model = Florence2ForConditionalGeneration(Florence2Config(vision_config=vision, text_config=text, image_token_id=23)).eval()
    model.generation_config = GenerationConfig(**settings)
    return model


def prompts(seed: int, lengths: list[int]) -> tuple[Tensor, Tensor]:
    """What an encoder might have said of prompts of so many tokens, and their mask."""
    torch.manual_seed(seed)
    mask = torch.tensor([[1] * n + [0] * (max(lengths) - n) for n in lengths])
    return torch.randn(len(lengths), max(lengths), 16), mask


def generated(model: Any, hidden: Tensor, mask: Tensor, beams: int, most: int) -> list[list[int]]:
    """What `generate` writes, without the padding behind the end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        written = model.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=hidden), attention_mask=mask, num_beams=beams, max_new_tokens=most,
            do_sample=False,
        )  # fmt: skip
    rows = written.tolist()
    return [row[: row.index(2, 1) + 1] if 2 in row[1:] else row for row in rows]


@pytest.mark.parametrize("settings", [PUBLISHED, PLAIN, PUBLISHED | {"early_stopping": False}, PLAIN | {"forced_eos_token_id": 2}])
@pytest.mark.parametrize("beams", [1, 2, 3, 5])
@torch.inference_mode()
def test_the_same_tokens_as_generate_writes(settings: dict[str, Any], beams: int) -> None:
    lengths = set()
    for seed, rows, most in itertools.product(range(2), ([7], [5, 5], [9, 3, 6]), (1, 2, 40)):
        model = small(seed, **settings)
        hidden, mask = prompts(seed, rows)
        found = write(model, hidden, mask, beams, most)
        assert found == generated(model, hidden, mask, beams, most), (seed, rows, most)
        lengths |= {len(text) for text in found}
    assert len(lengths) > 3, lengths  # some ended early, some late


@pytest.mark.parametrize("beams", [1, 3])
@torch.inference_mode()
def test_no_text_is_shorter_than_the_settings_say(beams: int) -> None:
    """So benches fix the number of tokens, and measure what answers in use go through."""
    for least, rows in itertools.product((4, 20), ([7], [9, 3, 6])):
        model = small(1, **(PUBLISHED | {"min_new_tokens": least}))
        assert Rules.of(model.generation_config, 20, torch.device("cpu")) is not None
        hidden, mask = prompts(1, rows)
        found = write(model, hidden, mask, beams, 20)
        assert found == generated(model, hidden, mask, beams, 20)
        assert all(len(text) > least for text in found)


@torch.inference_mode()
def test_a_prompt_is_answered_alike_in_any_company() -> None:
    model = small(3, **PUBLISHED)
    hidden, mask = prompts(3, [6, 6, 6, 6])
    together = write(model, hidden, mask, 3, 25)
    assert together == [write(model, hidden[i : i + 1], mask[i : i + 1], 3, 25)[0] for i in range(4)]


@pytest.mark.parametrize("unknown", [{"repetition_penalty": 1.5}, {"early_stopping": "never"}, {"length_penalty": 2.0}])
@torch.inference_mode()
def test_settings_that_are_not_followed_here_are_left_to_generate(unknown: dict[str, Any]) -> None:
    model = small(1, **(PLAIN | unknown))
    assert Rules.of(model.generation_config, 20, torch.device("cpu")) is None
    hidden, mask = prompts(1, [5, 7])
    found = write(model, hidden, mask, 3, 20)
    assert [row[: row.index(2, 1) + 1] if 2 in row[1:] else row for row in found] == generated(model, hidden, mask, 3, 20)
