"""Text of users, labels and data sets never becomes a control token.

A tokenizer turns "<|eot_id|>", "<image>" or "[SEP]" into the token that ends a turn, holds a picture's place or parts two
texts, wherever they stand. In text that is not ours such words are opened up by a space, so that they are read letter by
letter. (Transformers' `split_special_tokens` does it for special tokens only: other added ones, such as Florence-2's
places, would remain; and it would have the frame tokenized apart from the text, which changes tokens at the seam.)
"""

import re
from functools import lru_cache
from typing import Any


def spell_out(text: str, tokenizer: Any, frame: tuple[str, ...] = ()) -> str:
    """The text with a space inside every word that the tokenizer would take for one of its control tokens.

    tokenizer: a transformers tokenizer; all its added tokens count, special or not. frame: further words that are treated so.
    """
    return open_up(text, (*sorted(tokenizer.get_added_vocab()), *frame))


def open_up(text: str, words: tuple[str, ...]) -> str:
    """The text with a space inside every one of these words."""
    pattern = _pattern(words)
    if pattern is None:
        return text
    while (opened := pattern.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)) != text:
        text = opened
    return text


@lru_cache(maxsize=16)
def _pattern(tokens: tuple[str, ...]) -> re.Pattern[str] | None:
    """Any of the tokens, the longest first, in whatever case: some tokenizers lower their text first. Tokens of a single
    character and of blanks alone cannot be opened, and control nothing."""
    words = sorted((t for t in tokens if len(t.strip()) > 1), key=len, reverse=True)
    return re.compile("|".join(re.escape(w) for w in words), re.IGNORECASE) if words else None
