"""Loading a checkpoint from a folder or the Hub, with errors that say what to do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from transformers import AutoConfig

from wrapper.errors import ModelError

T = TypeVar("T")


def load_pretrained(what: str, source: str, load: Callable[..., T], **options: Any) -> T:
    """`load(source, **options)` with safetensors only, so that no pickle is ever opened.

    what: the part's name in messages, such as "Florence-2". Raises ModelError where the files are missing, of
    another model or unreadable.
    """
    if _looks_like_folder(source) and not Path(source).is_dir():
        raise ModelError(f"{what}: there is no folder {source}. Check the path, or give a Hugging Face Hub id such as owner/name.")
    try:
        return load(source, **options)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()
        raise ModelError(
            f"{what} could not be loaded from {source} ({reason[0] if reason else type(error).__name__}). Check that it is a "
            f"{what} checkpoint with safetensors files; a Hub id needs a connection, and a gated one needs HF_TOKEN."
        ) from error
    except RuntimeError as error:
        if "size mismatch" not in str(error):
            raise
        raise ModelError(f"{what} in {source} was made for a model of another size. Choose one that was made for this model.") from error


def check_kind(what: str, source: str, model_type: str) -> None:
    """Refuse a checkpoint whose config says that it is another model."""
    config = load_pretrained(what, source, AutoConfig.from_pretrained)
    if config.model_type != model_type:
        raise ModelError(f"{source} is a {config.model_type} checkpoint, not {what}. Choose one of type {model_type}.")


def _looks_like_folder(source: str) -> bool:
    return source.startswith((".", "/", "~")) or source.count("/") > 1 or Path(source).exists()
