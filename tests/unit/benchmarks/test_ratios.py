from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import plain, reembed, search
from benchmarks.levels import named, table
from embedloop.errors import MissingExtra


def level(rate: float, p50: float, **more: Any) -> dict[str, Any]:
    return {"requests_per_second": rate, "latency_ms": {"p50": p50, "p95": 2 * p50, "p99": 3 * p50}} | more


def test_search_ratios_compare_the_same_levels_and_carry_their_aims() -> None:
    found = {
        "floor": {"single": level(50, 20.0), "batched": {"requests_per_second": 200.0}},
        "ours": {"closed": [level(40, 25.0), level(80, 90.0), level(150, 200.0)], "open": [level(148, 900.0)]},
        "plain": {"closed": [level(20, 50.0), level(25, 300.0), level(24, 1300.0)], "open": [level(6, 9000.0)]},
    }
    ratios = search.ratios(found)
    assert ratios["p50_of_1_client_to_floor"] == {"value": 1.25, "aim": "at most 1.35", "met": True}
    assert ratios["throughput_of_32_clients_to_batched_floor"]["value"] == 0.75
    assert ratios["throughput_of_32_clients_to_plain_service"] == {
        "value": 6.25,
        "aim": "at least 5",
        "met": True,
    }
    assert ratios["p50_of_1_client_to_plain_service"] == {"value": 0.5}
    assert ratios["goodput_at_twice_the_load_to_most"]["value"] == 0.987
    assert ratios["goodput_of_plain_service_at_twice_the_load_to_most"]["value"] == 0.25


def job(embed: float, whole: float) -> dict[str, Any]:
    return {"documents_per_second": {"embed": embed, "job": whole}}


def test_reembed_ratios_compare_jobs_with_the_bare_encoder_and_with_each_other() -> None:
    searches = {"before": level(5, 20.0), "during": level(5, 50.0)}
    found = {
        "quiet": job(57.0, 48.0),
        "with_searches": job(40.0, 36.0) | {"searches": searches},
        "bare": {"documents_per_second": 60.0, "in_bulk": {"documents_per_second": 76.0}},
        "ingest": {"documents_per_second": 45.0},
        "plain_ingest": {"documents_per_second": 30.0},
        "long_documents": {
            "quiet": job(9.7, 8.0),
            "bare": {"documents_per_second": 10.0, "in_bulk": {"documents_per_second": 10.0}},
        },
    }
    ratios = reembed.ratios(found)
    assert ratios["embed_stage_to_bare"] == {"value": 0.95, "aim": "at least 0.95", "met": True}
    assert ratios["embed_stage_to_bare_of_long_documents"]["value"] == 0.97
    assert ratios["embed_stage_to_bare_in_bulk"] == {"value": 0.75}
    assert ratios["embed_stage_to_bare_in_bulk_of_long_documents"] == {"value": 0.97}
    assert ratios["job_to_bare"]["value"] == 0.8
    assert ratios["job_with_searches_to_quiet_job"]["value"] == 0.75
    assert ratios["ingest_to_plain_service"]["value"] == 1.5
    assert ratios["search_p50_during_to_before"]["value"] == 2.5


def test_reembed_ratios_leave_out_searches_that_nobody_answered() -> None:
    searches = {"before": level(5, 20.0), "during": {"latency_ms": None}}
    found = {
        "quiet": job(57.0, 48.0),
        "with_searches": job(40.0, 36.0) | {"searches": searches},
        "bare": {"documents_per_second": 60.0, "in_bulk": {"documents_per_second": 76.0}},
        "ingest": {"documents_per_second": 45.0},
        "plain_ingest": {"documents_per_second": 30.0},
        "long_documents": {
            "quiet": job(9.7, 8.0),
            "bare": {"documents_per_second": 10.0, "in_bulk": {"documents_per_second": 10.0}},
        },
    }
    assert not any(name.startswith("search") for name in reembed.ratios(found))


def test_ingest_in_parts_is_told_as_one() -> None:
    parts = [{"applied": 9.0, "found": 10.0}, {"applied": 29.0, "found": 30.0}]
    assert reembed.ingest_of(parts, 600) == {
        "documents": 600,
        "seconds": {"applied": 38.0, "found": 40.0},
        "documents_per_second": 15.0,
    }


def test_table_tells_refusals_from_other_errors_and_shows_a_level_without_answers() -> None:
    cpu = {"cpu_ms_per_request": {"service": 3.0, "milvus": 1.0}}
    section = {
        "closed": [level(40, 25.0, clients=1, errors={}) | cpu],
        "open": [
            {"rate": 300.0, "requests_per_second": 0.0, "latency_ms": None}
            | {"errors": {"status 429": 7, "TimeoutError": 2, "OSError": 1}}
            | cpu
        ],
    }
    assert table("ours", section) == [
        ["ours, 1 client", 25.0, 50.0, 75.0, 40, 0, 0, 4.0],
        ["ours, open, 300/s", None, None, None, 0.0, 7, 3, 4.0],
    ]


def test_levels_are_named_by_what_drives_them() -> None:
    assert named({"clients": 32}) == "32 clients"
    assert named({"rate": 12.6}) == "open, 13/s"


def test_missing_packages_of_the_plain_service_are_told_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(MissingExtra, match="make plain-service"):
        plain.checked(tmp_path)
    (tmp_path / "langchain_milvus").mkdir()
    assert plain.checked(tmp_path) == tmp_path
