"""Colours in words: what a picture shows in a box."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from wrapper.candidates import Candidate
from wrapper.colors import COLORS, SPOKEN, TABLE, colors_joined, colors_named, name_colors, with_colors
from wrapper.pipeline import collect
from wrapper.prompt import PromptTemplate, render

PAINTS = {
    "black": (15, 15, 18), "white": (245, 245, 240), "gray": (128, 128, 128), "red": (200, 20, 25), "orange": (250, 120, 10),
    "yellow": (245, 220, 30), "green": (30, 140, 50), "blue": (30, 70, 190), "purple": (120, 40, 150), "pink": (250, 130, 180),
    "brown": (110, 65, 30),
}  # fmt: skip


def painted(color: tuple[int, int, int], size: tuple[int, int] = (200, 160)) -> Image.Image:
    """A box of a colour on grass, beside a white wall."""
    image = Image.new("RGB", size, (90, 130, 60))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, size[0], 40), (250, 250, 250))
    draw.rectangle((60, 60, 120, 140), color)
    return image


@pytest.mark.parametrize(("name", "color"), PAINTS.items())
def test_a_painted_box_is_called_by_its_colour(name: str, color: tuple[int, int, int]) -> None:
    assert name_colors(painted(color), (60, 60, 120, 140)) == (name,)


def test_the_table_names_every_colour_with_one_of_the_terms() -> None:
    digits = TABLE.read_text(encoding="ascii").strip()
    assert len(digits) == 16**3
    assert {COLORS[int(d, 16)] for d in digits} == set(COLORS)


def test_of_two_colours_the_larger_one_is_first() -> None:
    image = painted(PAINTS["blue"])
    ImageDraw.Draw(image).rectangle((60, 60, 120, 85), PAINTS["red"])
    assert name_colors(image, (60, 60, 120, 140)) == ("blue", "red")


def test_what_stands_around_a_thing_counts_less_than_the_thing() -> None:
    assert name_colors(painted(PAINTS["red"]), (50, 50, 130, 150))[0] == "red"


def test_in_a_dark_picture_white_is_still_white() -> None:
    image = painted(PAINTS["white"]).point(lambda v: int(v * 0.65))
    [found] = with_colors(image, [Candidate((60, 60, 120, 140), "plate", None, "d")])
    assert found.colors == ("white",)


@pytest.mark.parametrize("box", [(-50.0, -50.0, -10.0, -10.0), (500.0, 10.0, 600.0, 90.0)])
def test_a_box_outside_the_picture_has_no_colours(box: tuple[float, float, float, float]) -> None:
    assert name_colors(painted(PAINTS["red"]), box) == ()


@pytest.mark.parametrize("box", [(60.2, 60.2, 60.9, 60.9), (-5.0, -5.0, 3.0, 500.0), (0.0, 0.0, 200.0, 160.0)])
def test_boxes_of_any_size_and_over_the_border_have_colours(box: tuple[float, float, float, float]) -> None:
    assert name_colors(painted(PAINTS["red"]), box)


def test_candidates_that_have_colours_keep_them() -> None:
    image = painted(PAINTS["red"])
    known, new = Candidate((60, 60, 120, 140), "a", None, "d", colors=("blue",)), Candidate((60, 60, 120, 140), "b", None, "d")
    assert [c.colors for c in with_colors(image, [known, new])] == [("blue",), ("red",)]


def test_whatever_proposes_gets_its_colours_from_the_picture() -> None:
    class Finder:
        name = "finder"

        def propose(self, images: list[Image.Image], expressions: list[str]) -> list[list[Candidate]]:
            return [[Candidate((60, 60, 120, 140), "thing", 0.5, "finder")] for _ in images]

    found = collect([Finder()], [painted(PAINTS["purple"]), painted(PAINTS["yellow"])], ["a", "b"])  # type: ignore[list-item]
    assert [c.colors for one in found.by_proposer["finder"] for c in one] == [("purple",), ("yellow",)]


def test_a_template_says_colours_where_it_switches_them_on() -> None:
    mug = Candidate((1, 2, 3, 4), "mug", None, "d", colors=("red", "white"))
    assert "red" not in render([mug], "mug", PromptTemplate(), (10, 10))
    assert "0: mug red white, box" in render([mug], "mug", PromptTemplate(color=" {color}"), (10, 10))
    before = PromptTemplate(line="{index}: {colors}{label}", color="{color} ")
    assert "0: red white mug\n" in render([mug], "mug", before, (10, 10))
    assert "0: white Red mug\n" in render([replace(mug, label="Red mug")], "mug", before, (10, 10)), "none is said twice"


ASKED = PromptTemplate(line="{label}{asked_colors} = {index}", color=" {color}", prompt="{candidates}\n{expression}")


def lines(expression: str, *candidates: Candidate) -> list[str]:
    """A list as a template shows it that says the colours which are asked for."""
    return render(candidates, expression, ASKED, (10, 10)).splitlines()[: len(candidates)]


def test_only_colours_that_the_expression_names_are_told() -> None:
    mug = Candidate((1, 2, 3, 4), "mug", None, "d", colors=("red", "white"))
    cup = replace(mug, label="cup", colors=("white", "blue"))
    assert lines("the mug on the left", mug, cup) == ["mug = 0", "cup = 1"]
    assert lines("Red mug", mug, cup) == ["mug red = 0", "cup = 1"]
    assert lines("the WHITE mug with red spots", mug, cup) == ["mug red white = 0", "cup white = 1"]
    assert lines("the white mug beside a red one", mug, cup) == lines("the red mug beside a white one", mug, cup), "not in the words' order"
    assert lines("the green mug", mug, cup) == ["mug = 0", "cup = 1"]


@pytest.mark.parametrize(
    "words", ["the black and white cat", "White/black cat", "black-and-white cat", "cat in white & black", "a black white cat"]
)
def test_of_colours_named_together_only_what_has_all_is_told(words: str) -> None:
    black, white, both = (Candidate((1, 2, 3, 4), "cat", None, "d", colors=c) for c in (("black",), ("white", "gray"), ("white", "black")))
    assert lines(words, black, both, white) == ["cat = 0", "cat white black = 1", "cat = 2"]
    assert lines(words, black, white) == ["cat black = 0", "cat white = 1"], "where nothing has both, what has one is told"
    assert lines(words, replace(black, label="white cat"), both, white)[0] == "white cat black = 0", "a label may say one of them"


def test_colours_of_several_things_are_told_of_each() -> None:
    red, both = (Candidate((1, 2, 3, 4), "car", None, "d", colors=c) for c in (("red",), ("red", "blue")))
    for words in ("the red car by the blue one", "red car and a blue car", "man in red with blue trousers"):
        assert lines(words, red, both) == ["car red = 0", "car red blue = 1"]


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("black and white and red all over", [("black", "white", "red")]),
        ("blue, white, and gold flag by a red and tan box", [("blue", "white", "yellow"), ("red", "brown")]),
        ("grey and silver", []),
        ("red brick and white wall", []),
        ("infrared blue", []),
        ("red bluebird", []),
        ("RED AND BLUE", [("red", "blue")]),
    ],
)
def test_colours_named_together_are_found(text: str, joined: list[tuple[str, ...]]) -> None:
    assert colors_joined(text) == joined


@pytest.mark.parametrize(("words", "told"), [("the grey dog", "gray"), ("silver dog", "gray"), ("Tan dog", "brown"), ("a grayish dog", "")])
def test_a_colour_is_told_by_one_name_whatever_it_is_called(words: str, told: str) -> None:
    dog = Candidate((1, 2, 3, 4), "dog", None, "d", colors=("gray", "brown"))
    assert lines(words, dog) == [f"dog {told} = 0" if told else "dog = 0"]
    assert lines(words, replace(dog, label=f"grey tan {dog.label}")) == ["grey tan dog = 0"], "nor again by another name"


def test_a_colour_that_a_label_says_is_not_told_again() -> None:
    fruit = Candidate((1, 2, 3, 4), "Orange", None, "d", colors=("orange",))
    assert lines("the orange on the left", fruit, replace(fruit, label="apple")) == ["Orange = 0", "apple orange = 1"]


UNSEEN = PromptTemplate(unseen=", no {color}", prompt="{candidates}\n{expression}?")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("the Red mug", ""),
        ("the green mug", ", no green"),
        ("Silver or tan mug", ", no gray, no brown"),
        ("blue-and-green mug", ", no blue, no green"),
        ("the mug beside the purple one", ""),
        ("the mug", ""),
    ],
)
def test_an_llm_is_told_of_a_colour_that_is_asked_for_and_that_nothing_shows(words: str, told: str) -> None:
    listed = [
        Candidate((1, 2, 3, 4), "mug", None, "d", colors=("red",)),
        Candidate((1, 2, 3, 4), "violet mug", None, "d", colors=("white",)),
    ]
    for order in (listed, listed[::-1]):
        assert render(order, words, UNSEEN, (10, 10)).splitlines()[-1] == f"{words}{told}?"


def test_nothing_is_told_of_colours_where_nobody_looked() -> None:
    mug = Candidate((1, 2, 3, 4), "mug", None, "d")
    assert render([mug], "the green mug", UNSEEN, (10, 10)).endswith("the green mug?")
    assert render([], "the green mug", UNSEEN, (10, 10)).endswith("the green mug?")
    assert render([replace(mug, colors=("red",))], "the green mug", replace(UNSEEN, unseen=""), (10, 10)).endswith("the green mug?")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("the red-haired man in a RED coat", ("red",)),
        ("Infrared camera, bluetooth speaker", ()),
        ("grey cat / gray cat / silver spoon", ("gray",)),
        ("ice cream", ()),
        ("tanık, redéfini, Goldener", ()),
        ("black&white photo", ("black", "white")),
        ("", ()),
    ],
)
def test_colours_are_found_as_whole_words(text: str, named: tuple[str, ...]) -> None:
    assert colors_named(text) == named
    assert set(SPOKEN.values()) == set(COLORS)


def test_grey_levels_of_a_photograph_in_black_and_white_have_no_hue(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 1), np.uint8).repeat(3, 2)
    assert set(name_colors(Image.fromarray(noise), (0, 0, 80, 80))) <= {"black", "white", "gray"}
