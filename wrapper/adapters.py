"""What an adapter folder says about itself: whose candidates it was trained on, with how many examples, of which data."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from wrapper.errors import ModelError
from wrapper.settings_file import read_json

AUTO, ZERO_SHOT = "auto", "zero-shot"
"""Which adapter: the one that is kept for the proposers where there is one; none. No adapter may be called so."""


def parse_adapters(given: Sequence[str]) -> dict[str, str]:
    """NAME=SOURCE texts -> source (folder or Hub id) by name; ModelError where one is written otherwise or takes a name that means
    something else."""
    found = {}
    for text in given:
        name, _, source = text.partition("=")
        if not name.isidentifier() or not source or name in (AUTO, ZERO_SHOT):
            raise ModelError(f"{text!r} names no adapter. Write NAME=SOURCE, such as gdrec=you/gdrec-adapter.")
        found[name] = source
    return found


def check_adapter(name: str, known: Collection[str]) -> None:
    """ModelError where an adapter that is asked for is none of these."""
    if name not in (AUTO, ZERO_SHOT, *known):
        raise ModelError(f"There is no adapter {name!r} here. Choose from {', '.join([AUTO, ZERO_SHOT, *known])}.")


def record(source: str) -> dict[str, Any] | None:
    """The config.json that `wrapper train` left in a folder; None where there is none, as for adapters on the Hub."""
    file = Path(source) / "config.json"
    if not file.is_file():
        return None
    try:
        data = read_json(file)
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} cannot be read ({error}). Take it from the adapter's source again.") from error
    return data if isinstance(data, dict) and "proposers" in data else None


def in_words(found: Mapping[str, Any]) -> str:
    """What an adapter was trained on, or where it was taken from."""
    if "imported" in found:
        return f"from {found['imported']['source']}, licence {found['imported']['licence']}"
    data = found["data"]["train"]
    return f"trained on {found['rows']['examples']:,} examples of {data['name']}, with candidates of {' and '.join(found['proposers'])}"


def misfit(found: Mapping[str, Any], proposers: Sequence[str]) -> str | None:
    """A warning where an adapter reads other candidates than it was trained on."""
    if not found["proposers"] or set(found["proposers"]) == set(proposers):
        return None
    return (
        f"This adapter was trained on candidates of {' and '.join(found['proposers'])}, and now reads those of "
        f"{' and '.join(proposers)}. It may still help, but less."
    )
