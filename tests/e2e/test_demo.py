"""`embedloop demo` as a newcomer runs it: in an empty directory, with the real model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE_SECONDS

DEMO_SECONDS = 6 * PATIENCE_SECONDS


@pytest.mark.slow
def test_demo_ends_well_with_a_report_of_no_errors(tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "embedloop"
    ended = subprocess.run(
        [str(program), "demo", "--terms", "300"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=DEMO_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-4000:]
    page = (tmp_path / "report.html").read_text()
    assert "<html" in page
    numbers = json.loads((tmp_path / "report.json").read_text())
    assert numbers["swap"]["errors"] == 0
    assert numbers["swap"]["mixed"] == 0
    assert numbers["swap"]["searches"] > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json"]
