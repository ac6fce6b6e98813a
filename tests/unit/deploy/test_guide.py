"""docs/deployment.md names settings, metrics, services and totals that are there."""

from __future__ import annotations

import re

from embedloop.settings import Settings
from tests import compose
from tests.unit.deploy.test_compose import ELSEWHERE

GUIDE = (compose.ROOT / "docs" / "deployment.md").read_text()


def section(title: str) -> str:
    return GUIDE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_every_setting_in_the_table_is_one() -> None:
    rows = [line.split("|")[1] for line in section("Settings").splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    known = {field.upper() for field in Settings.model_fields}
    assert named
    assert named <= known | {name.removeprefix("EMBEDLOOP_") for name in ELSEWHERE}


def test_defaults_in_the_table_are_those_of_the_code() -> None:
    for line in section("Settings").splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) > 3 and cells[2].isdigit():
            assert Settings.model_fields[cells[1].strip("`").lower()].default == int(cells[2]), line


def test_every_metric_named_is_told_by_the_service() -> None:
    sources = "".join((compose.ROOT / "service" / name).read_text() for name in ("metrics.py", "app.py"))
    told = set(re.findall(r'"(embedloop_\w+)"', sources))
    assert set(re.findall(r"`(embedloop_\w+)`", section("What to watch"))) == told


def test_totals_are_those_of_the_compose_file() -> None:
    limits = [service["deploy"]["resources"]["limits"] for service in compose.services().values()]
    gigabytes = sum(float(one["memory"][:-1]) / {"G": 1, "M": 1024}[one["memory"][-1]] for one in limits)
    cpus = sum(float(one["cpus"]) for one in limits)
    assert f"at most {cpus:g} CPUs and {gigabytes:.0f} GB in all" in GUIDE.replace("\n", " ")


def test_every_file_named_is_there() -> None:
    named = re.findall(r"`((?:deploy|tests|training|embedloop|benchmarks)/[\w./-]+)`", GUIDE)
    assert named
    assert [name for name in named if not (compose.ROOT / name).exists()] == []
