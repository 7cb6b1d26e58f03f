"""Rejecting absent objects, and present ones by mistake."""

from wrapper.candidates import Candidate, Reason, Selection
from wrapper.evaluation.abstention import Rejections, absent_pairs, as_markdown, at
from wrapper.scenes.dataset import scenes


def sure(scene_box: tuple[float, float, float, float], probability: float) -> Selection:
    other = Candidate((0.0, 0.0, 1.0, 1.0), "x", None, "gdrec")
    return Selection((Candidate(scene_box, "x", None, "gdrec"), other), 0, (probability, 1 - probability), Reason.CHOSEN)


def test_absent_expressions_name_nothing_in_the_picture() -> None:
    found = list(scenes("val", 30, 5))
    pairs = absent_pairs(found)
    assert len(pairs) >= 28
    by_text = {s.expression.text: s.layout.objects[s.expression.target].kind.noun for s in found}
    for scene, text in pairs:
        assert by_text[text] not in {o.kind.noun for o in scene.layout.objects}


def test_rejections_are_counted_on_their_own_side() -> None:
    truths = list(scenes("val", 4, 5))
    present = [sure(s.box, p) for s, p in zip(truths, (0.9, 0.8, 0.55, 0.52), strict=True)]
    absent = [sure(truths[0].box, 0.6), Selection((), None, (), Reason.NO_CANDIDATES)]
    assert at(0.0, present, absent, truths) == Rejections(0.0, 0.5, 0.0, 1.0)
    assert at(0.7, present, absent, truths) == Rejections(0.7, 1.0, 0.5, 0.5)
    assert "| 0.7 | 100.0% | 50.0% | 50.0% |" in as_markdown([at(0.7, present, absent, truths)])
