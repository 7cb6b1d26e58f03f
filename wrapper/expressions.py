"""What a person writes -> the words the models are asked about. Done once, at the door; everything behind it relies on that.

What was written is what the page, the trace and the exports show. What is asked is the same for "The red cup.", "THE RED
CUP", “the red cup” and "Where is the red cup?": telephones write capitals, and people full stops and quotation marks.
"""

import re
import unicodedata

from wrapper.errors import ExpressionError

MAX_EXPRESSION = 500
"""Characters."""

JOINER = "\u200d"
"""Makes one sign of several, as in "👩‍🚀"."""

_SAME = str.maketrans({
    **dict.fromkeys("“”„‟«»″〝〞", '"'), **dict.fromkeys("‘’‚‛‹›′`´", "'"), **dict.fromkeys("‐‑‒–—―−﹘", "-"),
})  # fmt: skip
"""Quotation marks, apostrophes and dashes that mean the same as the one on a keyboard."""
_POLITE = r"(?:(?:please|hey|hi|hello|ok|okay|just)[, ]+)*"
_ASKED = r"(?:(?:can|could|would|will) you |help me (?:to )?|i (?:want|need|would like|'d like)(?: you)? to |let's )?"
_DETERMINER = r"(?= (?:the|a|an|my|your|his|her|their|our|that|this|these|those) )"
_FRAME = re.compile(
    rf"^{_POLITE}(?:{_ASKED}{_POLITE}(?:"
    r"(?:find|locate|detect|identify|select|show me|point (?:to|at|out)|pick out|look (?:for|at)|search for|click on)(?: me| us)?:?(?= )"
    rf"|(?:show|highlight|pick|spot|mark|box|segment|ground|click|choose)(?: me| us)?{_DETERMINER})"  # nouns as well: "box on the left"
    r"|(?:do you see|can you see|i(?: am|'m) looking for|i mean)(?= )"
    rf"|(?:where|it|this|that|there|here)(?: is|'s| are){_DETERMINER}"
    # "what is the dog holding" asks for something else than the dog
    rf"|(?:what|which(?: one)?|who)(?: is|'s| are){_DETERMINER}(?!.*(?:ing|on|in|at|with|of|to|from|for)$))\s*"
)
"""What asks for an object without being about it, at the start: "find ...", "could you point to ...", "where is ...?"."""
_NUMBER = re.compile(r"^\d+[.)] +(?=\D)")
"""That of a list: "1. the red cup"."""
_FRAME_END = re.compile(r"(?:,? please|, (?:thanks|thank you))$")
_EDGE = " .,;:!?…-_*。、！？¿¡"
"""What says nothing at the start and the end of an expression."""
_APOSTROPHE = re.compile(r"(?<=\w)'(?=\w)")
_PAIRS = {'"': '"', "'": "'", "(": ")", "[": "]", "<": ">"}
"""What says nothing where it stands around the whole."""


def written(expression: str) -> str:
    """What a person wrote, on one line and without what cannot be seen; ExpressionError where there are no words or too many.

    Signs such as "🦄" count as words: they may mean nothing to a model, which is another thing than not asking.
    """
    if not isinstance(expression, str):
        raise ExpressionError(f"An expression is text, not {type(expression).__name__}.")
    text = unicodedata.normalize("NFC", without_surrogates(expression))
    text = "".join(c if c.isprintable() or c == JOINER else "" if unicodedata.category(c) == "Cf" else " " for c in text)
    text = " ".join(text.split())
    if not _says_something(text):
        raise ExpressionError("There is no expression. Describe one object in words, such as “the cup left of the green book”.")
    if (length := max(len(text), len(_one_form(text)))) > MAX_EXPRESSION:  # one sign may stand for a sentence
        raise ExpressionError(
            f"The expression has {length:,} characters; at most {MAX_EXPRESSION} are read. Describe one object in a sentence."
        )
    return text


def normalise(expression: str) -> str:
    """The words the models are asked about: lower case, one form of every sign, no frame around them, nothing at their ends.

    Raises ExpressionError as `written` does. Doing it twice changes nothing.

    >>> normalise("  Where is “The Red Cup” ?")
    'the red cup'
    """
    text = _one_form(written(expression))
    while (shorter := _bare(text)) != text and _says_something(shorter):
        text = shorter
    return text


def _one_form(text: str) -> str:
    """Lower case, and of signs that mean the same always the one on a keyboard."""
    text = unicodedata.normalize("NFKC", text.translate(_SAME)).translate(_SAME).lower()
    return " ".join("".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf").split())


def _bare(text: str) -> str:
    """One layer less around it."""
    inner = text.strip(_EDGE)
    first, last = inner[:1], inner[-1:]
    between = _APOSTROPHE.sub("", inner[1:-1])
    if len(inner) > 2 and _PAIRS.get(first) == last and first not in between and last not in between:
        inner = inner[1:-1]
    elif inner.count('"') == 1:  # one of two
        inner = inner.strip('"')
    inner = _FRAME.sub("", _NUMBER.sub("", inner), count=1)
    return _FRAME_END.sub("", inner)


def _says_something(text: str) -> bool:
    return any(unicodedata.category(c)[0] in "LN" or unicodedata.category(c) == "So" for c in text)


def without_surrogates(text: str) -> str:
    """Half a character, as a damaged file may hold, can be neither shown nor sent."""
    return text.encode("utf-8", "replace").decode("utf-8")


def singulars(word: str) -> set[str]:
    """What an English noun may be the plural of, by its ending; nothing for one that looks like none.

    >>> "knife" in singulars("knives"), singulars("mice"), singulars("cup")
    (True, {'mouse'}, set())
    """
    irregular = {IRREGULAR[word]} if word in IRREGULAR else set()
    return irregular | {word[: -len(end)] + short for end, short in ENDINGS if word.endswith(end) and len(word) > len(end) + 1}


ENDINGS = (("s", ""), ("es", ""), ("ies", "y"), ("ves", "f"), ("ves", "fe"))
IRREGULAR = {
    "men": "man", "women": "woman", "children": "child", "people": "person", "mice": "mouse", "geese": "goose", "feet": "foot",
    "teeth": "tooth", "oxen": "ox",
}  # fmt: skip
"""How nouns make a plural, and which do not so."""
