from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import embedloop

ROOT = Path(embedloop.__file__).parent
WITH_EXAMPLES = [file for file in sorted(ROOT.rglob("*.py")) if ">>>" in file.read_text(encoding="utf-8")]
MODULES = [".".join(file.relative_to(ROOT.parent).with_suffix("").parts) for file in WITH_EXAMPLES]


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings_hold(module: str) -> None:
    outcome = doctest.testmod(import_module(module))
    assert outcome.attempted > 0
    assert outcome.failed == 0
