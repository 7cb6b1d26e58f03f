"""Rejecting absent objects, and present ones by mistake."""

from dataclasses import replace

from wrapper.candidates import Candidate, Reason, Selection
from wrapper.evaluation.abstention import Asked, Rejections, absent_pairs, as_markdown, by_none, by_probability, by_score
from wrapper.scenes.dataset import scenes


def answered(box: tuple[float, float, float, float], probability: float, score: float) -> Selection:
    other = Candidate((0.0, 0.0, 1.0, 1.0), "x", None, "gdrec")
    return Selection((Candidate(box, "x", score, "gdrec"), other), 0, (probability, 1 - probability), Reason.CHOSEN)


def test_absent_expressions_name_nothing_in_the_picture() -> None:
    found = list(scenes("val", 30, 5))
    pairs = absent_pairs(found)
    assert len(pairs) >= 28
    by_text = {s.expression.text: s.layout.objects[s.expression.target].kind.noun for s in found}
    for scene, text in pairs:
        assert by_text[text] not in {o.kind.noun for o in scene.layout.objects}


def test_rejections_are_counted_on_their_own_side() -> None:
    truths = list(scenes("val", 4, 5))
    figures = ((0.9, 0.6), (0.8, 0.8), (0.55, 0.8), (0.52, 0.9))
    present = [answered(s.box, *f) for s, f in zip(truths, figures, strict=True)]
    absent = [answered(truths[0].box, 0.6, 0.2), Selection((), None, (), Reason.NO_CANDIDATES)]
    asked = Asked(present, truths, absent)
    probable = {r.threshold: r for r in by_probability(asked)}
    assert probable[0.0] == Rejections(0.0, 0.5, 0.0, 1.0)
    assert probable[0.7] == Rejections(0.7, 1.0, 0.5, 0.5)
    seen = {r.threshold: r for r in by_score(asked)}
    assert seen[0.0] == Rejections(0.0, 0.5, 0.0, 1.0)
    assert seen[0.7] == Rejections(0.7, 1.0, 0.25, 0.75)
    assert "| 0.7 | 100.0% | 50.0% | 50.0% |" in as_markdown("LLM's probability at least", [probable[0.7]])


def test_the_probability_that_none_is_meant_is_a_threshold_where_the_llm_gives_it() -> None:
    truths = list(scenes("val", 3, 5))
    present = [replace(answered(s.box, 0.9, 0.5), absent=p) for s, p in zip(truths, (0.1, 0.45, 0.7), strict=True)]
    absent = [replace(answered(truths[0].box, 0.9, 0.5), absent=p) for p in (0.2, 0.95)]
    rows = {r.threshold: r for r in by_none(Asked(present, truths, absent))}
    assert (rows[0.9].absent, rows[0.9].present, rows[0.9].p_at_1) == (0.5, 0.0, 1.0)
    assert (rows[0.4].absent, round(rows[0.4].present, 3), round(rows[0.4].p_at_1, 3)) == (0.5, 0.667, 0.333)
    assert by_none(Asked([answered(truths[0].box, 0.9, 0.5)], truths[:1], [])) == []
