"""Asking the models for a session: what runs on a GPU, and the answers that are remembered."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import spaces
from PIL import Image

from wrapper.candidates import IOU_THRESHOLD, Candidate, Selection, is_correct
from wrapper.colors import with_colors
from wrapper.errors import DataError
from wrapper.expressions import normalise
from wrapper.images import name_of
from wrapper.pipeline import Stage
from wrapper.selectors.base import Question
from wrapper.selectors.hosted import logged_in
from wrapper.selectors.shuffle import Agreement, shuffle_check
from wrapper.ui import common, models
from wrapper.ui.session import Session, with_answer, with_list
from wrapper.ui.view import Progress

ORDERS = 10
"""In which a list is asked about again by the shuffle check."""
NOT_HERE = "None of the models that proposed these boxes is here, so no LLM reads them. Press Locate to ask those that are."
REMEMBERED = 64
"""Questions whose answers are remembered, so that an example asked again costs no GPU time."""


def seconds(picture: Image.Image, expression: str, proposers: list[str], adapter: str) -> int:
    """How long a GPU is asked for, at most, to answer a question: a step a proposer, and one of the LLM."""
    return (len(proposers) + 1) * models.seconds_a_step()


def seconds_to_choose(candidates: tuple[Candidate, ...], *question: Any) -> int:
    """As `seconds`, for the LLM alone, which is not asked about one candidate."""
    return models.seconds_a_step() if len(candidates) > 1 else 1


def seconds_to_shuffle(question: Question, pick: int, proposers: tuple[str, ...]) -> int:
    """As `seconds`, for the list in several orders, in batches of eight."""
    return models.seconds_a_step() * -(-ORDERS // 8)


def question(given: dict[str, Any]) -> tuple[Any, ...]:
    """What an answer depends on: what was asked, the file's name, by which a file of boxes may know the picture, and the models that are
    loaded, one of which may be for those who have logged in."""
    return given, Path(name_of(given["picture"]) or "").name, models.now().serial, logged_in()


@gr.cache(key=question, max_size=REMEMBERED)  # type: ignore[untyped-decorator]
@spaces.GPU(duration=seconds)  # type: ignore[untyped-decorator]
def _stages(picture: Image.Image, expression: str, proposers: list[str], adapter: str) -> Iterator[Stage]:
    with common.as_page_errors():
        yield from models.now().asked_by(proposers).stages(picture, expression, proposers, adapter)


@spaces.GPU(duration=seconds_to_choose)  # type: ignore[untyped-decorator]
def _choose(candidates: tuple[Candidate, ...], expression: str, size: tuple[int, int], proposers: list[str], adapter: str) -> Selection:
    with common.as_page_errors():
        wrapper = models.now().asked_by(proposers)
        return wrapper.choose(candidates, expression, size, wrapper.adapter_for(proposers, adapter))


@spaces.GPU(duration=seconds_to_shuffle)  # type: ignore[untyped-decorator]
def _shuffled(question: Question, pick: int, proposers: tuple[str, ...]) -> Agreement:
    with common.as_page_errors():
        return shuffle_check(models.now().asked_by(proposers).llm, question, pick, ORDERS)


def asked(s: Session, picture: Image.Image | None = None) -> Iterator[Progress | Session]:
    """A session's question answered: progress as proposers are done, then the session with its answer. picture: the session's, where it is
    open already. WrapperError for what cannot be asked."""
    picture = picture or common.open_upload(s.picture.path)
    proposers = proposers_for(s)
    yield Progress(f"{common.name_of(proposers[0])} is looking …")
    began = time.monotonic()
    for stage in _stages(picture, normalise(s.words), proposers, s.settings.adapter):
        if stage.selection is not None:
            yield with_answer(s, stage.selection, tuple(proposers), recalled=stage.began < began)
        else:
            waiting = [common.name_of(name) for name in proposers[proposers.index(stage.done) + 1 :]]
            yield Progress(f"{waiting[0]} is looking …" if waiting else "The LLM is choosing …", stage.candidates)


def proposers_for(s: Session) -> list[str]:
    """Who is asked: those that are chosen, in the order in which they are loaded; where none is, those that know the picture's world."""
    chosen = s.settings.proposers or models.fitting(s.picture.world)
    found = [name for name in models.proposers() if name in chosen]
    if not found:
        raise DataError(f"None of the models {', '.join(chosen)} is here. Choose from {', '.join(models.proposers())}.")
    return found


def asked_again(s: Session, candidates: tuple[Candidate, ...], words: str) -> Session:
    """The LLM's choice among candidates as a visitor made the list; no detector looks again."""
    if not candidates:
        raise DataError("The list would be empty. Draw a box, or press Undo.")
    if not s.asked:
        raise DataError(NOT_HERE)
    if not all(c.colors for c in candidates):  # those that a visitor drew have none yet
        candidates = tuple(with_colors(common.open_upload(s.picture.path), candidates))
    answered = _choose(candidates, words, s.picture.size, list(s.asked), s.settings.adapter)
    return with_list(s, words, answered)


def shuffled(s: Session) -> str:
    """How often the LLM makes the same pick where the same list stands in other orders, in words."""
    selection = s.answer
    if selection.prompt is None or selection.guess is None or not selection.probabilities:
        raise DataError("The LLM was not asked here, so there is no order to shuffle. Try a picture with several candidates.")
    if not s.asked:
        raise DataError(NOT_HERE)
    adapter = models.now().asked_by(s.asked).adapter_for(s.asked, s.settings.adapter)
    asked = Question(selection.candidates, normalise(s.words), s.picture.size, adapter)
    found = _shuffled(asked, selection.guess, s.asked)
    others = sorted(set(found.picks) - {selection.guess})
    if not others:
        return f"The pick is the same in all {len(found.picks)} other orders of the list."
    boxes = [c.box for c in selection.candidates]
    same = sum(is_correct(boxes[pick], boxes[selection.guess]) for pick in found.picks)
    return (
        f"The pick is the same in {found.agree} of {len(found.picks)} other orders of the list, and the same object (IoU above "
        f"{IOU_THRESHOLD}) in {same}. Other picks: {', '.join(map(str, others))}."
    )


def settled(s: Session, picture: Image.Image | None = None) -> Session:
    """As `asked`, without its progress."""
    *_, last = asked(s, picture)
    assert isinstance(last, Session)
    return last
