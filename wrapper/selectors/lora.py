"""Put a LoRA adapter's files on a model: every tensor lands, or the adapter is refused and the model is as it was.

PEFT says nothing of tensors that fit nowhere, and such an adapter answers as the model does without one.
"""

import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModel, PeftType, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers.utils.hub import cached_file

from wrapper import checksums
from wrapper.errors import ModelError
from wrapper.proposers.loading import load_pretrained

UNSUPPORTED = {
    "alora_invocation_tokens": "is at work behind certain words only (aLoRA)",
    "layer_replication": "repeats layers of the LLM",
    "arrow_config": "chooses among other adapters (Arrow)",
}
"""Settings of PEFT's that change the LLM for all, or do nothing where the answer is scored; and what they mean."""
HARMLESS_STARTS = ("gaussian", "orthogonal", "eva")
"""Ways to begin training that leave the LLM's own weights alone; others (PiSSA, OLoRA, LoftQ ...) take a part out of them."""
WEIGHTS = "adapter_model.safetensors"
PICKLE = "adapter_model.bin"


@contextmanager
def without_advice() -> Iterator[None]:
    """Keeps PEFT's advice on output layers away, which is for adapters that are merged or change the vocabulary; ours do neither."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Setting `save_embedding_layers`")
        warnings.filterwarnings("ignore", message="Model has `tie_word_embeddings=True`")
        yield


def attach(model: Any, source: str, name: str) -> Any:
    """The model with one more LoRA adapter (DoRA and fully trained modules among it), under a name of its own.

    source: a folder or Hub id with adapter_config.json and adapter_model.safetensors. Raises ModelError, with the names of the
    tensors, where one does not fit; then the model is as it was.
    """
    config = read_config(source)
    state = _read(_weights(source))
    first = not isinstance(model, PeftModel)
    wrapped, whole = model, False
    try:
        with without_advice():
            if first:
                wrapped = PeftModel(model, config, adapter_name=name)
            else:
                model.add_adapter(name, config)
        _fill(wrapped, state, source, name)
        whole = True
    except (ValueError, KeyError, RuntimeError, TypeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ModelError(
            f"The adapter {source} could not be put on this LLM ({reason}). Choose one that was trained on it"
            f"{'' if first else ', or load it without the others'}."
        ) from error
    finally:
        if not whole:
            _detach(wrapped, name, first)
    wrapped.eval()
    return wrapped


def read_config(source: str) -> PeftConfig:
    """What an adapter is; ModelError for what is no LoRA adapter."""
    config: PeftConfig = load_pretrained("The adapter", source, PeftConfig.from_pretrained)
    if config.peft_type != PeftType.LORA:
        kind = str(getattr(config.peft_type, "value", config.peft_type)).lower().replace("_", " ")
        raise ModelError(f"The adapter {source} is of the kind “{kind}”. Only LoRA adapters, DoRA among them, can be used here.")
    for name, why in UNSUPPORTED.items():
        if getattr(config, name, None):
            raise ModelError(f"The adapter {source} {why}, which is not supported. Only plain LoRA and DoRA can be used here.")
    if config.init_lora_weights not in (True, False, *HARMLESS_STARTS):  # type: ignore[attr-defined]
        raise ModelError(
            f"The adapter {source} was begun with {config.init_lora_weights!r}, which changes the LLM's own weights, for all others too. "  # type: ignore[attr-defined]
            "Have PEFT convert it to plain LoRA when it is saved (`path_initial_model_for_weight_conversion`)."
        )
    config.init_lora_weights = True  # type: ignore[attr-defined]  # all of it is written over; the LLM is not looked at
    if getattr(config, "bias", "none") != "none":
        raise ModelError(f"The adapter {source} changes the LLM's own biases, for all others too. Train one with bias “none”.")
    config.inference_mode = True
    return config


def _read(file: Path) -> dict[str, Any]:
    try:
        checksums.check(file)
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"The adapter's file {file} cannot be read ({error}). Take it from its source again.") from error


def _weights(source: str) -> Path:
    """The file with an adapter's tensors. A pickle is never opened: whoever wrote it could run code."""
    found = {name: _file(source, name) for name in (WEIGHTS, PICKLE)}
    if (path := found[WEIGHTS]) is not None:
        return path
    if found[PICKLE] is not None:
        raise ModelError(
            f"The adapter {source} has its weights in {PICKLE}, a pickle, which may run code when it is opened. "
            f"Convert it once with `python -m wrapper adapter import {source} --out FOLDER`, which reads nothing but tensors."
        )
    raise ModelError(f"The adapter {source} has no {WEIGHTS}. Check the name, or train it to its end first.")


def _file(source: str, name: str) -> Path | None:
    path = cached_file(
        source, name, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False,
        _raise_exceptions_for_gated_repo=False,
    )  # fmt: skip
    return None if path is None else Path(path)


def _fill(model: PeftModel, state: dict[str, Any], source: str, name: str) -> None:
    """Write the tensors into the adapter's places."""
    bad = [k for k, v in state.items() if not v.is_floating_point() or not bool(v.isfinite().all())]
    if bad:
        raise ModelError(f"The adapter {source} has tensors that are no finite numbers: {_some(bad)}. Take it from its source again.")
    places = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
    check_places({k: tuple(v.shape) for k, v in state.items()}, {k: tuple(v.shape) for k, v in places.items()}, source)
    set_peft_model_state_dict(model, state, adapter_name=name)


def check_places(found: dict[str, tuple[int, ...]], wanted: dict[str, tuple[int, ...]], source: str) -> None:
    """ModelError where an adapter's tensors, by name and shape, are not those that it must have on this model."""
    extra, missing = sorted(found.keys() - wanted.keys()), sorted(wanted.keys() - found.keys())
    other = [f"{k} ({list(found[k])} instead of {list(wanted[k])})" for k in sorted(found.keys() & wanted.keys()) if found[k] != wanted[k]]
    trouble = [
        f"{what}: {_some(names)}"
        for what, names in (("with no place in this LLM", extra), ("missing", missing), ("of another size", other))
        if names
    ]
    if trouble:
        raise ModelError(
            f"The adapter {source} does not fit this LLM: tensors {'; '.join(trouble)}. Use the LLM that it was trained on. "
            "If layers of that LLM itself were saved with it, `python -m wrapper adapter import` leaves them out."
        )


def _some(names: Collection[str], most: int = 3) -> str:
    shown = ", ".join(list(names)[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"


def _detach(model: Any, name: str, first: bool) -> None:
    """Take away what was put on the model. Where PEFT gave up half-way it has forgotten the adapter, but left its layers."""
    if first and isinstance(model, PeftModel):
        model.unload()
        return
    if isinstance(model, PeftModel) and name in model.peft_config:
        model.delete_adapter(name)
    for path, module in list(model.named_modules()):
        if not isinstance(module, BaseTunerLayer):
            continue
        if first:
            parent, _, child = path.rpartition(".")
            setattr(model.get_submodule(parent), child, module.get_base_layer())
        else:
            module.delete_adapter(name)
