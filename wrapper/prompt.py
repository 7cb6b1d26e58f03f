"""Candidates and an expression -> the text the LLM reads. Training and serving both use this and nothing else.

A template is data: it lies as prompt.json beside the model or adapter that was trained on it, because an LLM answers
best to the wording it has seen.
"""

import json
import string
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from wrapper.candidates import BY_HAND, Candidate
from wrapper.colors import colors_joined, colors_named
from wrapper.errors import ModelError
from wrapper.settings_file import read_json

FILE_NAME = "prompt.json"


@dataclass(frozen=True)
class PromptTemplate:
    """The wording of a prompt, and how its answer is read.

    line: one candidate, from {index}, {label}, {x1}, {y1}, {x2}, {y2}. score and source: what is added to a line (where the line itself
    says {score} or {source}, else at its end) where there is a score ({score}), and where the candidates come from more than one proposer
    ({sources}: all who propose it; {source}: the one whose label leads). also: what follows the label for each other label of the same
    object ({label}). color: what is said for each colour that the picture shows there and the labels do not say ({color}; empty where the
    LLM is not told), where the line says {colors}, else behind the label; where it says {asked_colors}, only for those that the expression
    names. unseen: what follows the expression for each colour that it names and neither a label says nor the picture shows of any candidate
    ({color}; empty where the LLM is not told). prompt: the whole text, from {candidates} (the lines, one below the other), {expression} and
    {indices} (0,1,2...). system: a system message, none where empty. decimals: digits behind the point of a coordinate. long_side: pixels
    to which the picture's longer side is scaled in the text, 0 for coordinates as they are. date: what chat templates that name a date are
    told, as Llama 3.2's does; they would name today's, and the same question would be another one tomorrow. none: the answer that none of
    the candidates is meant, empty where the LLM has not learnt one. temperature: what log-probabilities are divided by, fitted on
    validation data so that probabilities are true (Guo et al. 2017); 0 where that was not done. none_bias: what is added to the
    log-probability of none after that, chosen on validation data: an LLM that learnt from lists we drew finds it too improbable on those of
    real detectors.
    """

    line: str = "{index}: {label}, box [{x1}, {y1}, {x2}, {y2}]"
    score: str = ", score {score}"
    source: str = ", from {sources}"
    also: str = " / {label}"
    color: str = ""
    unseen: str = ""
    prompt: str = (
        "Objects detected in an image, as boxes [x1, y1, x2, y2] in pixels from the upper left corner:\n"
        "{candidates}\n"
        'Which one is described by "{expression}"? '
        "Answer with the number of the best box and nothing else."
    )
    system: str = ""
    decimals: int = 1
    long_side: int = 0
    date: str = "26 Jul 2024"
    none: str = ""
    temperature: float = 0.0
    none_bias: float = 0.0

    def __post_init__(self) -> None:
        allowed = {
            "line": {"index", "label", "colors", "asked_colors", "x1", "y1", "x2", "y2", "score", "source"},
            "score": {"score"},
            "source": {"source", "sources"},
            "also": {"label"},
            "color": {"color"},
            "unseen": {"color"},
            "prompt": {"candidates", "expression", "indices"},
        }
        for part, names in allowed.items():
            _check_fields(part, getattr(self, part), names)
        if not 0 <= self.temperature <= 100:
            raise ModelError(f"The prompt template's temperature is {self.temperature}; it lies between 0 and 100.")
        if not -20 <= self.none_bias <= 20:
            raise ModelError(f"The prompt template's none_bias is {self.none_bias}; it lies between -20 and 20.")
        if not 0 <= self.decimals <= 6:
            raise ModelError(f"The prompt template's decimals are {self.decimals}; they lie between 0 and 6.")
        if not 0 <= self.long_side <= 100_000:
            raise ModelError(f"The prompt template's long_side is {self.long_side}; it is a number of pixels, or 0 for boxes as they are.")
        for needed in ("candidates", "expression"):
            if needed not in (name for name, *_ in _fields(self.prompt)):
                raise ModelError(f"The prompt template lacks {{{needed}}}; write it where it belongs in `prompt`.")

    @classmethod
    def load(cls, folder: Path) -> "PromptTemplate | None":
        """The template in a folder's prompt.json; None where there is no such file."""
        path = folder / FILE_NAME
        return cls.read(path) if path.is_file() else None

    @classmethod
    def read(cls, path: Path) -> "PromptTemplate":
        """The template in a file; ModelError says what is wrong with one."""
        try:
            data = read_json(path)
        except OSError as error:
            raise ModelError(f"There is no file {path} that can be read. Check the path.") from error
        except ValueError as error:
            raise ModelError(f"{path} is not a JSON file ({error}); take it from where it came from again.") from error
        kinds = {f.name: type(f.default) for f in fields(cls)}
        if isinstance(data, dict):
            data = {k: float(v) if kinds.get(k) is float and type(v) is int else v for k, v in data.items()}
        if not isinstance(data, dict) or any(type(v) is not kinds.get(k) for k, v in data.items()):
            raise ModelError(f"{path} may hold only {', '.join(kinds)}, of the right kind; mend it or delete it.")
        return cls(**data)

    def save(self, folder: Path) -> None:
        """Write prompt.json into a folder."""
        text = json.dumps(asdict(self), indent=2, ensure_ascii=False)
        (folder / FILE_NAME).write_text(text + "\n", encoding="utf-8")


def _check_fields(part: str, text: str, allowed: set[str]) -> None:
    """Refuse fields that the template may not use, attribute access among them."""
    try:
        found = _fields(text)
    except ValueError as error:
        raise ModelError(f"The prompt template's `{part}` has unbalanced braces ({error}); write {{{{ for a brace.") from error
    for name, spec, conversion in found:
        if name not in allowed or spec or conversion:
            raise ModelError(
                f"The prompt template's `{part}` uses {{{one_line(name)}{'!' if conversion else ':' if spec else ''}"
                f"{one_line(conversion or spec)}}}; it may use {', '.join(sorted(allowed))}, as they are."
            )


def _fields(text: str) -> list[tuple[str, str, str]]:
    """The fields of a format string: name, specification and conversion of each."""
    return [(name, spec or "", conversion or "") for _, name, spec, conversion in string.Formatter().parse(text) if name is not None]


def one_line(text: str) -> str:
    """Text with every run of white space turned into one space, so that it cannot imitate the list's lines."""
    return " ".join(text.split())


def render(candidates: Sequence[Candidate], expression: str, template: PromptTemplate, image_size: tuple[int, int]) -> str:
    """The user message for a list of candidates and an expression.

    image_size: width and height in pixels of the picture the boxes belong to; used where the template rescales. A candidate
    added by hand stands there without a source: an LLM was never told of such a one.

    >>> cup = Candidate((10.0, 20.0, 50.0, 60.0), "cup", 0.87, "gdrec")
    >>> print(render([cup], "the cup", PromptTemplate(prompt="{candidates}\\n{expression}?"), (640, 480)))
    0: cup, box [10.0, 20.0, 50.0, 60.0], score 0.87
    the cup?
    """
    scale = template.long_side / max(image_size) if template.long_side else 1.0
    several = len({source for c in candidates for source in c.sources} - {BY_HAND}) > 1
    named = colors_named(expression)
    shown = [{*c.colors, *(color for label in c.labels for color in colors_named(label))} for c in candidates]
    told = _told(shown, named, colors_joined(expression))
    unseen = [color for color in named if color not in set().union(*shown)] if any(c.colors for c in candidates) else []  # or nobody looked
    lines = [_line(i, c, template, scale, several, told[i]) for i, c in enumerate(candidates)]
    return template.prompt.format(
        candidates="\n".join(lines),
        expression=one_line(expression) + "".join(template.unseen.format(color=color) for color in unseen),
        indices=",".join(str(i) for i in range(len(candidates))),
    )


def _told(shown: Sequence[set[str]], named: Sequence[str], joined: Sequence[Sequence[str]]) -> list[set[str]]:
    """For each candidate, from the colours that each has, those of the named ones that are told of it. Of colours that are named together,
    such as black and white, none is told of those that have only some of them, where others have all: a small LLM does not learn to
    count."""
    told = [set(named) for _ in shown]
    for together in map(set, joined):
        if any(together <= colors for colors in shown):
            told = [t if together <= colors else t - together for t, colors in zip(told, shown, strict=True)]
    return told


def _line(index: int, candidate: Candidate, template: PromptTemplate, scale: float, several: bool, told: Collection[str]) -> str:
    places = dict(zip(("x1", "y1", "x2", "y2"), (f"{v * scale:.{template.decimals}f}" for v in candidate.box), strict=True))
    label, *others = (one_line(text) for text in candidate.labels)
    label += "".join(template.also.format(label=text) for text in others)
    said = colors_named(label)
    unsaid = [color for color in candidate.colors if color not in said]
    colors = "".join(template.color.format(color=color) for color in unsaid)
    asked_colors = "".join(template.color.format(color=color) for color in unsaid if color in told)
    label += "" if "{colors}" in template.line or "{asked_colors}" in template.line else colors
    score = "" if candidate.score is None else template.score.format(score=f"{candidate.score:.2f}")
    sources = [name for name in candidate.sources if name != BY_HAND]
    source = template.source.format(source=sources[0], sources=" and ".join(sources)) if several and sources else ""
    line = template.line.format(index=index, label=label, score=score, source=source, colors=colors, asked_colors=asked_colors, **places)
    return line + ("" if "{score}" in template.line else score) + ("" if "{source}" in template.line else source)


def messages(prompt: str, template: PromptTemplate) -> list[dict[str, str]]:
    """The chat that carries a prompt."""
    system = [{"role": "system", "content": template.system}] if template.system else []
    return [*system, {"role": "user", "content": prompt}]
