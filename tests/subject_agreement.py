"""How often the subject that wrapper.subject finds is the described object's COCO category.

    python -m tests.subject_agreement refexps-sample.jsonl

Reads real RefCOCOg expressions with the category of the object described. A subject agrees when its last word, or
its last two, name the category or a word that people use for it (the table below).
"""

import json
import sys
from pathlib import Path

from wrapper.subject import parse_by_rules

SAME = {
    "person": "man woman boy girl lady guy person child kid player people men women batter skier surfer baby toddler umpire "
    "catcher skateboarder pitcher snowboarder gentleman male female rider adult bride groom boys girls children kids hand "
    "arm chef officer policeman cop hitter he she someone fan spectator dude guys ladies cowboy passenger swimmer worker mom "
    "mother father dad son daughter brother student waiter couple hands leg crowd head teen teenager individual biker cyclist "
    "bicyclist motorcyclist skater jockey driver soldier hitter runner baseman",
    "bicycle": "bike bicycles", "motorcycle": "motorbike bike motorcycles scooter moped", "airplane": "plane jet aircraft airliner",
    "car": "suv sedan taxi cab vehicle van minivan jeep cars", "truck": "pickup van vehicle firetruck trailer trucks", "bus": "trolley buses",
    "train": "engine locomotive tram trains", "boat": "ship sailboat canoe ferry boats kayak raft", "cow": "calf bull cattle cows steer ox",
    "sheep": "lamb ram goat", "dog": "puppy dogs", "cat": "kitten cats", "horse": "pony foal horses", "elephant": "elephants calf", "bear": "bears cub",
    "zebra": "zebras", "giraffe": "giraffes", "bird": "pigeon parrot duck seagull goose birds owl swan",
    "couch": "sofa loveseat couches", "dining table": "table tables desk", "chair": "seat chairs armchair stool recliner", "tv": "television monitor screen",
    "laptop": "computer laptops", "cell phone": "phone cellphone", "potted plant": "plant flowers tree plants", "donut": "doughnut donuts", "pizza": "pizzas slice pie",
    "sandwich": "burger sub sandwiches hamburger toast bread", "hot dog": "hotdog hotdogs dog dogs", "cup": "mug glass cups", "wine glass": "glass glasses",
    "cake": "cupcake cakes", "suitcase": "luggage bag suitcases", "handbag": "purse bag", "backpack": "bag pack", "umbrella": "umbrellas parasol",
    "toilet": "urinal toilets commode", "refrigerator": "fridge freezer", "oven": "stove", "bed": "mattress beds", "bench": "benches", "broccoli": "brocolli vegetable",
    "orange": "oranges tangerine", "apple": "apples", "banana": "bananas", "carrot": "carrots", "bowl": "bowls dish", "book": "books", "teddy bear": "bear teddy bears",
    "surfboard": "board surfboards", "skateboard": "board", "snowboard": "board", "tie": "necktie ties", "knife": "knives", "vase": "vases", "bottle": "bottles",
    "keyboard": "keyboards", "tennis racket": "racket racquet", "sports ball": "ball", "baseball bat": "bat", "remote": "remotes controller", "kite": "kites",
    "clock": "watch", "traffic light": "light", "stop sign": "sign", "fire hydrant": "hydrant", "parking meter": "meter", "skis": "ski",
}  # fmt: skip


def agrees(subject: str, category: str) -> bool:
    """Whether a subject's last word or two name a category."""
    words = subject.lower().split()
    named = {category, *SAME.get(category, "").split(), category + "s"}
    return bool(words) and (words[-1] in named or " ".join(words[-2:]) in named)


def agreement(path: Path) -> tuple[int, int, list[str]]:
    """How many subjects agree, of how many, and a line for each that does not."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    misses = []
    for row in rows:
        found = parse_by_rules(row["expression"])
        subject = "" if found.subject is None else found.groups[found.subject].text
        if not agrees(subject, row["category"]):
            misses.append(f"{row['category']:15} got {subject!r:30} {row['expression']}")
    return len(rows) - len(misses), len(rows), misses


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    right, total, misses = agreement(Path(sys.argv[1]))
    print("\n".join(misses[:: max(1, len(misses) // 20)]))
    print(f"{right} of {total} subjects agree: {100 * right / total:.1f} %")


if __name__ == "__main__":
    main()
