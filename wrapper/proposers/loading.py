"""Loading a checkpoint from a folder or the Hub, with errors that say what to do."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from transformers import AutoConfig

from wrapper import checksums
from wrapper.errors import ModelError

T = TypeVar("T")


def load_pretrained(what: str, source: str, load: Callable[..., T], **options: Any) -> T:
    """`load(source, **options)` with safetensors only, so that no pickle is ever opened.

    what: the part's name in messages, such as "Florence-2". Raises ModelError where the files are missing, of
    another model or unreadable, or bundled ones that were changed.
    """
    if _looks_like_folder(source) and not Path(source).is_dir():
        raise ModelError(f"{what}: there is no folder {source}. Check the path, or give a Hugging Face Hub id such as owner/name.")
    checksums.check(source)
    try:
        return load(source, **options)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()
        why = reason[0] if reason else type(error).__name__
        raise ModelError(f"{what} could not be loaded from {source} ({why}). {_way_out(what, source)}") from error
    except ImportError as error:
        package = getattr(error, "name", None) or next((w for w in str(error).replace("`", " ").split() if w == "timm"), None)
        needs = f"It needs the package {package}: pip install {package}" if package else next(iter(str(error).strip().splitlines()), "")
        raise ModelError(f"{what} could not be loaded from {source}. {needs}") from error
    except RuntimeError as error:
        if "size mismatch" not in str(error):
            raise
        raise ModelError(f"{what} in {source} was made for a model of another size. Choose one that was made for this model.") from error


def check_kind(what: str, source: str, kinds: Sequence[str], revision: str | None = None) -> None:
    """Refuse a checkpoint whose config says that it is another model. kinds: the `model_type` of those that fit."""
    config = load_pretrained(what, source, AutoConfig.from_pretrained, revision=revision)
    if config.model_type not in kinds:
        raise ModelError(f"{source} is a {config.model_type} checkpoint, not {what}. Choose one of type {' or '.join(kinds)}.")


def _way_out(what: str, source: str) -> str:
    if _looks_like_folder(source):
        return f"Check that it is a {what} checkpoint with whole safetensors files, or choose another preset."
    return (
        f"Check that it is a {what} checkpoint and that there is a connection. A gated one needs its licence accepted at "
        f"https://huggingface.co/{source} and a token in HF_TOKEN. Or choose another preset."
    )


def _looks_like_folder(source: str) -> bool:
    return source.startswith((".", "/", "~")) or source.count("/") > 1 or Path(source).exists()
