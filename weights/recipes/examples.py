"""Write the bundled examples: one unseen RefScenes picture a category, with its expression and true box.

    python -m weights.recipes.examples

They come from the validation split, with a seed that nothing else uses; the first scene of each category is taken.
"""

import json
import random
from pathlib import Path

from wrapper.scenes.dataset import draw_scene
from wrapper.scenes.expressions import CATEGORIES

FOLDER = Path(__file__).parents[2] / "examples"
SEED = 2026


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    rows = []
    for i, category in enumerate([*CATEGORIES, "relation"]):
        key = f"examples/{SEED}/{i}"
        scene = draw_scene(random.Random(key), "val", key, category)  # type: ignore[arg-type]
        name = f"{category}-{i}.jpg"
        scene.picture().save(FOLDER / name, quality=92)
        rows.append({"image": name, "expression": scene.expression.text, "bbox": list(scene.box), "category": category})
    (FOLDER / "examples.json").write_text(json.dumps(rows, indent=1) + "\n")
    print(f"wrote {len(rows)} examples to {FOLDER}")


if __name__ == "__main__":
    main()
