"""Write the bundled examples: one unseen RefScenes picture a category, with its expression and true box, and two whose
expression means nothing in the picture.

    python -m weights.recipes.examples

They come from the validation split, with a seed that nothing else uses; the first scene of each category is taken. The photographs
that stand beside them (examples/README.md) get their rows at the end; their boxes were drawn by hand.
"""

import json
import random
from pathlib import Path

from wrapper.evaluation.abstention import absent_pairs
from wrapper.scenes.dataset import draw_scene
from wrapper.scenes.expressions import CATEGORIES

FOLDER = Path(__file__).parents[2] / "examples"
SEED = 2026
PHOTOGRAPHS = (
    ("coffee.jpg", "the cup", [172, 17, 408, 308]),
    ("astronaut.jpg", "woman in the orange suit", [22, 13, 362, 511]),
    ("chelsea.jpg", "the umbrella", None),
)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    rows: list[dict[str, object]] = []
    for i, category in enumerate([*CATEGORIES, "relation"]):
        key = f"examples/{SEED}/{i}"
        scene = draw_scene(random.Random(key), "val", key, category)  # type: ignore[arg-type]
        name = f"{category}-{i}.jpg"
        scene.picture().save(FOLDER / name, quality=92)
        rows.append({"image": name, "expression": scene.expression.text, "bbox": list(scene.box), "category": category})
    pool = [draw_scene(random.Random(f"absent/{SEED}/{i}"), "val", f"absent/{SEED}/{i}") for i in range(3)]
    for i, (scene, expression) in enumerate(absent_pairs(pool)[:2]):
        name = f"absent-{i}.jpg"
        scene.picture().save(FOLDER / name, quality=92)
        rows.append({"image": name, "expression": expression, "bbox": None, "category": "absent"})
    for name, expression, box in PHOTOGRAPHS:
        category = "absent" if box is None else "photograph"
        rows.append({"image": name, "expression": expression, "bbox": box, "category": category, "world": "photograph"})
    (FOLDER / "examples.json").write_text(json.dumps(rows, indent=1) + "\n")
    print(f"wrote {len(rows)} examples to {FOLDER}")


if __name__ == "__main__":
    main()
