"""One list, whoever proposed first: merged, cut and ordered by the candidates alone."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wrapper.candidates import BY_HAND, Candidate, is_correct
from wrapper.merging import MOST, Merged, Merging, canonical, merge, relist
from wrapper.pipeline import Wrapper, collect, question
from wrapper.prompt import PromptTemplate, render
from wrapper.scenes.dataset import scenes


def box(x: float, y: float = 0.0, label: str = "cup", source: str = "gdrec", score: float | None = None, rank: int = 0) -> Candidate:
    return Candidate((x, y, x + 100, y + 100), label, score, source, rank)


def test_boxes_of_one_object_become_one_candidate_with_all_that_was_said() -> None:
    ours = [box(0, label="small red cup", source="florence2"), box(300, label="book", source="florence2", rank=1)]
    theirs = [box(4, label="cup", score=0.6), box(305, label="novel", score=0.4, rank=1), box(600, label="lamp", score=0.3, rank=2)]
    both = merge([ours, theirs]).candidates
    assert [c.sources for c in both] == [("florence2", "gdrec"), ("gdrec", "florence2"), ("gdrec",)]
    assert [c.labels for c in both] == [("small red cup",), ("novel", "book"), ("lamp",)], (
        "a word that the other label has is not said twice"
    )
    assert [c.score for c in both] == [0.6, 0.4, 0.3]
    assert both[0].is_answer_of("florence2") and both[0].is_answer_of("gdrec") and not both[1].is_answer_of("gdrec")
    lines = render(both, "the cup", PromptTemplate(prompt="{candidates}\n{expression}"), (640, 480)).splitlines()
    assert lines[0] == "0: small red cup, box [0.0, 0.0, 100.0, 100.0], score 0.60, from florence2 and gdrec"
    assert lines[1].startswith("1: novel / book, box [305.0")


def test_neighbours_are_not_joined_and_one_proposers_boxes_neither() -> None:
    assert len(merge([[box(0, source="florence2")], [box(60)]]).candidates) == 2
    assert len(merge([[box(0), box(3, label="mug", rank=1)]]).candidates) == 2
    chain = [[box(0, source="florence2"), box(40, source="florence2", rank=1)], [box(20)]]
    assert len(merge(chain).candidates) == 2, "all boxes of an object overlap with each other"


def test_what_a_person_added_stays_by_itself() -> None:
    mine = box(2, label="my cup", source=BY_HAND)
    assert mine in merge([[box(0, source="florence2")], [mine]]).candidates


some_boxes = st.lists(
    st.builds(
        lambda x, y, w, h, label, source, score, rank: Candidate(
            (float(x), float(y), float(x + w), float(y + h)), label, None if source == "florence2" else score, source, rank
        ),
        st.integers(0, 60), st.integers(0, 60), st.integers(5, 50), st.integers(5, 50), st.sampled_from(["cup", "red cup", "book"]),
        st.sampled_from(["florence2", "gdrec", "gd", "other"]), st.sampled_from([0.2, 0.5, 0.9]), st.integers(0, 5),
    ),
    max_size=30,
)  # fmt: skip


@given(some_boxes, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_any_order_gives_the_same_list(proposed: list[Candidate], rng: random.Random) -> None:
    shuffled = rng.sample(proposed, len(proposed))
    first, second = merge([proposed]), merge([[c] for c in shuffled])
    assert first == second
    assert relist(rng.sample(first.candidates, len(first.candidates))) == Merged(first.candidates), "a merged list stays as it is"


@given(some_boxes, st.integers(2, 20))
@settings(max_examples=60, deadline=None)
def test_every_proposers_own_answer_is_kept_and_what_is_left_out_is_counted(proposed: list[Candidate], most: int) -> None:
    whole = merge([proposed], most=1000).candidates
    cut = merge([proposed], most=most)
    assert len(cut.candidates) + cut.left_out == len(whole)
    assert len(cut.candidates) <= most
    assert [c for c in whole if c in cut.candidates and whole.count(c) == 1] == [c for c in cut.candidates if whole.count(c) == 1]
    own = {s for c in cut.candidates for s in c.sources if c.is_answer_of(s)}
    assert most < 4 or own == {s for c in whole for s in c.sources if c.is_answer_of(s)}


def test_the_cut_is_fair_and_keeps_subject_and_landmarks() -> None:
    florence = [box(130 * i, 0, f"thing {i % 3}", "florence2", rank=i) for i in range(30)]
    subject = [box(130 * i, 300, "cup", score=0.9, rank=i) for i in range(25)]
    landmarks = [box(130 * i, 600, ("table", "shelf")[i % 2], score=0.3, rank=25 + i) for i in range(4)]
    found = merge([florence, [*subject, *landmarks]])
    assert len(found.candidates) == MOST and found.left_out == 59 - MOST
    by_source = [sum(c.source == s for c in found.candidates) for s in ("florence2", "gdrec")]
    assert by_source == [10, 10]
    labels = [c.label for c in found.candidates if c.source == "gdrec"]
    assert labels.count("cup") == 6 and labels.count("table") == labels.count("shelf") == 2
    assert found.candidates == merge([[*subject, *landmarks], florence]).candidates


def test_the_papers_lists_stand_one_after_the_other() -> None:
    ours, theirs = [box(300, source="florence2"), box(0, source="florence2", rank=1)], [box(2)]
    assert merge([ours, theirs], Merging.CONCATENATED).candidates == (*ours, *theirs)
    many = [[box(200 * i, source=s, rank=i) for i in range(15)] for s in ("florence2", "gdrec")]
    cut = merge(many, Merging.CONCATENATED)
    assert len(cut.candidates) == MOST and cut.left_out == 10


def test_reading_order_is_from_top_to_bottom_and_left_to_right() -> None:
    assert [c.box[:2] for c in canonical([box(5, 9), box(0, 200), box(300, 0), box(0, 0)])] == [(0, 0), (300, 0), (5, 9), (0, 200)]


def test_picks_are_the_same_in_whatever_order_models_and_boxes_come(wrapper: Wrapper) -> None:
    chosen = list(scenes("val", 10, 51))
    pictures, texts = [s.picture() for s in chosen], [s.expression.text for s in chosen]
    one, other = (wrapper.locate_batch(pictures, texts, names) for names in (("florence2", "gdrec"), ("gdrec", "florence2")))
    assert [(s.box, s.prompt, s.probabilities) for s in one] == [(s.box, s.prompt, s.probabilities) for s in other]
    rng = random.Random(1)
    for s, picture, text in zip(one, pictures, texts, strict=True):
        for _ in range(3):
            shuffled = rng.sample(s.candidates, len(s.candidates))
            assert wrapper.choose(shuffled, text, picture.size, "ensemble").box == s.box


def test_more_boxes_than_a_prompt_takes_are_said_to_be_left_out(wrapper: Wrapper) -> None:
    from wrapper.candidates import Reason
    from wrapper.trace import trace

    [scene] = scenes("val", 1, 51)
    found = collect([wrapper.proposer(n) for n in ("florence2", "gdrec")], [scene.picture()], [scene.expression.text]).of(0)
    crowd = [box(7.0 * i, 5.0 * i, "leaf", "florence2", rank=len(found["florence2"]) + i) for i in range(40)]
    merged = wrapper.merge({**found, "florence2": [*found["florence2"], *crowd]})
    [selection] = wrapper.llm.select([question(merged, scene.expression.text, (640, 480), "ensemble")])
    assert selection.reason is Reason.CHOSEN_FROM_PART and selection.left_out >= 20 and len(selection.candidates) <= MOST
    assert any(is_correct(c.box, scene.box) for c in selection.candidates), "the subject stays on the list"
    assert trace(selection, "x", (640, 480))["left_out"] == selection.left_out


def test_ties_do_not_raise() -> None:
    same = [box(0, score=s) for s in (None, 0.5)]
    assert len(canonical([*same, replace(same[0], others=(same[1],))])) == 3


@pytest.mark.parametrize("count", [0, 1])
def test_short_lists_stay(count: int) -> None:
    assert len(merge([[box(0)] * count, []]).candidates) == count
