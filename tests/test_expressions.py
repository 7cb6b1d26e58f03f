"""However a person writes it, the models are asked the same; what was written stays what is shown."""

import pytest

from wrapper.candidates import is_correct
from wrapper.errors import ExpressionError
from wrapper.expressions import MAX_EXPRESSION, normalise, written
from wrapper.pipeline import ENSEMBLE, Wrapper
from wrapper.scenes.dataset import scenes

FORMS = {
    "capital": str.capitalize,
    "capitals": str.upper,
    "title case": str.title,
    "full stop": "{}.".format,
    "question mark": "{} ?".format,
    "dots": "{} …".format,
    "exclamation": "{}!!".format,
    "quotes": '"{}"'.format,
    "curly quotes": "“{}”".format,
    "guillemets": "« {} »".format,
    "single quotes": "‘{}’".format,
    "find": "Find {}".format,
    "please find": "please find {}".format,
    "could you": "Could you point to {}, please?".format,
    "can you find me": "can you find me {}?".format,
    "blanks": "  {} \n".format,
    "full width": lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    "zero width": lambda text: "\u200b".join(text),
    "decomposed": "{}".format,
}
EXPRESSIONS = ["the cup left of the green book", "man's hat", "second-largest ball", "box on the left", "the café table"]


@pytest.mark.parametrize("form", FORMS)
def test_forms_that_mean_the_same_are_asked_the_same(form: str) -> None:
    for text in EXPRESSIONS:
        assert normalise(FORMS[form](text)) == text


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("Where is the red cup?", "the red cup"),
        ("where's my dog", "my dog"),
        ("What is the thing on the table?", "the thing on the table"),
        ("It’s the one on the left", "the one on the left"),
        ("the cup—the red one", "the cup-the red one"),
        ("the boy`s hat", "the boy's hat"),
        ("Find: the cat", "the cat"),
        ("i am looking for a blue bike", "a blue bike"),
        ("cafe\u0301", "café"),
        ("please, find the dog", "the dog"),
        ("Hey, where is the red cup?", "the red cup"),
        ("(the red cup)", "the red cup"),
        ("1. the red cup", "the red cup"),
        ("the red cup。", "the red cup"),
        ("the man´s hat", "the man's hat"),
        ("“the cup” left of “the book”", '"the cup" left of "the book"'),
        ('the sign that says "STOP"', 'the sign that says "stop"'),
        ('"the red cup', "the red cup"),
        ("the card that says thank you", "the card that says thank you"),
        ("What is the dog holding?", "what is the dog holding"),
        # words of frames that are part of what is meant
        ("box on the left", "box on the left"),
        ("spot on the shirt", "spot on the shirt"),
        ("show jumping horse", "show jumping horse"),
        ("person that is looking for the dog", "person that is looking for the dog"),
        ("which one is second", "which one is second"),
        ("find", "find"),
        ("🦄", "🦄"),
        ("5", "5"),
    ],
)
def test_frames_go_and_words_stay(text: str, asked: str) -> None:
    assert normalise(text) == asked
    assert normalise(asked) == asked, "twice is as once"


def test_the_words_of_refscenes_stay_as_they_are() -> None:
    """Models were trained on them."""
    texts = [s.expression.text for s in scenes("train", 300, 3)]
    assert [normalise(t) for t in texts] == texts


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "no expression"), (" \n ", "no expression"), ("?!", "no expression"), ("“”", "no expression"), ("a" * 2000, "2,000")],
)
def test_unusable_expressions_get_one_sentence(text: str, words: str) -> None:
    for read in (written, normalise):
        with pytest.raises(ExpressionError, match=words):
            read(text)


def test_one_sign_that_stands_for_a_sentence_is_counted_as_one() -> None:
    with pytest.raises(ExpressionError, match="at most 500 are read"):
        normalise("ﷺ" * 60)
    assert normalise(normalise("ﷺ" * 10)) == normalise("ﷺ" * 10)


@pytest.mark.parametrize("thing", [None, 5, b"the cup", ["the cup"]])
def test_what_is_no_text_is_said(thing: object) -> None:
    with pytest.raises(ExpressionError, match="An expression is text"):
        normalise(thing)  # type: ignore[arg-type]


def test_what_was_written_is_kept_but_for_what_cannot_be_seen() -> None:
    assert written("The\x00 Red\tBall!\n ") == "The Red Ball!"
    assert written("half a character \ud83e") == "half a character ?"
    assert len(written("é" * MAX_EXPRESSION)) == MAX_EXPRESSION


def test_models_answer_every_form_alike(wrapper: Wrapper) -> None:
    """P@1 is the very same, not only within a point."""
    chosen = list(scenes("val", 8, 31))
    pictures, texts = [s.picture() for s in chosen], [s.expression.text for s in chosen]
    plain = wrapper.locate_batch(pictures, texts, ENSEMBLE)
    assert sum(is_correct(x.box, s.box) for x, s in zip(plain, chosen, strict=True)) >= 5
    for form in ("capitals", "question mark", "curly quotes"):
        found = wrapper.locate_batch(pictures, [FORMS[form](t) for t in texts], ENSEMBLE)
        assert [x.box for x in found] == [x.box for x in plain], form
        assert [x.prompt for x in found] == [x.prompt for x in plain], form


@pytest.mark.parametrize("text", ["asdfghjkl", "🦄", "猫", "unicorn", "der rote Ball", "xyzzy plugh", "the professor's spaceship"])
def test_what_no_model_has_a_box_for_is_said_to_be_nothing_like_anything_here(wrapper: Wrapper, text: str) -> None:
    from wrapper.candidates import Reason
    from wrapper.trace import explain

    for scene in scenes("val", 3, 41):
        found = wrapper.locate(scene.picture(), text)
        assert (found.index, found.reason) == (None, Reason.NOTHING_LIKE_IT)
        assert "nothing here looks like that" in explain(found)
