from __future__ import annotations

from pathlib import Path

import pytest

from embedloop.demo.ontology import Vocabulary, build_vocabulary, ontology_file


@pytest.fixture(scope="session")
def real_file() -> Path:
    return ontology_file()


@pytest.fixture(scope="session")
def small_vocabulary(real_file: Path) -> Vocabulary:
    return build_vocabulary(real_file, terms=300, test_cap=800, golden_cap=400, seed=13)
