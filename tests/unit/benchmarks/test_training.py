from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks import command, machine, training, training_page, training_picture
from benchmarks.plan import TrainingPlan
from benchmarks.training_models import METRICS
from benchmarks.training_scores import OURS, SYSTEMS, aims, general_table, table_of
from embedloop.errors import InvalidInput
from training.evaluation import Scores

NOW = {"at": "2026-11-22T00:00:00+00:00", "commit": "c0ffee", "dirty": False, "load_average_1m": 0.1}
KEYS = [f"q{number:02d}" for number in range(40)]


def scores(values: Sequence[float]) -> Scores:
    per_query = {metric: dict(zip(KEYS, values, strict=True)) for metric in METRICS}
    return Scores(tuple(KEYS), per_query, {metric: sum(values) / len(values) for metric in METRICS})


def measured(ours: float, plain: float = 0.6, base: float = 0.5, general: float = 0.5) -> dict[str, Any]:
    """A set as the report has it, of systems that score alike on every query."""
    level = {"bm25": 0.4, "base": base, "plain": plain, "ours": ours}
    told = {"seconds": 90.0}
    forgotten = {"base": 0.5, "plain": 0.45, "ours": general}
    return {
        "split": "by topic: no topic is in two splits",
        "documents": 2000,
        "queries": {"train": 10, "dev": 5, "test": 40},
        "pairs": {"train": 12, "dev": 6},
        "test": table_of({name: scores([value] * 40) for name, value in level.items()}),
        "general": general_table({name: dict.fromkeys(KEYS, value) for name, value in forgotten.items()}),
        "elsewhere": {
            "set": "hpo",
            **general_table({name: dict.fromkeys(KEYS, value) for name, value in forgotten.items()}),
        },
        "training": {"ours": told, "plain": told},
        "measured": NOW,
    }


def report_of(sets: dict[str, Any]) -> dict[str, Any]:
    return {
        "machine": {"cpu": "a processor", "cores": 2},
        "measured": NOW,
        "settings": {"base_model": "all-MiniLM-L6-v2", "device": "cpu"},
        "sets": sets,
        "aims": aims(sets),
    }


def test_ours_is_compared_with_each_other_system_on_the_same_queries() -> None:
    found = measured(0.8)["test"]
    assert found["queries"] == 40
    assert found["systems"].keys() == set(SYSTEMS)
    assert found["ours_over"].keys() == set(SYSTEMS) - {OURS}
    over = found["ours_over"]["plain"]["ndcg@10"]
    assert (over["mean"], over["low"], over["high"]) == (0.2, 0.2, 0.2)
    assert over["p"] < 0.05


def test_table_of_some_queries_counts_only_those() -> None:
    rising = scores([number / 40 for number in range(40)])
    found = table_of({"plain": scores([0.0] * 40), "ours": rising}, only=KEYS[:2])
    assert found["queries"] == 2
    assert found["ours_over"]["plain"]["hit@5"]["mean"] == 0.0125


def test_general_set_tells_what_each_model_changed_against_the_base() -> None:
    found = measured(0.8, general=0.48)["general"]
    assert "change" not in found["base"]
    assert found["ours"]["change"]["mean"] == -0.02


def test_aims_are_met_where_ours_is_better_everywhere_and_forgets_little() -> None:
    found = aims({"a": measured(0.8), "b": measured(0.7)})
    assert all(one["met"] for one in found.values() if "met" in one)
    assert found["largest_gain_over_base_in_hit@5_or_precision@5"]["value"] == 0.3


def test_aims_are_missed_where_a_set_is_lost_and_the_general_set_forgotten() -> None:
    found = aims({"a": measured(0.61), "b": measured(0.55, general=0.47)})
    assert {name: one["met"] for name, one in found.items() if "met" in one} == {
        "sets_on_which_ours_beats_plain": False,
        "sets_on_which_it_does_significantly": False,
        "largest_gain_over_base_in_hit@5_or_precision@5": False,
        "worst_change_on_the_general_set": False,
    }


def test_figures_replace_what_stands_between_the_marks_and_nothing_else() -> None:
    page = f"before\n{training_page.BEGIN}\nold\n{training_page.END}\nafter\n"
    filled = training_page.filled(page, "new\n")
    assert filled == f"before\n{training_page.BEGIN}\nnew\n{training_page.END}\nafter\n"
    assert training_page.filled(filled, "new") == filled


def test_page_without_marks_is_refused() -> None:
    with pytest.raises(InvalidInput, match="needs the marks"):
        training_page.filled("a page", "new")


def test_tables_hold_every_system_with_its_interval_and_say_what_is_not_significant() -> None:
    told = training_page.tables(report_of({"a": measured(0.6)}))
    assert "| BM25 | 0.400 (0.400 to 0.400) |" in told
    assert "| base model | 0.500 (0.500 to 0.500) |" in told
    assert "| 0.450 (-0.050) | 1.5 |" in told
    assert "plain recipe: nDCG@10 +0.000 (+0.000 to +0.000, not significant)" in told
    assert "| sets on which ours beats plain | 0 | at least 1 | no |" in told


def test_tables_show_the_queries_of_unseen_documents_where_there_are_some() -> None:
    one = measured(0.8)
    one["test_of_unseen_documents"] = one["test"]
    assert "On the 40 test queries none of whose documents" in training_page.tables(report_of({"a": one}))


def test_page_of_the_project_shows_the_figures_of_its_report() -> None:
    page = training_page.PAGE.read_text(encoding="utf-8")
    assert training_page.filled(page, training_page.tables(training_page.read(command.RESULTS))) == page


def test_report_elsewhere_gets_a_page_of_its_own(tmp_path: Path) -> None:
    before = training_page.PAGE.read_text(encoding="utf-8")
    path = training_page.write(report_of({"a": measured(0.8)}), tmp_path)
    assert path == tmp_path / training_page.PAGE.name
    assert "### a" in path.read_text(encoding="utf-8")
    assert training_page.PAGE.read_text(encoding="utf-8") == before


def test_every_set_is_drawn(tmp_path: Path) -> None:
    training_picture.draw(report_of({"a": measured(0.8), "b": measured(0.6)}), tmp_path / "training.png")
    assert (tmp_path / "training.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("now", "quick", "known"),
    [
        (NOW, False, {"a"}),
        (NOW | {"commit": "another"}, False, set()),
        (NOW | {"dirty": True}, False, set()),
        (NOW, True, set()),
    ],
)
def test_set_is_taken_over_only_from_the_same_commit_and_settings(
    now: dict[str, Any], quick: bool, known: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "moment", lambda: now)
    settings = training.settings_of(TrainingPlan(), "cpu")
    path = tmp_path / "training.json"
    dirty = measured(0.8) | {"measured": NOW | {"dirty": True}}
    path.write_text(json.dumps({"settings": settings, "sets": {"a": measured(0.8), "b": dirty}}))
    asked = training.settings_of(TrainingPlan.quick(), "cpu") if quick else settings
    assert training.taken_over(path, asked).keys() == known


def test_sets_that_are_not_measured_again_are_kept_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "training.json"
    assert training.kept(path, ["a"]) == {}
    path.write_text(json.dumps({"sets": {"a": measured(0.8), "b": measured(0.7)}}))
    assert training.kept(path, ["a"]) == {"b": measured(0.7)}


def test_nothing_is_taken_over_where_there_is_no_report(tmp_path: Path) -> None:
    assert training.taken_over(tmp_path / "training.json", {}) == {}


def test_set_that_is_not_there_is_told_and_the_exit_code_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--quick", "--sets", "medquad", "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    assert training.main(asked) == 1
    assert "not measured: medquad" in capsys.readouterr().err
    assert not (tmp_path / "out" / "training.json").exists()


def test_unknown_set_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        training.main(["--sets", "hpo,nothing"])
    assert "must be some of hpo, medquad" in capsys.readouterr().err
