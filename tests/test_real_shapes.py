"""The same code on checkpoints of the published shapes, with the real tokenizers and random weights.

    WRAPPER_REAL_SHAPES=shapes python -m pytest -n 0 -s tests/test_real_shapes.py

Skipped unless WRAPPER_REAL_SHAPES names a folder that holds florence-2-base, florence-2-large, grounding-dino-tiny and llama-3-1b. Random
weights answer at random: what is tested is that everything loads, runs and keeps to its types.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from wrapper.candidates import Candidate, Reason
from wrapper.inventory import Part
from wrapper.proposers.base import MOST_PROPOSED
from wrapper.proposers.florence2 import Florence2, Prompt
from wrapper.proposers.grounding_dino import Detector, GroundingDino, GroundingDinoRec
from wrapper.proposers.tasks import OPEN_VOCABULARY
from wrapper.selectors.base import Question
from wrapper.selectors.llama import Llm

SHAPES = Path(os.environ.get("WRAPPER_REAL_SHAPES", "/nonexistent"))
CPU = torch.device("cpu")
EXPRESSIONS = ["the cup left of the green book", "woman in the red jacket, second from the left"]
CUPS = [Candidate((10.0 * i, 20.0, 10.0 * i + 50, 60.5), "cup", 0.5, "gdrec") for i in range(12)]


def folder(name: str) -> str:
    if not (SHAPES / name / "config.json").is_file():
        pytest.skip("WRAPPER_REAL_SHAPES does not name a folder with this checkpoint")
    return str(SHAPES / name)


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    return [Image.effect_noise((640, 480), 80).convert("RGB"), Image.effect_noise((300, 500), 80).convert("RGB")]


def test_florence_runs_both_tasks_on_one_encoding(pictures: list[Image.Image]) -> None:
    florence = Florence2.load(folder("florence-2-base"), CPU, torch.float32, beams=3, max_new_tokens=12)
    answers = florence.answer(pictures, [[Prompt(OPEN_VOCABULARY, e)] * 2 for e in EXPRESSIONS])
    assert [len(row) for row in answers] == [2, 2]
    assert answers[0][0] == answers[0][1]
    assert all(isinstance(row, list) for row in florence.propose(pictures, EXPRESSIONS))


def test_grounding_dino_maps_words_to_tokens(pictures: list[Image.Image]) -> None:
    detector = Detector.load(folder("grounding-dino-tiny"), CPU)
    found = detector.detect(pictures, EXPRESSIONS)
    assert found[0].boxes.shape == (900, 4)
    words = EXPRESSIONS[0]
    start = words.index("green book")
    assert len(found[0].tokens_of(start, start + len("green book"))) == 2
    for reader in (GroundingDino(detector, threshold=0.0), GroundingDinoRec(detector, 0.0, 0.0)):
        lists = reader.propose(pictures, EXPRESSIONS)
        assert all(0 < len(row) <= MOST_PROPOSED and all(c.score is not None for c in row) for row in lists)


def test_llama_scores_every_index_in_one_pass() -> None:
    llama = Llm.load(folder("llama-3-1b"), CPU, torch.bfloat16)
    assert [len(llama.answer(i)) for i in (0, 7, 11)] == [2, 2, 2]
    assert llama.tokenizer.decode(llama.answer(11)) == "11<|eot_id|>"
    lists = (CUPS, CUPS[:2], CUPS[:1], [])
    selections = llama.select([Question(tuple(c), e, (640, 480)) for c, e in zip(lists, EXPRESSIONS * 2, strict=True)])
    assert [s.reason for s in selections] == [Reason.CHOSEN, Reason.CHOSEN, Reason.ONLY_CANDIDATE, Reason.NO_CANDIDATES]
    assert len(selections[0].probabilities) == 12
    assert sum(selections[0].probabilities) == pytest.approx(1, abs=1e-3)


def test_llama_runs_in_four_bits() -> None:
    llama = Llm.load(folder("llama-3-1b"), CPU, torch.bfloat16, four_bit=True)
    assert llama.select([Question(tuple(CUPS[:3]), EXPRESSIONS[0], (640, 480))])[0].reason is Reason.CHOSEN


PROGRAM = """
import resource, sys
import torch
from PIL import Image
from wrapper.quiet import quiet_libraries
quiet_libraries()
from wrapper.candidates import Candidate
from wrapper.proposers.florence2 import Florence2
from wrapper.proposers.grounding_dino import Detector, GroundingDinoRec
from wrapper.selectors.base import Question
from wrapper.selectors.llama import Llm
kind, source, bits = sys.argv[1:]
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before, cpu, dtype = peak(), torch.device("cpu"), torch.float32 if bits == "32" else torch.bfloat16
picture, text = Image.effect_noise((640, 480), 80).convert("RGB"), "the cup left of the green book"
if kind == "Florence-2":
    Florence2.load(source, cpu, dtype, max_new_tokens=100).propose([picture], [text])
elif kind == "Grounding DINO":
    GroundingDinoRec(Detector.load(source, cpu)).propose([picture], [text])
else:
    cups = tuple(Candidate((10.0 * i, 20.0, 10.0 * i + 50, 60.5), "a small red cup", 0.5, "gdrec") for i in range(20))
    Llm.load(source, cpu, dtype, bits == "4").select([Question(cups, text, (640, 480))])
print(peak() - before)
"""


@pytest.mark.parametrize(
    ("kind", "name", "bits"),
    [
        ("Florence-2", "florence-2-base", 32), ("Florence-2", "florence-2-large", 32), ("Grounding DINO", "grounding-dino-tiny", 32),
        ("LLM", "llama-3-1b", 32), ("LLM", "llama-3-1b", 16), ("LLM", "llama-3-1b", 4),
    ],
)  # fmt: skip
def test_memory_is_as_estimated(kind: str, name: str, bits: int) -> None:
    """Within 15 per cent of the peak of a process that loads the model and answers one question."""
    need = Part(kind, folder(name), None, {32: 4, 16: 2, 4: 2}[bits], bits == 4).need(on_cuda=False)
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, kind, folder(name), str(bits)]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True)
    measured = int(done.stdout.split()[-1])
    assert need is not None
    print(f"{kind} {name}, {bits} bits: {measured / 1e9:.2f} GB measured, {need.peak / 1e9:.2f} GB estimated")
    assert need.peak == pytest.approx(measured, rel=0.15)
