"""Every value of a fine-tuning run, with the paper's figures and our own for the bundled models."""

from dataclasses import dataclass
from typing import Annotated

from wrapper.errors import ModelError

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class TrainSettings:
    """A fine-tuning run. The defaults are the paper's (METHOD: Fine-tuning the LLM)."""

    rank: Annotated[int, "Rank of the LoRA matrices."] = 128
    alpha: Annotated[int, "LoRA's alpha; updates are scaled by alpha / rank."] = 256
    dropout: Annotated[float, "Dropout before the LoRA matrices."] = 0.1
    targets: Annotated[tuple[str, ...], "Linear layers that get LoRA matrices."] = (*PROJECTIONS, "lm_head")
    lr: Annotated[float, "Peak learning rate of AdamW, falling linearly to 0."] = 1e-5
    warmup: Annotated[float, "Share of the steps over which the learning rate rises."] = 0.0
    batch: Annotated[int, "Rows a step and process."] = 4
    by_length: Annotated[bool, "Put rows of like length into one batch: less padding, but batches that are less mixed."] = False
    epochs: Annotated[float, "Passes over the rows."] = 1.0
    max_tokens: Annotated[int, "Rows with longer prompts are dropped."] = 1024
    orders: Annotated[int, "Most other orders in which a list of candidates is added; 0 for none."] = 4
    examples: Annotated[int, "Most examples used, from the first on; 0 for all."] = 0
    checkpointing: Annotated[bool, "Compute activations again instead of keeping them: slower, needs less memory."] = True
    bf16: Annotated[bool, "Compute in bfloat16 on a GPU; weights of LoRA stay in float32, and a CPU computes in it."] = True
    attention: Annotated[str, "Which of transformers' attentions: sdpa, eager, flash_attention_2."] = "sdpa"
    check_every: Annotated[int, "Rows between two measurements of P@1 on the validation candidates."] = 4000
    check_rows: Annotated[int, "Validation examples of such a measurement."] = 500
    save_every: Annotated[int, "Steps between two checkpoints to go on from."] = 500
    seed: Annotated[int, "Of the rows' orders, the LoRA matrices and dropout."] = 0

    def __post_init__(self) -> None:
        for name in ("rank", "alpha", "lr", "batch", "epochs", "max_tokens", "check_every", "check_rows", "save_every"):
            if not getattr(self, name) > 0:
                raise ModelError(f"{name} is {getattr(self, name)}; it must be more than 0.")
        for name in ("examples", "orders"):
            if getattr(self, name) < 0:
                raise ModelError(f"{name} is {getattr(self, name)}; it must be 0 or more.")
        if not 0 <= self.dropout < 1 or not 0 <= self.warmup < 1:
            raise ModelError("dropout and warmup are shares: at least 0 and less than 1.")


PAPER_SETTINGS = TrainSettings()
TINY_SETTINGS = TrainSettings(
    rank=32, alpha=64, dropout=0.0, lr=5e-4, warmup=0.05, batch=16, by_length=True, orders=1, checkpointing=False, check_every=1600,
    check_rows=300, save_every=50,
)  # fmt: skip
"""For models of 3 and 4 million parameters, on a CPU, where time goes by the padded length; one other order is enough, as the
bundled LLM was trained on shuffled lists."""
SETTINGS = {"tiny": TINY_SETTINGS, "photo": TINY_SETTINGS, "cpu": PAPER_SETTINGS, "paper": PAPER_SETTINGS, "mixtral": PAPER_SETTINGS}


def settings_of(preset: str) -> TrainSettings:
    """A preset's own settings; the paper's for any other."""
    return SETTINGS.get(preset, PAPER_SETTINGS)
