from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks import report, verdicts
from benchmarks.report import Report
from embedloop.errors import InvalidInput


@pytest.mark.parametrize(
    "value",
    [{}, [], {"a": [1, 2.5, None, "ü"], "b": {"c": [{"d": []}, {}]}}, {"rows": [[1, 2], [3, 4]], "n": True}],
)
def test_report_is_json_of_what_was_given(value: Any) -> None:
    assert json.loads(report.written(value)) == value


def test_figures_of_one_column_stay_on_one_line() -> None:
    assert report.written({"a": {"b": [1, 2, 3]}}) == '{\n  "a": {\n    "b": [1, 2, 3]\n  }\n}'


def test_each_section_is_on_disk_as_soon_as_it_is_kept(tmp_path: Path) -> None:
    drawn: list[Path] = []

    def draw(content: Mapping[str, Any], path: Path) -> None:
        drawn.append(path)

    made = Report("search", tmp_path / "results", {"terms": 3}, draw)
    made.keep("floor", {"p50": 1.5})
    kept = json.loads((tmp_path / "results" / "search.json").read_text())
    assert kept["floor"] == {"p50": 1.5}
    assert kept["settings"] == {"terms": 3}
    assert {"cpu", "cores", "packages"} <= kept["machine"].keys()
    assert {"at", "commit", "dirty", "load_average_1m", "seconds"} <= kept["measured"].keys()
    assert drawn == []
    made.finish()
    assert drawn == [tmp_path / "results" / "search.png"]
    assert [one.name for one in (tmp_path / "results").iterdir()] == ["search.json"]


@pytest.mark.parametrize(
    ("value", "bound", "met"),
    [
        (1.35, {"at_most": 1.35}, True),
        (1.36, {"at_most": 1.35}, False),
        (0.6, {"at_least": 0.6}, True),
        (0.59, {"at_least": 0.6}, False),
        (1, {"at_most": 0}, False),
    ],
)
def test_aim_is_met_at_its_bound_and_missed_beyond_it(value: float, bound: dict[str, float], met: bool) -> None:
    assert verdicts.judged(value, **bound)["met"] is met


def test_aim_has_one_bound() -> None:
    with pytest.raises(InvalidInput, match="one bound"):
        verdicts.judged(1.0, at_most=2.0, at_least=0.5)


def test_verdicts_become_rows_and_a_figure_without_an_aim_claims_none() -> None:
    told = {"a_to_b": verdicts.judged(2.0, at_least=1.0), "c_to_d": verdicts.judged(3.0)}
    assert verdicts.rows(told) == [["a to b", 2.0, "at least 1", "yes"], ["c to d", 3.0, None, None]]
