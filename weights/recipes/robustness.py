"""How far the bundled models' answers depend on what should not matter: letters, signs, the order of models and of boxes.

    python -m weights.recipes.robustness          # val, seed 211, 100 expressions; about four minutes on two cores

P@1 of both models with the LLM and its adapter. Boxes are also asked about in ten random orders without being listed as always,
which says how much the LLM itself depends on the order.
"""

import argparse
import random
from collections.abc import Callable, Mapping, Sequence

from wrapper.candidates import Selection, is_correct
from wrapper.expressions import normalise
from wrapper.pipeline import ENSEMBLE, Wrapper
from wrapper.quiet import quiet_libraries
from wrapper.scenes.dataset import Scene, scenes
from wrapper.selectors.base import Question

SEED = 211
BATCH = 16
FORMS: Mapping[str, Callable[[str], str]] = {
    "as written": str,
    "capital first letter": str.capitalize,
    "capitals": str.upper,
    "title case": str.title,
    "full stop": "{}.".format,
    "question mark": "{}?".format,
    "quotation marks": "“{}”".format,
    "find ...": "Find {}".format,
    "where is ...?": lambda text: f"Where is {text if text.startswith('the ') else f'the {text}'}?",
}


def right(found: Sequence[Selection], chosen: Sequence[Scene]) -> float:
    """P@1 in per cent."""
    return 100 * sum(is_correct(s.box, scene.box) for s, scene in zip(found, chosen, strict=True)) / len(chosen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100)
    quiet_libraries()
    wrapper, chosen = Wrapper.from_preset("tiny"), list(scenes("val", parser.parse_args().n, SEED))
    pictures, texts = [s.picture() for s in chosen], [s.expression.text for s in chosen]

    def ask(words: Sequence[str], proposers: Sequence[str] = ENSEMBLE) -> list[Selection]:
        return [
            s for i in range(0, len(words), BATCH) for s in wrapper.locate_batch(pictures[i : i + BATCH], words[i : i + BATCH], proposers)
        ]

    print("| the words | P@1 | same pick as written |\n|---|---|---|")
    plain = ask(texts)
    for name, form in FORMS.items():
        found = ask([form(t) for t in texts])
        same = sum(a.box == b.box for a, b in zip(found, plain, strict=True))
        print(f"| {name} | {right(found, chosen):.1f} | {same} of {len(texts)} |", flush=True)
    other = ask(texts, ENSEMBLE[::-1])
    same = sum(a.box == b.box and a.prompt == b.prompt for a, b in zip(other, plain, strict=True))
    print(f"\nModels named in the other order: P@1 {right(other, chosen):.1f}, {same} of {len(texts)} answers and prompts the same.")

    adapter, rng = wrapper.adapter_for(ENSEMBLE), random.Random(0)
    listed, as_they_come = [], []
    for _ in range(10):
        orders = [rng.sample(s.candidates, len(s.candidates)) for s in plain]
        asked = zip(orders, texts, pictures, strict=True)
        listed.append([wrapper.choose(order, text, picture.size, adapter) for order, text, picture in asked])
        questions = [Question(tuple(o), normalise(t), p.size, adapter) for o, t, p in zip(orders, texts, pictures, strict=True)]
        as_they_come.append(wrapper.llm.select(questions))
    for what, runs in (("listed as always", listed), ("as they come", as_they_come)):
        shares = [right(found, chosen) for found in runs]
        agree = sum(len({run[i].box for run in runs}) == 1 for i in range(len(texts)))
        print(
            f"Boxes in ten random orders, {what}: P@1 {min(shares):.1f} to {max(shares):.1f}; the same pick in all ten for {agree} of "
            f"{len(texts)}."
        )


if __name__ == "__main__":
    main()
