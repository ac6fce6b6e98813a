"""docs/operations.md says of every crash point what the injected crashes show, and names what is there."""

from __future__ import annotations

import re

from embedloop.settings import Settings
from tests import compose
from tests.integration.promotion.steps import STEPS

GUIDE = (compose.ROOT / "docs" / "operations.md").read_text()


def test_the_table_of_crashes_is_that_of_the_tests() -> None:
    section = GUIDE.partition("## When the process that promotes dies\n")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.split("|")] for line in section.splitlines() if line.startswith("| ")
    ]
    told = [(row[1], row[2]) for row in rows if row[1] != "dies at"]
    assert told == [(step.name, step.in_charge.value) for step in STEPS]


def test_every_setting_named_is_one() -> None:
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", GUIDE))
    constants = {"HEARD_WITHIN_SECONDS"}
    assert named
    assert named - constants <= {field.upper() for field in Settings.model_fields}


def test_every_file_named_is_there() -> None:
    named = re.findall(r"`(tests/[\w./-]+)`", GUIDE) + re.findall(r"\]\((?!http)([\w./-]+)\)", GUIDE)
    folders = (compose.ROOT, compose.ROOT / "docs")
    assert [name for name in named if not any((folder / name).exists() for folder in folders)] == []
