"""Fine-tuning: what is learned is what is served, and a run that was cut ends as one that was not."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import TrainerState

from wrapper import datasets
from wrapper.candidates import is_correct
from wrapper.errors import DataError, ModelError
from wrapper.pipeline import Wrapper
from wrapper.presets import PRESETS
from wrapper.prompt import PromptTemplate
from wrapper.proposals import Proposals, Settings, read_candidates
from wrapper.proposing import Worker, finish, propose
from wrapper.selectors.llama import Llm, Prompt
from wrapper.training import sft
from wrapper.training.settings import PAPER_SETTINGS, PROJECTIONS, TINY_SETTINGS, TrainSettings, settings_of

ROOT = Path(__file__).parents[2]
SETTINGS = replace(TINY_SETTINGS, rank=4, alpha=8, batch=8, dropout=0.1, save_every=3, check_every=32, check_rows=8, orders=1)


@pytest.fixture(scope="module")
def candidates(wrapper: Wrapper, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("candidates") / "train.jsonl"
    proposers = {"gdrec": wrapper.proposers["gdrec"]}
    settings, data = Settings.of("tiny", PRESETS["tiny"], proposers), datasets.read("refscenes:train:40:5")
    propose(data, settings, proposers, out, Worker())
    finish(data, settings, out)
    return out


@pytest.fixture
def run(candidates: Path, tmp_path: Path) -> Callable[..., sft.Run]:
    read = read_candidates(candidates)

    def make(out: str, **changes: Any) -> sft.Run:
        return sft.Run("tiny", PRESETS["tiny"], ("gdrec",), replace(SETTINGS, **changes), read, read, tmp_path / out)

    return make


SHORT: dict[str, Any] = {"examples": 4, "check_rows": 2}
"""A run of a few steps, where what it learns does not matter."""


@pytest.fixture(scope="module")
def trained(candidates: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[sft.Run, dict[str, Any]]:
    """A whole run, and its record."""
    read = read_candidates(candidates)
    one = sft.Run("tiny", PRESETS["tiny"], ("gdrec",), SETTINGS, read, read, tmp_path_factory.mktemp("trained") / "whole")
    return one, sft.train(one)


def test_an_adapter_does_not_claim_its_bases_temperature(run: Callable[..., sft.Run], tmp_path: Path) -> None:
    base = shutil.copytree(PRESETS["tiny"].llama, tmp_path / "base")
    template = PromptTemplate.load(base)
    assert template is not None
    replace(template, temperature=2.0).save(base)
    one = run("one", **SHORT)
    sft.train(replace(one, preset=replace(one.preset, llama=str(base))))
    saved = PromptTemplate.load(one.out)
    assert saved == replace(template, temperature=0.0), "it was fitted without the adapter, and these are too few to fit another"


def test_lists_are_worded_as_a_template_says(run: Callable[..., sft.Run]) -> None:
    """Here with the colours that the picture shows, which the LLM's own wording leaves out."""
    plain = run("plain")
    own = sft.load(plain).template
    colored = replace(run("colored"), template=replace(own, color=" {color}"))
    assert sft.identity(colored) != sft.identity(plain)
    rows = [sft.training_rows(r, sft.load(r)).rows for r in (plain, colored)]
    assert [r.completion for r in rows[0]] == [r.completion for r in rows[1]]
    named = [row.prompt for row, bare in zip(rows[1], rows[0], strict=True) if row.prompt != bare.prompt]
    assert len(named) > 0.9 * len(rows[0]) and any(" blue " in prompt for prompt in named)
    sft.train(replace(colored, settings=replace(SETTINGS, **SHORT)))
    assert PromptTemplate.load(colored.out) == replace(own, color=" {color}", temperature=0.0)


class Killed(BaseException):
    """Not an Exception, as a signal is none."""


def stop_at(step: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """From here on training is cut after some step; gives the list of the steps that are done."""
    measured, steps = sft.Curve.on_step_end, []

    def counted(self: sft.Curve, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        measured(self, args, state, control, **kwargs)
        steps.append(state.global_step)
        if state.global_step == step:
            raise Killed

    monkeypatch.setattr(sft.Curve, "on_step_end", counted)
    return steps


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_file(folder / "adapter_model.safetensors"))


def test_a_killed_run_goes_on_and_ends_with_the_same_weights(
    run: Callable[..., sft.Run], trained: tuple[sft.Run, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    finished, whole = trained
    with monkeypatch.context() as cut:
        stop_at(5, cut)
        with pytest.raises(Killed):
            sft.train(run("cut"))
    half = run("cut").out / "checkpoints" / "checkpoint-4"  # a kill while it was written: the Trainer's state comes last
    shutil.copytree(half.with_name("checkpoint-3"), half)
    (half / "trainer_state.json").write_text('{"global_step": 4, "ep')
    with monkeypatch.context() as counting:
        steps = stop_at(-1, counting)
        resumed = sft.train(run("cut"))
    assert steps[0] == 4, "it began anew, not from the checkpoint of step 3"
    assert resumed["curve"] == whole["curve"]
    assert [p["rows"] for p in whole["curve"]] == sorted({p["rows"] for p in whole["curve"]})
    one, other = weights(finished.out), weights(run("cut").out)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[k], other[k]) for k in one)
    assert any(bool(v.any()) for k, v in one.items() if "lora_B" in k), "nothing was learned"


def test_an_adapter_folder_is_whole_and_serves(trained: tuple[sft.Run, dict[str, Any]]) -> None:
    one, record = trained
    assert {p.name for p in one.out.iterdir()} == {
        "adapter_model.safetensors", "adapter_config.json", "prompt.json", "config.json", "README.md", "logs",
    }  # fmt: skip
    assert json.loads((one.out / "config.json").read_text()) == json.loads(json.dumps(record))
    assert record["settings"]["rank"] == 4 and record["data"]["train"]["fingerprint"]
    assert record["rows"]["training"] > record["rows"]["examples"] > 10
    assert str(ROOT) not in "".join(p.read_text() for p in one.out.glob("*.*") if p.suffix in (".json", ".md"))
    assert list((one.out / "logs").glob("events*"))

    llm = Llm.load(PRESETS["tiny"].llama, torch.device("cpu"), torch.float32)
    prompt = [Prompt("", llm.encode("Which? 0 or 1"), [0, 1, 2], llm.template)]
    before = llm.score(prompt)[0]
    llm.add_adapter("tuned", str(one.out))
    llm.add_adapter("again", str(one.out))
    assert not torch.allclose(llm.score(prompt, "tuned")[0], before)
    assert torch.equal(llm.score(prompt)[0], before), "without an adapter the model is what it was"
    assert torch.equal(llm.score(prompt, "again")[0], llm.score(prompt, "tuned")[0])
    rows = one.train.rows[:8]
    selections = llm.select([row.question(("gdrec",), adapter="tuned") for row in rows])
    right = sum(is_correct(s.box, row.truth) for s, row in zip(selections, rows, strict=True))
    assert right / 8 == pytest.approx(record["curve"][-1]["p_at_1"])


def test_the_record_says_how_fast_it_was_and_how_much_memory_it_took(run: Callable[..., sft.Run]) -> None:
    """Tokens are those that are read: as many as the rows have, padding left out, once an epoch."""
    one = run("one", epochs=2, examples=6, check_rows=2)
    llm = sft.load(one)
    tokens = sum(len(sft.tokens(llm, r.prompt, r.completion)["input_ids"]) for r in sft.training_rows(one, llm).rows)
    state = TrainerState(num_input_tokens_seen=100)
    pace = sft.Pace()
    pace.on_train_begin(None, state, None)
    pace.began -= 10
    assert pace.told(replace(state, num_input_tokens_seen=5100), torch.device("cpu"))["tokens_per_second"] == pytest.approx(500, rel=0.02)
    seen: list[int] = []
    plain = sft.Pace.told

    def told(self: sft.Pace, state: Any, device: torch.device) -> dict[str, Any]:
        seen.append(state.num_input_tokens_seen)
        return plain(self, state, device)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sft.Pace, "told", told)
        record = sft.train(one)
    assert seen == [2 * tokens]
    assert record["tokens_per_second"] > 0 and 50 < record["peak_memory_mb"] < 20_000


def test_training_lowers_the_loss(run: Callable[..., sft.Run]) -> None:
    record = sft.train(run("long", examples=8, epochs=12.0, lr=1e-3, dropout=0.0, check_every=100000, check_rows=2))
    losses = [p["loss"] for p in record["losses"]]
    assert len(losses) >= 2
    assert losses[-1] < 0.8 * losses[0]


def test_what_is_learned_is_what_is_served(wrapper: Wrapper) -> None:
    llama = wrapper.llm
    row = sft.tokens(llama, "the cup", 7)
    served, answer = llama.encode("the cup"), llama.answer(7)
    assert row["input_ids"] == served + answer
    assert [t for t in row["labels"] if t != -100] == answer
    assert row["labels"][: len(served)] == [-100] * len(served)


def test_only_lora_matrices_are_trained(run: Callable[..., sft.Run]) -> None:
    one = run("lora")
    model = sft.with_lora(sft.load(one).model, one.settings, one.preset.four_bit)
    trained = [n for n, p in model.named_parameters() if p.requires_grad]
    assert trained and all("lora_" in n for n in trained)
    assert {n.split(".lora_")[0].rsplit(".", 1)[-1] for n in trained} == {*PROJECTIONS, "lm_head"}


def test_a_finished_adapter_is_never_overwritten(run: Callable[..., sft.Run]) -> None:
    one = run("done")
    one.out.mkdir()
    (one.out / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="holds a finished adapter"):
        sft.train(one)


def test_a_run_never_goes_on_from_another_ones_checkpoints(run: Callable[..., sft.Run]) -> None:
    sft.begin(run("half", lr=0.4))  # a slip, of which nothing was trained yet
    sft.begin(run("half"))
    (run("half").out / sft.CHECKPOINTS / "checkpoint-3").mkdir()
    sft.begin(run("half"))
    with pytest.raises(ModelError, match="begun with other settings or data"):
        sft.train(run("half", lr=0.5))


def test_nothing_to_train_on_is_said(run: Callable[..., sft.Run], candidates: Path) -> None:
    read = read_candidates(candidates)
    empty = Proposals(read.settings, read.data, [replace(r, lists={"gdrec": ()}) for r in read.rows], [], read.ms)
    with pytest.raises(DataError, match="No row is left"):
        sft.train(replace(run("empty"), train=empty))


def test_the_papers_settings_are_the_default() -> None:
    assert settings_of("paper") == settings_of("anything else") == TrainSettings() == PAPER_SETTINGS
    assert (
        PAPER_SETTINGS.rank,
        PAPER_SETTINGS.alpha,
        PAPER_SETTINGS.dropout,
        PAPER_SETTINGS.lr,
        PAPER_SETTINGS.batch,
        PAPER_SETTINGS.epochs,
    ) == (128, 256, 0.1, 1e-5, 4, 1.0)
    assert settings_of("tiny") == TINY_SETTINGS


@pytest.mark.parametrize("wrong", [{"rank": 0}, {"lr": -1.0}, {"dropout": 1.0}, {"epochs": 0.0}, {"examples": -5}, {"orders": -1}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=next(iter(wrong))):
        replace(PAPER_SETTINGS, **wrong)


def test_two_processes_of_accelerate_train_one_adapter(candidates: Path, tmp_path: Path) -> None:
    out = tmp_path / "two"
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1"]
    options = ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0", "-m", "wrapper", "train"]
    given = ["--candidates", str(candidates), "--validation", str(candidates), "--out", str(out), "--rank", "4", "--batch", "4"]
    done = subprocess.run(
        [*launch, *options, *given, "--check-every", "32", "--check-rows", "8", "--orders", "1"],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = json.loads((out / "config.json").read_text())
    assert record["curve"][-1]["rows"] >= record["rows"]["training"] > 0
    assert "lora" in " ".join(weights(out))


def test_rows_are_put_side_by_side_whatever_tokens_a_model_has() -> None:
    """Llama 3 and Mixtral have no token for padding, and need none: what is padded with is never seen."""
    rows = [{"input_ids": [5, 6, 7, 8], "labels": [-100, -100, 7, 8]}, {"input_ids": [9, 3, 4], "labels": [-100, 3, 4]}]
    batch = {k: v.tolist() for k, v in sft.side_by_side(rows).items()}
    assert batch == {
        "input_ids": [[5, 6, 7, 8], [0, 9, 3, 4]],
        "attention_mask": [[1, 1, 1, 1], [0, 1, 1, 1]],
        "position_ids": [[0, 1, 2, 3], [0, 0, 1, 2]],
        "labels": [[-100, -100, 7, 8], [-100, -100, 3, 4]],
    }


def test_the_loss_is_that_of_all_logits_though_few_are_computed(wrapper: Wrapper, monkeypatch: pytest.MonkeyPatch) -> None:
    llm = Llm.load(PRESETS["tiny"].llama, torch.device("cpu"), torch.float32)
    rows = [sft.tokens(llm, text, index) for text, index in (("the cup", 7), ("Which of these many books? " * 9, 12), ("a", 0))]
    batch = sft.side_by_side(rows)
    widths: list[int] = []
    llm.model.lm_head.register_forward_hook(lambda module, given, out: widths.append(given[0].shape[1]))
    loss: Any = sft.AnswerTrainer.compute_loss(None, llm.model, batch)  # type: ignore[arg-type]
    assert widths == [max(len(llm.answer(i)) for i in (7, 12, 0)) + 1], "the vocabulary's width is paid for the answers only"
    each = []
    for row in rows:
        logits = llm.model(torch.tensor([row["input_ids"]])).logits[0, :-1].log_softmax(-1)
        wanted = torch.tensor(row["labels"][1:])
        each += [-logits[i, w].item() for i, w in enumerate(wanted.tolist()) if w != -100]
    assert loss.item() == pytest.approx(sum(each) / len(each), abs=1e-4)


def test_a_model_under_training_keeps_weights_that_have_gradients(run: Callable[..., sft.Run]) -> None:
    """On CPUs with AVX512-BF16, a look in evaluation mode packs NF4 weights for kernels that have no gradient."""
    from bitsandbytes.nn.modules import Linear4bit

    one = run("four")
    one = replace(one, preset=replace(one.preset, four_bit=True))
    model = sft.with_lora(sft.load(one).model, one.settings, one.preset.four_bit)
    linear = [m for m in model.modules() if isinstance(m, Linear4bit)]
    assert linear and not any(m.support_avx512bf16_for_cpu for m in linear)


def test_layers_and_attentions_that_are_not_there_are_said(run: Callable[..., sft.Run]) -> None:
    for targets in (("foo",), ("q_proj", "foo")):
        with pytest.raises(ModelError, match=r"no layers foo\. .*--targets; its linear layers are down_proj, gate_proj"):
            sft.train(run("targets", targets=targets))
    for attention in ("foo", "flash_attention_2"):
        with pytest.raises(ModelError, match=f"attention '{attention}' cannot be used"):
            sft.train(run(attention, attention=attention))
    with pytest.raises(ModelError, match="named twice"):
        sft.train(replace(run("twice"), proposers=("gdrec", "gdrec")))


def test_a_run_that_diverges_ends_there_and_leaves_no_adapter(run: Callable[..., sft.Run]) -> None:
    one = run("far", lr=1e30, warmup=0, orders=3)
    with pytest.raises(ModelError, match=r"diverged.* lower --lr than 1e\+30"):
        sft.train(one)
    assert not (one.out / "config.json").exists()
    llm = sft.load(one)
    model = sft.with_lora(llm.model, SETTINGS, False)
    next(p for p in model.parameters() if p.requires_grad).data[0] = float("nan")  # after the last loss that was logged
    with pytest.raises(ModelError, match="diverged before its end"):
        sft.save(one, llm, model, {})
    assert not (one.out / "adapter_model.safetensors").exists()


@pytest.mark.parametrize(
    "error",
    [
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"),
    ],
)
def test_a_full_disk_at_the_end_is_a_sentence_and_the_run_can_be_ended(
    error: Exception, run: Callable[..., sft.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, real = run("full", save_every=1, **SHORT), sft.save

    def refuse(*_: Any) -> None:
        raise error

    monkeypatch.setattr(sft, "save", refuse)
    monkeypatch.setattr(sft.shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(DataError, match=r"the disk is full.* last whole checkpoint"):
        sft.train(one)
    monkeypatch.setattr(sft, "save", real)
    sft.train(one)
    assert (one.out / "config.json").exists()


def test_an_error_that_is_not_of_the_disk_is_not_called_so(run: Callable[..., sft.Run], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:113] PytorchStreamReader failed reading zip archive")

    monkeypatch.setattr(sft, "save", refuse)
    with pytest.raises(RuntimeError, match="PytorchStreamReader"):
        sft.train(run("damaged", **SHORT))
