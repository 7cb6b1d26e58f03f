"""The kinds of object that RefScenes is made of: what they are called and which sprite shows them.

A kind is a noun, a colour where the noun comes in several, and the other words people use for it. The sprite
sheet beside this file holds one picture per kind, in the order of `KINDS`; `weights/recipes/sprites.py` made it.
"""

from dataclasses import dataclass

COLORS = ("red", "orange", "yellow", "green", "blue", "purple", "black")


@dataclass(frozen=True)
class Kind:
    """One kind of object.

    noun: what it is called, without its colour. color: None where the noun comes in one look only.
    emoji: the character it is rendered from. hue: degrees by which the rendering's hue is turned, for nouns that
    the font has in one colour only.
    """

    noun: str
    color: str | None
    emoji: str
    hue: int = 0

    @property
    def name(self) -> str:
        """The noun with its colour: "red ball", "dog"."""
        return f"{self.color} {self.noun}" if self.color else self.noun


SYNONYMS: dict[str, tuple[str, ...]] = {
    "bicycle": ("bike",),
    "boat": ("sailboat",),
    "burger": ("hamburger",),
    "cake": ("birthday cake",),
    "car": ("automobile",),
    "cat": ("kitty",),
    "clock": ("alarm clock",),
    "cookie": ("biscuit",),
    "cup": ("mug",),
    "dog": ("puppy",),
    "donut": ("doughnut",),
    "gift": ("present",),
    "hat": ("top hat",),
    "motorcycle": ("motorbike",),
    "rabbit": ("bunny",),
    "shoe": ("sneaker",),
    "truck": ("lorry",),
}

_PLAIN = {
    "cat": "🐈", "dog": "🐕", "horse": "🐎", "cow": "🐄", "pig": "🐖", "sheep": "🐑", "elephant": "🐘",
    "rabbit": "🐇", "turtle": "🐢", "fish": "🐠", "butterfly": "🦋", "rooster": "🐓", "bee": "🐝", "duck": "🦆",
    "snake": "🐍", "penguin": "🐧", "frog": "🐸", "crab": "🦀",
    "banana": "🍌", "strawberry": "🍓", "pizza": "🍕", "burger": "🍔", "donut": "🍩", "cake": "🎂", "lemon": "🍋",
    "carrot": "🥕", "pineapple": "🍍", "watermelon": "🍉", "corn": "🌽", "cookie": "🍪", "ice cream": "🍦",
    "bus": "🚌", "bicycle": "🚲", "train": "🚆", "boat": "⛵", "rocket": "🚀", "tractor": "🚜", "truck": "🚚",
    "motorcycle": "🏍", "helicopter": "🚁",
    "cup": "☕", "chair": "🪑", "bed": "🛏", "clock": "⏰", "key": "🔑", "umbrella": "☂", "hat": "🎩", "shoe": "👟",
    "guitar": "🎸", "drum": "🥁", "gift": "🎁", "bell": "🔔", "camera": "📷", "backpack": "🎒", "teddy bear": "🧸",
    "tree": "🌳", "cactus": "🌵", "tulip": "🌷", "sunflower": "🌻", "mushroom": "🍄",
}  # fmt: skip
_COLORED = {
    "ball": "🔴🟠🟡🟢🔵🟣⚫",
    "heart": "❤🧡💛💚💙💜🖤",
    "square": "🟥🟧🟨🟩🟦🟪⬛",
}
_SOME_COLORS = {"book": {"red": "📕", "orange": "📙", "green": "📗", "blue": "📘"}, "apple": {"red": "🍎", "green": "🍏"}}
_TURNED = {"balloon": "🎈", "car": "🚗"}
_HUES = {"red": 0, "yellow": 50, "green": 125, "blue": 215, "purple": 285}

KINDS: tuple[Kind, ...] = (
    *(Kind(noun, None, emoji) for noun, emoji in _PLAIN.items()),
    *(Kind(noun, color, emoji) for noun, row in _COLORED.items() for color, emoji in zip(COLORS, row, strict=True)),
    *(Kind(noun, color, emoji) for noun, row in _SOME_COLORS.items() for color, emoji in row.items()),
    *(Kind(noun, color, emoji, hue) for noun, emoji in _TURNED.items() for color, hue in _HUES.items()),
)
NOUNS: tuple[str, ...] = tuple(dict.fromkeys(kind.noun for kind in KINDS))
