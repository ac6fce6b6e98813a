"""Measured code runs in a process of its own: JSON on stdin, JSON on stdout, progress on stderr."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from typing import Any

from benchmarks.machine import ROOT
from embedloop.errors import EmbedloopError


def measure(
    module: str, config: Mapping[str, Any], *, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Runs `python -m module` on a configuration and reads its result.

    Args:
        module: Its `main` is given to `answer`.
        config: What goes in.
        environment: Further variables of the process.

    Raises:
        EmbedloopError: The process failed; its own words went to stderr.
    """
    done = subprocess.run(
        [sys.executable, "-m", module],
        input=json.dumps(config),
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        check=False,
    )
    if done.returncode != 0:
        raise EmbedloopError(f"{module} ended with code {done.returncode}; its message is above")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def answer(run: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
    """The other side of `measure`; what the run prints goes to stderr."""
    with redirect_stdout(sys.stderr):
        result = run(json.load(sys.stdin))
    json.dump(result, sys.stdout)
