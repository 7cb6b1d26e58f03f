"""Answers as they come."""

from dataclasses import dataclass
from pathlib import Path

from wrapper import datasets
from wrapper.datasets import Example
from wrapper.datasets.base import PictureFile
from wrapper.evaluation.live import answers, figures
from wrapper.evaluation.methods import Method
from wrapper.pipeline import Wrapper

METHODS = [Method.parse(m) for m in ("gdrec", "gdrec+llm", "florence2,gdrec+llm")]


@dataclass(frozen=True)
class Gone(PictureFile):
    path: Path = Path("nowhere.png")


def test_batches_add_up_and_unreadable_pictures_count_as_wrong(wrapper: Wrapper) -> None:
    good = datasets.read("refscenes:val:9:5").examples
    gone = Example(Gone(), "the cup", (0.0, 0.0, 5.0, 5.0), "gone")
    parts = list(answers(wrapper, [*good[:4], gone, *good[4:]], METHODS, 4))
    assert [len(p) for p in parts] == [4, 4, 2]
    done = [a for p in parts for a in p]
    assert [a.example.id for a in done] == [e.id for e in [*good[:4], gone, *good[4:]]]
    found = figures(done, METHODS)
    assert {f.p_at_1.n for f in found.values()} == {10}
    assert not any(o.correct or o.boxes for o in done[4].outcomes)
    assert done[4].disagreement == 0.0
    assert all(a.outcomes is a.outcomes for a in done), "judged once, however often the page looks through thousands"
    assert "nowhere.png" in (done[4].failed or "") and all(a.failed is None for a in done if a.example is not gone)
    whole = wrapper.locate_batch([e.image.open() for e in good], [e.expression for e in good], ["gdrec"])
    listed = [[c.label for c in a.compared[0].selection.candidates] for a in done if a.example is not gone]
    assert listed == [[c.label for c in s.candidates] for s in whole]
