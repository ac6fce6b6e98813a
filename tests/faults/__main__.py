"""`python -m tests.faults`: the long run, with its report in `benchmarks/results/faults.json`."""

from __future__ import annotations

import argparse
import logging
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.faults import report
from tests.faults.report import Options


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs and reports; returns 0 when nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=None, help="default: a random one, which is printed")
    parser.add_argument("--milvus", choices=("lite", "engine"), default="lite")
    parser.add_argument("--out", type=Path, default=report.RESULTS, help="folder of the report")
    parser.add_argument("--folder", type=Path, default=None, help="data and logs; kept when something is found")
    # Its every refused call, and there are hundreds on purpose, would stand between the lines of progress.
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    told = parser.parse_args(arguments)
    for name in ("steps", "kills"):
        if getattr(told, name) < (name == "steps"):
            parser.error(f"--{name} must be at least {int(name == 'steps')}, got {getattr(told, name)}")
    seed = random.SystemRandom().randrange(2**31) if told.seed is None else told.seed
    folder = told.folder or Path(tempfile.mkdtemp(prefix="embedloop-faults-"))
    return report.run(Options(told.steps, told.kills, seed, told.milvus, folder, told.out))


if __name__ == "__main__":
    sys.exit(main())
