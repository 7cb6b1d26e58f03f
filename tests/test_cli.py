"""The command line, as people run it: in a process of its own where that matters, else by its `main` in this one, which
spares the seconds that torch takes to import."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import typer
from PIL import Image

from wrapper.cli import app, main, override
from wrapper.errors import WrapperError
from wrapper.merging import Merging
from wrapper.presets import PRESETS
from wrapper.training.settings import TrainSettings

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


Done = subprocess.CompletedProcess[str]


def alone(*arguments: str) -> Done:
    """Run in a process of its own."""
    return subprocess.run([sys.executable, "-m", "wrapper", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run in this process."""
    monkeypatch.chdir(ROOT)

    def called(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["wrapper", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, int(left.value.code or 0), out, err)

    return called


@pytest.fixture(scope="module")
def example() -> dict[str, str]:
    return next(row for row in json.loads((EXAMPLES / "examples.json").read_text()) if row["category"] == "relation")


def test_locate_prints_json_and_writes_the_picture(example: dict[str, str], tmp_path: Path) -> None:
    image, out = EXAMPLES / example["image"], tmp_path / "annotated.png"
    done = alone("locate", str(image), example["expression"], "--json", "--out", str(out))
    assert (done.returncode, done.stderr) == (0, ""), "libraries keep their chatter to themselves"
    result = json.loads(done.stdout)
    assert set(result) == {
        "box", "index", "probability", "absent", "calibrated", "reason", "expression", "image_size", "candidates", "prompt", "left_out",
        "timings_ms", "true_box",
    }  # fmt: skip
    assert set(result["candidates"][0]) == {"index", "box", "label", "labels", "score", "source", "sources", "colors", "probability"}
    assert result["box"] == result["candidates"][result["index"]]["box"]
    with Image.open(image) as original, Image.open(out) as annotated:
        assert list(original.size) == list(annotated.size) == result["image_size"]


def test_one_proposer_alone(run: Callable[..., Done], example: dict[str, str]) -> None:
    done = run("locate", str(EXAMPLES / example["image"]), example["expression"], "--proposers", "gdrec", "--json")
    assert {c["source"] for c in json.loads(done.stdout)["candidates"]} == {"gdrec"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("locate", "nowhere.png", "the cup"), "no file nowhere.png"),
        (("locate", "README.md", "the cup"), "not an image"),
        (("locate", "examples", "the cup"), "folder"),
        (("locate", "examples/size-1.jpg", " "), "no expression"),
        (("locate", "examples/size-1.jpg", "the cup", "--preset", "huge"), "no preset"),
        (("locate", "examples/size-1.jpg", "the cup", "--proposers", "yolo"), "no proposer"),
        (("locate", "examples/size-1.jpg", "the cup", "--llama", "./nowhere"), "no folder ./nowhere"),
        (("scenes", "--split", "all", "--out", "x"), "no split"),
    ],
)
def test_errors_are_one_line(run: Callable[..., Done], arguments: tuple[str, ...], words: str) -> None:
    done = run(*arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_process_says_its_error_and_nothing_else() -> None:
    done = alone("locate", "examples/size-1.jpg", "the cup", "--preset", "huge")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr


def test_a_question_that_cannot_be_answered_is_refused_before_any_model_is_imported() -> None:
    """Seconds pass until torch is there; a typing error should not cost them."""
    for wrong in ((" ", "--preset", "tiny"), ("the cup", "--preset", "huge")):
        program = f"import sys; sys.argv[1:] = ['locate', 'examples/size-1.jpg', *{wrong!r}]\nfrom wrapper.cli import main\ntry: main()\n"
        program += "except SystemExit as left: print(left.code, 'torch' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert done.stdout.split() == ["1", "False"], done.stderr


def test_unknown_flags_fail(run: Callable[..., Done]) -> None:
    assert run("locate", "a.png", "the cup", "--colour").returncode == 2


def test_scenes_are_written(run: Callable[..., Done], tmp_path: Path) -> None:
    done = run("scenes", "--split", "val", "--n", "2", "--seed", "1", "--out", str(tmp_path / "s"))
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "s" / "data.jsonl").read_text().splitlines()]
    assert len(rows) == 2
    assert set(rows[0]) == {"image", "expression", "bbox", "category", "objects"}


def test_compare_prints_every_method(run: Callable[..., Done], example: dict[str, str]) -> None:
    done = run("compare", str(EXAMPLES / example["image"]), example["expression"], "--use", "zero-shot", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [m["method"] for m in result["methods"]][-1] == "florence2,gdrec+llm"
    assert len(result["agreement"]) == len(result["methods"]) == 7


def test_every_training_value_is_an_option_with_its_help() -> None:
    """The options come from the settings, so that none is forgotten."""
    found = next(c for c in typer.main.get_command(app).commands.values() if c.name == "train")  # type: ignore[attr-defined]
    options = {p.name: p for p in found.params}
    for field, kind in get_type_hints(TrainSettings, include_extras=True).items():
        assert options[field].help == get_args(kind)[1]


def test_a_dry_run_of_deploy_lists_files_and_sizes(run: Callable[..., Done]) -> None:
    done = run("deploy", "--space", "you/demo", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "app.py" in done.stdout and "bytes in" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("propose", "--data", "refscenes:moon:3", "--out", "x.jsonl"), "no part of RefScenes"),
        (("propose", "--data", "nowhere.jsonl", "--out", "x.jsonl"), "nowhere.jsonl"),
        (("train", "--candidates", "nowhere.jsonl", "--out", "x"), "no file nowhere.jsonl"),
        (("evaluate", "--out", "x", "--methods", "yo-lo"), "'yo-lo' is no method"),
        (("evaluate", "--out", "x", "--methods", "yolo"), "no proposer yolo"),
        (("report", "nowhere"), "nowhere holds no results"),
        (("adapter", "push", "nowhere", "a/b"), "not a finished adapter"),
        (("abstention", "--split", "moon"), "no split 'moon'"),
    ],
)
def test_bad_data_gets_one_sentence(arguments: tuple[str, ...], words: str) -> None:
    """Raised inside, for `main` to print: the way from there to the screen is the same for every command."""
    with pytest.raises(WrapperError, match=words) as caught:
        app(list(arguments), standalone_mode=False)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_full_disk_gets_one_sentence(run: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"preset": "tiny", "models": {}, "adapters": {}, "iou_threshold": 0.5, "data": []}')
    (tmp_path / "report.md.tmp").symlink_to("/dev/full")
    done = run("report", str(tmp_path))
    assert done.returncode == 1 and "Make room" in done.stderr and "Traceback" not in done.stderr


def test_another_llm_comes_without_the_presets_adapters() -> None:
    """They were not made for it; `--llama` alone must do."""
    tiny = PRESETS["tiny"]
    assert override(tiny, llama="you/llama").adapters == {}
    assert override(tiny, ["gdrec=a"], llama="you/llama").adapters == {"gdrec": "a"}
    assert override(tiny, ["gdrec=a"]).adapters == {**tiny.adapters, "gdrec": "a"}
    assert override(tiny).merging is tiny.merging is Merging.CANONICAL
    assert override(tiny, merging=Merging.CONCATENATED).merging is Merging.CONCATENATED


def test_llama_alone_works_with_the_default_preset(run: Callable[..., Done], example: dict[str, str]) -> None:
    image, llama = str(EXAMPLES / example["image"]), PRESETS["tiny"].llama
    done = run("locate", image, example["expression"], "--llama", llama, "--proposers", "gdrec", "--json")
    assert done.returncode == 0, done.stderr


def test_an_adapter_by_name_is_used_by_itself(run: Callable[..., Done], example: dict[str, str], tmp_path: Path) -> None:
    image, gdrec, florence2 = str(EXAMPLES / example["image"]), *(PRESETS["tiny"].adapters[n] for n in ("gdrec", "florence2"))
    answers = []
    other = ("--adapter", f"other={florence2}")
    for options in ((), ("--adapter", f"gdrec={florence2}"), (*other, "--use", "other"), (*other, "--use", "gdrec")):
        done = run("locate", image, example["expression"], "--proposers", "gdrec", "--json", *options)
        assert done.returncode == 0, done.stderr
        answers.append([c["probability"] for c in json.loads(done.stdout)["candidates"]])
    assert answers[0] != answers[1] == answers[2] and answers[0] == answers[3]
    for options, words in ((other, "Add --use other"), (("--use", "nobody"), "no adapter 'nobody'")):
        done = run("locate", image, example["expression"], "--proposers", "gdrec", *options)
        assert (done.returncode, done.stdout) == (1, "") and words in done.stderr, "given for nothing, without a word"
    done = run("compare", image, example["expression"], "--adapter", f"mine={gdrec}", "--use", "mine", "--json")
    assert json.loads(done.stdout)["methods"][-1]["method"] == "florence2,gdrec+llm:mine"
    idle = ("evaluate", "--methods", "gdrec+llm", "--data", "refscenes:val:2", "--out", str(tmp_path / "out"))
    for command in (("compare", image, example["expression"]), idle):
        done = run(*command, "--adapter", "mine=/does/not/exist/yet" if command is idle else f"mine={gdrec}")
        assert done.returncode == 1 and "No method reads the adapter mine" in done.stderr
    for command in ("locate", "compare"):
        done = run(command, image, example["expression"], "--adapter", "zero-shot")
        assert done.returncode == 1 and "Write NAME=SOURCE" in done.stderr


def test_the_order_of_models_does_not_matter(run: Callable[..., Done], example: dict[str, str]) -> None:
    image = str(EXAMPLES / example["image"])
    both = [run("locate", image, example["expression"], "--proposers", p, "--json").stdout for p in ("florence2,gdrec", "gdrec,florence2")]
    one, other = (json.loads(text) for text in both)
    assert one | {"timings_ms": 0} == other | {"timings_ms": 0}


def test_what_was_written_is_what_is_shown(run: Callable[..., Done], example: dict[str, str]) -> None:
    written = f"  Find {example['expression'].upper()} !"
    result = json.loads(run("locate", str(EXAMPLES / example["image"]), written, "--json").stdout)
    assert result["expression"] == written.strip()
