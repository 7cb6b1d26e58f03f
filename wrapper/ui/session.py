"""What a visitor is at: a picture, words, settings, and the answer. One value, and pure functions from one to the next.

A session never changes: whatever a visitor does makes another one. `wrapper.ui.store` keeps each for an hour under a name of its own, so
that going back, reloading, a link and another tab of the page are all the same thing: asking for a session by its name.
"""

import math
from dataclasses import dataclass, field, replace

from wrapper.adapters import AUTO
from wrapper.candidates import BY_HAND, Box, Candidate, Reason, Selection, Thresholds, abstain
from wrapper.errors import DataError, ExpressionError
from wrapper.expressions import normalise, written
from wrapper.worlds import World

MAX_LABEL = 60
"""Characters of a label that a person writes."""


@dataclass(frozen=True)
class Picture:
    """path: of the file as it was uploaded; size: (width, height) in pixels of the upright picture."""

    path: str
    size: tuple[int, int]
    world: World = World.SCENE


@dataclass(frozen=True)
class Settings:
    """proposers: names of those to be asked, none for those that know the picture's world."""

    proposers: tuple[str, ...] = ()
    adapter: str = AUTO
    thresholds: Thresholds = field(default_factory=Thresholds)


@dataclass(frozen=True)
class Session:
    """words: as they were written. truth: the true box, where it is known. absent: whether it is known that nothing is meant. answered: the
    method's own answer, whatever the thresholds, None before there is one; asked: the proposers that it came from. recalled: it was
    remembered, and its times are of then. edited: the list is not as it was proposed. brought: the words came with the picture."""

    picture: Picture
    words: str = ""
    settings: Settings = field(default_factory=Settings)
    truth: Box | None = None
    absent: bool = False
    answered: Selection | None = None
    asked: tuple[str, ...] = ()
    recalled: bool = False
    edited: bool = False
    brought: bool = False

    @property
    def selection(self) -> Selection | None:
        """The answer after the thresholds."""
        return None if self.answered is None else abstain(self.answered, self.settings.thresholds)

    @property
    def answer(self) -> Selection:
        """As `selection`; DataError where there is none yet."""
        if self.selection is None:
            raise DataError("There is no answer yet. Press Locate first.")
        return self.selection


def with_picture(before: Session | None, picture: Picture) -> Session:
    """Another picture: nothing of the answer about the last one stays. Words that a visitor wrote do; those of an example belong to its
    picture."""
    if before is None:
        return Session(picture)
    return Session(picture, "" if before.brought else before.words, before.settings)


def with_question(s: Session, words: str, settings: Settings) -> Session:
    """Words to be asked about, with settings; not answered yet. What is known of the true box holds for the same words only. DataError for
    words that cannot be asked."""
    text = written(words)
    if same_words(text, s.words):
        return replace(s, words=text, settings=settings, answered=None, asked=(), edited=False)
    return Session(s.picture, text, settings)


def with_answer(s: Session, answered: Selection, asked: tuple[str, ...], recalled: bool = False) -> Session:
    """Answered."""
    return replace(s, answered=answered, asked=asked, recalled=recalled)


def with_list(s: Session, words: str, answered: Selection) -> Session:
    """Answered by the LLM alone, about a list as a visitor made it. Where a detector had no box for the words, it still has none for the
    same words and its own boxes."""
    asked = with_question(s, words, s.settings)
    by_hand = any(c.source == BY_HAND for c in answered.candidates)
    nothing = s.answered is not None and s.answered.reason is Reason.NOTHING_LIKE_IT and same_words(words, s.words)
    if nothing and not by_hand and answered.candidates:
        answered = replace(answered, index=None, reason=Reason.NOTHING_LIKE_IT)
    same = s.answered is not None and answered.candidates == s.answered.candidates
    return replace(with_answer(asked, answered, s.asked), edited=s.edited or not same)


def with_truth(s: Session, box: Box | None) -> Session:
    """Another true box, or none."""
    return replace(s, truth=None if box is None else inside(box, s.picture.size), absent=False)


def with_thresholds(s: Session, least: Thresholds) -> Session:
    """Other thresholds; nothing is computed again."""
    return replace(s, settings=replace(s.settings, thresholds=least))


def without(s: Session, index: int) -> tuple[Candidate, ...]:
    """The candidates but one."""
    found = s.answer.candidates
    _check(index, found)
    return found[:index] + found[index + 1 :]


def with_box(s: Session, box: Box, label: str) -> tuple[Candidate, ...]:
    """The candidates and one of the visitor's own. DataError without a label, or for a box that is none."""
    words = " ".join(label.split())[:MAX_LABEL]
    if not words:
        raise DataError("A candidate needs a label. Write one or two words, such as “cup”.")
    return (*s.answer.candidates, Candidate(inside(box, s.picture.size), words, None, BY_HAND))


def moved(s: Session, index: int, box: Box) -> tuple[Candidate, ...]:
    """The candidates, of which one has another box; it is the visitor's then."""
    found = s.answer.candidates
    _check(index, found)
    own = Candidate(inside(box, s.picture.size), found[index].label, None, BY_HAND)
    return (*found[:index], own, *found[index + 1 :])


def _check(index: int, found: tuple[Candidate, ...]) -> None:
    if not 0 <= index < len(found):
        raise DataError(f"There is no candidate {index}; there are 0 to {len(found) - 1}.")


def inside(box: Box, size: tuple[int, int]) -> Box:
    """A box of which nothing is outside a picture of (width, height); DataError where nothing of it is left."""
    width, height = size
    if not all(math.isfinite(v) for v in box):
        raise DataError("A box is four numbers. Draw it again.")
    x1, y1, x2, y2 = max(0.0, box[0]), max(0.0, box[1]), min(float(width), box[2]), min(float(height), box[3])
    if not (x2 - x1 >= 1 and y2 - y1 >= 1):
        raise DataError("This box is not in the picture, or smaller than a pixel. Draw it again.")
    return x1, y1, x2, y2


def least(probability: float | None, score: float | None) -> Thresholds:
    """Thresholds as they are given; DataError where they are none."""
    try:
        return Thresholds(float(probability or 0.0), float(score or 0.0))
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError("A threshold is a number from 0 to 1.") from error


def same_words(a: str, b: str) -> bool:
    """Whether two texts ask the same. Text that cannot be asked is the same as none."""
    try:
        return normalise(a) == normalise(b)
    except ExpressionError:
        return False
