"""The models of presets for people: what there is, what is here, what fits; and fetching what is missing."""

from collections.abc import Mapping
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError

from wrapper.errors import ModelError
from wrapper.hub import FAILURES
from wrapper.inventory import Part, free_bytes, parts
from wrapper.presets import Preset

FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
"""Of a repository, what is loaded: no pickles, no other frameworks' weights."""
TROUBLE: tuple[type[Exception], ...] = (*FAILURES, LocalEntryNotFoundError, OSError)


def as_text(presets: Mapping[str, Preset]) -> str:
    """A table for each preset, and the memory that is free."""
    devices = [torch.device("cpu"), *([torch.device("cuda")] if torch.cuda.is_available() else [])]
    free = ", ".join(f"{_name(d)} {free_bytes(d) / 1e9:.1f} GB" for d in devices)
    return "\n\n".join([f"Free memory: {free}.", *(_table(name, preset) for name, preset in presets.items())])


def _name(device: torch.device) -> str:
    return "GPU" if device.type == "cuda" else "CPU"


def _table(name: str, preset: Preset) -> str:
    rows = [["", "source", "licence", "size", "here", "on the CPU", "on a GPU"]]
    on_cpu, on_gpu = parts(preset, on_cuda=False), parts(preset, on_cuda=True)
    for cpu, gpu in zip(on_cpu, on_gpu, strict=True):
        gated = ", gated" if cpu.published and cpu.published.gated else ""
        size = "unknown" if cpu.weights is None else f"{cpu.weights.file_bytes / 1e9:.2f} GB"
        shown = Path(cpu.source).name if Path(cpu.source).is_dir() else cpu.source
        rows.append([cpu.kind, shown, cpu.licence + gated, size, "yes" if cpu.here else "no", _need(cpu, False), _need(gpu, True)])
    rows += [["adapter", f"{n} ({Path(s).name if Path(s).is_dir() else s})", "", "", "", "", ""] for n, s in preset.adapters.items()]
    sums = [_sum(on_cpu, False), _sum(on_gpu, True)]
    rows.append(["in all", "", "", "", "", *sums])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([f"{name}:", *lines])


def _need(part: Part, on_cuda: bool) -> str:
    need = part.need(on_cuda)
    kept = "NF4" if part.four_bit else f"{8 * part.bytes_each} bits"
    if need is None:
        return f"unknown, {kept}"
    host = f", and {need.host / 1e9:.0f} GB of main memory to load" if on_cuda and need.host else ""
    return f"{need.least / 1e9:.1f} GB (peak {need.peak / 1e9:.1f}), {kept}{host}"


def _sum(found: list[Part], on_cuda: bool) -> str:
    needs = [p.need(on_cuda) for p in found]
    return "unknown" if None in needs else f"{sum(n.least for n in needs if n) / 1e9:.1f} GB"


def fetch(preset: Preset) -> None:
    """Bring the models of a preset into the Hub's cache, each at its commit. ModelError says why one cannot be had."""
    for part in parts(preset, on_cuda=False):
        if part.here:
            print(f"{part.source} is here.")
            continue
        print(f"fetching {part.source} ...", flush=True)
        try:
            snapshot_download(part.source, revision=part.revision, allow_patterns=FILES)
        except GatedRepoError as error:
            raise ModelError(
                f"{part.source} is gated. Accept its licence at https://huggingface.co/{part.source}, make a token in your Hub settings, "
                "and log in with `hf auth login` or set HF_TOKEN."
            ) from error
        except TROUBLE as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise ModelError(
                f"{part.source} could not be fetched ({reason}). Check the connection and run this again: it goes on."
            ) from error
