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
_POLITE = r"(?:please |hey |ok |okay |just )*"
_ASKED = r"(?:(?:can|could|would|will) you |help me (?:to )?|i (?:want|need|would like|'d like)(?: you)? to |let's )?"
_DETERMINER = r"(?= (?:the|a|an|my|your|his|her|their|our|that|this|these|those) )"
_FRAME = re.compile(
    rf"^{_POLITE}(?:{_ASKED}{_POLITE}(?:"
    r"(?:find|locate|detect|identify|select|show me|point (?:to|at|out)|pick out|look (?:for|at)|search for|click on)(?: me| us)?:?(?= )"
    rf"|(?:show|highlight|pick|spot|mark|box|segment|ground|click|choose)(?: me| us)?{_DETERMINER})"  # nouns as well: "box on the left"
    r"|(?:do you see|can you see|i(?: am|'m) looking for|i mean)(?= )"
    rf"|(?:where|what|which(?: one)?|who|it|this|that|there|here)(?: is|'s| are){_DETERMINER})\s*"
)
"""What asks for an object without being about it, at the start: "find ...", "could you point to ...", "where is ...?"."""
_FRAME_END = re.compile(r",? (?:please|thanks|thank you)$")
_EDGE = " \"'.,;:!?…-_*"
"""What says nothing at the start and the end of an expression."""


def written(expression: str) -> str:
    """What a person wrote, on one line and without what cannot be seen; ExpressionError where there are no words or too many.

    Signs such as "🦄" count as words: they may mean nothing to a model, which is another thing than not asking.
    """
    text = unicodedata.normalize("NFC", _without_surrogates(expression))
    text = "".join(c if c.isprintable() or c == JOINER else "" if unicodedata.category(c) == "Cf" else " " for c in text)
    text = " ".join(text.split())
    if not any(unicodedata.category(c)[0] in "LN" or unicodedata.category(c) == "So" for c in text):
        raise ExpressionError("There is no expression. Describe one object in words, such as “the cup left of the green book”.")
    if len(text) > MAX_EXPRESSION:
        raise ExpressionError(
            f"The expression has {len(text):,} characters; at most {MAX_EXPRESSION} are read. Describe one object in a sentence."
        )
    return text


def normalise(expression: str) -> str:
    """The words the models are asked about: lower case, one form of every sign, no frame around them, nothing at their ends.

    Raises ExpressionError as `written` does. Doing it twice changes nothing.

    >>> normalise("  Where is “The Red Cup” ?")
    'the red cup'
    """
    text = unicodedata.normalize("NFKC", written(expression)).translate(_SAME).lower()
    text = " ".join("".join(c for c in text if unicodedata.category(c) != "Cf").split())
    while (shorter := _bare(text)) != text and _says_something(shorter):
        text = shorter
    return text


def _bare(text: str) -> str:
    """One layer less around it."""
    inner = text.strip(_EDGE)
    inner = _FRAME.sub("", inner, count=1)
    return _FRAME_END.sub("", inner)


def _says_something(text: str) -> bool:
    return any(unicodedata.category(c)[0] in "LN" or unicodedata.category(c) == "So" for c in text)


def _without_surrogates(text: str) -> str:
    """Half a character, as a damaged file may hold, can be neither shown nor sent."""
    return text.encode("utf-8", "replace").decode("utf-8")
