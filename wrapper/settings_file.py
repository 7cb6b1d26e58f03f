"""Settings in a JSON file: the fields of a dataclass, and nothing else."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

T = TypeVar("T")


def read_json(path: Path) -> Any:
    """What a JSON file says. OSError where it cannot be read, ValueError where it is no JSON, or more deeply nested than Python reads."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_settings(kind: type[T], path: str) -> T:
    """What a file says, in place of the fields' own values. OSError, TypeError or ValueError where it cannot be read, or says something
    else than the fields, each of its kind; a whole number stands for any number."""
    data = read_json(Path(path))
    hints = get_type_hints(kind)
    kinds: dict[str, Any] = {f.name: (int, float) if hints[f.name] is float else hints[f.name] for f in fields(kind)}  # type: ignore[arg-type]
    if not isinstance(data, dict) or any(not isinstance(v, kinds.get(k, ())) or isinstance(v, bool) for k, v in data.items()):
        raise TypeError(f"it may hold only {', '.join(kinds)}, of the right kind")
    return kind(**data)
