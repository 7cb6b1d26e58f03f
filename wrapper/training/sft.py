"""Fine-tune a LoRA adapter on candidates: supervised, on the completions only, with transformers' Trainer.

    python -m wrapper train --candidates train.jsonl --validation val.jsonl --preset tiny --out my-adapter

OUT becomes a folder that `--adapter` takes: weights, the prompt template they belong to, config.json with every
setting, the fingerprints of the data and the measured curve, a model card, and TensorBoard's logs. A run that was cut goes on from its
last checkpoint (OUT/checkpoints, deleted at the end) and ends with the same weights as one that was not.

Why not TRL's SFTTrainer: since version 1 it refuses LoRA matrices on lm_head, which the paper trains. Nothing of it is
missed: prompts and answers are turned into tokens by the `Llm` that serves them, so both are the same by construction.
"""

import json
import math
import shutil
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from bitsandbytes.nn.modules import Linear4bit
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.tensorboard import SummaryWriter
from transformers import Trainer, TrainerCallback, TrainerState, TrainingArguments, set_seed
from transformers.integrations.integration_utils import TensorBoardCallback
from transformers.trainer import TRAINER_STATE_NAME

from wrapper.candidates import is_correct
from wrapper.errors import DataError, ModelError, is_disk_full, is_out_of_memory
from wrapper.hub import writing
from wrapper.inventory import check_room, parts
from wrapper.memory import peak_bytes
from wrapper.merging import MOST
from wrapper.pipeline import check_proposers, load_llm
from wrapper.presets import Preset
from wrapper.prompt import PromptTemplate
from wrapper.proposals import Proposals, Proposed, revision
from wrapper.selectors.calibration import LEAST, answered, fitted
from wrapper.selectors.experts import has_experts
from wrapper.selectors.llama import Llm
from wrapper.selectors.lora import without_advice
from wrapper.training.rows import Rows, best, make_rows
from wrapper.training.settings import TrainSettings
from wrapper.writing import write_whole

CHECKPOINTS = "checkpoints"
EXPERTS = r".*\.experts\..*"
"""Experts stand in 3-D parameters, which are no linear layers; the attention and the output get LoRA matrices."""
NO_LOSS = -100
"""The label of a token that is read, not learnt."""
LEAST_ROOM = 64 * 2**20
"""Bytes; with less on a disk, what cannot be written has no room."""
CONFIG = "config.json"
"""Written last: an adapter folder that has it is whole."""


@dataclass(frozen=True)
class Run:
    """What is trained on what. preset_name: under which `preset` is known; proposers: whose candidates are listed; template: the wording
    of the lists, the LLM's own where None."""

    preset_name: str
    preset: Preset
    proposers: tuple[str, ...]
    settings: TrainSettings
    train: Proposals
    validation: Proposals | None
    out: Path
    template: PromptTemplate | None = None


def train(run: Run) -> dict[str, Any]:
    """Train, or go on training, and write the adapter. Gives what config.json holds.

    Raises DataError where no row is left to train on, ModelError where OUT holds something else already.
    """
    begin(run)
    llm = load(run)
    rows = training_rows(run, llm)
    state = PartialState()
    if state.is_main_process:
        print(rows.summary())
    if not rows.rows:
        raise DataError("No row is left to train on. Propose for more examples, or with proposers that find the objects.")
    with without_advice():
        trainer = AnswerTrainer(
            model=with_lora(llm.model, run.settings, run.preset.four_bit),
            args=arguments(run),
            train_dataset=[tokens(llm, r.prompt, r.completion) for r in rows.rows],
            data_collator=side_by_side,
            callbacks=loggers(run) if state.is_main_process else [],
        )
        trainer.add_callback(Curve(run, llm, trainer))
        pace = Pace()
        trainer.add_callback(pace)
        trainer.add_callback(Divergence(run))
        with _room_for(run):
            trainer.train(resume_from_checkpoint=last_checkpoint(run.out / CHECKPOINTS))
    record = describe(run, rows, trainer.state.log_history) | pace.told(trainer.state, llm.model.device)
    if trainer.is_world_process_zero():
        with _room_for(run):
            save(run, llm, trainer.accelerator.unwrap_model(trainer.model), record)
    state.wait_for_everyone()
    return record


def last_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that was written to its end, None where there is none; what was cut while it was written is deleted. The
    Trainer writes its state last."""
    with PartialState().main_process_first():
        made = [p for p in folder.glob("checkpoint-*") if p.name.removeprefix("checkpoint-").isdigit()]
        for found in sorted(made, key=lambda p: int(p.name.removeprefix("checkpoint-")), reverse=True):
            try:
                TrainerState.load_from_json(str(found / TRAINER_STATE_NAME))
            except (OSError, ValueError, TypeError):
                shutil.rmtree(found, ignore_errors=True)
            else:
                return str(found)
    return None


@contextmanager
def _room_for(run: Run) -> Iterator[None]:
    """Says what to do where memory is too small for a step, or the disk for what is written. The batch is part of what a run is, so it is
    not made smaller unasked."""
    try:
        yield
    except (RuntimeError, MemoryError, OSError, SafetensorError) as error:
        # torch's own writer does not say why it failed
        if is_disk_full(error) or ("inline_container" in str(error) and shutil.disk_usage(run.out).free < LEAST_ROOM):
            raise DataError(
                f"{run.out} cannot be written: the disk is full, or locked. Make room and run the same command again; it goes on from its "
                "last whole checkpoint."
            ) from error
        if not is_out_of_memory(error):
            raise
        s = run.settings
        smaller = f"--batch {s.batch // 2}" if s.batch > 1 else f"--max-tokens {s.max_tokens // 2}"
        raise ModelError(
            f"There is not enough memory for a step of {s.batch} rows of up to {s.max_tokens:,} tokens. Close other programs and run the "
            f"same command again, or train into another folder with {smaller}{'' if s.checkpointing else ' or --checkpointing'}."
        ) from error


def begin(run: Run) -> None:
    """Make OUT, and write down in it what is trained, so that a run never goes on from another one's checkpoints."""
    check_proposers(run.proposers, run.train.settings.proposers)
    if (run.out / CONFIG).exists():
        raise ModelError(f"{run.out} holds a finished adapter. Choose another --out, or delete that folder.")
    wanted, file = json.dumps(identity(run), indent=1), run.out / CHECKPOINTS / "run.json"
    same = file.exists() and file.read_text(encoding="utf-8") == wanted
    if not same and any(file.parent.glob("checkpoint-*")):
        raise ModelError(f"{run.out} was begun with other settings or data. Give those again, choose another --out, or delete it.")
    with PartialState().main_process_first():
        if not same:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, wanted)


def identity(run: Run) -> dict[str, Any]:
    """What makes a run this one and no other."""
    return {
        "preset": run.preset_name,
        "llm": revision(run.preset.llama, run.preset.revision(run.preset.llama)),
        "proposers": list(run.proposers),
        "merging": run.preset.merging.value,
        "settings": asdict(run.settings),
        "template": None if run.template is None else asdict(run.template),
        "data": {
            "train": dict(run.train.data) | {"models": dict(run.train.settings.models)},
            "validation": None if run.validation is None else dict(run.validation.data),
        },
    }


def load(run: Run) -> Llm:
    """The LLM that gets the adapter."""
    device = torch.device("cuda", PartialState().local_process_index) if torch.cuda.is_available() else torch.device("cpu")
    check_room(parts(run.preset, device.type == "cuda", ()), device)
    llm = load_llm(replace(run.preset, adapters={}), device, max_tokens=run.settings.max_tokens)
    llm.template = run.template or llm.template
    try:
        llm.model.set_attn_implementation(run.settings.attention)
    except (ValueError, ImportError) as error:
        raise ModelError(f"The attention {run.settings.attention!r} cannot be used ({error}). Take sdpa.") from error
    return llm


def training_rows(run: Run, llm: Llm) -> Rows:
    """The rows of a run."""
    s = run.settings
    chosen = run.train.rows[: s.examples] if s.examples else run.train.rows
    longest = max(len(tokens) for tokens in llm.answers(MOST, llm.template))
    return make_rows(
        chosen, run.proposers, lambda q: llm.text(q, llm.template), lambda text: len(llm.encode(text)) + longest,
        run.preset.merging, s.max_tokens, s.orders, s.seed, llm.template.none,
    )  # fmt: skip


def with_lora(model: Any, s: TrainSettings, four_bit: bool) -> Any:
    """The model with fresh LoRA matrices; nothing else of it is trained. four_bit: whether it is quantised."""
    if four_bit:
        for module in model.modules():
            if isinstance(module, Linear4bit):  # on some CPUs a look in between packs the weights for kernels that have no gradient
                module.support_avx512bf16_for_cpu = False
        # Checkpointing is the trainer's own, with which layers need no gradient of their inputs
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)  # type: ignore[no-untyped-call]
    set_seed(s.seed)
    config = LoraConfig(
        r=s.rank, lora_alpha=s.alpha, lora_dropout=s.dropout, target_modules=list(s.targets), bias="none", task_type="CAUSAL_LM",
        exclude_modules=EXPERTS if has_experts(model.config) else None,
    )  # fmt: skip
    there = {name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    try:
        trained = get_peft_model(model, config)
    except ValueError as error:
        raise ModelError(_missing(s.targets, there)) from error
    reached = {name.rpartition(".")[2] for name, module in trained.named_modules() if isinstance(module, BaseTunerLayer)}
    if (missing := [t for t in s.targets if t not in reached]) and not has_experts(model.config):
        raise ModelError(_missing(missing, there))
    return trained


def _missing(targets: Sequence[str], there: Collection[str]) -> str:
    """What to say of layers that an LLM does not have: PEFT leaves them out without a word, and trains less than was asked for."""
    return (
        f"This LLM has no layers {', '.join(targets)}. Name those to be trained with --targets; its linear layers are "
        f"{', '.join(sorted(there))}."
    )


def tokens(llm: Llm, prompt: str, said: int | str) -> dict[str, list[int]]:
    """A row as the model reads it: the tokens of serving, with a loss on the answer's only."""
    before, answer = llm.encode(prompt), llm.answer(said)
    return {"input_ids": before + answer, "labels": [NO_LOSS] * len(before) + answer}


def side_by_side(rows: Sequence[Mapping[str, list[int]]]) -> dict[str, Tensor]:
    """Rows of `tokens` as one batch, (rows, longest) each, padded in front, so that all answers end in the last column.

    What is padded with is never seen, so any id will do; Llama 3 and Mixtral have none for it.
    """
    longest = max(len(row["input_ids"]) for row in rows)
    gaps = [longest - len(row["input_ids"]) for row in rows]

    def padded(lists: Sequence[list[int]], value: int) -> Tensor:
        return torch.tensor([[value] * gap + one for gap, one in zip(gaps, lists, strict=True)])

    ids = [row["input_ids"] for row in rows]
    return {
        "input_ids": padded(ids, 0),
        "attention_mask": padded([[1] * len(one) for one in ids], 0),
        "position_ids": padded([list(range(len(one))) for one in ids], 0),
        "labels": padded([row["labels"] for row in rows], NO_LOSS),
    }


class AnswerTrainer(Trainer):
    """A trainer whose loss is on the answers, and which computes logits for their places only: a prompt has hundreds of tokens, a
    vocabulary 128,000 words."""

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor | tuple[Tensor, Any]:
        """As `answer_loss`."""
        loss, out = answer_loss(model, inputs)
        return (loss, out) if return_outputs else loss


def answer_loss(model: Any, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Any]:
    """Mean cross-entropy of a batch's answer tokens, (), and what the model gave. inputs: as of `side_by_side`."""
    labels = inputs["labels"]
    answered = int((labels != NO_LOSS).any(0).sum())
    out = model(**{k: v for k, v in inputs.items() if k != "labels"}, logits_to_keep=answered + 1, use_cache=False)
    logits = out.logits[:, :-1].float().flatten(0, 1)
    return cross_entropy(logits, labels[:, -answered:].flatten(), ignore_index=NO_LOSS), out


def arguments(run: Run) -> TrainingArguments:
    """The trainer's own settings."""
    s, gpu = run.settings, torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(run.out / CHECKPOINTS),
        per_device_train_batch_size=s.batch,
        train_sampling_strategy="group_by_length" if s.by_length else "random",
        num_train_epochs=s.epochs,
        learning_rate=s.lr,
        lr_scheduler_type="linear",
        warmup_steps=s.warmup,
        optim="adamw_torch",
        activation_checkpointing=s.checkpointing,
        bf16=s.bf16 and computes_bfloat16(torch.device("cuda" if gpu else "cpu")),
        use_cpu=not gpu,
        seed=s.seed,
        data_seed=s.seed,
        save_steps=s.save_every,
        save_total_limit=2,
        logging_steps=10,
        logging_nan_inf_filter=False,  # or a run that diverges would look as if it went on
        report_to=[],  # TensorBoard's logs lie beside the checkpoints and outlive them
        include_num_input_tokens_seen="non_padding",
        dataloader_num_workers=0,
        dataloader_pin_memory=gpu,
        ddp_find_unused_parameters=False,
        remove_unused_columns=False,
    )


def computes_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is worth its lost digits on a device: on a CPU without units for it a step takes many times as long as
    in 32 bits."""
    return device.type != "cpu"


def loggers(run: Run) -> list[TrainerCallback]:
    """What writes the losses and the curve down for TensorBoard."""
    return [TensorBoardCallback(SummaryWriter(str(run.out / "logs")))]  # type: ignore[no-untyped-call]


class Curve(TrainerCallback):
    """Measures P@1 on the validation candidates every so many rows, and logs it with the number of rows seen.

    The log lies in the trainer's own state, which checkpoints carry.
    """

    def __init__(self, run: Run, llm: Llm, trainer: Trainer) -> None:
        self.run, self.llm, self.trainer = run, llm, trainer
        self.rows = run.validation.rows[: run.settings.check_rows] if run.validation else []

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if state.global_step == 0:
            self._measure(args, state, model)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        step = args.per_device_train_batch_size * args.world_size
        every = max(1, self.run.settings.check_every // step)
        if state.global_step % every == 0 or state.global_step == state.max_steps:
            self._measure(args, state, model)

    def _measure(self, args: Any, state: Any, model: Any) -> None:
        if not self.rows or not state.is_world_process_zero:
            return
        inner = getattr(model, "module", model)
        training = inner.training
        inner.eval()
        trained = Llm(inner, self.llm.tokenizer, self.llm.template, self.llm.max_tokens, self.llm.batch)
        value = accuracy(trained, self.rows, self.run)
        inner.train(training)
        seen = state.global_step * args.per_device_train_batch_size * args.world_size
        self.trainer.log({"rows": seen, "p_at_1": value})
        print(f"rows {seen:,}: P@1 {100 * value:.1f} on {len(self.rows)} validation examples", flush=True)


class Divergence(TrainerCallback):
    """Ends a run whose loss is no number any more: what it would go on to learn, measure and write means nothing."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if not math.isfinite((logs or {}).get("loss", 0.0)):
            raise ModelError(diverged(self.run, f"at step {state.global_step}"))


def diverged(run: Run, where: str) -> str:
    """What to say of such a run."""
    lower = f"Train into another --out with a lower --lr than {run.settings.lr:g}."
    return f"Training diverged {where}: its numbers are not finite any more. {lower}"


class Pace(TrainerCallback):
    """How fast this process trains and how much memory it takes; of a run that goes on, what it does itself."""

    began = time.monotonic()
    tokens = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.began, self.tokens = time.monotonic(), int(state.num_input_tokens_seen)

    def told(self, state: Any, device: torch.device) -> dict[str, Any]:
        """Seconds, tokens a second (padding left out, the measuring of P@1 counted as time), and the peak of memory in MB."""
        seconds = time.monotonic() - self.began
        return {
            "seconds": round(seconds),
            "tokens_per_second": round((int(state.num_input_tokens_seen) - self.tokens) / max(seconds, 1e-9)),
            "peak_memory_mb": round(peak_bytes(device) / 1e6),
        }


def accuracy(llm: Llm, rows: Sequence[Proposed], run: Run) -> float:
    """P@1 over all rows, those without candidates included."""
    selections = llm.select([row.question(run.proposers, run.preset.merging) for row in rows])
    return sum(is_correct(s.box, r.truth) for s, r in zip(selections, rows, strict=True)) / len(rows)


def describe(run: Run, rows: Rows, history: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Everything about a finished run, as plain data."""
    curve = [{"rows": h["rows"], "p_at_1": h["p_at_1"]} for h in history if "p_at_1" in h]
    losses = [{"step": h["step"], "loss": h["loss"]} for h in history if "loss" in h]
    return identity(run) | {
        "rows": {"training": len(rows.rows), "examples": rows.kept, "dropped": rows.dropped},
        "curve": curve,
        "losses": losses,
    }


def save(run: Run, llm: Llm, model: Any, record: dict[str, Any]) -> None:
    """Write the adapter folder. ModelError where what was learnt is no numbers."""
    if not all(bool(p.isfinite().all()) for p in model.parameters() if p.requires_grad):
        raise ModelError(diverged(run, "before its end"))
    model.peft_config["default"].base_model_name_or_path = str(record["llm"]).split("@")[0]  # a name, not this machine's path
    model.save_pretrained(run.out, save_embedding_layers=False)
    llm.template.save(run.out)
    replace(llm.template, temperature=temperature(run, llm, model)).save(run.out)  # the base's was fitted without the adapter
    write_whole(run.out / "README.md", card(record))
    write_whole(run.out / CONFIG, json.dumps(record, indent=1) + "\n")
    shutil.rmtree(run.out / CHECKPOINTS)


MOST_CALIBRATED = 1000
"""Validation examples on which a temperature is fitted: other processes wait for it."""


def temperature(run: Run, llm: Llm, model: Any) -> float:
    """The trained LLM's, fitted on the validation candidates; 0 where those are too few, or none."""
    asked = []
    for row in run.validation.rows[:MOST_CALIBRATED] if run.validation else []:
        question = row.question(run.proposers, run.preset.merging)
        target = best(question.candidates, row)
        if len(question.candidates) > 1 and (target is not None or llm.template.none):
            asked.append((question, target))
    if len(asked) < LEAST:
        return 0.0
    inner = getattr(model, "module", model)
    inner.eval()
    return fitted(answered(Llm(inner, llm.tokenizer, llm.template, llm.max_tokens, llm.batch), asked))


def card(record: dict[str, Any]) -> str:
    """A model card of an adapter, from its record."""
    s, data = record["settings"], record["data"]["train"]
    curve = "\n".join(f"| {p['rows']:,} | {100 * p['p_at_1']:.1f} |" for p in record["curve"])
    measured = f"P@1 on {record['data']['validation']['name']}:\n\n| rows seen | P@1 |\n|---|---|\n{curve}\n" if curve else "Not measured."
    return f"""---
library_name: peft
base_model: {str(record["llm"]).split("@")[0]}
tags: [referring-expression-comprehension, llm-wrapper, lora]
---
# LLM-wrapper adapter for {" + ".join(record["proposers"])}

Makes {record["llm"]} pick, from the boxes that {" and ".join(record["proposers"])} propose, the one that a referring
expression means. It answers best to the prompt wording it was trained with, which lies beside it in `prompt.json`.

Trained on {data["name"]} ({record["rows"]["examples"]:,} of {data["examples"]:,} examples kept, {record["rows"]["training"]:,} rows
with their other orders), rank {s["rank"]}, alpha {s["alpha"]}, learning rate {s["lr"]}, batch {s["batch"]}, {s["epochs"]} epochs,
{record["seconds"]} s at {record["tokens_per_second"]:,} tokens a second, {record["peak_memory_mb"]:,} MB of memory at most. Every
setting and the data's fingerprints are in `config.json`.

{measured}"""


def push(folder: Path, repository: str, private: bool = True) -> str:
    """Send an adapter folder to the Hub, without its checkpoints; gives the address."""
    from huggingface_hub import HfApi

    needed = ("adapter_model.safetensors", "adapter_config.json", "prompt.json", "config.json", "README.md")
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise ModelError(f"{folder} is not a finished adapter; it lacks {', '.join(missing)}. Train it to its end first.")
    api = HfApi()
    with writing(repository):
        api.create_repo(repository, private=private, exist_ok=True)
        return str(api.upload_folder(repo_id=repository, folder_path=folder, allow_patterns=list(needed)))
