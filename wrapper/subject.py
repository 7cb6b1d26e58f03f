"""Noun groups and the subject of a referring expression, as character spans.

Grounding DINO is asked about the noun groups, and its own answer is the best box for the subject's group (METHOD:
GDrec). spaCy parses the expression where an English model is installed; otherwise the rules below do: a group is a run
of words that are neither closed-class (articles, prepositions, pronouns, verbs of being, relative words) nor verb forms
that open a clause, and the subject is the head of the first one, passing over "one of the", "a slice of" and the like.

Words that only compare or count ("second", "leftmost", "larger", "two") are left out of a group: a detector scores a
box by the group's worst word, and no box looks like a "second". Groups about the picture itself ("in this image", "the
left corner") are left out too.
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc


@dataclass(frozen=True)
class NounGroup:
    """A noun group: characters start to end of the expression, without article."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Parse:
    """Noun groups in the order they stand, and which of them is the subject (None where there is no group)."""

    groups: tuple[NounGroup, ...]
    subject: int | None


@dataclass(frozen=True)
class _Word:
    start: int
    end: int
    text: str


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_ARTICLES = _set("a an the this that these those some any each every another other his her its their my your our whose")
_PREPOSITIONS = _set(
    "of in on at by to from with without near above below over under underneath beneath behind beside besides between "
    "among against along across around inside outside into onto off through toward towards beyond past upon atop next "
    "closest nearest farthest furthest closer nearer away for as like about within up down out amid per via than but"
)
_CLAUSE = _set(
    "who which that whom where when while what is are was were be been being am has have had having do does did can see "
    "could will would may might must shall should isn't isn not n't no nor and or if because so then there here it he "
    "she they them him one's you we i me us its't s t re ve"
)
_COMPARING = _set(
    "left right top bottom upper lower middle center centre central far near front rear back leftmost rightmost topmost "
    "bottommost uppermost lowermost first second third fourth fifth sixth last next one two three four five six seven "
    "eight nine ten several many few only same most least more less largest smallest biggest tiniest larger smaller bigger "
    "taller tallest shorter shortest highest lowest higher closest nearest farthest furthest entire whole very just "
    "own all both half main single lone nearer closer foremost"
)
_PARTITIVES = _set(
    "piece slice bunch pair group part side half one ones two three kind type set row pile stack portion couple lot lots "
    "all each some both any many most end corner edge top bottom rest back front middle "
    "larger smaller bigger largest smallest biggest tiniest taller shorter tallest shortest left right first second third "
    "last picture image photo view herd flock slices pieces section bit cluster bundle backside reflection "
    "wedge head slab chunk basket order variety kinds types closest farthest nearest leftmost rightmost"
)
_VERBS = _set(
    "wears wear holds hold sits sit stands stand looks look faces face rides ride eats eat walks walk lies lay laying lying "
    "shows show seen shown visible turned held worn parked facing cut made filled covered taken placed colored located "
    "leans leaning jumps runs run plays play appears appear seems hangs hanging reaches touches carries touch counting "
    "seated surrounded attached next standing sitting riding eating wearing holding looking walking swinging playing "
    "talking reaching watching using getting going trying bending running jumping hitting throwing catching drinking "
    "posing pointing pulling pushing driving flying grazing crossing coming skiing surfing skating sleeping smiling "
    "squatting kneeling crouching touching smelling feeding drawn leading carrying resting cutting about ready full "
    "background foreground grazes wears"
)
_ING_NOUNS = _set(
    "building painting clothing ceiling wing king ring string thing evening morning pudding railing icing frosting dressing awning"
)
_ED_ADJECTIVES = _set(
    "red bed shed sled colored striped hooded checkered spotted plaid sliced used stuffed "
    "bearded haired sided topped glazed frosted framed wooded"
)
_COLORS = _set(
    "red orange yellow green blue purple black white brown gray grey pink tan gold silver beige dark light tall small big large young old"
)
_SHOWS_COLOR = _set("in wearing wears is are was were")
_NOT_OBJECTS = _set("picture image photo photograph scene shot frame screen color colour corner edge side others ones lot way direction")
_ADVERBS = _set("mostly partially slightly completely partly almost fully clearly barely furthest also still")
_WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")


def parse(expression: str) -> Parse:
    """Noun groups and subject of an expression, by spaCy where it has an English model, by rules otherwise.

    >>> found = parse("the second red cup left of the green book")
    >>> [group.text for group in found.groups], found.subject
    (['red cup', 'green book'], 0)
    """
    language = _spacy_model()
    return parse_by_rules(expression) if language is None else parse_doc(language(expression))


def parse_by_rules(expression: str) -> Parse:
    """Noun groups and subject without a parser."""
    words = [_Word(m.start(), m.end(), m.group().lower()) for m in _WORD.finditer(expression)]
    runs = _runs(words, expression)
    groups = []
    for run, before_of in runs:
        kept = [w for w in run if w.text not in _COMPARING]
        partitive = before_of and run[-1].text in _PARTITIVES and run[-1].text not in _COMPARING
        if kept and not partitive and (kept[-1].text not in _NOT_OBJECTS | _COLORS or _is_fruit(kept[-1], run, words)):
            groups.append(NounGroup(kept[0].start, kept[-1].end, expression[kept[0].start : kept[-1].end]))
    return Parse(tuple(groups), 0 if groups else None)


def _is_fruit(noun: _Word, run: list[_Word], words: list[_Word]) -> bool:
    """Whether the last noun of a run is an orange to eat: not in "the orange one", nor in "man in orange" or "that is orange"."""
    at = words.index(run[0])
    before = words[at - 1].text if at else ""
    return noun.text == "orange" and run[-1].text not in ("one", "ones") and before not in _SHOWS_COLOR


def _runs(words: list[_Word], expression: str) -> list[tuple[list[_Word], bool]]:
    """Maximal runs of words that may stand in one noun group, each with whether "of" follows it."""
    runs: list[tuple[list[_Word], bool]] = []
    run: list[_Word] = []
    for i, word in enumerate(words):
        gap = expression[words[i - 1].end : word.start] if i else ""
        if run and gap.strip():  # punctuation ends a group
            runs.append((run, False))
            run = []
        if _breaks(word, run):
            if run:
                runs.append((run, word.text == "of"))
            run = []
        else:
            run.append(word)
    if run:
        runs.append((run, False))
    return runs


def _breaks(word: _Word, run: list[_Word]) -> bool:
    """Whether a word ends the noun group before it and belongs to none itself."""
    text = word.text
    if text in _ARTICLES or text in _CLAUSE or text in _ADVERBS or text.endswith(("n't", "'s")):
        return True
    if text in _PREPOSITIONS and not (text in _COMPARING and not run):
        return True
    if text in _VERBS:
        return bool(run) or text not in _COMPARING
    nouns_before = [w for w in run if w.text not in _COMPARING]
    if text.endswith("ing") and text not in _ING_NOUNS and len(text) > 5:
        return bool(nouns_before)
    if text.endswith("ed") and text not in _ED_ADJECTIVES and len(text) > 4:
        return bool(nouns_before)
    return False


@cache
def _spacy_model() -> "Language | None":
    """The small English pipeline where spaCy and it are installed."""
    try:
        import spacy
    except ImportError:
        return None
    return spacy.load("en_core_web_sm") if spacy.util.is_package("en_core_web_sm") else None


def parse_doc(doc: "Doc") -> Parse:
    """Noun groups and subject of a document that spaCy has parsed."""
    groups: list[NounGroup] = []
    subject = None
    for chunk in doc.noun_chunks:
        kept = [t for t in chunk if t.lower_ not in _ARTICLES and t.lower_ not in _COMPARING and not t.is_punct]
        partitive = chunk.root.lower_ in _PARTITIVES and any(child.lower_ == "of" for child in chunk.root.children)
        if not kept or partitive or chunk.root.pos_ == "PRON":
            continue
        start, end = kept[0].idx, kept[-1].idx + len(kept[-1])
        if subject is None or chunk.root.dep_ == "ROOT":
            subject = len(groups)
        groups.append(NounGroup(start, end, doc.text[start:end]))
    return Parse(tuple(groups), subject)
