"""Evaluation and its report, on a small part of RefScenes with the bundled models."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wrapper import datasets
from wrapper.candidates import IOU_THRESHOLD
from wrapper.errors import DataError
from wrapper.evaluation import runner
from wrapper.evaluation.methods import Method, usual
from wrapper.evaluation.report import by_turns, gap, left_out, report
from wrapper.evaluation.runner import Evaluation, answers_file, candidates_file, evaluate, figures_of, read_results
from wrapper.merging import Merging
from wrapper.presets import PRESETS
from wrapper.proposals import read_candidates
from wrapper.selectors.llama import Llm

DATA = "refscenes:val:24:3"


def plan(out: Path, *methods: Method) -> Evaluation:
    return Evaluation("tiny", PRESETS["tiny"], methods or tuple(usual(PRESETS["tiny"])), (DATA,), out)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("results")
    evaluate(plan(out))
    return out, read_results(out)


def entry(results: tuple[Path, dict[str, Any]], method: str) -> dict[str, Any]:
    found = figures_of(results[1]["data"][0], method)
    assert found is not None, method
    return found


def test_every_expression_counts_in_every_method(results: tuple[Path, dict[str, Any]]) -> None:
    for method in results[1]["data"][0]["methods"]:
        assert method["figures"]["p_at_1"]["n"] == 24
        assert sum(method["figures"]["reasons"].values()) == 24


def test_the_oracle_is_right_wherever_any_candidate_is(results: tuple[Path, dict[str, Any]]) -> None:
    for proposers in ("gdrec", "florence2", "florence2,gdrec"):
        best = entry(results, f"{proposers}+oracle")["figures"]
        assert best["p_at_1"]["value"] == best["recall"]["value"]
        assert best["p_at_1"]["value"] >= entry(results, f"{proposers}+llm")["figures"]["p_at_1"]["value"]


def test_figures_are_those_of_the_outcomes(results: tuple[Path, dict[str, Any]]) -> None:
    """Counted again, from the candidates file, with the overlap written out."""
    file = candidates_file(results[0], DATA)
    method = entry(results, "gdrec")
    right = 0
    for row in read_candidates(file).rows:
        found = row.lists["gdrec"]
        if not found:
            continue
        (a, b, c, d), (e, f, g, h) = found[0].box, row.truth
        inside = max(0.0, min(c, g) - max(a, e)) * max(0.0, min(d, h) - max(b, f))
        right += inside / ((c - a) * (d - b) + (g - e) * (h - f) - inside) > IOU_THRESHOLD
    assert method["figures"]["p_at_1"]["value"] == pytest.approx(right / 24)


def test_proposals_are_computed_once_and_kept(results: tuple[Path, dict[str, Any]]) -> None:
    file = candidates_file(results[0], DATA)
    before = file.stat().st_mtime_ns
    again = evaluate(plan(results[0], Method.parse("gd"), *usual(PRESETS["tiny"])))
    assert file.stat().st_mtime_ns == before
    assert figures_of(again["data"][0], "gdrec")["figures"]["p_at_1"] == entry(results, "gdrec")["figures"]["p_at_1"]  # type: ignore[index]


def test_candidates_of_other_data_are_refused(results: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    other = candidates_file(tmp_path, "refscenes:val:24:4")
    other.write_bytes(candidates_file(results[0], DATA).read_bytes())
    with pytest.raises(DataError, match="belongs to other data"):
        evaluate(Evaluation("tiny", PRESETS["tiny"], tuple(usual(PRESETS["tiny"])), ("refscenes:val:24:4",), tmp_path))


def test_the_report_has_the_papers_tables_and_keeps_its_figures_apart(results: tuple[Path, dict[str, Any]]) -> None:
    text = report(results[0])
    assert (results[0] / "report.md").read_text(encoding="utf-8") == text
    assert f"IoU > {IOU_THRESHOLD}" in text
    for part in ("### Table 1", "### Table 2", "### Table 3", "## Figure 2", "## Figure 3", "### P@1 by kind of expression"):
        assert part in text
    head = next(line for line in text.splitlines() if line.startswith("|  | alone"))
    assert head.count("paper:") == 3
    row = next(line for line in text.splitlines() if line.startswith("| GDrec |"))
    assert row.split("|")[2].strip().startswith(f"{100 * entry(results, 'gdrec')['figures']['p_at_1']['value']:.1f} (")
    kinds = text.split("### P@1 by kind of expression\n\n")[1].splitlines()
    assert sum(int(n) for n in re.findall(r"n = (\d+)", kinds[0])) == len(entry(results, "gdrec")["outcomes"])
    assert all(re.fullmatch(r"\d+\.\d \(\d+\.\d-\d+\.\d\)", cell.strip()) for cell in kinds[2].split("|")[2:-1])
    for name in ("learning-curves.png", "learning-curves.svg"):
        assert (results[0] / name).stat().st_size > 1000


def test_every_picture_of_the_report_exists(results: tuple[Path, dict[str, Any]]) -> None:
    text = report(results[0])
    names = [part.split(")")[0] for part in text.split("](")[1:]]
    assert names and all((results[0] / name).is_file() for name in names)


@pytest.mark.parametrize("best", [80.0, 90.0])
def test_the_share_of_a_gap_is_said_where_there_is_one(best: float) -> None:
    figures = {"gdrec": 80.0, "gdrec+llm:gdrec": 85.0, "gdrec+oracle": best}
    record = {"methods": [{"method": m, "label": m, "figures": {"p_at_1": {"value": v / 100}}} for m, v in figures.items()]}
    assert ("50 % of the way from 80.0 to 90.0" if best > 80 else "there is no gap") in gap(record)


@pytest.mark.parametrize("data", ["データ/" * 40 + "val.jsonl", "x" * 300, "refscenes:test:40"])
def test_a_long_name_of_data_is_cut_for_files(tmp_path: Path, data: str) -> None:
    for file in (candidates_file(tmp_path, data), answers_file(tmp_path, data, Method.parse("gdrec+llm"))):
        file.parent.mkdir(exist_ok=True)
        file.write_text("x")
    assert candidates_file(tmp_path, data) != candidates_file(tmp_path, "other" + data)


def test_pictures_are_chosen_by_rule() -> None:
    outcomes = [{"id": str(n), "category": c} for n, c in enumerate("aaabbc")]
    assert [o["id"] for o in by_turns(outcomes)] == ["0", "3", "5", "1", "4", "2"]


def test_a_folder_without_results_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no results"):
        report(tmp_path)
    (tmp_path / "results.json").write_text(json.dumps([1]))
    with pytest.raises(DataError, match="not from `wrapper evaluate`"):
        report(tmp_path)


def test_nothing_to_evaluate_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing to evaluate"):
        evaluate(Evaluation("tiny", PRESETS["tiny"], (), (DATA,), tmp_path))


def test_an_evaluation_that_was_cut_goes_on_with_the_answers_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    methods = [Method.parse(m) for m in ("gdrec", "gdrec+llm", "gdrec+llm:gdrec")]
    whole = evaluate(plan(tmp_path / "whole", *methods))
    monkeypatch.setattr(runner, "AT_ONCE", 8)
    asked: list[int] = []
    select = Llm.select

    def counted(self: Llm, questions: Any) -> Any:
        if sum(asked) == 32:  # the second method is under way
            raise KeyboardInterrupt
        asked.append(len(questions))
        return select(self, questions)

    with monkeypatch.context() as cut:
        cut.setattr(Llm, "select", counted)
        with pytest.raises(KeyboardInterrupt):
            evaluate(plan(tmp_path / "cut", *methods))
    files = sorted((tmp_path / "cut" / "answers").iterdir(), key=lambda f: len(f.read_bytes()))
    files[-1].write_bytes(files[-1].read_bytes()[:-9])  # and the last line was not written whole
    asked.clear()
    with monkeypatch.context() as counting:
        counting.setattr(Llm, "select", lambda self, questions: (asked.append(len(questions)), select(self, questions))[1])
        resumed = evaluate(plan(tmp_path / "cut", *methods))
    assert sum(asked) <= 48 - 32 + 1
    for one, other in zip(whole["data"][0]["methods"], resumed["data"][0]["methods"], strict=True):
        assert one["outcomes"] == other["outcomes"]


def test_answers_of_another_adapter_under_the_same_name_are_not_kept(tmp_path: Path) -> None:
    method = Method.parse("gdrec+llm:mine")
    found = []
    for name in ("gdrec", "florence2"):
        preset = replace(PRESETS["tiny"], adapters={"mine": PRESETS["tiny"].adapters[name]})
        found.append(evaluate(Evaluation("tiny", preset, (method,), (DATA,), tmp_path))["data"][0]["methods"][0]["outcomes"])
    assert found[0] != found[1]


def test_a_question_that_cannot_be_answered_counts_as_wrong_and_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    encode, words = Llm.encode, datasets.read(DATA).examples[3].expression

    def broken(self: Llm, prompt: str, template: Any = None) -> list[int]:
        if words in prompt:
            raise IndexError("a token out of range")
        return encode(self, prompt, template)

    monkeypatch.setattr(Llm, "encode", broken)
    [found] = evaluate(plan(tmp_path, Method.parse("florence2+llm")))["data"][0]["methods"]
    assert found["figures"]["reasons"]["failed"] == 1 and found["figures"]["p_at_1"]["n"] == 24
    assert "IndexError: a token out of range" in capsys.readouterr().out


def test_the_papers_lists_can_be_evaluated_and_reported(tmp_path: Path) -> None:
    preset = replace(PRESETS["tiny"], merging=Merging.CONCATENATED)
    methods = tuple(Method.parse(m) for m in ("gdrec", "florence2", "florence2,gdrec+llm:ensemble", "florence2,gdrec+oracle"))
    both = [
        evaluate(Evaluation("tiny", p, methods, ("refscenes:val:10:3",), tmp_path / p.merging))["data"][0]["methods"]
        for p in (PRESETS["tiny"], preset)
    ]
    boxes = [m[2]["figures"]["boxes"] for m in both]
    assert boxes[0] < boxes[1], "objects that both find stand on the list once"
    assert [m["figures"]["p_at_1"] for m in both[0][:2]] == [m["figures"]["p_at_1"] for m in both[1][:2]], "own answers are the same"
    report(tmp_path / preset.merging)


def test_the_report_says_what_is_in_no_figure(results: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    assert "\n\n24 expressions.\n\n" in report(results[0])
    record = results[1]["data"][0] | {"skipped": 6, "failed": 2, "notes": ["4,896 are published"]}
    told = left_out(record)
    assert told == (
        "24 expressions. 6 more rows of the data could not be read and are in no figure. 2 have no candidates because their picture or "
        "words could not be used; they count as wrong. 4,896 are published."
    )


def test_figure_3_is_left_out_where_the_data_have_changed(results: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """Rows without ids of their own go by their lines, and would show other rows' pictures."""
    folder = shutil.copytree(results[0], tmp_path / "results")
    file, changed = folder / "results.json", json.loads((folder / "results.json").read_text())
    changed["data"][0]["fingerprint"] = "other"
    file.write_text(json.dumps(changed))
    text = report(folder)
    assert "the data are not those that were evaluated any more" in text and "](win-" not in text and "### Table 1" in text


def test_candidates_of_before_are_said_to_be_so(results: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(plan(results[0]))
    said = capsys.readouterr().out
    assert "note: the candidates are those of" in said and "delete it to ask the detectors again" in said
