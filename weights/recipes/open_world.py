"""Lists of an open world, as detectors make them of photographs, and questions about them as people ask.

    python -m weights.recipes.open_world          # prints some

A scene is groups of things laid out as photographs have them: a row of people, bottles on a table, a rider on a horse, one thing
alone, with sizes over three orders of magnitude, overlaps, and cut at the border. A detector then misses some, sees some
twice, and adds what is not there, with scores that tell. A question is about a noun that fits some of what is listed; the
answer follows from the boxes alone, or is "none". Words come from nouns.json and from below; nothing of them comes from
expressions that anybody wrote about a photograph.
"""

import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from weights.recipes.nouns import FILE, Thing, Words
from wrapper.candidates import Box, Candidate, iou
from wrapper.colors import LEAST, MOST, colors_named

LONG = 640.0
"""Pixels of a picture's longer side, as the prompt scales it."""


def _words(text: str) -> list[str]:
    return text.split()


COLORS = _words(
    "red blue green yellow white black brown grey gray pink purple orange silver gold tan beige striped plaid dark light blond colorful"
)
LOOKS = _words(
    "old young big little tall short long thick thin round square wooden metal plastic leather shiny dirty clean empty full open "
    "closed broken wet dry bald smiling happy sad fancy plain pretty cute ugly new modern fluffy furry hairy fuzzy blurry visible "
    "tiny huge fat chubby slim elderly blonde bearded barefoot sleepy standing sitting seated walking parked stacked folded painted "
    "lit framed whole half cut"
)
CLOTHES = _words(
    "shirt jacket coat dress skirt pants jeans shorts hat cap sweater hoodie vest uniform suit shoes boots socks scarf gloves glasses "
    "sunglasses helmet apron jersey tshirt blouse"
)
ACTIONS = _words(
    "standing sitting walking running looking smiling laughing talking reading eating drinking leaning waiting jumping swinging "
    "playing posing bending kneeling crouching lying sleeping resting watching pointing waving pulling pushing throwing catching "
    "cutting washing cooking working flying grazing swimming climbing dancing riding driving parked turning facing stretching "
    "reaching"
)
PLACES = [
    "on the grass",
    "in the street",
    "on the road",
    "in the snow",
    "in the water",
    "on the beach",
    "on the floor",
    "in the field",
    "in the room",
    "on the sidewalk",
    "in the kitchen",
    "outside",
    "indoors",
    "in the air",
    "in the sky",
    "by the wall",
    "near the window",
    "at the station",
    "in the park",
    "on the court",
    "by the fence",
    "in the sun",
    "in the shade",
    "on the ground",
    "against the wall",
    "by the door",
    "under the tree",
    "in the picture",
    "in this photo",
    "of the picture",
    "in view",
    "there",
]
COLORED = 0.45
"""Share of lists about which colours are asked."""
UNSEEN = 0.2
"""Share of those about which a colour is asked that no line shows, where there is one."""
MISCOLORED = 0.25
"""Share of the questions by colour that name one which nothing of the kind has, of those that are tried: not every list has such a colour."""
HAIR = _words("long short dark light blond curly straight")
GENERIC = {"person": ("one", "person"), "": ("one", "thing", "object", "item")}


@dataclass(frozen=True)
class Kind:
    """A kind of thing with its words. kin: words that fit other kinds too."""

    name: str
    same: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    kin: tuple[str, ...] = ()

    @classmethod
    def of(cls, thing: Thing) -> "Kind":
        return cls(thing["name"], tuple(thing["same"]), tuple(thing["kinds"]), tuple(thing["kin"]))

    def word(self, rng: random.Random) -> str:
        """What a person calls it."""
        roll = rng.random()
        if self.kinds and roll < (0.75 if self.name == "person" else 0.35):
            n = len(self.kinds)  # the first ones are the commonest
            return self.kinds[min(int(n * rng.random() ** 2), n - 1)]
        if self.same and roll < 0.7:
            return rng.choice(self.same)
        if self.kin and roll > 0.95:
            return rng.choice(self.kin)
        return self.name


@cache
def words() -> Words:
    loaded: Words = json.loads(FILE.read_text())
    return loaded


@cache
def coco() -> tuple[Kind, ...]:
    return tuple(Kind.of(t) for t in words()["coco"])


@cache
def others() -> tuple[Kind, ...]:
    return tuple(Kind.of(t) for t in words()["things"])


@cache
def by_name() -> dict[str, Kind]:
    return {k.name: k for k in coco()}


@cache
def fitting() -> dict[str, frozenset[str]]:
    """For each word the names of the kinds that it fits."""
    found: dict[str, set[str]] = {}
    for k in (*coco(), *others()):
        for w in (k.name, *k.same, *k.kinds, *k.kin):
            found.setdefault(w, set()).add(k.name)
    return {w: frozenset(names) for w, names in found.items()}


@dataclass
class Item:
    """A thing in a scene. label: what the detector says; real: not made up by it; copy_of: the thing it shows again;
    palette: how it looks; colors: what is listed of that."""

    kind: Kind
    box: Box
    label: str = ""
    score: float | None = None
    real: bool = True
    copy_of: "Item | None" = None
    also: str = ""
    palette: "Palette" = field(default_factory=lambda: Palette({}))
    colors: tuple[str, ...] = ()

    @property
    def middle(self) -> tuple[float, float]:
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2

    @property
    def width(self) -> float:
        return self.box[2] - self.box[0]

    @property
    def height(self) -> float:
        return self.box[3] - self.box[1]

    @property
    def area(self) -> float:
        return self.width * self.height

    @property
    def near(self) -> float:
        """How near to the camera, as lists show it: lower and larger is nearer."""
        return self.box[3] + 0.5 * math.sqrt(self.area)


# ---- colours

COMMON = {"black": 3, "white": 4, "gray": 3, "red": 2, "orange": 1, "yellow": 1.5, "green": 1.5, "blue": 2, "purple": 0.5, "pink": 0.7, "brown": 3}  # fmt: skip
"""How often a thing mostly is of a colour, about."""
UPPER = COMMON | {"blue": 4, "red": 2.5, "pink": 1.2, "brown": 1}
LOWER = dict.fromkeys(COMMON, 0.3) | {"blue": 4, "black": 4, "gray": 2, "brown": 2, "white": 1}
AROUND = dict.fromkeys(COMMON, 0.3) | {"gray": 4, "brown": 3, "black": 2, "green": 1.5, "white": 2, "blue": 1}
MISTAKEN = {
    "white": ("gray", "gray", "gray", "brown", "blue"),
    "black": ("gray", "gray", "blue", "brown"),
    "gray": ("white", "black", "brown", "blue"),
    "red": ("brown", "brown", "pink", "black", "orange"),
    "orange": ("brown", "brown", "pink", "yellow"),
    "yellow": ("brown", "brown", "green", "white", "orange"),
    "green": ("gray", "black", "brown", "blue"),
    "blue": ("gray", "gray", "black", "purple", "white"),
    "purple": ("pink", "gray", "blue", "brown"),
    "pink": ("purple", "brown", "red", "white"),
    "brown": ("black", "gray", "pink", "orange"),
}
"""What shadows, light and cheap cameras make of a colour."""
OTHER_WORDS = {"gray": ("gray", "gray", "grey", "grey", "silver"), "brown": ("brown", "brown", "brown", "tan", "beige"), "yellow": ("yellow", "yellow", "gold")}  # fmt: skip
"""How people say a colour, where they have more than one word for it."""
UPPER_CLOTHES = _words("shirt jacket coat dress sweater hoodie vest uniform suit apron jersey tshirt blouse top")
LOWER_CLOTHES = _words("pants jeans shorts skirt trousers")


@dataclass(frozen=True)
class Palette:
    """The colours of a thing with the shares of its box. upper and lower: what people mean when they name its colour, clothes of a
    person by name; the rest of `shares` is skin and what stands around it."""

    shares: Mapping[str, float]
    upper: str = ""
    lower: str = ""

    @property
    def named(self) -> set[str]:
        """The colours that people may name."""
        return {self.upper, self.lower} - {""}


def _drawn(rng: random.Random, colors: Mapping[str, float]) -> str:
    return rng.choices(list(colors), list(colors.values()))[0]


def palette(rng: random.Random, person: bool) -> Palette:
    """How a thing looks."""
    if person:
        upper = _drawn(rng, UPPER)
        lower = upper if rng.random() < 0.12 else _drawn(rng, LOWER)
        parts = [
            (upper, rng.gauss(0.4, 0.12)),
            (lower, rng.gauss(0.2, 0.12)),
            ("brown" if rng.random() < 0.75 else "pink", rng.gauss(0.14, 0.05)),
        ]
    else:
        upper, lower = _drawn(rng, COMMON), ""
        if rng.random() < 0.25:
            lower = _drawn(rng, COMMON)
        parts = [(upper, rng.gauss(0.6, 0.15)), (lower or _drawn(rng, AROUND), rng.gauss(0.28 if lower else 0.12, 0.06))]
    parts += [(_drawn(rng, AROUND), rng.uniform(0.05, 0.35)), (_drawn(rng, AROUND), rng.uniform(0.0, 0.2))]
    shares: dict[str, float] = {}
    for color, share in parts:
        shares[color] = shares.get(color, 0.0) + max(0.0, share)
    return Palette(shares, upper, lower)


def seen_colors(rng: random.Random, looks: Palette) -> tuple[str, ...]:
    """The colours that `wrapper.colors` would list of it: parts of each are taken for others."""
    found: dict[str, float] = {}
    for color, share in looks.shares.items():
        kept = share * rng.betavariate(2.2, 1.2)
        found[color] = found.get(color, 0.0) + kept
        for _ in range(2):
            wrong = rng.choice(MISTAKEN[color])
            found[wrong] = found.get(wrong, 0.0) + (share - kept) / 2
    whole = sum(found.values()) or 1.0
    listed = sorted((c for c, v in found.items() if v / whole >= LEAST), key=lambda c: -found[c])
    return tuple(listed[:MOST])


# ---- scenes

WIDE = {"person": 0.42, "bottle": 0.35, "wine glass": 0.45, "giraffe": 0.6, "car": 1.7, "bus": 1.6, "train": 2.2, "couch": 1.9, "bed": 1.6, "dining table": 1.8,
        "bench": 1.8, "truck": 1.5, "airplane": 2.2, "boat": 1.8, "keyboard": 2.4, "surfboard": 1.6, "toilet": 0.75, "sink": 1.6, "refrigerator": 0.55, "tie": 0.4,
        "fire hydrant": 0.55, "traffic light": 0.5, "parking meter": 0.45, "vase": 0.6, "bicycle": 1.3, "motorcycle": 1.3, "knife": 1.6, "cow": 1.4, "sheep": 1.3,
        "dog": 1.1, "bird": 1.2, "oven": 1.1, "laptop": 1.3, "tv": 1.4, "fork": 1.5, "spoon": 1.4, "skis": 1.5, "hot dog": 1.7}  # fmt: skip
CARRIERS = _words("person horse elephant motorcycle bicycle skateboard surfboard boat chair couch bed bench")
HELD = _words(
    "backpack umbrella handbag tie suitcase frisbee baseball_bat baseball_glove skateboard tennis_racket bottle wine_glass cup fork "
    "knife spoon banana apple sandwich hot_dog pizza donut cake laptop remote cell_phone book teddy_bear hair_drier toothbrush kite "
    "surfboard dog cat sports_ball"
)
SURFACES = _words("dining_table bench couch bed oven refrigerator sink")
ON_TOP = _words(
    "bottle wine_glass cup fork knife spoon bowl banana apple sandwich orange broccoli carrot hot_dog pizza donut cake potted_plant "
    "tv laptop mouse remote keyboard cell_phone microwave toaster book clock vase scissors teddy_bear cat"
)
CROWDS = _words(
    "person bird sheep cow horse elephant zebra giraffe car boat bicycle motorcycle bottle cup bowl chair book donut banana apple "
    "orange toilet kite umbrella wine_glass truck bus"
)


def pick(rng: random.Random, names: Sequence[str], opened: bool) -> Kind:
    """A kind of these names; in an open world often any kind at all."""
    if opened and rng.random() < 0.55:
        return rng.choice(others())
    return by_name()[rng.choice(names).replace("_", " ")]


def any_kind(rng: random.Random, opened: bool) -> Kind:
    if opened and rng.random() < 0.6:
        return rng.choice(others())
    return by_name()["person"] if rng.random() < 0.25 else rng.choice(coco())


class Scene:
    """Things in a picture of width and height, laid out in groups."""

    def __init__(self, rng: random.Random, opened: bool, most: int) -> None:
        self.rng, self.opened = rng, opened
        short = LONG * rng.choice((0.75, 0.75, 0.667, 0.667, 0.5625, 0.85, 1.0))
        self.width, self.height = (LONG, round(short)) if rng.random() < 0.72 else (round(short), LONG)
        self.things: list[Item] = []
        self.looks: dict[str, Palette] = {}
        makers: list[Callable[[], None]] = [self.row, self.crowd, self.surface, self.carrier, self.alone, self.stack, self.heap]
        wanted = min(most, max(1, round(rng.lognormvariate(1.7, 0.7))))
        for _ in range(12):
            if len(self.things) >= wanted:
                break
            rng.choices(makers, (3, 3, 3, 4, 3, 1.5, 1))[0]()
        self.things = self.things[:most]

    def add(self, kind: Kind, x: float, bottom: float, height: float, wide: float | None = None) -> Item | None:
        """A thing standing at (x, bottom), cut at the border; None where hardly any of it is in the picture."""
        width = height * (wide or WIDE.get(kind.name, 1.0) * self.rng.lognormvariate(0, 0.25))
        width = min(width, 1.5 * self.width)
        full = width * height
        box = (max(0.0, x - width / 2), max(0.0, bottom - height), min(self.width, x + width / 2), min(self.height, bottom))
        if box[2] - box[0] < 4 or box[3] - box[1] < 4 or (box[2] - box[0]) * (box[3] - box[1]) < 0.25 * full:
            return None
        thing = Item(kind, (round(box[0]), round(box[1]), round(box[2]), round(box[3])), palette=self.palette(kind))
        if any(iou(thing.box, o.box) > 0.75 for o in self.things):
            return None
        self.things.append(thing)
        return thing

    def palette(self, kind: Kind) -> Palette:
        """How a thing looks; of a kind often as the last one does, but for people."""
        if kind.name == "person" or kind.name not in self.looks or self.rng.random() < 0.45:
            self.looks[kind.name] = palette(self.rng, kind.name == "person")
        return self.looks[kind.name]

    def size(self) -> float:
        """A height in pixels, over two orders of magnitude."""
        return min(self.height * 0.98, math.exp(self.rng.uniform(math.log(22), math.log(560))))

    def ground(self, height: float) -> float:
        """Where a thing of a height stands: the larger, the lower, mostly."""
        share = height / self.height
        return self.height * min(1.15, max(0.15, 0.45 + 0.5 * share + self.rng.gauss(0, 0.15)))

    def row(self) -> None:
        rng, kind = self.rng, pick(self.rng, CROWDS, self.opened)
        n, height = rng.choice((2, 2, 3, 3, 3, 4, 4, 5, 6, 8)), self.size() * 0.8
        bottom, step = self.ground(height), height * WIDE.get(kind.name, 1.0) * rng.uniform(0.6, 2.2)
        step = min(step, self.width / n * 1.1)
        x = rng.uniform(0, max(1.0, self.width - step * (n - 1)))
        slope, growth = rng.gauss(0, 0.12), rng.choice((1.0, 1.0, rng.uniform(0.75, 1.3)))
        for i in range(n):
            tall = height * growth**i * rng.lognormvariate(0, 0.12)
            self.add(kind, x + i * step + rng.gauss(0, 0.1 * step), bottom + i * step * slope + rng.gauss(0, 0.05 * height), tall)

    def crowd(self) -> None:
        rng, kind = self.rng, pick(self.rng, CROWDS, self.opened)
        base = self.size() * 0.6
        for _ in range(rng.choice((2, 2, 3, 3, 4, 5, 6, 9))):
            height = min(self.height * 0.95, base * rng.lognormvariate(0, 0.5))
            self.add(kind, rng.uniform(0, self.width), self.ground(height), height)

    def surface(self) -> None:
        rng, base = self.rng, pick(self.rng, SURFACES, self.opened)
        height = self.height * rng.uniform(0.15, 0.55)
        table = self.add(base, rng.uniform(0.2, 0.8) * self.width, self.height * rng.uniform(0.6, 1.1), height, rng.uniform(1.2, 3.5))
        if table is None:
            return
        kinds = [pick(rng, ON_TOP, self.opened) for _ in range(rng.choice((1, 1, 2, 3)))]
        for _ in range(rng.choice((1, 2, 3, 4, 6))):
            tall = min(height, table.width) * rng.uniform(0.08, 0.45)
            self.add(
                rng.choice(kinds), rng.uniform(table.box[0], table.box[2]), table.box[1] + rng.uniform(0.05, 0.75) * table.height, tall
            )

    def carrier(self) -> None:
        rng = self.rng
        if rng.random() < 0.25:  # a rider, or somebody seated
            below = pick(rng, CARRIERS[1:], self.opened)
            height = self.size()
            mount = self.add(below, rng.uniform(0.1, 0.9) * self.width, self.ground(height), height)
            if mount:
                x = mount.middle[0] + rng.gauss(0, 0.1) * mount.width
                self.add(by_name()["person"], x, mount.box[1] + mount.height * rng.uniform(0.4, 0.95), height * rng.uniform(0.7, 1.2))
            return
        holders = [by_name()["person"]] if rng.random() < 0.8 else [any_kind(rng, self.opened)]
        height = self.size() * 1.2
        holder = self.add(holders[0], rng.uniform(0, 1) * self.width, self.ground(height), min(height, self.height))
        if holder is None:
            return
        for _ in range(rng.choice((1, 1, 1, 2))):
            item, tall = pick(rng, HELD, self.opened), holder.height * rng.uniform(0.08, 0.4)
            x, bottom = (
                rng.uniform(holder.box[0] - 0.1 * holder.width, holder.box[2] + 0.1 * holder.width),
                holder.box[1] + rng.uniform(0.3, 0.9) * holder.height,
            )
            self.add(item, x, bottom, tall)

    def alone(self) -> None:
        kind, height = any_kind(self.rng, self.opened), self.size()
        self.add(kind, self.rng.uniform(0, self.width), self.ground(height), height)

    def stack(self) -> None:
        """One thing above another: a sink above a toilet, a clock above a door."""
        rng, lower, upper = self.rng, any_kind(self.rng, self.opened), any_kind(self.rng, self.opened)
        height = self.size() * 0.7
        base = self.add(lower, rng.uniform(0.1, 0.9) * self.width, self.height * rng.uniform(0.6, 1.05), height)
        if base:
            self.add(
                upper,
                base.middle[0] + rng.gauss(0, 0.15) * base.width,
                base.box[1] + rng.uniform(-0.6, 0.12) * height,
                height * rng.uniform(0.2, 0.9),
            )

    def heap(self) -> None:
        """Things of a kind that overlap, as fruit in a basket."""
        rng, kind = self.rng, pick(self.rng, CROWDS, self.opened)
        height, x, bottom = self.size() * 0.5, rng.uniform(0.2, 0.8) * self.width, self.height * rng.uniform(0.4, 1.0)
        for _ in range(rng.choice((2, 3, 4, 6, 8))):
            self.add(kind, x + rng.gauss(0, height), bottom + rng.gauss(0, 0.6 * height), height * rng.lognormvariate(0, 0.25))


# ---- what a detector makes of a scene


def detected(rng: random.Random, scene: Scene, clean: bool, most: int) -> list[Item]:
    """What is listed, in reading order: all of the scene where clean, else with what detectors miss, double, mistake and make up.

    A true thing's score grows with its size; what is made up is mostly small, has lower scores, and is often of a kind that stands there.
    """
    scored = rng.random() < (0.3 if clean else 0.85)
    found = [replace(t, label=called(rng, t.kind, scene.opened, t.palette)) for t in scene.things]
    if clean:
        for t in found:
            t.score = round(rng.uniform(0.35, 0.99), 2) if scored else None
    else:
        found = [t for t in found if rng.random() < min(0.97, 0.55 + 0.12 * math.log(max(1.0, t.area) / 200))] or found[:1]
        for t in found:
            size = min(1.0, max(0.0, math.log(max(1.0, t.area) / 150) / math.log(400)))
            t.box = nudged(rng, t.box, 0.06, scene)
            t.score = round(min(0.97, 0.15 + 0.8 * rng.betavariate(1.4 + 3 * size, 1.8)), 2) if scored else None
        for t in [t for t in found if rng.random() < 0.12]:
            found.append(again(rng, t, scene))
        for _ in range(rng.choice((0, 0, 1, 1, 2, 3, 5)) if scored else rng.choice((0, 0, 0, 1))):
            if fake := made_up(rng, found, scene, scored):
                found.append(fake)
    if rng.random() < 0.12:
        for t in found:  # merged with what another source calls it
            if rng.random() < 0.5:
                t.also = t.kind.word(rng)
    for t in found:
        t.colors = seen_colors(rng, t.palette)
    kept = sorted(found, key=lambda t: -(t.score or 1.0))[:most] if scored else found[:most]
    return sorted(kept, key=lambda t: (t.middle[1], t.middle[0]))


def again(rng: random.Random, t: Item, scene: Scene) -> Item:
    """A thing seen once more: with a box that is off, or of a part of it, or taken for something else."""
    label = t.label if rng.random() < 0.55 else rng.choice((rng.choice(scene.things).kind, any_kind(rng, scene.opened))).name
    box = nudged(rng, t.box, 0.18, scene) if rng.random() < 0.55 else part(rng, t.box)
    score = round(max(0.15, t.score * rng.uniform(0.25, 0.9)), 2) if t.score else None
    kind = t.kind if label == t.label else by_name().get(label, Kind(label))
    return Item(kind, box, label, score, label == t.label, t, palette=t.palette)


def made_up(rng: random.Random, found: list[Item], scene: Scene, scored: bool) -> Item | None:
    """A thing that is not there."""
    kind = rng.choice(found).kind if rng.random() < 0.65 else any_kind(rng, scene.opened)
    height, x, y = scene.size() * rng.uniform(0.15, 0.6), rng.uniform(0, scene.width), rng.uniform(0.2, 1) * scene.height
    width = height * WIDE.get(kind.name, 1.0)
    box = (max(0.0, x - width / 2), max(0.0, y - height), min(scene.width, x + width / 2), min(scene.height, y))
    if box[2] - box[0] < 5 or box[3] - box[1] < 5:
        return None
    score = round(0.15 + 0.4 * rng.betavariate(1.1, 3.5), 2) if scored else None
    rounded = (round(box[0]), round(box[1]), round(box[2]), round(box[3]))
    looks = palette(rng, kind.name == "person")
    return Item(kind, rounded, called(rng, kind, scene.opened, looks), score, not scored, palette=looks)


def part(rng: random.Random, box: Box) -> Box:
    """Part of a box, as a detector takes it for the whole: a side of it, or its upper or lower end."""
    x1, y1, x2, y2 = box
    share = rng.uniform(0.4, 0.8)
    if rng.random() < 0.5:
        return (
            (x1, y1, max(x1 + 3, round(x1 + share * (x2 - x1))), y2)
            if rng.random() < 0.5
            else (min(x2 - 3, round(x2 - share * (x2 - x1))), y1, x2, y2)
        )
    return (
        (x1, y1, x2, max(y1 + 3, round(y1 + share * (y2 - y1))))
        if rng.random() < 0.5
        else (x1, min(y2 - 3, round(y2 - share * (y2 - y1))), x2, y2)
    )


def spoken(rng: random.Random, color: str) -> str:
    """A colour as people say it."""
    return rng.choice(OTHER_WORDS.get(color, (color,)))


def called(rng: random.Random, kind: Kind, opened: bool, looks: Palette) -> str:
    """A label: COCO's name, or with open labels any word for it, now and then as a phrase."""
    if not opened:
        return kind.name
    label = kind.word(rng) if rng.random() < 0.25 and kind.name != "person" else kind.name
    if kind.name == "person" and rng.random() < 0.5:
        label = rng.choice(kind.kinds[:12])
    roll = rng.random()
    if roll < 0.1:
        label = f"{spoken(rng, looks.upper)} {label}"
    elif roll < 0.14:
        label = f"{rng.choice(('a', 'the'))} {rng.choice(LOOKS)} {label}"
    elif roll < 0.17 and kind.name == "person":
        label = f"{label} in {spoken(rng, looks.upper)} {rng.choice(UPPER_CLOTHES)}"
    return label


def nudged(rng: random.Random, box: Box, by: float, scene: Scene) -> Box:
    """The box as a detector sees it: edges off by a share of its sides, inside the picture."""
    w, h = box[2] - box[0], box[3] - box[1]
    x1, y1 = max(0, round(box[0] + rng.gauss(0, by * w / 2))), max(0, round(box[1] + rng.gauss(0, by * h / 2)))
    x2, y2 = min(scene.width, round(box[2] + rng.gauss(0, by * w / 2))), min(scene.height, round(box[3] + rng.gauss(0, by * h / 2)))
    return (x1, y1, max(x2, x1 + 3), max(y2, y1 + 3))


# ---- which one is meant

Pool = list[Item]


@dataclass
class Asked:
    """A question. pool: what its noun fits; passing: those of them that pass its conditions; landmarks: what else it names."""

    text: str
    target: Item | None
    pool: Pool
    passing: Pool
    landmarks: list[Pool] = field(default_factory=list)


def least(pool: Pool, measure: Callable[[Item], float], margin: float, place: int = 1) -> Item | None:
    """The place-th by a measure, where it is clearly before the next one and after the one before."""
    if len(pool) < max(2, place):
        return None
    ordered = sorted(pool, key=measure)
    i = place - 1
    if i > 0 and measure(ordered[i]) - measure(ordered[i - 1]) < margin:
        return None
    if i + 1 < len(ordered) and measure(ordered[i + 1]) - measure(ordered[i]) < margin:
        return None
    return ordered[i]


def gap(a: Item, b: Item) -> float:
    """Pixels between two boxes, 0 where they touch."""
    return math.hypot(max(a.box[0] - b.box[2], b.box[0] - a.box[2], 0), max(a.box[1] - b.box[3], b.box[1] - a.box[3], 0))


def share_in(a: Item, b: Item) -> float:
    """The share of a's box that lies in b's."""
    w = min(a.box[2], b.box[2]) - max(a.box[0], b.box[0])
    h = min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
    return max(w, 0) * max(h, 0) / max(1.0, a.area)


SIDES: dict[str, Callable[[Item], float]] = {
    "left": lambda t: t.middle[0], "right": lambda t: -t.middle[0], "top": lambda t: t.middle[1], "bottom": lambda t: -t.middle[1],
    "front": lambda t: -t.near, "back": lambda t: t.near,
    "biggest": lambda t: -40 * math.log(t.area), "smallest": lambda t: 40 * math.log(t.area),
    "tallest": lambda t: -80 * math.log(t.height), "shortest": lambda t: 80 * math.log(t.height),
    "widest": lambda t: -80 * math.log(t.width),
}  # fmt: skip
SAID = {
    "left": "left {n}|{n} on the left|{n} on left|leftmost {n}|{n} to the left|far left {n}|{n} on the far left|{n} furthest left|{n} furthest to the left|"
            "{n} on the left side|{n} at left|{n} left|{n} by the left edge|most left {n}|{n} at the left|{n} on the left of the picture|{n} all the way to the left|left side {n}",
    "right": "right {n}|{n} on the right|{n} on right|rightmost {n}|{n} to the right|far right {n}|{n} on the far right|{n} furthest right|{n} furthest to the right|"
             "{n} on the right side|{n} at right|{n} right|{n} by the right edge|most right {n}|{n} at the right|{n} on the right of the image|{n} all the way to the right|right side {n}",
    "top": "top {n}|{n} at the top|{n} on top|uppermost {n}|upper {n}|highest {n}|topmost {n}|{n} up high|{n} higher up|{n} up top",
    "bottom": "bottom {n}|{n} at the bottom|lower {n}|lowest {n}|{n} on the bottom|{n} further down|bottommost {n}|{n} down low",
    "front": "front {n}|{n} in front|closest {n}|{n} closest to us|{n} closest to the camera|{n} in the foreground|nearest {n}|{n} nearest to us|{n} nearest the viewer|"
             "{n} up front|foreground {n}|{n} closest to you|{n} at the front|{n} in the front|frontmost {n}|{n} close to us",
    "back": "back {n}|{n} in back|{n} in the back|{n} in the background|furthest {n}|{n} furthest away|farthest {n}|{n} farthest from the camera|background {n}|{n} at the back|"
            "{n} in the distance|{n} way in the back|rear {n}|{n} far away|{n} further back",
    "biggest": "biggest {n}|largest {n}|big {n}|large {n}|bigger {n}|larger {n}|the {n} that is biggest|huge {n}|main {n}|the {n} which is the largest",
    "smallest": "smallest {n}|small {n}|little {n}|tiny {n}|smaller {n}|tiniest {n}|littlest {n}|the {n} that is smallest",
    "tallest": "tallest {n}|tall {n}|taller {n}|the {n} that is tallest",
    "shortest": "shortest {n}|short {n}|shorter {n}",
    "widest": "widest {n}|wide {n}|wider {n}",
}  # fmt: skip
MARGINS = {
    "left": 18,
    "right": 18,
    "top": 20,
    "bottom": 20,
    "front": 25,
    "back": 25,
    "biggest": 14,
    "smallest": 14,
    "tallest": 14,
    "shortest": 14,
    "widest": 20,
}
ORDER = (("second", "2nd"), ("third", "3rd"), ("fourth", "4th"), ("fifth", "5th"))
ORDINAL = [
    "{o} {n} from the {s}",
    "{o} from {s} {n}",
    "{n} {o} from {s}",
    "{o} {n} from {s}",
    "the {o} {n} from the {s}",
    "{o} one from the {s}",
    "{o} {n} in from the {s}",
    "{n} that is {o} from the {s}",
    "{o} {s} {n}",
    "{o} from the {s}",
]
MIDDLE = [
    "middle {n}",
    "{n} in the middle",
    "center {n}",
    "{n} in the center",
    "{n} in middle",
    "central {n}",
    "the {n} in the middle",
    "{n} in the centre",
    "{n} middle",
    "{n} in between the others",
    "one in the middle",
]
CORNERS = {
    ("left", "top"): "top left {n}|upper left {n}|{n} in the top left|{n} at top left|{n} in the upper left corner|{n} top left",
    ("right", "top"): "top right {n}|upper right {n}|{n} in the top right|{n} at top right|{n} in the upper right corner|{n} top right",
    ("left", "bottom"): "bottom left {n}|lower left {n}|{n} in the bottom left|{n} at bottom left|{n} in the lower left corner|{n} bottom left|front left {n}",
    ("right", "bottom"): "bottom right {n}|lower right {n}|{n} in the bottom right|{n} at bottom right|{n} in the lower right corner|{n} bottom right|front right {n}",
}  # fmt: skip
BORDER = {
    "left": "{n} cut off by the left edge|{n} half out of the picture on the left|{n} at the left border|partial {n} on the left|{n} cut off on the left",
    "right": "{n} cut off by the right edge|{n} half out of the picture on the right|{n} at the right border|partial {n} on the right|{n} cut off on the right",
    "top": "{n} cut off at the top|{n} at the top edge|{n} whose top is cut off",
    "bottom": "{n} cut off at the bottom|{n} at the bottom edge|{n} cut off by the bottom of the picture",
}  # fmt: skip
ALONE = [
    "{n} by itself",
    "lone {n}",
    "{n} standing alone",
    "{n} all alone",
    "{n} apart from the others",
    "isolated {n}",
    "{n} away from the others",
    "separate {n}",
    "{n} off by itself",
]
NOT_SIDE = [
    "not the {s} one but the other {n}",
    "{n} that is not on the {s}",
    "the {n} not on the {s}",
    "not the {n} on the {s}, the other one",
    "{n} not {s}",
]
RELATED: dict[str, tuple[Callable[[Item, Item], float], float, str]] = {
    # name: (how little a thing is so related to a landmark, below what it is, how it is said)
    "left of": (lambda t, m: 0 if t.middle[0] < m.middle[0] - 15 and abs(t.middle[1] - m.middle[1]) < 1.2 * (m.middle[0] - t.middle[0]) + 0.5 * m.height else 900, 1,
                "{n} left of {m}|{n} to the left of {m}|{n} on the left of {m}|{n} on {m}'s left|{n} to left of {m}"),
    "right of": (lambda t, m: 0 if t.middle[0] > m.middle[0] + 15 and abs(t.middle[1] - m.middle[1]) < 1.2 * (t.middle[0] - m.middle[0]) + 0.5 * m.height else 900, 1,
                 "{n} right of {m}|{n} to the right of {m}|{n} on the right of {m}|{n} on {m}'s right|{n} to right of {m}"),
    "next to": (gap, 60, "{n} next to {m}|{n} beside {m}|{n} by {m}|{n} near {m}|{n} closest to {m}|{n} nearest to {m}|{n} close to {m}|{n} standing next to {m}|{n} touching {m}|"
                         "{n} alongside {m}|{n} leaning against {m}|{n} at {m}|{n} nearest {m}|{n} with {m} next to it"),
    "above": (lambda t, m: 0 if t.middle[1] < m.middle[1] - 15 and abs(t.middle[0] - m.middle[0]) < 0.6 * (t.width + m.width) else 900, 1, "{n} above {m}|{n} over {m}|{n} higher than {m}|{n} up above {m}"),
    "below": (lambda t, m: 0 if t.middle[1] > m.middle[1] + 15 and abs(t.middle[0] - m.middle[0]) < 0.6 * (t.width + m.width) else 900, 1,
              "{n} below {m}|{n} under {m}|{n} beneath {m}|{n} underneath {m}|{n} lower than {m}"),
    "on": (lambda t, m: 0 if m.box[0] - 5 < t.middle[0] < m.box[2] + 5 and m.box[1] - 0.15 * t.height < t.box[3] < m.box[3] - 0.1 * m.height and t.area < 1.5 * m.area and t.box[1] < m.box[1] + 0.7 * m.height else 900, 1,
           "{n} on {m}|{n} on top of {m}|{n} sitting on {m}|{n} lying on {m}|{n} standing on {m}|{n} that is on {m}|{n} placed on {m}|{n} riding {m}|{n} resting on {m}"),
    "in": (lambda t, m: 1 - share_in(t, m) if t.area < 0.8 * m.area else 900, 0.3, "{n} in {m}|{n} inside {m}|{n} inside of {m}|{n} standing in {m}|{n} within {m}"),
    "held by": (lambda t, m: 1 - share_in(t, m) if t.area < 0.5 * m.area else 900, 0.6,
                "{n} held by {m}|{n} of {m}|{n} that {m} is holding|{n} {m} is holding|{n} hanging from {m}|{m}'s {n}|{n} in {m}'s hand|{n} {m} is using|{n} worn by {m}|{n} carried by {m}|{n} belonging to {m}|{n} on {m}'s shoulder|{n} hanging from {m}'s shoulder|{n} on {m}'s head|{n} on {m}'s back|{n} around {m}'s neck|{n} in {m}'s hands|{n} on {m}'s lap"),
    "with": (lambda t, m: 1 - share_in(m, t) if m.area < 0.6 * t.area else 900, 0.6,
             "{n} with {m}|{n} holding {m}|{n} wearing {m}|{n} carrying {m}|{n} that has {m}|{n} who has {m}|{n} using {m}|{n} eating {m}|{n} with {m} in it|{n} with {m} on it|{n} containing {m}|{n} playing with {m}|{n} with {m} standing in it|{n} with {m} sticking out of it|{n} with {m} sitting on it|{n} wearing the {m}|{n} that holds {m}"),
    "behind": (lambda t, m: (gap(t, m) if t.box[3] < m.box[3] - 4 and min(t.box[2], m.box[2]) - max(t.box[0], m.box[0]) > -20 else 900), 80, "{n} behind {m}|{n} in back of {m}|{n} standing behind {m}|{n} right behind {m}"),
    "in front of": (lambda t, m: (gap(t, m) if t.box[3] > m.box[3] + 4 and min(t.box[2], m.box[2]) - max(t.box[0], m.box[0]) > -20 else 900), 80,
                    "{n} in front of {m}|{n} before {m}|{n} standing in front of {m}|{n} right in front of {m}"),
}  # fmt: skip
OWNED = [
    "what {m} is holding",
    "the thing {m} is holding",
    "what {m} has in hand",
    "thing on {m}",
    "what {m} is wearing",
    "what is in {m}'s hand",
]
WEIGHTS = {
    "left of": 2,
    "right of": 2,
    "next to": 4,
    "above": 1.5,
    "below": 2.5,
    "on": 4,
    "in": 2,
    "held by": 3,
    "with": 4,
    "behind": 2,
    "in front of": 2,
}


class Asker:
    """Questions about one list. asked: the colours that they may name, with the word for each; miscolored_share: of the questions by
    colour, those for one that nothing has."""

    def __init__(
        self, rng: random.Random, listed: list[Item], scene: Scene, asked: Mapping[str, str], miscolored_share: float = MISCOLORED
    ) -> None:
        self.rng, self.listed, self.scene, self.asked, self.miscolored_share = rng, listed, scene, asked, miscolored_share
        self.mains = [t for t in listed if t.real and t.copy_of is None]
        self.names = {t.kind.name for t in listed} | {t.label for t in listed}

    def pool(self, word: str) -> Pool:
        """The things on the list that a word fits, those whose label says it before those of which it may be true."""
        fits = fitting().get(word, frozenset((word,)))
        whole = [t for t in self.mains if word in (t.label, t.also) or t.label.endswith(" " + word)]
        if whole and word not in {t.kind.name for t in whole}:
            return whole  # "pigeon" means what is called a pigeon, not every bird
        return [t for t in self.mains if t.kind.name in fits or word in (t.label, t.also)]

    def ask(self) -> Asked | None:
        """A question that the list decides; None where what was tried has no clear answer."""
        rng = self.rng
        if not self.mains:
            return None
        counts: dict[str, int] = {}
        for t in self.mains:
            counts[t.kind.name] = counts.get(t.kind.name, 0) + 1
        seed = rng.choices(self.mains, [1.0 + 0.7 * (counts[t.kind.name] > 1) for t in self.mains])[0]
        word = seed.kind.word(rng)
        if self.scene.opened and rng.random() < 0.4 and (last := seed.label.split(" in ")[0]):
            word = last.removeprefix("a ").removeprefix("the ")
            if word.split()[0] in (*COLORS, *LOOKS) and rng.random() < 0.5 and len(word.split()) > 1:
                word = " ".join(word.split()[1:])
        pool = self.pool(word)
        if len({t.kind.name for t in self.mains}) == 1 and rng.random() < 0.15:
            word, pool = rng.choice(GENERIC["person"] if seed.kind.name == "person" else GENERIC[""]), list(self.mains)
        if not pool:
            return None
        if self.asked and rng.random() < 0.6:
            return (self.miscolored if rng.random() < self.miscolored_share else self.colored)(word, pool)
        if len(pool) == 1:
            return self.single(word, pool)
        makers = (
            self.side,
            self.ordinal,
            self.middle,
            self.corner,
            self.related,
            self.alone,
            self.border,
            self.negated,
            self.two,
            self.undecided,
            self.between,
        )
        return rng.choices(makers, (5, 3, 1.5, 1.2, 5.5, 0.7, 0.8, 0.8, 3, 1.6, 0.5))[0](word, pool)

    def single(self, word: str, pool: Pool) -> Asked | None:
        """The only one of its noun, with whatever else is said about it."""
        rng = self.rng
        [only] = pool
        roll = rng.random()
        if roll < 0.05:
            return self.another(word)
        if roll < 0.45:
            return Asked(word, only, pool, pool)
        if roll < 0.65 and (found := self.related(word, pool)):
            return found
        if roll < 0.8:
            x, y = only.middle[0] / self.scene.width, only.middle[1] / self.scene.height
            sides = [s for s, ok in (("left", x < 0.4), ("right", x > 0.6), ("top", y < 0.35), ("bottom", y > 0.65)) if ok]
            if sides:
                return Asked(self.say(SAID[rng.choice(sides)], word), only, pool, pool)
        holders = [t for t in self.mains if t.kind.name == "person" and share_in(only, t) > 0.5 and only.area < 0.4 * t.area]
        if roll < 0.85 and len(holders) == 1:
            held = [t for t in self.mains if share_in(t, holders[0]) > 0.3 and t is not holders[0]]
            mark = self.landmark(holders[0])
            if len(held) == 1 and mark:
                return Asked(rng.choice(OWNED).format(m=mark[0]), only, pool, pool, [mark[1]])
        return Asked(word, only, pool, pool)

    def say(self, patterns: str | Sequence[str], word: str, **parts: str) -> str:
        chosen = self.rng.choice(patterns.split("|") if isinstance(patterns, str) else patterns)
        return chosen.format(n=word, **parts)

    def side(self, word: str, pool: Pool) -> Asked | None:
        side = self.rng.choices(list(SAID), (4, 4, 1.2, 1.2, 2, 2, 1.5, 1.2, 0.5, 0.3, 0.2))[0]
        target = least(pool, SIDES[side], MARGINS[side])
        return Asked(self.say(SAID[side], word), target, pool, pool) if target else None

    def ordinal(self, word: str, pool: Pool) -> Asked | None:
        side, place = (
            self.rng.choices(("left", "right", "top", "bottom", "front", "back", "biggest"), (4, 4, 0.8, 0.5, 0.8, 0.5, 0.4))[0],
            self.rng.choice((2, 2, 2, 3, 3, 4, 5)),
        )
        if place > len(pool):
            if place == 2 or self.rng.random() < 0.85:
                return None
            target = None
        elif (target := least(pool, SIDES[side], MARGINS[side] * 0.8, place)) is None:
            return None
        o = self.rng.choice(ORDER[place - 2])
        if side == "biggest":
            return Asked(f"{o} {self.rng.choice(('biggest', 'largest'))} {word}", target, pool, pool) if target else None
        return Asked(self.say(ORDINAL, word, o=o, s=side), target, pool, pool)

    def middle(self, word: str, pool: Pool) -> Asked | None:
        if len(pool) < 3:
            return None
        xs, ys = [t.middle[0] for t in pool], [t.middle[1] for t in pool]
        measure = SIDES["left" if max(xs) - min(xs) >= max(ys) - min(ys) else "top"]
        if len(pool) % 2:
            target = least(pool, measure, 12, (len(pool) + 1) // 2)
        else:
            target = least(pool, lambda t: abs(t.middle[0] - self.scene.width / 2), 30)
        return Asked(self.say(MIDDLE, word), target, pool, pool) if target else None

    def corner(self, word: str, pool: Pool) -> Asked | None:
        sides = self.rng.choice(list(CORNERS))
        x, y = (0 if sides[0] == "left" else self.scene.width), (0 if sides[1] == "top" else self.scene.height)
        target = least(pool, lambda t: abs(t.middle[0] - x) + abs(t.middle[1] - y), 50)
        return Asked(self.say(CORNERS[sides], word), target, pool, pool) if target else None

    def border(self, word: str, pool: Pool) -> Asked | None:
        side = self.rng.choice(list(BORDER))
        edge = {
            "left": lambda t: t.box[0],
            "right": lambda t: self.scene.width - t.box[2],
            "top": lambda t: t.box[1],
            "bottom": lambda t: self.scene.height - t.box[3],
        }[side]
        at = [t for t in pool if edge(t) <= 3]
        others = [t for t in pool if 3 < edge(t) < 12]
        return Asked(self.say(BORDER[side], word), at[0], pool, at) if len(at) == 1 and not others else None

    def alone(self, word: str, pool: Pool) -> Asked | None:
        if len(pool) < 3:
            return None
        target = least(pool, lambda t: -min(gap(t, o) for o in pool if o is not t), 45)
        return Asked(self.say(ALONE, word), target, pool, pool) if target else None

    def negated(self, word: str, pool: Pool) -> Asked | None:
        """Not the one on a side, of two; or not on, next to, with ... a landmark."""
        if len(pool) == 2:
            side = self.rng.choice(("left", "right"))
            target = least(pool, SIDES["right" if side == "left" else "left"], 40)
            return Asked(self.say(NOT_SIDE, word, s=side), target, pool, [target]) if target else None
        found = self.relation(pool, negated=True)
        if not found:
            return None
        pattern, _, _, no, (text, marks) = found
        if len(no) != 1:
            return None
        said = self.rng.choice(pattern.split("|")).format(n="\0", m=text).removeprefix("\0 ")
        if "\0" in said:
            return None
        return Asked(f"{word} {self.rng.choice(('not', 'that is not', 'which is not'))} {said}", no[0], pool, no, [marks])

    def relation(self, pool: Pool, negated: bool = False) -> tuple[str, str, Pool, Pool, tuple[str, Pool]] | None:
        """A relation to a landmark with those of the pool that clearly are in it and those that clearly are not."""
        rng = self.rng
        marks = [t for t in self.mains if t not in pool]
        if not marks:
            return None
        for _ in range(4):
            name = rng.choices(list(RELATED), list(WEIGHTS.values()))[0]
            if negated and name not in ("on", "next to", "with", "in"):
                continue
            mark = rng.choice(marks)
            said = self.landmark(mark)
            if said is None:
                continue
            measure, most, pattern = RELATED[name]
            if name in ("held by", "with") and "person" not in (mark.kind.name, pool[0].kind.name):
                pattern = "|".join(
                    p
                    for p in pattern.split("|")
                    if not any(
                        w in p
                        for w in ("hand", "hold", "wear", "worn", "carr", "using", "eating", "playing", "who", "hanging", "belonging")
                    )
                )
            values = [(measure(t, mark), t) for t in pool]
            yes = [t for v, t in values if v <= most]
            if name == "next to":
                best = least(pool, lambda t: measure(t, mark), 25) if len(pool) > 1 else pool[0]  # noqa: B023
                yes = [best] if best is not None and measure(best, mark) <= 1.5 * most else []
                if negated and any(most < v < 3 * most for v, _ in values):
                    continue
            elif any(most < v < most + 0.2 for v, _ in values):
                continue
            if yes and (len(yes) < len(pool) or len(pool) == 1):
                return pattern, name, yes, [t for t in pool if t not in yes], said
        return None

    def related(self, word: str, pool: Pool) -> Asked | None:
        found = self.relation(pool)
        if not found:
            return None
        pattern, name, yes, _, (text, marks) = found
        if name in ("left of", "right of", "behind", "in front of", "above", "below") and len(yes) > 1:
            nearest = least(yes, lambda t: gap(t, marks[0]), 40)
            yes = [nearest] if nearest else yes
        if len(yes) != 1:
            return None
        return Asked(self.say(pattern, word, m=text), yes[0], pool, yes, [marks])

    def two(self, word: str, pool: Pool) -> Asked | None:
        """A condition leaves several, and a side, a rank or a size picks among them."""
        rng = self.rng
        found = self.relation(pool)
        if not found:
            return None
        pattern, _, yes, _, (text, marks) = found
        if len(yes) < 2:
            return None
        side = rng.choice(("left", "right", "left", "right", "biggest", "smallest", "front", "back"))
        target = least(yes, SIDES[side], MARGINS[side])
        if target is None:
            return None
        tail = rng.choice(pattern.split("|")).format(n="\0", m=text)
        if not tail.startswith("\0 "):
            return None
        tail = tail[2:]
        if rng.random() < 0.3 and side in ("left", "right"):
            head = rng.choice(
                (f"{side} one of the {{c}} {plural(word)}", f"the {side} of the {{c}} {plural(word)}", f"{side} one of the {plural(word)}")
            )
            head = head.format(c={2: "two", 3: "three", 4: "four"}.get(len(yes), "several"))
        else:
            head = self.say(SAID[side], word)
        return Asked(f"{head} {tail}", target, pool, yes, [marks])

    def between(self, word: str, pool: Pool) -> Asked | None:
        marks = [t for t in self.mains if t not in pool]
        if len(marks) < 2:
            return None
        a, b = self.rng.sample(marks, 2)
        said = self.landmark(a), self.landmark(b)
        if None in said or a.kind.name == b.kind.name:
            return None
        length = math.dist(a.middle, b.middle)
        if length < 90:
            return None

        def off(t: Item) -> float:
            along = (
                (t.middle[0] - a.middle[0]) * (b.middle[0] - a.middle[0]) + (t.middle[1] - a.middle[1]) * (b.middle[1] - a.middle[1])
            ) / length**2
            across = (
                abs((t.middle[0] - a.middle[0]) * (b.middle[1] - a.middle[1]) - (t.middle[1] - a.middle[1]) * (b.middle[0] - a.middle[0]))
                / length**2
            )
            return max(abs(along - 0.5) - 0.35, across - 0.3)

        yes = [t for t in pool if off(t) <= 0]
        if len(yes) != 1 or any(0 < off(t) < 0.12 for t in pool):
            return None
        (x, xs), (y, ys) = said  # type: ignore[misc]
        return Asked(self.say(("{n} between {x} and {y}", "{n} in between {x} and {y}"), word, x=x, y=y), yes[0], pool, yes, [xs, ys])

    def undecided(self, word: str, pool: Pool) -> Asked:
        """What only the picture tells. People mean the large and clear one more often."""
        target = self.rng.choices(pool, [math.sqrt(t.area) * (t.score or 0.6) ** 2 for t in pool])[0]
        return Asked(self.dressed(word, target, always=self.rng.random() < 0.6), target, pool, pool)

    def colored(self, word: str, pool: Pool) -> Asked | None:
        """The one of a colour, or of both that are asked for; where several are of it, one side of them."""
        rng = self.rng
        if len(self.asked) > 1 and rng.random() < 0.85:
            return self.two_colored(word, pool)
        color = rng.choice(list(self.asked))
        seeds = [t for t in pool if color in t.palette.named and t.palette.shares[color] >= 0.2]
        if not seeds:
            return None
        seed = rng.choice(seeds)
        lower = color == seed.palette.lower != seed.palette.upper
        yes = [t for t in pool if color in t.palette.named]
        text = self.of_color(word, color, lower, seed.kind.name == "person")
        if len(yes) == 1:
            return Asked(text, seed, pool, yes)
        side = rng.choice(("left", "right", "biggest", "smallest", "front", "back"))
        target = least(yes, SIDES[side], MARGINS[side])
        return Asked(self.say(SAID[side], text), target, pool, yes) if target else None

    def two_colored(self, word: str, pool: Pool) -> Asked | None:
        """The one of both colours, among others of one of them or of neither; now and then none has both. Of people what they wear
        above comes first."""
        rng, wanted = self.rng, set(self.asked)
        yes = [t for t in pool if t.palette.named == wanted and min(t.palette.shares[c] for c in wanted) >= 0.15]
        none = not any(wanted <= t.palette.shares.keys() for t in pool)
        if none and rng.random() < 0.1:
            (above, below), target = self.asked.values(), None
        elif len(yes) != 1 or sum(wanted <= t.palette.named for t in pool) != 1:
            return None
        else:
            [target] = yes
            above, below = self.asked[target.palette.upper], self.asked[target.palette.lower]
        if pool[0].kind.name == "person":
            patterns = ("{n} in {a} and {b}", "{n} in {a} {v} and {b} {w}", "{n} with a {a} {v} and {b} {w}", "{n} in a {a} {v} with {b} {w}")  # fmt: skip
        else:
            if rng.random() < 0.5:
                above, below = below, above
            patterns = ("{a} and {b} {n}",) * 4 + ("{a} {b} {n}", "{a}-and-{b} {n}", "{n} that is {a} and {b}", "{n} with {a} and {b}", "the {a} and {b} one")  # fmt: skip
        text = rng.choice(patterns).format(n=word, a=above, b=below, v=rng.choice(UPPER_CLOTHES), w=rng.choice(LOWER_CLOTHES))
        return Asked(text, target, pool, yes)

    def miscolored(self, word: str, pool: Pool) -> Asked | None:
        """Of a colour that none of them is of: nothing is meant."""
        rng = self.rng
        there = {c for t in pool for c, share in t.palette.shares.items() if share > 0.1 or c in t.palette.named}
        colors = [c for c in self.asked if c not in there]
        if not colors:
            return None
        return Asked(self.of_color(word, rng.choice(colors), rng.random() < 0.15, pool[0].kind.name == "person"), None, pool, [])

    def another(self, word: str) -> Asked:
        """A second one where there is one only."""
        rng, tails = (
            self.rng,
            (
                "next to her",
                "next to him",
                "next to it",
                "beside her",
                "beside it",
                "behind her",
                "behind him",
                "in front of her",
                "next to the other one",
            ),
        )
        does = rng.choice(("", "", "sitting ", "standing ", "that is "))
        said = f"the other {word}" if rng.random() < 0.35 else f"{word} {does}{rng.choice(tails)}"
        return Asked(said, None, [], [])

    def of_color(self, word: str, color: str, lower: bool, person: bool) -> str:
        """A noun with a colour, as people say it; of people it is what they wear."""
        rng, said = self.rng, self.asked[color]
        if not person:
            patterns = ("{c} {n}",) * 6 + (
                "{n} that is {c}",
                "{c} colored {n}",
                "dark {c} {n}",
                "{n} which is {c}",
                "{n} in {c}",
                "the {c} one",
            )
        elif lower:
            patterns = ("{n} in {c} {w}", "{n} with {c} {w}", "{n} wearing {c} {w}", "{c} {w}", "the one in {c} {w}")
        else:
            patterns = ("{n} in {c}", "{n} in {c}", "{n} in the {c} {w}", "{n} in a {c} {w}", "{n} wearing {c}", "{n} with the {c} {w}", "{c} {w}",
                        "{n} dressed in {c}", "{n} dressed all in {c}", "{c} {w} {n}", "the one in {c}", "{n} wearing a {c} {w}")  # fmt: skip
        return rng.choice(patterns).format(n=word, c=said, w=rng.choice(LOWER_CLOTHES if lower else UPPER_CLOTHES))

    def landmark(self, thing: Item) -> tuple[str, Pool] | None:
        """Words for a landmark that fit nothing else on the list, and what they fit."""
        word = thing.kind.word(self.rng)
        fits = self.pool(word)
        if thing.palette.upper in self.asked and self.rng.random() < 0.7:
            word = f"{self.asked[thing.palette.upper]} {word}"
            fits = [t for t in fits if thing.palette.upper in t.palette.named]
        if len(fits) != 1 or fits[0] is not thing:
            return None
        return f"{self.rng.choice(('the', 'the', 'the', 'a', 'a', ''))} {word}".strip(), fits

    def color_of(self, target: Item | None, clothes: str = "") -> str:
        """A colour that a description of a thing may name: its own; any where nothing is meant, or of what is too small to be seen. A
        look where none of the colours that are asked for will do."""
        own = target.palette.named if target else set(self.asked)
        if target and clothes in LOWER_CLOTHES:
            own = {target.palette.lower}
        elif target and clothes not in ("", *UPPER_CLOTHES):
            own = set(self.asked) if self.rng.random() < 0.8 else set()
        fit = [word for color, word in self.asked.items() if color in own]
        return self.rng.choice(fit or LOOKS)

    def dressed(self, text: str, target: Item | None, always: bool = False) -> str:
        """With words that boxes say nothing about: colours (its own), clothes, what somebody does."""
        rng, worn = self.rng, self.rng.choice(CLOTHES)
        colored = (
            lambda: f"in {self.color_of(target)}", lambda: f"in a {self.color_of(target, worn)} {worn}", lambda: f"which is {self.color_of(target)}",
            lambda: f"wearing {self.color_of(target, worn)} {worn}", lambda: f"with {self.color_of(target, worn)} {worn}",
        )  # fmt: skip
        tails = (
            lambda: f"in a {rng.choice(LOOKS)} {worn}", lambda: f"wearing a {worn}", lambda: f"wearing {rng.choice(LOOKS)} {worn}",
            lambda: rng.choice(ACTIONS), lambda: f"{rng.choice(ACTIONS)} {rng.choice(PLACES)}", lambda: rng.choice(PLACES), lambda: f"that is {rng.choice(ACTIONS)}",
            lambda: f"with {rng.choice(HAIR)} hair", lambda: f"who is {rng.choice(LOOKS)}", lambda: f"which is {rng.choice(LOOKS)}",
            lambda: f"with its {rng.choice(['lid', 'head', 'door', 'mouth', 'back', 'tail', 'light', 'top', 'side', 'wheel', 'leg'])} {rng.choice(['up', 'down', 'open', 'closed', 'turned', 'showing', 'hidden', 'raised'])}",
            lambda: f"with {rng.choice(['his', 'her', 'their', 'its'])} {rng.choice(['arms', 'hand', 'head', 'back', 'eyes', 'hair', 'legs', 'face'])} {rng.choice(['up', 'down', 'out', 'crossed', 'turned', 'raised', 'to', 'us'])}",
            lambda: f"{rng.choice(ACTIONS)} {rng.choice(['by', 'at', 'with', 'near'])} a {rng.choice(others()).name}",
        )  # fmt: skip
        named = bool(colors_named(text))
        if self.asked and not named:
            tails = colored
        if rng.random() < 0.5 or always:
            text = f"{text} {rng.choice(tails)()}"
        if rng.random() < 0.45:
            text = f"{rng.choice(LOOKS) if named or rng.random() < 0.4 else self.color_of(target)} {text.removeprefix('the ')}"
        return text

    def absent(self) -> Asked | None:
        """A question about what is not on the list, worded as the others are."""
        rng = self.rng
        kind = any_kind(rng, self.scene.opened or rng.random() < 0.4)
        word = kind.word(rng)
        fits = fitting().get(word, frozenset((word,)))
        said = {w for name in self.names for w in (name, *name.split())}
        if fits & self.names or set(word.split()) & said or any(word in (*t.kind.same, *t.kind.kinds, *t.kind.kin) for t in self.listed):
            return None
        roll, text, marks = rng.random(), word, list[Pool]()
        if roll < 0.3:
            text = self.say(SAID[rng.choice(list(SAID))], word)
        elif roll < 0.4:
            text = self.say(ORDINAL, word, o=rng.choice(rng.choice(ORDER)), s=rng.choice(("left", "right", "top")))
        elif roll < 0.7 and self.mains and (mark := self.landmark(rng.choice(self.mains))):
            text, marks = self.say(rng.choice([r[2] for r in RELATED.values()]), word, m=mark[0]), [mark[1]]
        return Asked(text, None, [], [], marks)


def plural(word: str) -> str:
    if word.endswith(("man", "Man")):
        return word[:-2] + "en"
    return (
        word + ("es" if word.endswith(("s", "x", "ch", "sh")) else "s")
        if not word.endswith("y") or word[-2:-1] in "aeiou"
        else word[:-1] + "ies"
    )


def worded(rng: random.Random, text: str) -> str:
    """As people type it: an article or none, a slip of the finger now and then."""
    starts = text.split()[0]
    if starts not in ("the", "a", "what", "not", "thing", "one"):
        text = rng.choice(("the ", "the ", "", "", "", "a ")) + text
    if rng.random() < 0.03:
        i = rng.randrange(len(text))
        text = text[:i] + text[i + 1 :] if rng.random() < 0.5 else text[:i] + rng.choice("abcdefghijklmnopqrstuvwxyz") + text[i:]
    return " ".join(text.split())


@dataclass
class Example:
    """A list in reading order with its questions. size: the picture's, in pixels; colors: those that questions name, with the word
    for each."""

    listed: list[Item]
    questions: list[Asked]
    size: tuple[int, int]
    colors: Mapping[str, str]

    @property
    def candidates(self) -> list[Candidate]:
        """The list as candidates."""
        return [candidate(t) for t in self.listed]


def colors_asked(rng: random.Random, listed: list[Item]) -> dict[str, str]:
    """One or two colours to ask for, mostly of what is listed, with the words for them; none for most lists."""
    if rng.random() >= COLORED:
        return {}
    there = [c for t in listed for c in sorted(t.palette.named)]
    pairs = [sorted(t.palette.named) for t in listed if len(t.palette.named) > 1]
    colors = rng.choices(there if there and rng.random() < 0.88 else list(COMMON), k=1 + (rng.random() < 0.12))
    if pairs and rng.random() < 0.4:
        colors = rng.choice(pairs)
    shown = {c for t in listed for c in (*t.colors, *colors_named(t.label))}
    if (unseen := [c for c in COMMON if c not in shown]) and rng.random() < UNSEEN:
        colors = [rng.choice(unseen), *colors[1:]]
    if any(t.kind.name == "orange" for t in listed) and rng.random() < 0.5:
        colors = ["orange"]
    return {color: spoken(rng, color) for color in colors}


def candidate(t: Item) -> Candidate:
    box = (float(t.box[0]), float(t.box[1]), float(t.box[2]), float(t.box[3]))
    second = (Candidate(box, t.also, t.score, "second"),) if t.also else ()
    return Candidate(box, t.label, t.score, "first", others=second, colors=t.colors)


def example(
    rng: random.Random,
    most: int = 20,
    questions: int = 8,
    easy: float = 0.0,
    opened_share: float = 0.5,
    clean_share: float = 0.4,
    miscolored_share: float = MISCOLORED,
) -> Example:
    """A list of at most `most` candidates with up to so many questions.

    easy: share of questions that only name a thing; opened_share: of lists with labels of an open world, the others having COCO's;
    clean_share: of lists without a detector's mistakes; miscolored_share: of questions by colour, those for one that nothing has.
    """
    while True:
        opened, clean = rng.random() < opened_share, rng.random() < clean_share
        scene = Scene(rng, opened, most)
        if not scene.things:
            continue
        listed = detected(rng, scene, clean, most)
        if len(listed) < 2 and (not listed or rng.random() < 0.6):
            continue
        colors = colors_asked(rng, listed)
        asker = Asker(rng, listed, scene, colors, miscolored_share)
        found: dict[str, Asked] = {}
        for _ in range((15 if colors else 6) * questions):
            if rng.random() < easy:
                word = rng.choice(listed).kind.name
                pool = asker.pool(word)
                asked = Asked(word, pool[0], pool, pool) if len(pool) == 1 else None
            else:
                asked = asker.absent() if rng.random() < 0.17 else asker.ask()
            if asked is None or (colors and asked.target is None and rng.random() < 0.2):
                continue
            text = asker.dressed(asked.text, asked.target) if rng.random() < (0.5 if colors else 0.3) else asked.text
            said = worded(rng, text)  # where a finger slips in a colour, nothing names it
            if set(colors_named(said)) != colors.keys():
                continue
            found.setdefault(said, replace(asked, text=text))
            if len(found) == questions:
                break
        if found:
            return Example(listed, [replace(a, text=text) for text, a in found.items()], (int(scene.width), int(scene.height)), colors)


if __name__ == "__main__":
    made = random.Random("shown")
    for _ in range(12):
        e = example(made)
        print(e.size)
        for i, c in enumerate(e.candidates):
            print(f"  {i}: {' / '.join(c.labels)} {tuple(int(v) for v in c.box)} {c.score}")
        for a in e.questions:
            print(f"    {a.text!r} -> {'none' if a.target is None else e.listed.index(a.target)}")
