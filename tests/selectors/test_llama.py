"""The LLM as a selector: what it scores is what generating would give."""

from dataclasses import replace

import pytest
import torch

from wrapper.candidates import Candidate, Reason
from wrapper.errors import ModelError
from wrapper.merging import canonical
from wrapper.pipeline import Wrapper
from wrapper.prompt import render
from wrapper.scenes.dataset import Scene, scenes
from wrapper.selectors.base import OwnAnswer, Question
from wrapper.selectors.llama import Llm
from wrapper.trace import explain


@pytest.fixture(scope="module")
def llama(wrapper: Wrapper) -> Llm:
    return wrapper.llm


def perfect(scene: Scene) -> list[Candidate]:
    return canonical([Candidate(o.box, o.kind.name, None, "gdrec") for o in scene.layout.objects])


def size(scene: Scene) -> tuple[int, int]:
    return scene.layout.width, scene.layout.height


def ask(scene: Scene, adapter: str | None = None) -> Question:
    return Question(tuple(perfect(scene)), scene.expression.text, size(scene), adapter)


def test_every_integer_is_one_token(llama: Llm) -> None:
    assert all(len(llama.tokenizer(str(i), add_special_tokens=False)["input_ids"]) == 1 for i in range(1000))


def test_scores_equal_those_of_reading_each_answer_alone(llama: Llm, val_scenes: list[Scene]) -> None:
    """One pass over all answers, padded with other prompts, gives what a plain forward pass a candidate gives."""
    prompts = [llama.prompt(ask(s)) for s in val_scenes[:3]]
    for prompt, together in zip(prompts, llama.score(prompts), strict=True):
        assert len(together) == len(prompt.places) + 1, "and one for none"
        for i in prompt.places:
            answer = llama.answer(i)
            with torch.inference_mode(), llama.using(None) as model:
                logs = model(torch.tensor([[*prompt.ids, *answer]])).logits[0].log_softmax(-1)
            alone = sum(float(logs[len(prompt.ids) - 1 + k, token]) for k, token in enumerate(answer))
            assert alone == pytest.approx(float(together[i]), abs=1e-3)


def test_each_question_is_answered_with_its_own_adapter(llama: Llm, val_scenes: list[Scene]) -> None:
    names = [None, *llama.adapters]
    assert len(names) == 4
    questions = [ask(val_scenes[0], name) for name in names]
    alone = [llama.select([q])[0].probabilities for q in questions]
    for mixed in (questions, questions[::-1]):
        for q, s in zip(mixed, llama.select(mixed), strict=True):
            assert s.probabilities == pytest.approx(alone[questions.index(q)], abs=1e-3)
    assert len(set(alone)) == 4


def test_an_adapter_that_is_not_there_is_named(llama: Llm, val_scenes: list[Scene]) -> None:
    with pytest.raises(ModelError, match="no adapter 'nobody'"):
        llama.select([ask(val_scenes[0], "nobody")])


def test_answers_end_the_turn(llama: Llm) -> None:
    assert llama.tokenizer.decode(llama.answer(12)) == "12<|eot_id|>"


def test_it_answers_perfect_lists(llama: Llm) -> None:
    chosen = list(scenes("val", 100, 12))
    right = sum(x.box == s.box for x, s in zip(llama.select([ask(s) for s in chosen]), chosen, strict=True))
    assert right >= 0.94 * len(chosen)


def test_it_is_not_asked_about_none_or_one(llama: Llm) -> None:
    """Where it has not learnt to say "none"."""
    one = Candidate((0.0, 0.0, 5.0, 5.0), "cup", None, "gdrec")
    plain = Llm(llama.model, llama.tokenizer, replace(llama.template, none=""))
    none, only = plain.select([Question((), "the cup", (640, 480)), Question((one,), "the cup", (640, 480))])
    assert (none.reason, none.index, none.prompt) == (Reason.NO_CANDIDATES, None, None)
    assert (only.reason, only.index, only.probabilities) == (Reason.ONLY_CANDIDATE, 0, (1.0,))


def test_boxes_are_left_out_of_a_prompt_that_is_too_long_and_that_is_said(llama: Llm, val_scenes: list[Scene]) -> None:
    """The limit is on the prompt and its answer together."""
    asked = ask(max(val_scenes, key=lambda s: len(s.layout.objects)))
    whole = llama.prompt(asked)
    answer = max(len(llama.answer(i)) for i in whole.places)
    for limit, left_out in ((len(whole.ids) + answer, 0), (len(whole.ids) + answer - 1, 1)):
        short = Llm(llama.model, llama.tokenizer, llama.template, max_tokens=limit)
        [selection] = short.select([asked])
        assert selection.left_out == left_out
        assert selection.reason is (Reason.CHOSEN_FROM_PART if left_out else Reason.CHOSEN)
        assert len(selection.probabilities) == len(selection.candidates) == len(asked.candidates) - left_out
        assert len(llama.encode(selection.prompt or "")) + answer <= limit
    assert "1 more were left out" in explain(selection)


def test_where_not_even_two_fit_a_models_own_answer_is_taken(llama: Llm, val_scenes: list[Scene]) -> None:
    asked = ask(val_scenes[0])
    last = replace(asked, candidates=tuple(replace(c, rank=(i + 1) % len(asked.candidates)) for i, c in enumerate(asked.candidates)))
    [selection] = Llm(llama.model, llama.tokenizer, llama.template, max_tokens=20).select([last])
    assert (selection.reason, selection.index) == (Reason.FALLBACK_TOO_LONG, len(asked.candidates) - 1)
    assert selection.probabilities == ()


def test_a_larger_copy_of_a_picture_gets_the_same_prompt(llama: Llm, val_scenes: list[Scene]) -> None:
    scene = val_scenes[1]
    doubled = [replace(c, box=tuple(2 * v for v in c.box)) for c in perfect(scene)]  # type: ignore[arg-type]
    width, height = size(scene)
    assert render(doubled, "the cup", llama.template, (2 * width, 2 * height)) == render(
        perfect(scene), "the cup", llama.template, (width, height)
    )


def test_a_models_own_answer_is_found_wherever_it_stands() -> None:
    cup, book = Candidate((10.0, 0.0, 20.0, 9.0), "cup", None, "florence2"), Candidate((50.0, 0.0, 60.0, 9.0), "book", 0.5, "gdrec", rank=1)
    both = replace(cup, rank=1, others=(Candidate((10.0, 0.0, 20.0, 9.0), "mug", 0.4, "gdrec"),))
    first, nothing = OwnAnswer("gdrec").select([Question((book, both), "a", (640, 480)), Question((cup,), "a", (640, 480))])
    assert (first.index, first.probabilities, explain(first)) == (1, (), "the model's own answer")
    assert (nothing.index, nothing.reason) == (None, Reason.NO_CANDIDATES)
