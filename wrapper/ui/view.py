"""A session in words and figures: what the canvas draws, as plain data, and every sentence the page says about an answer.

The page draws labels and expressions, which are anybody's, as text and never as HTML.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from gradio.data_classes import FileData

from wrapper import adapters
from wrapper.candidates import BY_LLM, NOT_FOUND, Candidate, Reason, Selection, iou, is_correct
from wrapper.draw import COLORS, OTHER, SEVERAL
from wrapper.scenes.kinds import KINDS, SYNONYMS
from wrapper.selectors.llama import MAX_TOKENS, Llm
from wrapper.trace import explain
from wrapper.ui import common, models
from wrapper.ui.session import Picture, Session
from wrapper.vocabulary import detector_words, unknown_subject
from wrapper.worlds import World

OF_SCENES = frozenset(("florence2", "gdrec", "gd"))
LOOKS_LIKE = {World.PHOTOGRAPH: "photograph", World.SCENE: "drawn scene"}
RIGHT, WRONG = "right", "wrong"


@dataclass(frozen=True)
class Progress:
    """What is there before there is an answer. says: what is being done; candidates: all so far."""

    says: str
    candidates: tuple[Candidate, ...] = ()


@dataclass(frozen=True)
class View:
    """Everything the canvas shows, as JSON. number: of the request that it answers, by which the page drops answers to earlier ones; None
    for what is always shown. session: the name under which the session is kept."""

    number: int | None
    session: str | None = None
    shown: Mapping[str, Any] = field(default_factory=dict)

    def value(self) -> dict[str, Any]:
        """For the component."""
        return {"number": self.number, "session": self.session, **self.shown}


def trouble(number: int | None, says: str) -> View:
    """A sentence on what went wrong; what is on the page stays."""
    return View(number, None, {"error": says})


def view(number: int | None, name: str, s: Session, progress: Progress | None = None) -> View:
    """A session as it is shown. name: under which it is kept."""
    selection = s.selection
    candidates = progress.candidates if progress else selection.candidates if selection else ()
    shown: dict[str, Any] = {
        "picture": picture(s.picture),
        "words": s.words,
        "boxes": boxes(candidates, selection.probabilities if selection and not progress else ()),
        "truth": None if s.truth is None else list(s.truth),
        "busy": progress.says if progress else "",
        "notes": notes(s.picture.world, s.asked),
        "example": common.number_of_example(s.picture.path, s.words),
        "answer": None,
    }
    if selection is not None and progress is None:
        shown["answer"] = answer(s, selection)
    return View(number, name, shown)


def picture(given: Picture) -> dict[str, Any]:
    """A picture that a browser can show, by a file that Gradio serves."""
    file = FileData(path=str(common.for_browser(given.path))).model_dump()
    return {"file": file, "width": given.size[0], "height": given.size[1]}


def boxes(candidates: Sequence[Candidate], shares: Sequence[float] = ()) -> list[dict[str, Any]]:
    """A row a candidate. share: its probability, None where there is none."""
    return [
        {
            "box": [round(v, 2) for v in c.box],
            "label": common.labels_of(c),
            "who": common.proposers_of(c),
            "color": color(c),
            "score": c.score,
            "share": shares[i] if shares else None,
        }
        for i, c in enumerate(candidates)
    ]


def color(candidate: Candidate) -> str:
    """Whose it is, as a colour."""
    return COLORS[SEVERAL] if len(candidate.sources) > 1 else COLORS.get(candidate.source, OTHER)


def answer(s: Session, selection: Selection) -> dict[str, Any]:
    """The answer in one line, and everything there is to say about it."""
    mark, verdict = judged(s, selection)
    doubt = out_of_its_world(s)
    return {
        "pick": selection.index,
        "guess": selection.guess,
        "sure": selection.index is not None and doubt is None,
        "headline": headline(selection, doubt is not None),
        "share": sureness(selection),
        "mark": mark,
        "verdict": verdict,
        "why": doubt or sentence(selection),
        "details": details(s, selection),
        "prompt": selection.prompt or "",
    }


def headline(selection: Selection, doubtful: bool = False) -> str:
    """The answer in a few words."""
    if selection.guess is None:
        return "Nothing found"
    label = selection.candidates[selection.guess].label
    if selection.index is None:
        return f"Not found. Best guess: {label}"
    return f"Only a guess: {label}" if doubtful else label


def sureness(selection: Selection) -> str:
    """How sure the LLM is of what is said, in a few words; nothing where it was not asked."""
    if selection.reason is Reason.NONE_MEANT and selection.absent is not None:
        return f"{selection.absent:.0%} sure that it is none of these"
    if selection.index is None or not selection.probabilities:
        return ""
    return f"{selection.probabilities[selection.index]:.0%} sure{'' if selection.calibrated else ', uncalibrated'}"


def sentence(selection: Selection) -> str:
    """How the answer came about."""
    why = explain(selection)
    if selection.reason is Reason.FALLBACK_TOO_LONG and selection.candidates:
        why += f", which is {common.proposers_of(selection.candidates[selection.index or 0])}'s own answer"
    if selection.reason is Reason.UNSEEN and selection.best_score is not None:
        why += f" (the best is {selection.best_score:.2f})"
    return f"{why[0].upper()}{why[1:]}."


REJECTED = {
    Reason.NOTHING_LIKE_IT: "the detector has no box for these words",
    Reason.NONE_MEANT: "the LLM took none of the boxes for it",
}
"""Why a best guess is not the answer."""


def judged(s: Session, selection: Selection) -> tuple[str, str]:
    """RIGHT or WRONG, and whose fault, in words; nothing where the truth is not known."""
    if s.absent:
        if selection.index is None:
            return RIGHT, "Right: nothing in this picture fits these words."
        return WRONG, "Wrong: nothing in this picture fits these words, and the LLM picked a box."
    truth = s.truth
    if truth is None:
        return "", ""
    if selection.reason in NOT_FOUND and selection.guess is not None and is_correct(selection.candidates[selection.guess].box, truth):
        return WRONG, f"Wrong: the best guess is the true box, but {REJECTED.get(selection.reason, 'it lies below your threshold')}."
    overlap = 0.0 if selection.box is None else iou(selection.box, truth)
    if is_correct(selection.box, truth):
        return RIGHT, f"Right: IoU {overlap:.2f} with the true box (white corners)."
    if not any(is_correct(c.box, truth) for c in selection.candidates):
        why = "No box on the list as it was changed" if s.edited else "The detectors failed: no candidate"
        return WRONG, f"Wrong: IoU {overlap:.2f} with the true box (white corners). {why} has IoU above 0.5."
    whose = "The LLM failed" if selection.reason in BY_LLM else "The LLM was not asked"
    return WRONG, f"Wrong: IoU {overlap:.2f} with the true box (white corners). {whose}: a right candidate was in the list."


def details(s: Session, selection: Selection) -> list[tuple[str, str]]:
    """What there is to know about an answer beyond its line: names and texts."""
    rows = [("Words", s.words)]
    if selection.guess is not None:
        box = common.box_text(selection.candidates[selection.guess].box)
        place = f"box {selection.guess}; left, top, right, bottom: {box}"
        rows.append(("Pick" if selection.index is not None else "Best guess", place))
    if selection.margin is not None:
        rows.append(("Lead over the second", f"{100 * selection.margin:.0f} points"))
    if selection.absent is not None:
        rows.append(("Probability of none", f"{selection.absent:.0%}"))
    if selection.best_score is not None:
        rows.append(("Highest detector score", f"{selection.best_score:.2f}"))
    rows.append(("How", sentence(selection)))
    rows.append(("Times", times(s, selection)))
    return [*rows, *read(s, selection)]


def times(s: Session, selection: Selection) -> str:
    """Milliseconds by step."""
    steps = ", ".join(_step(n, ms, selection) for n, ms in selection.timings_ms.items())
    return f"from memory; when it was first asked: {steps}" if s.recalled else steps


def _step(name: str, ms: float, selection: Selection) -> str:
    if name == Llm.name:
        return f"LLM {ms:.0f} ms"
    found = sum(name in c.sources for c in selection.candidates)
    return f"{common.name_of(name)} {found} {'box' if found == 1 else 'boxes'} in {ms:.0f} ms"


def read(s: Session, selection: Selection) -> list[tuple[str, str]]:
    """About what the LLM read: tokens, adapter, and whether it is used for what it was made for."""
    if selection.prompt is None or not s.asked:
        return [("LLM", "not asked")]
    loaded = models.now()
    wrapper = loaded.asked_by(s.asked)
    name = wrapper.adapter_for(s.asked, s.settings.adapter)
    tokens = wrapper.llm.count_tokens(selection.prompt, name)
    service = "a service" if selection.probabilities else "a service, which gave no probabilities"
    rows = [("LLM", service if tokens is None else f"read {tokens} tokens of at most {MAX_TOKENS:,}")]
    if selection.left_out:
        rows.append(("Left out", f"{selection.left_out} boxes: a prompt takes no more"))
    found = adapters.record(loaded.adapters[name]) if name is not None and name in loaded.adapters else None
    rows.append(("Adapter", "none: zero-shot" if name is None else f"{name}, {adapters.in_words(found)}" if found else name))
    if found and (warning := adapters.misfit(found, s.asked)):
        rows.append(("Mind", warning))
    return rows


# ---- what the bundled models cannot do


@cache
def scene_words() -> dict[str, Sequence[str]]:
    """The nouns of RefScenes, each with other words for it."""
    return {kind.noun: SYNONYMS.get(kind.noun, ()) for kind in KINDS}


def out_of_its_world(s: Session) -> str | None:
    """Why an answer of the bundled models is no more than a guess: they were not made for such a picture, or cannot name what is asked for.
    None where that is not so, and for full-size models."""
    if models.now().name not in models.ABOUT or not s.asked:
        return None
    if clause := out_of_place(s.picture.world, s.asked):
        return f"This looks like a {LOOKS_LIKE[s.picture.world]}, and {clause}."
    of_scenes = bool(OF_SCENES & set(s.asked))
    words = scene_words() if of_scenes else detector_words() if set(s.asked) == {"yolox"} else None
    if words is None or (unknown := unknown_subject(s.words, words)) is None:
        return None
    return f"“{unknown}” is none of the {len(words)} kinds of thing that {'these models' if of_scenes else 'YOLOX'} can name."


def out_of_place(world: World, asked: Collection[str]) -> str | None:
    """Which of the bundled models that are asked were not made for such pictures, as a clause; None where all were, and for full-size
    ones."""
    if models.asked().name not in models.ABOUT:
        return None
    if world is World.PHOTOGRAPH and OF_SCENES & set(asked):
        return "the bundled Florence-2 and Grounding DINO know drawn scenes only"
    return "YOLOX knows photographs only" if world is World.SCENE and "yolox" in asked else None


def notes(world: World, asked: Sequence[str]) -> list[str]:
    """What to know about a picture before anything is asked: what the bundled models can do with it, and what else there is."""
    name = models.asked().name
    if name not in models.ABOUT:
        return []
    fitting = asked or models.fitting(world)
    if clause := out_of_place(world, fitting):
        other = "Try New scene, or start the app with --preset auto." if world is World.PHOTOGRAPH else "Try a photograph."
        return [f"This looks like a {LOOKS_LIKE[world]}, and {clause}. {other}"]
    if world is World.PHOTOGRAPH and "yolox" in fitting:
        kinds = detector_words()
        named = f"In photographs YOLOX can name {len(kinds)} kinds of thing"  # up to the colon it is always in view
        return [f"{named}; the LLM is told colours that your words name, and no clothes or actions: {', '.join(kinds)}."]
    return []
