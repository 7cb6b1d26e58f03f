"""Imports run one way: candidates, errors <- prompt, subject <- datasets, proposers, selectors <- presets
<- inventory <- pipeline <- proposals <- proposing <- training, evaluation <- ui <- app, cli."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
RANK = {
    "errors": 0, "quiet": 0, "candidates": 0, "control_tokens": 0, "kept": 0, "settings_file": 0, "writing": 0, "uploads": 0, "memory": 1,
    "checksums": 1,
    "adapters": 1, "patience": 1, "expressions": 1, "hub": 1, "merging": 1, "images": 1, "prompt": 1, "subject": 1, "draw": 1, "colors": 0,
    "export": 1, "labels": 2, "scenes": 1, "trace": 2, "datasets": 2, "proposers": 2, "selectors": 3, "presets": 3, "detectors": 3,
    "inventory": 4, "worlds": 4, "vocabulary": 4, "deploy": 4, "pipeline": 5, "proposals": 5, "model_list": 5, "adapter_import": 6,
    "proposing": 6, "training": 7, "evaluation": 7, "bench": 8, "ui": 8, "cli": 9, "__main__": 10, "__init__": 11,
}  # fmt: skip


def imports(path: Path) -> set[str]:
    """The parts of wrapper that a file imports at its top level."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("wrapper."):
            found.add((node.module or "").split(".")[1])
        elif isinstance(node, ast.ImportFrom) and node.module == "wrapper":
            found |= {name.name for name in node.names}
    return found


def test_imports_run_one_way() -> None:
    for path in (ROOT / "wrapper").rglob("*.py"):
        part = path.relative_to(ROOT / "wrapper").parts[0].removesuffix(".py")
        for other in imports(path):
            assert other == part or RANK[other] < RANK[part] or (RANK[other] == RANK[part] == 0), f"{path} imports {other}"


def test_the_app_never_imports_recipes_or_tests() -> None:
    for path in [*(ROOT / "wrapper").rglob("*.py"), ROOT / "app.py"]:
        text = path.read_text(encoding="utf-8")
        assert "weights.recipes" not in text.replace("weights/recipes", ""), path
        assert "import tests" not in text, path
