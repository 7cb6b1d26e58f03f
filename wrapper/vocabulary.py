"""What the bundled detector for photographs can name, and whether an expression asks for something else.

words.json beside the detector holds, for each of its names, other words for that kind and for kinds of it. It was taken from the
recipes' nouns (weights/recipes/nouns.py).
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache

from wrapper.expressions import normalise, singulars
from wrapper.presets import PHOTO_WEIGHTS
from wrapper.subject import parse

ANY = frozenset(("one", "thing", "object", "item", "something", "guys", "people", "men", "women", "children", "kids"))
"""Words that may mean any of them."""


@cache
def detector_words() -> Mapping[str, Sequence[str]]:
    """The bundled detector's names, each with other words for it."""
    found: dict[str, list[str]] = json.loads((PHOTO_WEIGHTS / "yolox-nano" / "words.json").read_text(encoding="utf-8"))
    return found


def unknown_subject(expression: str, words: Mapping[str, Sequence[str]]) -> str | None:
    """The subject of an expression where it is none of these kinds; None where it is one, or where there is no telling."""
    parsed = parse(normalise(expression))
    if parsed.subject is None:
        return None
    known = {w for name, others in words.items() for w in (name, *others)} | ANY
    group = parsed.groups[parsed.subject].text.split()
    endings = [" ".join(group[i:]) for i in range(len(group))]
    return None if any(_ones(e) & known for e in endings) else endings[-1]


def _ones(words: str) -> set[str]:
    """What the words may be the plural of, and the words themselves."""
    *before, last = words.split()
    return {" ".join((*before, one)) for one in {last, *singulars(last)}}
