"""Candidates of a data set in one file: nothing lost, nothing twice, nothing half-written read as whole."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from wrapper import datasets
from wrapper.candidates import Candidate
from wrapper.datasets import Dataset, Example
from wrapper.datasets.base import PictureFile
from wrapper.errors import DataError
from wrapper.pipeline import Wrapper
from wrapper.presets import PRESETS
from wrapper.proposals import Proposals, Settings, read_candidates, revision
from wrapper.proposers.base import Proposer
from wrapper.proposing import Worker, batches, finish, made_before, propose, reopen

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def data() -> Dataset:
    return datasets.read("refscenes:val:10:5")


@pytest.fixture(scope="module")
def proposers(wrapper: Wrapper) -> dict[str, Proposer]:
    return {name: wrapper.proposers[name] for name in ("florence2", "gdrec")}


@pytest.fixture(scope="module")
def settings(proposers: dict[str, Proposer]) -> Settings:
    return Settings.of("tiny", PRESETS["tiny"], proposers)


@pytest.fixture(scope="module")
def whole(data: Dataset, settings: Settings, proposers: dict[str, Proposer], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "candidates.jsonl"
    propose(data, settings, proposers, out, Worker(), 4)
    finish(data, settings, out)
    return out


def same(one: Proposals, other: Proposals) -> bool:
    """Equal but for the times."""
    return replace(one, ms={}, rows=list(one.rows)) == replace(other, ms={}, rows=list(other.rows))


def test_every_row_is_there_in_the_datas_order(whole: Path, data: Dataset) -> None:
    found = read_candidates(whole)
    assert [r.id for r in found.rows] == [e.id for e in data.examples]
    assert [r.truth for r in found.rows] == [pytest.approx(e.box) for e in data.examples]
    assert not list(whole.parent.glob("*.part*"))


def test_rows_are_read_from_the_file_as_they_are_asked_for(whole: Path, data: Dataset, tmp_path: Path) -> None:
    moved = tmp_path / "moved.jsonl"
    moved.write_bytes(whole.read_bytes())
    rows = read_candidates(moved).rows
    everything = list(rows)
    assert [r.id for r in rows[2:5]] == [e.id for e in data.examples[2:5]] and rows[7] == everything[7]
    assert rows[-1] == everything[-1] and rows[::-1] == everything[::-1] and rows[len(rows) :] == []
    with pytest.raises(IndexError):
        rows[len(rows)]
    moved.unlink()
    with pytest.raises(DataError, match=r"moved.jsonl could be read before .*Run the same command again"):
        rows[0]


def test_candidates_are_those_of_the_proposers(whole: Path, data: Dataset, wrapper: Wrapper) -> None:
    """To a hundredth of a pixel and of a per cent, which is what the file keeps."""
    pictures = [e.image.open() for e in data.examples[:4]]
    for row, direct in zip(
        read_candidates(whole).rows, wrapper.proposers["gdrec"].propose(pictures, [e.expression for e in data.examples[:4]]), strict=False
    ):
        assert [c.label for c in row.lists["gdrec"]] == [c.label for c in direct]
        for kept, fresh in zip(row.lists["gdrec"], direct, strict=True):
            assert kept.box == pytest.approx(fresh.box, abs=0.02)
            assert kept.score == pytest.approx(fresh.score, abs=2e-4)


@dataclass
class Cut:
    """A proposer that is cut down after some batches, as by a kill."""

    inner: Proposer
    left: int
    asked: int = 0

    @property
    def name(self) -> str:
        return self.inner.name

    def propose(self, images: Sequence[Image.Image], expressions: Sequence[str]) -> list[list[Candidate]]:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        self.asked += len(expressions)
        return self.inner.propose(images, expressions)


def test_a_cut_run_goes_on_without_repeating_or_losing_a_row(
    whole: Path, data: Dataset, settings: Settings, proposers: dict[str, Proposer], tmp_path: Path
) -> None:
    out = tmp_path / "candidates.jsonl"
    with pytest.raises(KeyboardInterrupt):
        propose(data, settings, {**proposers, "gdrec": Cut(proposers["gdrec"], 2)}, out, Worker(), 4)
    part = tmp_path / "candidates.jsonl.part0"
    part.write_bytes(part.read_bytes()[:-30])  # in the middle of the eighth row
    with pytest.raises(DataError, match="not finished; run `wrapper propose` again"):
        read_candidates(out)
    counting = Cut(proposers["gdrec"], 99)
    propose(data, settings, {**proposers, "gdrec": counting}, out, Worker(), 4)
    finish(data, settings, out)
    assert same(read_candidates(out), read_candidates(whole))
    assert counting.asked == 6  # the batch of the cut row, 4, and the 2 rows not yet begun


def test_two_shares_give_the_file_of_one(
    whole: Path, data: Dataset, settings: Settings, proposers: dict[str, Proposer], tmp_path: Path
) -> None:
    out = tmp_path / "candidates.jsonl"
    propose(data, settings, proposers, out, Worker(0, 2), 4)
    with pytest.raises(DataError, match="rows are missing"):
        finish(data, settings, out)
    propose(data, settings, proposers, out, Worker(1, 2), 4)
    finish(data, settings, out)
    assert same(read_candidates(out), read_candidates(whole))


def test_expressions_about_one_picture_stay_together() -> None:
    def example(picture: str, n: int) -> Example:
        return Example(PictureFile(Path(picture)), "the cup", (0.0, 0.0, 5.0, 5.0), str(n))

    rows = [example(picture, n) for n, picture in enumerate("aaabbbbcd")]
    assert [[e.id for e in b] for b in batches(rows, 4)] == [["0", "1", "2", "3", "4", "5", "6"], ["7", "8"]]
    many = batches([example("a" if n else "b", n) for n in range(2001)], 16)
    assert max(map(len, many)) < 32 and [e.id for b in many for e in b] == [str(n) for n in range(2001)], "however many there are"
    apart = [example(picture, n) for n, picture in enumerate("abab")]
    assert [[e.id for e in b] for b in batches(apart, 2)] == [["0", "2"], ["1", "3"]]


def test_a_whole_file_is_not_made_again(whole: Path, data: Dataset, settings: Settings, tmp_path: Path) -> None:
    out = tmp_path / "candidates.jsonl"
    assert made_before(data, settings, out) is None
    shutil.copy(whole, out)
    before = made_before(data, settings, out)
    assert before is not None and not before.failed and len(before.rows) == 10
    others = ((replace(data, examples=data.examples[:2]), settings), (data, replace(settings, options={"x": 1})))
    for other, with_settings in others:
        with pytest.raises(DataError, match=r"is there already.* Choose another --out"):
            made_before(other, with_settings, out)
    out.write_text("cut")
    with pytest.raises(DataError, match="is there already"):
        made_before(data, settings, out)
    assert out.read_text() == "cut", "nothing is overwritten"


def test_only_what_failed_is_asked_again(
    whole: Path, data: Dataset, settings: Settings, proposers: dict[str, Proposer], tmp_path: Path
) -> None:
    out = tmp_path / "candidates.jsonl"
    head, *rows, last = whole.read_text().splitlines()
    failed = [
        json.dumps(json.loads(row) | {"failed": "the service was away", "candidates": {}}) if i in (3, 7) else row
        for i, row in enumerate(rows)
    ]
    out.write_text("\n".join([head, *failed, last]) + "\n")
    before = made_before(data, settings, out)
    assert before is not None and len(before.failed) == 2
    reopen(data, settings, out, before)
    assert out.exists(), "until there is a better one"
    counting = Cut(proposers["gdrec"], 99)
    propose(data, settings, {**proposers, "gdrec": counting}, out, Worker(), 1)
    finish(data, settings, out)
    assert counting.asked == 2 and same(read_candidates(out), read_candidates(whole))
    assert [p.name for p in tmp_path.iterdir()] == ["candidates.jsonl"]


@pytest.mark.parametrize("file", ["tokenizer.json", "chat_template.jinja", "config.json", "prompt.json", "model.safetensors"])
def test_a_folder_is_another_one_when_any_file_on_which_answers_depend_changes(file: str, tmp_path: Path) -> None:
    folder = shutil.copytree(PRESETS["tiny"].llama, tmp_path / "llama")
    before = revision(str(folder))
    (folder / "README.md").write_text("notes")
    assert revision(str(folder)) == before
    (folder / file).write_bytes((folder / file).read_bytes() + b" ")
    assert revision(str(folder)) != before


def test_what_an_adapter_tells_of_its_training_changes_nothing(tmp_path: Path) -> None:
    folder = shutil.copytree(PRESETS["tiny"].adapters["gdrec"], tmp_path / "gdrec")
    before = revision(str(folder))
    (folder / "config.json").write_text("{}")
    assert revision(str(folder)) == before
    (folder / "adapter_config.json").write_text("{}")
    assert revision(str(folder)) != before


def test_a_models_commit_is_the_one_that_a_preset_pins() -> None:
    assert revision("owner/llm", "abc123") == "owner/llm@abc123"
    paper = PRESETS["paper"]
    assert all(
        paper.revision(s) in Settings.of("paper", paper, {n: SimpleNamespace()}).models[m]  # type: ignore[dict-item,operator]
        for n, m, s in (("florence2", "florence2", paper.florence2), ("gdrec", "grounding_dino", paper.grounding_dino))
    )


def command(out: Path, n: int = 10) -> list[str]:
    return ["wrapper", "propose", "--data", f"refscenes:val:{n}:5", "--out", str(out), "--batch", "4"]


def test_what_a_killed_process_left_is_gone_on_with(settings: Settings, proposers: dict[str, Proposer], tmp_path: Path) -> None:
    out, part, data = tmp_path / "c.jsonl", tmp_path / "c.jsonl.part0", datasets.read("refscenes:val:40:5")
    running = subprocess.Popen([sys.executable, "-m", *command(out, 40)], cwd=ROOT, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    while running.poll() is None and not (part.exists() and part.read_bytes().count(b"\n") > 5):
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL, "it was done before it could be killed"
    kept = part.read_bytes().count(b"\n") - 1
    counting = Cut(proposers["gdrec"], 99)
    propose(data, settings, {**proposers, "gdrec": counting}, out, Worker(), 4)
    finish(data, settings, out)
    assert 5 <= kept < 40 and 40 - kept <= counting.asked < 40, "the batch of a row that was cut is asked again"
    assert [r.id for r in read_candidates(out).rows] == [e.id for e in data.examples]


def test_two_processes_of_accelerate_give_the_file_of_one(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "c.jsonl"
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1"]
    options = ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0", "-m"]
    done = subprocess.run([*launch, *options, *command(out)], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    assert same(read_candidates(out), read_candidates(whole))


def test_a_picture_that_cannot_be_read_does_not_stop_the_run(settings: Settings, proposers: dict[str, Proposer], tmp_path: Path) -> None:
    for name in ("good.png", "bad.png"):
        Image.new("RGB", (64, 48)).save(tmp_path / name)
    rows = [{"id": n, "image": n, "expression": "the cup", "bbox": [0, 0, 9, 9]} for n in ("good.png", "bad.png")]
    (tmp_path / "data.jsonl").write_text("\n".join(json.dumps(r) for r in rows), encoding="utf-8")
    found = datasets.read(str(tmp_path / "data.jsonl"))
    picture = (tmp_path / "bad.png").read_bytes()
    (tmp_path / "bad.png").write_bytes(picture[: len(picture) // 2])  # the header is whole, the pixels are not
    out = tmp_path / "c.jsonl"
    propose(found, settings, proposers, out, Worker(), 4)
    finish(found, settings, out)
    read = read_candidates(out)
    assert [r.id for r in read.rows] == ["good.png", "bad.png"]
    assert [f.where for f in read.failed] == ["bad.png"]
    assert read.rows[1].question(("florence2", "gdrec")).candidates == ()


def test_a_full_disk_is_said_and_nothing_is_lost(
    whole: Path, data: Dataset, settings: Settings, proposers: dict[str, Proposer], tmp_path: Path
) -> None:
    out = tmp_path / "c.jsonl"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))  # no file may grow beyond this, as on a full disk
    try:
        with pytest.raises(DataError, match=r"cannot be written .*Make room"):
            propose(data, settings, proposers, out, Worker(), 4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not out.exists()
    propose(data, settings, proposers, out, Worker(), 4)
    finish(data, settings, out)
    assert same(read_candidates(out), read_candidates(whole))


def test_other_settings_are_refused(whole: Path, settings: Settings) -> None:
    options = {**settings.options, "florence2.beams": 5}
    with pytest.raises(DataError, match=r"other settings \(florence2.beams: 5 here, 1 there\)"):
        read_candidates(whole, replace(settings, options=options))
    with pytest.raises(DataError, match="model grounding_dino"):
        read_candidates(whole, replace(settings, models={**settings.models, "grounding_dino": "another@1"}))
    assert read_candidates(whole, settings).settings == settings


def test_a_run_with_other_settings_does_not_go_on(
    data: Dataset, settings: Settings, proposers: dict[str, Proposer], tmp_path: Path
) -> None:
    out = tmp_path / "c.jsonl"
    propose(data, settings, proposers, out, Worker(0, 2), 4)
    with pytest.raises(DataError, match="begun with other settings or data"):
        propose(data, replace(settings, preset="paper"), proposers, out, Worker(1, 2), 4)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda b: b[: len(b) // 2], r"line \d+ is not JSON; the file was cut"),
        (lambda b: b"\n".join(b.split(b"\n")[:6]) + b"\n", "cut short after line 6"),
        (lambda b: b.replace(b'"truth": [', b'"truth": ["x", ', 1), "line 2 is no row"),
        (lambda b: b'{"format": "another"}\n' + b, "not a candidates file of this version"),
        (lambda b: b"", "line 1 is not JSON"),
        (lambda b: b"\xff\xfe" + b, "cannot be read as text"),
    ],
    ids=["cut in a row", "cut after a row", "bad row", "another format", "empty", "no text"],
)  # fmt: skip
def test_damaged_files_are_refused(whole: Path, tmp_path: Path, damage: "object", words: str) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(damage(whole.read_bytes()))  # type: ignore[operator]
    with pytest.raises(DataError, match=words) as caught:
        read_candidates(bad)
    assert "bad.jsonl" in str(caught.value)


class Picky:
    """A proposer that fails about certain words, in whatever batch they come."""

    name = "gdrec"

    def __init__(self, inner: Proposer, words: str, error: type[BaseException]) -> None:
        self.inner, self.words, self.error = inner, words, error

    def propose(self, images: Sequence[Image.Image], expressions: Sequence[str]) -> list[list[Candidate]]:
        if self.words in expressions:
            raise self.error("these words")
        return self.inner.propose(images, expressions)


def test_a_row_that_cannot_be_answered_costs_that_row_again_and_again(
    data: Dataset, settings: Settings, proposers: dict[str, Proposer], tmp_path: Path
) -> None:
    """The run ends, the row is listed with its reason, and a second run does not die at it."""
    bad = data.examples[5]
    picky = {**proposers, "gdrec": Picky(proposers["gdrec"], bad.expression, IndexError)}
    for name in ("one", "two"):
        out = tmp_path / name
        propose(data, settings, picky, out, Worker(), 4)
        finish(data, settings, out)
        found = read_candidates(out)
        assert [(s.where, s.why) for s in found.failed] == [(bad.id, "IndexError: these words")]
        assert [r.id for r in found.rows] == [e.id for e in data.examples]
        assert not found.rows[5].lists["gdrec"] and all(r.lists["florence2"] for i, r in enumerate(found.rows) if i != 5)


def test_a_row_that_failed_in_passing_is_asked_again_when_a_cut_run_goes_on(
    data: Dataset, settings: Settings, proposers: dict[str, Proposer], tmp_path: Path
) -> None:
    first, later = data.examples[1], data.examples[-1]
    failing = {**proposers, "gdrec": Picky(proposers["gdrec"], first.expression, IndexError)}
    cut = {**proposers, "gdrec": Picky(failing["gdrec"], later.expression, KeyboardInterrupt)}
    with pytest.raises(KeyboardInterrupt):
        propose(data, settings, cut, tmp_path / "out", Worker(), 4)
    propose(data, settings, proposers, tmp_path / "out", Worker(), 4)
    finish(data, settings, tmp_path / "out")
    found = read_candidates(tmp_path / "out")
    assert found.failed == [] and [r.id for r in found.rows] == [e.id for e in data.examples] and found.rows[1].lists["gdrec"]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError, KeyboardInterrupt])
def test_what_concerns_all_rows_passes_through(
    data: Dataset, settings: Settings, proposers: dict[str, Proposer], tmp_path: Path, error: type[BaseException]
) -> None:
    picky = {**proposers, "gdrec": Picky(proposers["gdrec"], data.examples[5].expression, error)}
    with pytest.raises(error):
        propose(data, settings, picky, tmp_path / "one", Worker(), 4)
