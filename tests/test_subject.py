"""Noun groups and subjects by rules; the agreement on real expressions is measured where they are at hand."""

import os
from pathlib import Path

import pytest

from tests.subject_agreement import agreement
from wrapper.subject import parse, parse_by_rules, parse_doc


@pytest.mark.parametrize(
    ("expression", "subject", "groups"),
    [
        ("the cup left of the green book", "cup", ["cup", "green book"]),
        ("second red ball from the left", "red ball", ["red ball"]),
        ("the larger of the two dogs", "dogs", ["dogs"]),
        ("one of the pigs", "pigs", ["pigs"]),
        ("a slice of pizza next to the cup", "pizza", ["pizza", "cup"]),
        ("the man who is wearing a red jacket", "man", ["man", "red jacket"]),
        ("man wearing hat", "man", ["man", "hat"]),
        ("a car parked near the house", "car", ["car", "house"]),
        ("the ice cream which isn't on the left of the pig", "ice cream", ["ice cream", "pig"]),
        ("the rightmost elephant", "elephant", ["elephant"]),
        ("the woman's bag", "bag", ["bag"]),
        ("a black and white cat", "cat", ["cat"]),
        ("the orange left of the apple", "orange", ["orange", "apple"]),
        ("an orange on the plate", "orange", ["orange", "plate"]),
        ("the second orange from the left", "orange", ["orange"]),
        ("the big orange", "orange", ["orange"]),
        ("the man in orange", "man", ["man"]),
        ("guy wearing orange next to the bus", "guy", ["guy", "bus"]),
        ("the car that is orange", "car", ["car"]),
        ("the orange car", "orange car", ["orange car"]),
    ],
)
def test_subject_and_groups(expression: str, subject: str, groups: list[str]) -> None:
    found = parse_by_rules(expression)
    assert found.subject is not None
    assert found.groups[found.subject].text.endswith(subject)
    assert [g.text.split()[-1] for g in found.groups] == [g.split()[-1] for g in groups]


def test_spans_are_characters_of_the_expression() -> None:
    expression = "  the  Café's «big red» bus, left of the tree"
    for group in parse(expression).groups:
        assert expression[group.start : group.end] == group.text


@pytest.mark.parametrize("expression", ["", "...", "the", "left of", "左边的杯子", "🙂", "второй слева"])
def test_anything_is_parsed(expression: str) -> None:
    found = parse(expression)
    assert (found.subject is None) == (not found.groups)


def test_agreement_with_real_expressions() -> None:
    sample = Path(os.environ.get("WRAPPER_REFEXPS", "/nonexistent"))
    if not sample.is_file():
        pytest.skip("WRAPPER_REFEXPS does not name a file of RefCOCOg expressions")
    right, total, _ = agreement(sample)
    assert right / total > 0.8


def test_a_parsed_document_gives_the_same_spans() -> None:
    """What spaCy's parse is turned into; the parse itself is written out, so that no model is needed."""
    spacy = pytest.importorskip("spacy")
    from spacy.lang.en import English
    from spacy.tokens import Doc

    words = ["the", "second", "red", "cup", "left", "of", "the", "green", "book"]
    doc = Doc(
        English().vocab,
        words=words,
        heads=[3, 3, 3, 3, 3, 4, 8, 8, 5],
        deps=["det", "amod", "amod", "ROOT", "advmod", "prep", "det", "amod", "pobj"],
        pos=["DET", "ADJ", "ADJ", "NOUN", "ADV", "ADP", "DET", "ADJ", "NOUN"],
    )
    assert spacy.__version__
    found = parse_doc(doc)
    assert [g.text for g in found.groups] == ["red cup", "green book"]
    assert found.subject == 0
    assert all(doc.text[g.start : g.end] == g.text for g in found.groups)
