"""The words of RefScenes, from which the bundled models' tokenizers are made."""

import random
import re

from wrapper.scenes.expressions import CATEGORIES, ask, plural, wants_color
from wrapper.scenes.kinds import COLORS, NOUNS, SYNONYMS
from wrapper.scenes.layout import draw_layout


def texts(n: int = 20_000) -> list[str]:
    """Expressions about n random layouts."""
    rng = random.Random("words")
    out = []
    for _ in range(n):
        category = rng.choice(CATEGORIES)
        layout = draw_layout(rng, wants_color(category, rng))
        if expression := ask(rng, layout, category):
            out.append(expression.text)
    return out


def vocabulary() -> list[str]:
    """Every word of RefScenes, lower case, sorted."""
    nouns = [name for noun in NOUNS for name in (noun, *SYNONYMS.get(noun, ()))]
    spoken = " ".join([*texts(), *nouns, *(plural(noun) for noun in nouns), *COLORS])
    return sorted(set(re.findall(r"[a-z]+", spoken)))
