"""Every example in a docstring of the packages is run, and holds."""

from __future__ import annotations

import doctest
import re
from importlib import import_module
from pathlib import Path

import pytest

import embedloop

ROOT = Path(embedloop.__file__).parents[1]
PACKAGES = ["embedloop", "training", "workers", "service", "benchmarks"]
EXAMPLE = re.compile(r"^ *>>> ", re.MULTILINE)


def written_in(package: str) -> dict[str, int]:
    """How many examples each module of the package holds, of those that hold any."""
    counts = {
        file: len(EXAMPLE.findall(file.read_text(encoding="utf-8"))) for file in (ROOT / package).rglob("*.py")
    }
    names = {file: ".".join(file.relative_to(ROOT).with_suffix("").parts) for file in counts}
    return {names[file].removesuffix(".__init__"): count for file, count in sorted(counts.items()) if count}


WRITTEN = {package: written_in(package) for package in PACKAGES}


@pytest.mark.parametrize("package", PACKAGES)
def test_examples_are_found_in_every_package(package: str) -> None:
    assert WRITTEN[package]


@pytest.mark.parametrize(("module", "written"), [pair for found in WRITTEN.values() for pair in found.items()])
def test_all_examples_of_a_module_are_run_and_hold(module: str, written: int) -> None:
    outcome = doctest.testmod(import_module(module))
    assert (outcome.attempted, outcome.failed) == (written, 0)
