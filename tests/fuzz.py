"""Files from strangers, changed at random: nothing may crash, hang or fill the memory, and every refusal is one of our errors.

    python -m tests.fuzz --rounds 200000 --seed 1      # the long run; a short one is tests/test_fuzz.py

Each round takes a whole file of one kind, changes it by one or several mutations, and has the package read it.
"""

import argparse
import copy
import io
import json
import pickle
import random
import resource
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from peft import LoraConfig, get_peft_model
from PIL import Image
from transformers import LlamaConfig, LlamaForCausalLM

from wrapper.candidates import Candidate, Reason, Selection
from wrapper.datasets.archive import read_zip
from wrapper.datasets.files import read_jsonl
from wrapper.datasets.refer import read_plain_pickle
from wrapper.errors import WrapperError
from wrapper.images import load_image
from wrapper.presets import TINY_WEIGHTS
from wrapper.prompt import PromptTemplate
from wrapper.selectors.lora import WEIGHTS, attach, without_advice
from wrapper.trace import read_trace, trace

CONFIG = "adapter_config.json"

SLOWEST = 2.0
"""Seconds that one file may take."""
NUMBERS = (0, 1, 2, 127, 128, 255, 256, 32767, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)
"""What lengths and sizes are at their edges."""
WORDS = (b"{", b"]", b'"', b"null", b"-1", b"1e999", b"NaN", b"\x00", b"\xff\xd8", b"\\ud800", b"../", b"{0.__class__}", b"<|eot_id|>")
CUP = Candidate((1.0, 2.0, 30.0, 40.0), "cup", 0.5, "gdrec")


@dataclass(frozen=True)
class Target:
    """What is read. files: whole ones; read: has the package read one from a folder of its own."""

    files: list[bytes]
    read: Callable[[bytes, Path], object]


def pictures() -> list[bytes]:
    """Small pictures in every format and mode that is read, and in some that are not."""
    found = []
    for mode in ("RGB", "L", "P", "RGBA", "1", "I;16", "CMYK", "LA"):
        for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "ICO", "PPM"):
            out = io.BytesIO()
            try:
                Image.effect_noise((40, 30), 60).convert(mode).save(out, kind)
            except (OSError, ValueError, KeyError):  # no such picture in this format
                continue
            found.append(out.getvalue())
    frames = [Image.new("RGB", (20, 20), color) for color in ("red", "blue", "green")]
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        out = io.BytesIO()
        frames[0].save(out, kind, save_all=True, append_images=frames[1:])
        found.append(out.getvalue())
    turned = io.BytesIO()
    exif = Image.Exif()
    exif[274] = 6
    frames[0].save(turned, "JPEG", exif=exif)
    return [*found, turned.getvalue()]


@cache
def png() -> bytes:
    """A picture that rows can name."""
    out = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(out, "PNG")
    return out.getvalue()


def rows() -> bytes:
    listed = [{"image": "a.png", "expression": f"the cup {i}", "bbox": [i, 0, 20 + i, 9], "category": "x", "id": str(i)} for i in range(4)]
    return "\n".join(json.dumps(r) for r in listed).encode()


def _written(name: str, read: Callable[[Path], object]) -> Callable[[bytes, Path], object]:
    def write_and_read(data: bytes, folder: Path) -> object:
        (folder / name).write_bytes(data)
        (folder / "a.png").write_bytes(png())
        return read(folder / name)

    return write_and_read


def _archive() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.jsonl", rows())
        archive.writestr("x/a.png", png())
    return out.getvalue()


def _trace(data: bytes, folder: Path) -> object:
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):  # the page's own script, or the caller, has read the JSON
        return None
    return read_trace(told)


@cache
def adapter() -> tuple[Any, bytes, bytes]:
    """A small LLM, and a LoRA adapter's configuration and weights that fit it."""
    sizes = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2}
    llm = LlamaForCausalLM(LlamaConfig(vocab_size=16, pad_token_id=0, **sizes))
    settings = LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    with tempfile.TemporaryDirectory() as made, without_advice():
        trained = get_peft_model(copy.deepcopy(llm), settings)
        trained.save_pretrained(made)
        return llm, (Path(made) / CONFIG).read_bytes(), (Path(made) / WEIGHTS).read_bytes()


def _attached(changed: str) -> Callable[[bytes, Path], object]:
    def write_and_attach(data: bytes, folder: Path) -> object:
        llm, settings, weights = adapter()
        for name, whole in ((CONFIG, settings), (WEIGHTS, weights)):
            (folder / name).write_bytes(data if name == changed else whole)
        return attach(copy.deepcopy(llm), str(folder), "changed")

    return write_and_attach


def targets() -> dict[str, Target]:
    """Everything that reads a stranger's file without a full model."""
    _, settings, weights = adapter()
    told = trace(Selection((CUP, CUP), 0, (0.7, 0.3), Reason.CHOSEN, "the prompt"), "the cup", (64, 48))
    refs = [{"ref_id": 1, "image_id": 2, "split": "val", "sentences": [{"sent": "the cup", "tokens": ["the"]}], "ann_id": 3}]
    prompt = (TINY_WEIGHTS / "llama" / "prompt.json").read_bytes()
    return {
        "picture": Target(pictures(), lambda data, folder: load_image(data)),
        "jsonl": Target([rows()], _written("data.jsonl", read_jsonl)),
        "pickle": Target([pickle.dumps(refs, p) for p in range(5)], _written("refs(umd).p", read_plain_pickle)),
        "zip": Target([_archive()], _written("data.zip", lambda path: read_zip(path, path.parent))),
        "prompt": Target([prompt], _written("prompt.json", lambda path: PromptTemplate.load(path.parent))),
        "trace": Target([json.dumps(told).encode()], _trace),
        "adapter-settings": Target([settings], _attached(CONFIG)),
        "adapter-weights": Target([weights], _attached(WEIGHTS)),
    }


def mutate(data: bytes, rng: random.Random) -> bytes:
    """A file with one to six changes."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        at = rng.randrange(len(found) + 1) if rng.random() < 0.5 else rng.randrange(min(len(found), 64) + 1)  # headers are the beginning
        how = rng.randrange(7)
        if how == 0 and at < len(found):
            found[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            found[at : at + 4] = rng.choice(NUMBERS).to_bytes(4, rng.choice(("big", "little")))
        elif how == 2:
            del found[at : at + rng.choice((1, 2, 16, 10**6))]
        elif how == 3:
            found[at:at] = rng.choice(WORDS)
        elif how == 4:
            found[at:at] = rng.randbytes(rng.choice((1, 4, 64)))
        elif how == 5:
            part = found[at : at + rng.choice((4, 64, 512))]
            found[at:at] = part * rng.choice((1, 2, 50))
        else:
            found[at : at + 1] = bytes([rng.randrange(256)])
    return bytes(found)


def run(rounds: int, seed: int, kinds: tuple[str, ...] = ()) -> tuple[Counter[str], list[str]]:
    """Outcomes by kind, and what must not be: the round, and what happened in it."""
    found, bad = Counter[str](), list[str]()
    chosen = {name: target for name, target in targets().items() if not kinds or name in kinds}
    names = list(chosen)
    with tempfile.TemporaryDirectory() as home, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT's, of settings that it does not know
        for i in range(rounds):
            rng = random.Random(f"{seed}/{i}")
            name = names[i // 2 % len(names)] if i % 2 else names[0]  # pictures are half of them
            target = chosen[name]
            data = mutate(rng.choice(target.files), rng)
            folder = Path(tempfile.mkdtemp(dir=home))
            began = time.perf_counter()
            try:
                target.read(data, folder)
                found[f"{name} read"] += 1
            except WrapperError as error:
                found[f"{name} refused"] += 1
                if "\n" in str(error) or not str(error):
                    bad.append(f"round {i}, {name}: no sentence: {error!r}")
            except BaseException as error:  # noqa: BLE001  whatever it is, it is what is looked for
                bad.append(f"round {i}, {name}: {type(error).__name__}: {error}")
            if (spent := time.perf_counter() - began) > SLOWEST:
                bad.append(f"round {i}, {name}: took {spent:.1f} s")
            for file in sorted(folder.rglob("*"), reverse=True):
                file.rmdir() if file.is_dir() else file.unlink()
            folder.rmdir()
    return found, bad


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=200_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--kinds", nargs="+", default=(), choices=list(targets()), help="only these; all where not given")
    given = options.parse_args()
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found, bad = run(given.rounds, given.seed, tuple(given.kinds))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    more, whole = (peak - before) / 1e3, before / 1e3
    print(f"{given.rounds:,} files in {time.perf_counter() - began:.0f} s, peak memory {more:.0f} MB above {whole:.0f} MB")
    for name, count in sorted(found.items()):
        print(f"  {name}: {count:,}")
    print(f"{len(bad)} that must not be" + "".join(f"\n  {line}" for line in bad[:50]))
    raise SystemExit(bool(bad))


if __name__ == "__main__":
    main()
