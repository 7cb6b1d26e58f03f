"""The LLM as a selector: what it scores is what generating would give."""

from dataclasses import replace

import pytest
import torch

from wrapper.candidates import Candidate, Reason
from wrapper.pipeline import Wrapper
from wrapper.prompt import render
from wrapper.scenes.dataset import Scene, scenes
from wrapper.selectors.base import FirstCandidate
from wrapper.selectors.llama import LlamaSelector, score
from wrapper.trace import explain


@pytest.fixture(scope="module")
def llama(wrapper: Wrapper) -> LlamaSelector:
    assert isinstance(wrapper.selector, LlamaSelector)
    return wrapper.selector


def perfect(scene: Scene) -> list[Candidate]:
    return [Candidate(o.box, o.kind.name, None, "gdrec") for o in scene.layout.objects]


def size(scene: Scene) -> tuple[int, int]:
    return scene.layout.width, scene.layout.height


def test_every_integer_is_one_token(llama: LlamaSelector) -> None:
    assert all(len(llama.tokenizer(str(i), add_special_tokens=False)["input_ids"]) == 1 for i in range(1000))


def test_scores_equal_those_of_reading_each_answer_alone(llama: LlamaSelector, val_scenes: list[Scene]) -> None:
    """One pass over all answers, padded with other prompts, gives what a plain forward pass a candidate gives."""
    chosen = val_scenes[:3]
    prompts = [llama.encode(render(perfect(s), s.expression.text, llama.template, size(s))) for s in chosen]
    counts = [len(s.layout.objects) for s in chosen]
    for ids, count, together in zip(prompts, counts, score([llama] * 3, prompts, counts), strict=True):
        for i in range(count):
            answer = llama.answer(i)
            with torch.inference_mode(), llama.llm.using(llama.adapter) as model:
                logs = model(torch.tensor([[*ids, *answer]])).logits[0].log_softmax(-1)
            alone = sum(float(logs[len(ids) - 1 + k, token]) for k, token in enumerate(answer))
            assert alone == pytest.approx(float(together[i]), abs=1e-3)


def test_rows_of_one_batch_use_an_adapter_each(wrapper: Wrapper, llama: LlamaSelector, val_scenes: list[Scene]) -> None:
    selectors = [llama, *(s for s in wrapper.adapted.values() if isinstance(s, LlamaSelector))]
    assert len(selectors) == 4
    scene = val_scenes[0]
    ids, count = llama.encode(render(perfect(scene), scene.expression.text, llama.template, size(scene))), len(scene.layout.objects)
    alone = [score([s], [ids], [count])[0] for s in selectors]
    together = score(selectors, [ids] * 4, [count] * 4)
    for one, other in zip(alone, together, strict=True):
        assert torch.allclose(one, other, atol=1e-3)
    assert not torch.allclose(alone[0], alone[1], atol=1e-2)


def test_answers_end_the_turn(llama: LlamaSelector) -> None:
    assert llama.tokenizer.decode(llama.answer(12)) == "12<|eot_id|>"


def test_it_answers_perfect_lists(llama: LlamaSelector) -> None:
    chosen = list(scenes("val", 100, 12))
    selections = llama.select([perfect(s) for s in chosen], [s.expression.text for s in chosen], [size(s) for s in chosen])
    right = sum(x.index == s.expression.target for x, s in zip(selections, chosen, strict=True))
    assert right >= 0.94 * len(chosen)


def test_it_is_not_asked_about_none_or_one(llama: LlamaSelector) -> None:
    one = Candidate((0.0, 0.0, 5.0, 5.0), "cup", None, "gdrec")
    none, only = llama.select([[], [one]], ["the cup", "the cup"], [(640, 480)] * 2)
    assert (none.reason, none.index, none.prompt) == (Reason.NO_CANDIDATES, None, None)
    assert (only.reason, only.index, only.probabilities) == (Reason.ONLY_CANDIDATE, 0, (1.0,))


def test_a_list_too_long_is_said(llama: LlamaSelector, val_scenes: list[Scene]) -> None:
    short = replace(llama, max_tokens=20)
    scene = val_scenes[0]
    selection = short.select([perfect(scene)], [scene.expression.text], [size(scene)])[0]
    assert (selection.reason, selection.index, selection.probabilities) == (Reason.FALLBACK_TOO_LONG, 0, ())


def test_a_larger_copy_of_a_picture_gets_the_same_prompt(llama: LlamaSelector, val_scenes: list[Scene]) -> None:
    scene = val_scenes[1]
    doubled = [replace(c, box=tuple(2 * v for v in c.box)) for c in perfect(scene)]  # type: ignore[arg-type]
    width, height = size(scene)
    assert render(doubled, "the cup", llama.template, (2 * width, 2 * height)) == render(
        perfect(scene), "the cup", llama.template, (width, height)
    )


def test_first_candidate_asks_nobody(val_scenes: list[Scene]) -> None:
    lists = [perfect(val_scenes[0]), perfect(val_scenes[0])[:1], []]
    first, only, nothing = FirstCandidate().select(lists, ["a", "b", "c"], [(640, 480)] * 3)
    assert (first.index, only.index, nothing.index) == (0, 0, None)
    assert first.probabilities == only.probabilities == (), "no LLM, no probability"
    assert explain(first) == explain(only) == "the model's own answer, the first of its boxes"
