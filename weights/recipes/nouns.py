"""The nouns of an open world: what things are called by detectors and by people.

    python -m weights.recipes.nouns WORDNET NAMES...     # writes nouns.json beside this file

WORDNET: the folder of WordNet 3.0's data.noun and index.noun (Debian: wordnet-base); NAMES: YAML files with `names:`, the
class names of published detection data sets (COCO, LVIS, Objects365, Open Images). Words are kept by how common they are
(the package wordfreq). nouns.json is what the recipes read; this script needs to run only to make it anew.
"""

import json
import re
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TypedDict

FILE = Path(__file__).with_suffix(".json")


class Thing(TypedDict):
    """A kind of thing. name: as detectors call it; same: other words for it; kinds: words for kinds of it; kin: words for what it
    is a kind of."""

    name: str
    same: list[str]
    kinds: list[str]
    kin: list[str]


class Words(TypedDict):
    """What nouns.json holds. coco: COCO's 80 kinds; things: thousands of others."""

    coco: list[Thing]
    things: list[Thing]


PEOPLE = (
    (
        "man woman guy lady boy girl kid child gentleman male female dude fellow chap bloke gal human somebody player batter catcher umpire "
        "pitcher skier snowboarder surfer skater rider cyclist biker chef cook waiter waitress mom mum mother dad father son daughter baby "
        "toddler teenager adult worker policeman officer soldier driver passenger pedestrian tourist student teacher farmer cowboy jockey "
        "bride groom couple-member swimmer runner walker dancer singer musician photographer referee goalkeeper tennis_player "
        "baseball_player soccer_player hitter fielder athlete skateboarder motorcyclist bicyclist grandma grandmother grandpa grandfather "
        "barista bartender customer shopper vendor seller speaker doctor nurse businessman spectator fan diner young_man young_woman "
        "old_man old_woman little_girl little_boy young_boy young_girl older_man older_woman elderly_man elderly_woman middle_aged_man "
        "bald_man blonde brunette redhead friend sister brother husband wife hiker climber fisherman conductor"
    )
    .replace("couple-member ", "")
    .split()
)
"""Words for a person. WordNet's are mostly for what cannot be seen."""

COCO: dict[str, tuple[str, str]] = {
    # name: (other words for it, words for kinds of it)
    "person": ("human", " ".join(PEOPLE)),
    "bicycle": ("bike cycle pushbike", "mountain_bike racing_bike road_bike tandem"),
    "car": ("automobile auto vehicle", "sedan taxi cab suv hatchback convertible minivan jeep station_wagon police_car van coupe limousine"),
    "motorcycle": ("motorbike bike", "scooter moped chopper harley vespa dirt_bike"),
    "airplane": ("plane aeroplane aircraft jet", "airliner fighter_jet jumbo_jet biplane propeller_plane jetliner"),
    "bus": ("coach", "double_decker school_bus tour_bus minibus city_bus double_decker_bus"),
    "train": ("locomotive railway_train", "subway tram steam_train metro freight_train train_car engine streetcar trolley"),
    "truck": ("lorry", "pickup pickup_truck fire_truck dump_truck tow_truck semi van trailer delivery_truck food_truck fire_engine garbage_truck"),
    "boat": ("vessel ship", "sailboat canoe kayak rowboat ferry yacht motorboat raft gondola speedboat dinghy sailing_boat"),
    "traffic light": ("stoplight traffic_signal stop_light signal_light traffic_lights", ""),
    "fire hydrant": ("hydrant", ""),
    "stop sign": ("sign", ""),
    "parking meter": ("meter", ""),
    "bench": ("seat", "park_bench pew picnic_bench wooden_bench"),
    "bird": (
        "", "pigeon duck goose swan seagull gull parrot owl eagle hawk chicken rooster hen turkey sparrow crow robin peacock flamingo pelican "
        "heron stork ostrich penguin dove raven parakeet cockatoo falcon vulture crane finch hummingbird woodpecker magpie kingfisher "
        "cardinal starling blackbird swallow quail pheasant partridge guinea_fowl guineafowl egret ibis toucan macaw budgie canary puffin "
        "albatross cormorant emu kiwi cuckoo nightingale lark wren thrush jay duckling chick gosling cygnet mallard waterfowl fowl",
    ),
    "cat": ("kitty feline pussycat", "kitten tabby siamese tomcat black_cat"),
    "dog": ("doggy hound canine pooch", "puppy poodle labrador terrier bulldog beagle husky collie dachshund retriever golden_retriever german_shepherd spaniel "
            "chihuahua pug corgi mutt rottweiler dalmatian great_dane greyhound sheepdog boxer mastiff shepherd pup"),
    "horse": ("", "pony foal mare stallion colt zebra_horse mustang bronco racehorse steed".replace("zebra_horse ", "")),
    "sheep": ("", "lamb ram ewe goat"),
    "cow": ("cattle", "bull calf ox steer heifer bison buffalo cattle"),
    "elephant": ("", "baby_elephant calf tusker elephant_calf"),
    "bear": ("", "polar_bear grizzly brown_bear black_bear bear_cub cub panda grizzly_bear"),
    "zebra": ("", "baby_zebra"),
    "giraffe": ("", "baby_giraffe"),
    "backpack": ("rucksack knapsack bookbag back_pack school_bag bag", "satchel daypack"),
    "umbrella": ("parasol brolly sunshade", "beach_umbrella sun_umbrella"),
    "handbag": ("purse bag pocketbook", "shoulder_bag tote clutch tote_bag shopping_bag"),
    "tie": ("necktie", "bow_tie bowtie"),
    "suitcase": ("luggage baggage case bag", "briefcase trunk duffel_bag travel_bag"),
    "frisbee": ("disc disk flying_disc", ""),
    "skis": ("ski", "skies"),
    "snowboard": ("board", ""),
    "sports ball": ("ball", "baseball football soccer_ball tennis_ball basketball volleyball rugby_ball beach_ball"),
    "kite": ("", ""),
    "baseball bat": ("bat", ""),
    "baseball glove": ("glove mitt baseball_mitt catchers_mitt", ""),
    "skateboard": ("board skate_board", "longboard"),
    "surfboard": ("board surf_board", "boogie_board bodyboard paddleboard"),
    "tennis racket": ("racket racquet tennis_racquet", ""),
    "bottle": ("", "wine_bottle beer_bottle water_bottle flask vial beer ketchup_bottle sauce_bottle soda_bottle"),
    "wine glass": ("glass goblet wineglass", "champagne_glass red_wine white_wine champagne_flute stemware drinking_glass"),
    "cup": ("", "mug glass coffee_cup teacup tumbler paper_cup drink coffee_mug beaker beverage coffee tea pint plastic_cup drinking_glass"),
    "fork": ("", "salad_fork"),
    "knife": ("blade", "butter_knife kitchen_knife steak_knife cleaver dagger"),
    "spoon": ("", "tablespoon teaspoon ladle soup_spoon wooden_spoon"),
    "bowl": ("dish", "soup_bowl salad_bowl mixing_bowl basin salad soup cereal_bowl"),
    "banana": ("", "bananas banana_bunch plantain"),
    "apple": ("", "red_apple green_apple"),
    "sandwich": ("", "burger hamburger sub hoagie panini toast wrap sub_sandwich cheeseburger"),
    "orange": ("", "tangerine mandarin clementine orange_slice"),
    "broccoli": ("vegetable", "broccoli_floret"),
    "carrot": ("", "baby_carrot carrots"),
    "hot dog": ("hotdog frankfurter", "sausage wiener bratwurst"),
    "pizza": ("", "pizza_slice slice_of_pizza pie"),
    "donut": ("doughnut", "pastry glazed_donut"),
    "cake": ("", "birthday_cake cupcake wedding_cake pastry slice_of_cake piece_of_cake dessert muffin"),
    "chair": ("seat", "armchair stool office_chair rocking_chair recliner folding_chair desk_chair high_chair wheelchair lawn_chair bar_stool"),
    "couch": ("sofa settee", "loveseat love_seat sectional futon"),
    "potted plant": ("plant houseplant pot_plant flowerpot potted_flower", "flower fern shrub bush bonsai cactus flowers"),
    "bed": ("", "bunk bunk_bed crib mattress double_bed cot king_bed"),
    "dining table": ("table", "desk coffee_table kitchen_table picnic_table counter tabletop round_table"),
    "toilet": ("loo lavatory commode john wc bog potty privy", "urinal toilet_seat toilet_bowl latrine squat_toilet"),
    "tv": ("television telly tv_set television_set monitor screen", "flat_screen tv_screen computer_monitor flatscreen"),
    "laptop": ("computer laptop_computer notebook notebook_computer", "macbook pc"),
    "mouse": ("computer_mouse", "wireless_mouse"),
    "remote": ("remote_control controller clicker", "wii_controller wii_remote game_controller wiimote"),
    "keyboard": ("computer_keyboard keypad", ""),
    "cell phone": ("phone cellphone mobile mobile_phone telephone handset", "smartphone iphone smart_phone"),
    "microwave": ("microwave_oven", ""),
    "oven": ("stove cooker", "range kitchen_stove stovetop kitchen_oven"),
    "toaster": ("", "toaster_oven"),
    "sink": ("basin wash_basin washbasin", "kitchen_sink bathroom_sink washbowl hand_basin lavabo"),
    "refrigerator": ("fridge icebox freezer", "minifridge mini_fridge"),
    "book": ("", "novel textbook magazine paperback notebook hardback booklet cookbook"),
    "clock": ("timepiece", "clock_face alarm_clock watch wall_clock clock_tower"),
    "vase": ("", "flower_vase jug urn pitcher jar"),
    "scissors": ("shears pair_of_scissors", ""),
    "teddy bear": ("teddy stuffed_bear stuffed_animal stuffed_toy plush_toy toy_bear", "plush toy cuddly_toy bear"),
    "hair drier": ("hair_dryer hairdryer blow_dryer blowdryer", ""),
    "toothbrush": ("tooth_brush", "electric_toothbrush"),
}  # fmt: skip
KIN = {
    "bicycle car motorcycle airplane bus train truck boat": "vehicle",
    "bird cat dog horse sheep cow elephant bear zebra giraffe": "animal creature",
    "banana apple orange": "fruit food",
    "broccoli carrot": "vegetable food",
    "sandwich|hot dog|pizza|donut|cake": "food snack",
    "chair|couch|bed|dining table|bench": "furniture piece_of_furniture",
    "fork knife spoon": "utensil cutlery",
    "backpack handbag suitcase": "bag",
    "microwave oven toaster refrigerator": "appliance",
    "wine glass|cup|bottle|bowl|vase": "container",
    "tv|laptop|cell phone|keyboard|mouse|remote": "device electronics",
}
TOO_GENERAL_WORDS = (
    "entity thing object whole artifact matter substance unit part group abstraction being organism cause agent relation attribute "
    "measure event act causal_agent living_thing physical_entity physical_object piece portion set collection line article "
    "instrumentality commodity consumer_goods goods durables chordate vertebrate placental eutherian carnivore ungulate mammal "
    "body_part solid fluid produce foodstuff nutriment nutrient causal_agency individual someone somebody mortal soul unfortunate "
    "adult worker leader expert fabric covering way conveyance structure construction area facility system implement material "
    "natural_object reproductive_structure plant_organ vascular_plant tracheophyte herb woody_plant plant_part good"
)
"""What says next to nothing about a thing."""
TOO_GENERAL = frozenset(TOO_GENERAL_WORDS.split())
NOT_HERE = {"dildo", "cock", "love apple"}
PHYSICAL = {"05", "06", "13"}
"""WordNet's files of nouns for animals, artifacts and food."""


class WordNet:
    """Nouns of a WordNet folder."""

    def __init__(self, folder: Path) -> None:
        self.synsets: dict[str, tuple[str, list[str], list[str], list[str]]] = {}
        for line in (folder / "data.noun").read_text().splitlines():
            if line.startswith("  "):
                continue
            f = line.split(" | ")[0].split()
            n = int(f[3], 16)
            words = [f[4 + 2 * i] for i in range(n)]
            p = 4 + 2 * n
            pointers = [f[p + 1 + 4 * i : p + 5 + 4 * i] for i in range(int(f[p]))]
            up = [x[1] for x in pointers if x[0] in ("@",)]
            down = [x[1] for x in pointers if x[0] in ("~",)]
            self.synsets[f[0]] = (f[1], words, up, down)
        self.senses: dict[str, list[str]] = {}
        for line in (folder / "index.noun").read_text().splitlines():
            if not line.startswith("  "):
                f = line.split()
                self.senses[f[0]] = f[-int(f[2]) :]

    def first(self, word: str) -> str | None:
        """The word's commonest sense that is a physical thing, among its first two."""
        senses = self.senses.get(word.lower().replace(" ", "_"), [])[:2]
        return next((s for s in senses if self.synsets[s][0] in PHYSICAL), None)

    def words(self, synset: str) -> list[str]:
        return [w for w in self.synsets[synset][1] if w.islower() and w.replace("_", "").isalpha() and w.count("_") < 2]

    def above(self, synset: str, levels: int = 3) -> list[str]:
        out: list[str] = []
        here = [synset]
        for _ in range(levels):
            here = [u for s in here for u in self.synsets[s][2]]
            out += [w for s in here for w in self.words(s) if w not in TOO_GENERAL]
        return out

    def below(self, synset: str) -> list[str]:
        """Words whose commonest sense is a kind of that."""
        out, here = [], [synset]
        while here:
            here = [d for s in here for d in self.synsets[s][3]]
            out += [w for s in here for w in self.words(s) if self.senses[w][0] == s]
        return out


@cache
def common(word: str) -> float:
    """How common a word or a group of words is: 3 = once in a million words."""
    from wordfreq import zipf_frequency

    return min(zipf_frequency(w, "en") for w in word.replace("_", " ").split())


def plain(name: str) -> str:
    """A class name as a person would say it: without what tells it apart in brackets, in lower case."""
    return re.sub(r"\s*\(.*?\)", "", name).lower().strip()


def class_names(file: Path) -> list[list[str]]:
    """A data set's classes, each with its names."""
    found = re.findall(r"^  \d+: (.+)$", file.read_text(), re.M)
    return [[n for part in row.strip("'\"").split("/") if re.fullmatch(r"[a-z][a-z \-']+", n := plain(part))] for row in found]


def unique(words: list[str], but: Sequence[str] = ()) -> list[str]:
    spaced = [w.replace("_", " ") for w in words]
    return [w for w in dict.fromkeys(spaced) if w not in but]


def coco(net: WordNet) -> list[Thing]:
    """COCO's kinds with what people call them: written by hand, and common words for kinds of animal from WordNet."""
    out = []
    for name, (same, kinds) in COCO.items():
        kin = [w for names, words in KIN.items() if name in names.split("|" if "|" in names else " ") for w in words.split()]
        more: list[str] = []
        if name in ("bird", "dog", "cat", "horse", "boat", "car", "truck", "cake", "sandwich", "chair", "bottle"):
            sense = net.first(name)
            below = net.below(sense) if sense else []
            more = [w for w in below if common(w) >= 2.6]
        out.append(Thing(name=name, same=unique(same.split()), kinds=unique(kinds.split() + more, [name, *same.split()]), kin=unique(kin)))
    return out


def things(net: WordNet, files: list[Path], taken: set[str]) -> list[Thing]:
    """Everything else: the other data sets' classes, and common words for physical things."""
    by_name: dict[str, Thing] = {}
    for names in (n for f in files for n in class_names(f) if n):
        name = names[0]
        if name in taken | NOT_HERE or name in by_name or len(name) > 24 or name.count(" ") > 2:
            continue
        sense = net.first(name) or net.first(name.split()[-1])
        kin = net.above(sense, 2) if sense else []
        last = [name.split()[-1]] if " " in name else []
        by_name[name] = Thing(
            name=name,
            same=unique([n for n in names[1:] if n.count(" ") < 2], [name]),
            kinds=[],
            kin=unique([*last, *(w for w in kin if common(w) > 3.3)])[:4],
        )
    for word, senses in net.senses.items():
        if len(word) < 3 or word.count("_") > 1 or not word.replace("_", "").isalpha() or common(word) < (3.3 if "_" not in word else 4.0):
            continue
        name = word.replace("_", " ")
        if net.synsets[senses[0]][0] not in PHYSICAL or word not in net.words(senses[0]) or name in taken or name in by_name:
            continue
        kin = [w for w in net.above(senses[0], 2) if common(w) > 3.5]
        same = [w for w in net.words(senses[0]) if common(w) > 3.0]
        by_name[name] = Thing(name=name, same=unique(same, [name]), kinds=[], kin=unique(kin, [name])[:3])
    return sorted(by_name.values(), key=lambda t: t["name"])


def main() -> None:
    folder, files = Path(sys.argv[1]), [Path(a) for a in sys.argv[2:]]
    net = WordNet(folder)
    known = coco(net)
    taken = {w for t in known for w in (t["name"], *t["same"], *t["kinds"], *t["kin"])}
    words = Words(coco=known, things=things(net, files, taken))
    counts = {k: len(v) for k, v in words.items()}  # type: ignore[arg-type]
    FILE.write_text(json.dumps(words, ensure_ascii=False, separators=(",", ":")).replace('},{"name', '},\n{"name') + "\n")
    print(f"wrote {FILE}: {counts}")


if __name__ == "__main__":
    main()
