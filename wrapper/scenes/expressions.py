"""Referring expressions about a layout: rules that say which object is meant, and the words that say it.

An expression is a noun, filters ("red", "not next to the tree", "above the cup") and at most one superlative
("largest", "second from the left") among what the filters leave. A filter answers yes, no, or None where a small
change of a box could turn the answer; an expression is emitted only when exactly one object of its noun gets a clear
yes and every other one a clear no.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from wrapper.scenes.kinds import SYNONYMS, Kind
from wrapper.scenes.layout import LONG_SIDE, Layout, SceneObject

Category = Literal["attribute", "size", "position", "ordinal", "relation", "negation", "combination"]
CATEGORIES: tuple[Category, ...] = (
    "attribute", "size", "position", "ordinal", "relation", "negation", "combination",
)  # fmt: skip
Side = Literal["left", "right", "top", "bottom"]

GAP = 0.05 * LONG_SIDE  # two centres this far apart along an axis are clearly in order
AREA_RATIO = 1.35  # of two areas that are clearly in order
NEAR, FAR = 0.08 * LONG_SIDE, 0.22 * LONG_SIDE  # between boxes: "next to" up to NEAR, clearly not from FAR on
DISTANCE_GAP = 0.08 * LONG_SIDE  # two distances this far apart are clearly in order


class Filter(Protocol):
    """A property that an object has, has not, or has by too little to say (None)."""

    def verdict(self, layout: Layout, thing: SceneObject) -> bool | None: ...


@dataclass(frozen=True)
class HasColor:
    color: str

    def verdict(self, layout: Layout, thing: SceneObject) -> bool | None:
        return thing.kind.color == self.color


@dataclass(frozen=True)
class Beside:
    """On one side of a landmark: more to that side than across it, by the centres of the boxes."""

    side: Side
    landmark: SceneObject

    def verdict(self, layout: Layout, thing: SceneObject) -> bool | None:
        dx, dy = thing.middle[0] - self.landmark.middle[0], thing.middle[1] - self.landmark.middle[1]
        along, across = {"left": (-dx, dy), "right": (dx, dy), "top": (-dy, dx), "bottom": (dy, dx)}[self.side]
        if along <= 0:
            return False
        return True if along >= GAP and along >= 0.5 * abs(across) else None


@dataclass(frozen=True)
class Between:
    """Between two landmarks: near the line from one centre to the other."""

    first: SceneObject
    second: SceneObject

    def verdict(self, layout: Layout, thing: SceneObject) -> bool | None:
        (ax, ay), (bx, by), (px, py) = self.first.middle, self.second.middle, thing.middle
        length = math.hypot(bx - ax, by - ay)
        if length < 0.25 * LONG_SIDE:
            return None
        along = ((px - ax) * (bx - ax) + (py - ay) * (by - ay)) / length**2
        off = abs((px - ax) * (by - ay) - (py - ay) * (bx - ax)) / length**2
        if 0.15 <= along <= 0.85 and off <= 0.25:
            return True
        return False if along <= 0 or along >= 1 or off >= 0.45 else None


@dataclass(frozen=True)
class NextTo:
    landmark: SceneObject

    def verdict(self, layout: Layout, thing: SceneObject) -> bool | None:
        a, b = thing.box, self.landmark.box
        gap = math.hypot(max(a[0] - b[2], b[0] - a[2], 0), max(a[1] - b[3], b[1] - a[3], 0))
        return True if gap <= NEAR else False if gap >= FAR else None


@dataclass(frozen=True)
class InRegion:
    """In a corner or in the middle of the picture. column and row: 0, 1 or 2."""

    column: int
    row: int

    def verdict(self, layout: Layout, thing: SceneObject) -> bool | None:
        shares = thing.middle[0] / layout.width, thing.middle[1] / layout.height
        away = max(abs(s - (0.5, (0.0, 0.5, 1.0)[n])[n != 1]) for s, n in zip(shares, (self.column, self.row), strict=True))
        inside, outside = (0.16, 0.24) if (self.column, self.row) == (1, 1) else (0.36, 0.46)
        return True if away <= inside else False if away >= outside else None


@dataclass(frozen=True)
class Not:
    inner: Filter

    def verdict(self, layout: Layout, thing: SceneObject) -> bool | None:
        inner = self.inner.verdict(layout, thing)
        return None if inner is None else not inner


@dataclass(frozen=True)
class Rank:
    """The place-th (from 1) object by a measure, smallest measure first.

    measure: "left" orders by the centre from the left, "top" from the top, "large" by falling area, "near" by distance
    to the landmark, and so on.
    """

    measure: Literal["left", "right", "top", "bottom", "large", "small", "near", "far"]
    place: int = 1
    landmark: SceneObject | None = None

    def winner(self, layout: Layout, pool: Sequence[SceneObject]) -> SceneObject | None:
        """The object meant, or None where the pool is too short or a neighbour in the order is too close."""
        order = sorted(pool, key=self._value)
        if len(order) < max(2, self.place):
            return None
        i = self.place - 1
        neighbours = [order[j] for j in (i - 1, i + 1) if 0 <= j < len(order)]
        return order[i] if all(self._clear(order[i], other) for other in neighbours) else None

    def _value(self, thing: SceneObject) -> float:
        x, y = thing.middle
        sign = 1 if self.measure in ("left", "top", "small", "near") else -1
        if self.measure in ("left", "right"):
            return sign * x
        if self.measure in ("top", "bottom"):
            return sign * y
        if self.measure in ("large", "small"):
            return sign * math.log(thing.area)
        assert self.landmark is not None
        return sign * math.dist(thing.middle, self.landmark.middle)

    def _clear(self, a: SceneObject, b: SceneObject) -> bool:
        if self.measure in ("large", "small"):
            needed = math.log(AREA_RATIO)
        else:
            needed = DISTANCE_GAP if self.measure in ("near", "far") else GAP
        return abs(self._value(a) - self._value(b)) >= needed


@dataclass(frozen=True)
class Question:
    """What an expression asks for, apart from its wording."""

    noun: str
    filters: tuple[Filter, ...] = ()
    rank: Rank | None = None


def passes(layout: Layout, question: Question, thing: SceneObject) -> bool | None:
    """Whether an object of the question's noun passes every filter; None where that is not clear."""
    verdicts = [f.verdict(layout, thing) for f in question.filters]
    return False if False in verdicts else None if None in verdicts else True


def answer(layout: Layout, question: Question) -> SceneObject | None:
    """The one object that a question means, or None where it is not exactly one or not clearly so."""
    things = [o for o in layout.objects if o.kind.noun == question.noun]
    verdicts = [passes(layout, question, o) for o in things]
    pool = [o for o, v in zip(things, verdicts, strict=True) if v]
    if None in verdicts or len(things) < 2:
        return None
    if question.rank is not None:
        return question.rank.winner(layout, pool)
    return pool[0] if len(pool) == 1 else None


@dataclass(frozen=True)
class Phrase:
    """A noun phrase of an expression: where it stands (characters) and what it names.

    color is None where the phrase names the noun in any colour.
    """

    start: int
    end: int
    noun: str
    color: str | None

    def fits(self, kind: Kind) -> bool:
        return kind.noun == self.noun and self.color in (None, kind.color)


@dataclass(frozen=True)
class Expression:
    """An expression, the object it means (its index in the layout) and what its phrases name, the subject first."""

    text: str
    category: Category
    target: int
    phrases: tuple[Phrase, ...]
    question: Question


# ---- wording. A phrase is written as {noun} or {color noun}, with its span found when the text is put together.

_IRREGULAR = {"sheep": "sheep", "fish": "fish", "butterfly": "butterflies", "strawberry": "strawberries",
              "cactus": "cactuses", "bus": "buses", "bunny": "bunnies", "kitty": "kitties", "puppy": "puppies",
              "lorry": "lorries", "penny": "pennies"}  # fmt: skip


def plural(noun: str) -> str:
    """The plural of a noun of this world."""
    if noun in _IRREGULAR:
        return _IRREGULAR[noun]
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


_ORDINALS = {2: "second", 3: "third"}
_OPPOSITE: dict[Side, Side] = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}
_BESIDE = {
    "left": ("to the left of", "left of", "on the left side of", "on the left of"),
    "right": ("to the right of", "right of", "on the right side of", "on the right of"),
    "top": ("above", "over", "higher than"),
    "bottom": ("below", "under", "beneath", "lower than"),
}
_EXTREME_BEFORE = {
    "left": ("leftmost",), "right": ("rightmost",), "top": ("topmost", "highest", "uppermost"),
    "bottom": ("bottommost", "lowest"), "large": ("largest", "biggest"), "small": ("smallest", "tiniest"),
}  # fmt: skip
_EXTREME_AFTER = {
    "left": ("on the far left", "furthest to the left", "that is farthest to the left", "closest to the left edge"),
    "right": ("on the far right", "furthest to the right", "that is farthest to the right", "closest to the right edge"),
    "top": ("at the very top", "highest up", "closest to the top edge"),
    "bottom": ("at the very bottom", "lowest down", "closest to the bottom edge"),
    "large": ("that is the largest", "which is the biggest of all", "that looks bigger than the others"),
    "small": ("that is the smallest", "which is the smallest of all", "that looks smaller than the others"),
}
_COMPARED_BEFORE = {
    "left": ("left",), "right": ("right",), "top": ("upper", "top"), "bottom": ("lower", "bottom"),
    "large": ("larger", "bigger"), "small": ("smaller",),
}  # fmt: skip
_COMPARED_AFTER = {
    "left": ("on the left", "to the left"), "right": ("on the right", "to the right"),
    "top": ("at the top", "higher up"), "bottom": ("at the bottom", "lower down"),
    "large": ("that is larger", "that is the bigger one"), "small": ("that is smaller", "that is the smaller one"),
}  # fmt: skip
_REGIONS = {
    (0, 0): "top left", (2, 0): "top right", (0, 2): "bottom left", (2, 2): "bottom right",
}  # fmt: skip
_VERBS = {
    True: ("", "sitting ", "standing ", "that is ", "which is ", "that is sitting "),
    False: ("", "that is ", "which is ", "placed ", "that is placed "),
}
_ENDINGS = (" in the picture", " in the image", " in this scene", " you can see in the picture", " of this image", " shown in this picture")
_ANIMALS = frozenset(
    ["cat", "dog", "horse", "cow", "pig", "sheep", "elephant", "rabbit", "turtle",
     "butterfly", "rooster", "bee", "duck", "penguin", "frog", "crab"]
)  # fmt: skip


class Words:
    """Chooses words at random for one expression and remembers what its phrases name."""

    def __init__(self, rng: random.Random, layout: Layout, noun: str) -> None:
        self.rng, self.layout, self.noun = rng, layout, noun
        self.named: list[tuple[str, str, str | None]] = []  # what stands in the text, noun, color

    def call(self, noun: str, color: str | None = None, many: bool = False) -> str:
        """A word for a noun, marked so that its place can be found."""
        synonyms = SYNONYMS.get(noun, ())
        word = self.rng.choice(synonyms) if synonyms and self.rng.random() < 0.3 else noun
        text = (f"{color} " if color else "") + (plural(word) if many else word)
        self.named.append((text, noun, color))
        return f"{{{len(self.named) - 1}}}"

    def landmark(self, thing: SceneObject) -> str:
        """A noun phrase for a landmark: with its colour where the noun alone would not be enough."""
        alone = sum(o.kind.noun == thing.kind.noun for o in self.layout.objects) == 1
        color = None if alone and self.rng.random() < 0.5 else thing.kind.color
        return self.rng.choice(("the ", "the ", "the ", "a ")) + self.call(thing.kind.noun, color)

    def verb(self) -> str:
        return self.rng.choice(_VERBS[self.noun in _ANIMALS])

    def beside(self, rule: Beside) -> str:
        if self.rng.random() < 0.12 and rule.side in ("left", "right"):
            has = self.rng.choice(("with {} on its {}", "that has {} to its {}"))
            return has.format(self.landmark(rule.landmark), _OPPOSITE[rule.side])
        return f"{self.verb()}{self.rng.choice(_BESIDE[rule.side])} {self.landmark(rule.landmark)}"

    def filter(self, rule: Filter) -> str:
        """What stands behind the noun for a filter other than a colour."""
        pick = self.rng.choice
        match rule:
            case Beside():
                return self.beside(rule)
            case Between(first, second):
                pair = [first, second]
                self.rng.shuffle(pair)
                return f"{self.verb()}{pick(('between', 'in between'))} {self.landmark(pair[0])} and {self.landmark(pair[1])}"
            case NextTo(landmark):
                return f"{self.verb()}{pick(('next to', 'beside', 'near'))} {self.landmark(landmark)}"
            case InRegion(1, 1):
                return pick(("in the middle of the picture", "in the center", "in the middle", "near the center of the image"))
            case InRegion(column, row):
                return pick(("in the {} corner", "in the {}", "in the {} of the picture")).format(_REGIONS[column, row])
            case Not(HasColor(color)):
                return pick(("that is not {}", "which isn't {}", "that's not {}", "that is any color but {}")).format(color)
            case Not(NextTo(landmark)):
                no = pick(("that is not next to", "not next to", "which is not near", "away from", "not beside"))
                return f"{no} {self.landmark(landmark)}"
            case Not(Beside(side, landmark)):
                no = pick(("that is not", "which isn't", "not"))
                return f"{no} {pick(_BESIDE[side])} {self.landmark(landmark)}"
            case Not(InRegion(column, row)):
                where = "in the middle" if (column, row) == (1, 1) else f"in the {_REGIONS[column, row]} corner"
                return f"{pick(('that is not', 'not', 'which is not'))} {where}"
        raise ValueError(f"no words for {rule}")

    def rank(self, rule: Rank, count: int, before_only: bool) -> tuple[str, str]:
        """What stands before and behind the noun for a superlative among `count` objects.

        before_only: a landmark follows the noun, and words behind it would seem to be about the landmark.
        """
        pick, key = self.rng.choice, rule.measure
        if rule.landmark is not None:
            words = ("closest to", "nearest to", "nearest", "that is closest to") if key == "near" else (
                "farthest from", "furthest away from", "that is the farthest from")  # fmt: skip
            return "", f"{pick(words)} {self.landmark(rule.landmark)}"
        if rule.place > 1:
            place = _ORDINALS[rule.place]
            if key in ("large", "small"):
                return f"{place} {pick(_EXTREME_BEFORE[key])}", ""
            start = f"from the {key}"
            return pick(
                ((place, start), ("", f"that is {place} {start}"), ("", f"that is the {place} one {start}"), (place, f"counting {start}"))
            )
        before, after = (_COMPARED_BEFORE, _COMPARED_AFTER) if count == 2 and self.rng.random() < 0.6 else (
            _EXTREME_BEFORE, _EXTREME_AFTER)  # fmt: skip
        return (pick(before[key]), "") if before_only or self.rng.random() < 0.35 else ("", pick(after[key]))

    def finish(self, template: str) -> tuple[str, tuple[Phrase, ...]]:
        """Put the words in place of their marks; returns the text and its phrases, in the order they were named."""
        text, spans = "", {}
        for part in template.split("{"):
            mark, brace, rest = part.partition("}")
            if brace:
                words, noun, color = self.named[int(mark)]
                if words[0] in "aeiou" and (text == "a " or text.endswith(" a ")):
                    text = text[:-1] + "n "
                spans[int(mark)] = Phrase(len(text), len(text) + len(words), noun, color)
                text += words + rest
            else:
                text += part
        return text, tuple(spans[i] for i in range(len(self.named)))


def _article(rng: random.Random, text: str, definite: bool) -> str:
    if rng.random() < 0.2:
        return text
    return ("the " if definite or rng.random() < 0.6 else "a ") + text


def _join(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def word(rng: random.Random, layout: Layout, question: Question) -> tuple[str, tuple[Phrase, ...]]:
    """Words for a question, and the phrases in them."""
    words = Words(rng, layout, question.noun)
    things = [o for o in layout.objects if o.kind.noun == question.noun]
    pool = [o for o in things if passes(layout, question, o)]
    color = next((f.color for f in question.filters if isinstance(f, HasColor)), None)
    others = [f for f in question.filters if not isinstance(f, HasColor)]
    rank = question.rank
    superlative = rank is not None and rank.landmark is None and rank.place == 1 and rank.measure in ("large", "small")
    if superlative and not others and rng.random() < 0.25 and rank is not None:
        before = rng.choice(_COMPARED_BEFORE[rank.measure] if len(pool) == 2 else _EXTREME_BEFORE[rank.measure])
        group = words.call(question.noun, color, many=True)
        of = "of the two" if len(pool) == 2 else rng.choice(("of the", "of all the", "one of the"))
        return words.finish(f"the {before} {of} {group}")
    if color and not others and rng.random() < 0.4:
        subject = words.call(question.noun)
        tail = rng.choice(("that is {}", "which is {}", "that is {} in color", "with a {} color", "colored {}")).format(color)
    else:
        subject, tail = words.call(question.noun, color), ""
    before, after = words.rank(rank, len(pool), before_only=bool(others)) if rank else ("", "")
    behind = [words.filter(f) for f in others]
    if len(behind) == 2:
        behind = [f"{behind[0]} and {behind[1]}"]
    text = _join(before, subject, tail, *behind, after)
    if rng.random() < 0.45 and "picture" not in text and "image" not in text:
        text += rng.choice(_ENDINGS)
    return words.finish(_article(rng, text, definite=bool(rank)))


# ---- questions: for each category, a random one that may or may not have a clear answer in the layout.


def _landmarks(layout: Layout, noun: str) -> list[SceneObject]:
    """The objects of other nouns that a noun phrase can name alone."""
    names = [o.kind.name for o in layout.objects]
    return [o for o in layout.objects if o.kind.noun != noun and names.count(o.kind.name) == 1]


def _pick_filter(rng: random.Random, layout: Layout, noun: str) -> Filter | None:
    landmarks = _landmarks(layout, noun)
    roll = rng.random()
    if roll < 0.2 and len(landmarks) >= 2:
        return Between(*rng.sample(landmarks, 2))
    if roll < 0.3 and landmarks:
        return NextTo(rng.choice(landmarks))
    if landmarks:
        return Beside(rng.choice(("left", "right", "top", "bottom")), rng.choice(landmarks))
    return None


def _pick_color(rng: random.Random, layout: Layout, noun: str) -> HasColor | None:
    colors = sorted({o.kind.color for o in layout.objects if o.kind.noun == noun and o.kind.color})
    return HasColor(rng.choice(colors)) if len(colors) > 1 else None


def _pick_region(rng: random.Random) -> InRegion:
    return InRegion(*rng.choice(((0, 0), (2, 0), (0, 2), (2, 2), (1, 1))))


def _pick_rank(rng: random.Random, layout: Layout, noun: str) -> Rank:
    return Rank(rng.choice(("left", "right", "top", "bottom", "large", "small")))


def _attribute(rng: random.Random, layout: Layout, noun: str) -> Question | None:
    color = _pick_color(rng, layout, noun)
    return Question(noun, (color,)) if color else None


def _size(rng: random.Random, layout: Layout, noun: str) -> Question | None:
    return Question(noun, rank=Rank(rng.choice(("large", "small"))))


def _position(rng: random.Random, layout: Layout, noun: str) -> Question | None:
    if rng.random() < 0.3:
        return Question(noun, (_pick_region(rng),))
    return Question(noun, rank=Rank(rng.choice(("left", "right", "top", "bottom"))))


def _ordinal(rng: random.Random, layout: Layout, noun: str) -> Question | None:
    count = sum(o.kind.noun == noun for o in layout.objects)
    if count < 3:
        return None
    place = rng.choice((2, 2, 3)) if count > 3 else 2
    return Question(noun, rank=Rank(rng.choice(("left", "right", "top", "bottom", "left", "right", "large", "small")), place))


def _relation(rng: random.Random, layout: Layout, noun: str) -> Question | None:
    landmarks = _landmarks(layout, noun)
    if landmarks and rng.random() < 0.3:
        return Question(noun, rank=Rank(rng.choice(("near", "near", "far")), 1, rng.choice(landmarks)))
    rule = _pick_filter(rng, layout, noun)
    return Question(noun, (rule,)) if rule else None


def _negation(rng: random.Random, layout: Layout, noun: str) -> Question | None:
    roll, landmarks = rng.random(), _landmarks(layout, noun)
    if roll < 0.4:
        color = _pick_color(rng, layout, noun)
        return Question(noun, (Not(color),)) if color else None
    if roll < 0.55:
        return Question(noun, (Not(_pick_region(rng)),))
    if not landmarks:
        return None
    landmark = rng.choice(landmarks)
    inner = NextTo(landmark) if roll < 0.8 else Beside(rng.choice(("left", "right", "top", "bottom")), landmark)
    return Question(noun, (Not(inner),))


def _combination(rng: random.Random, layout: Layout, noun: str) -> Question | None:
    color, rule, rank = _pick_color(rng, layout, noun), _pick_filter(rng, layout, noun), _pick_rank(rng, layout, noun)
    roll = rng.random()
    if color and roll < 0.3:
        return Question(noun, (color,), rank)
    if color and rule and roll < 0.55:
        return Question(noun, (color, rule))
    if rule and roll < 0.8:
        return Question(noun, (rule,), rank)
    second = _pick_filter(rng, layout, noun)
    return Question(noun, (rule, second)) if rule and second and rule != second else None


_PICKERS: dict[Category, Callable[[random.Random, Layout, str], Question | None]] = {
    "attribute": _attribute,
    "size": _size,
    "position": _position,
    "ordinal": _ordinal,
    "relation": _relation,
    "negation": _negation,
    "combination": _combination,
}


def _needs_all(layout: Layout, question: Question) -> bool:
    """Whether leaving any part of a question out would change or lose its answer."""
    parts: list[Question] = []
    if question.rank is not None and question.filters:
        parts.append(Question(question.noun, question.filters))
        parts.append(Question(question.noun, (), question.rank))
    if len(question.filters) > 1:
        parts += [Question(question.noun, (f,)) for f in question.filters]
    target = answer(layout, question)
    return all(answer(layout, part) != target for part in parts)


def ask(rng: random.Random, layout: Layout, category: Category, noun: str | None = None, tries: int = 8) -> Expression | None:
    """A random expression of a category about a layout, or None where `tries` attempts found no clear one."""
    noun = noun or layout.subject
    for _ in range(tries):
        question = _PICKERS[category](rng, layout, noun)
        target = answer(layout, question) if question else None
        if question is None or target is None:
            continue
        if category == "combination" and not _needs_all(layout, question):
            continue
        text, phrases = word(rng, layout, question)
        return Expression(text, category, layout.objects.index(target), phrases, question)
    return None


def wants_color(category: Category, rng: random.Random) -> bool:
    """Whether a scene for this category should have a subject that comes in colours."""
    return rng.random() < {"attribute": 1.0, "negation": 0.6, "combination": 0.7}.get(category, 0.25)
