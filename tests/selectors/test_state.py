"""Whatever goes wrong in one request, the next one is answered as if nothing had."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.selectors.test_llama import ask
from wrapper.bench.work import forget
from wrapper.candidates import Selection
from wrapper.errors import ModelError
from wrapper.pipeline import Wrapper
from wrapper.scenes.dataset import Scene


class Broken(RuntimeError):
    """As an error of a device, in the middle of a forward pass."""


@pytest.fixture
def fails() -> Iterator[Callable[[Any, type[BaseException]], None]]:
    """Have a module fail in its next forward pass."""
    hooks = []

    def prepare(module: Any, error: type[BaseException]) -> None:
        def hook(*_: Any) -> None:
            raise error("in the middle")

        hooks.append(module.register_forward_pre_hook(hook))

    yield prepare
    for hook in hooks:
        hook.remove()


def mend(module: Any) -> None:
    module._forward_pre_hooks.clear()


def same(one: Selection, other: Selection) -> bool:
    """To the last bit."""
    return replace(one, timings_ms={}) == replace(other, timings_ms={})


@pytest.mark.parametrize("error", [Broken, torch.OutOfMemoryError, KeyboardInterrupt])
@pytest.mark.parametrize("stage", ["backbone", "text encoder", "florence decoder", "llm layer", "lora", "lm_head"])
def test_a_failure_in_any_stage_leaves_no_trace(
    wrapper: Wrapper, val_scenes: list[Scene], fails: Callable[[Any, type[BaseException]], None], stage: str, error: type[BaseException]
) -> None:
    detector = wrapper.proposers["gd"].detector.model  # type: ignore[attr-defined]
    florence = wrapper.proposers["florence2"].model  # type: ignore[attr-defined]
    llm = wrapper.llm.model.base_model.model
    module = {
        "backbone": detector.model.backbone.backbone,
        "text encoder": detector.model.text_backbone,
        "florence decoder": florence.model.language_model.decoder.layers[1].fc2,
        "llm layer": llm.model.layers[3],
        "lora": llm.model.layers[5].self_attn.q_proj.lora_A[wrapper.llm.adapters["ensemble"].key],
        "lm_head": llm.lm_head,
    }[stage]
    picture, text = val_scenes[3].picture(), val_scenes[3].expression.text
    forget(wrapper.proposers)  # what another test's batch left is not the same to the last bit
    before = wrapper.locate(picture, text)
    forget(wrapper.proposers)
    questions = [ask(val_scenes[3], name) for name in (None, *wrapper.llm.adapters)]
    asked = wrapper.llm.select(questions)
    fails(module, error)
    with pytest.raises(ModelError if error is torch.OutOfMemoryError else error):
        wrapper.locate(picture.copy(), text)
    mend(module)
    assert same(wrapper.locate(picture.copy(), text), before)
    assert all(same(a, b) for a, b in zip(wrapper.llm.select(questions), asked, strict=True))


def test_masks_of_our_own_never_meet_flash_attention(wrapper: Wrapper, val_scenes: list[Scene]) -> None:
    """A model that was trained with flash attention is scored with the attention that takes masks, and left as it was."""
    asked, model = [ask(val_scenes[0])], wrapper.llm.model
    before = wrapper.llm.select(asked)
    plain = model.config._attn_implementation
    model.config._attn_implementation = "flash_attention_2"
    try:
        assert all(same(a, b) for a, b in zip(wrapper.llm.select(asked), before, strict=True))
        assert model.config._attn_implementation == "flash_attention_2"
    finally:
        model.config._attn_implementation = plain
