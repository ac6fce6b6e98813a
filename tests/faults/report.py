"""The long run as it is told: progress, and a report that is written after every round."""

from __future__ import annotations

import shutil
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.progress import say, show
from benchmarks.report import write
from tests.faults.cluster import running
from tests.faults.plan import PARTS, STORES, Round, counted, plan
from tests.faults.record import Record
from tests.faults.run import Run

RESULTS = machine.ROOT / machine.RESULTS
ROUND_STEPS = {"lite": 20, "engine": 12}
PARTS_OF = {"lite": (*PARTS, *STORES), "engine": (*PARTS, *STORES, "postgres")}


@dataclass(frozen=True)
class Options:
    """One run.

    Attributes:
        milvus: `lite` (with SQLite) or `engine` (with PostgreSQL).
        folder: For data and logs.
        out: Folder of the report.
        collected: Whether to wait, at the end, until every retired version is dropped.
    """

    steps: int
    kills: int
    seed: int
    milvus: str
    folder: Path
    out: Path = RESULTS
    collected: bool = True

    def rounds(self) -> list[Round]:
        """The plan, the same for the same options."""
        return plan(
            self.seed,
            self.steps,
            self.kills,
            round_steps=ROUND_STEPS[self.milvus],
            parts=PARTS_OF[self.milvus],
        )

    def command(self) -> str:
        """What runs this plan once more."""
        told = f"STEPS={self.steps} KILLS={self.kills} SEED={self.seed} MILVUS={self.milvus}"
        return f"make test-faults {told}"


def run(options: Options) -> int:
    """Runs the plan; returns 0 when nothing was found, and 1 with everything that helps otherwise."""
    say(options.command())
    rounds = options.rounds()
    known = Record()
    content: dict[str, Any] = {
        "machine": machine.description(),
        "measured": machine.moment(),
        "settings": {name: getattr(options, name) for name in ("steps", "kills", "seed", "milvus")}
        | {"planned": dict(counted(rounds))},
    }
    path = options.out / "faults.json"
    failure = None
    try:
        carry_out(options, rounds, known, lambda: _keep(path, content, known))
    except BaseException:
        failure = traceback.format_exc()
        if not isinstance(sys.exception(), Exception):
            _tell(options, known, failure)
            raise
    content["failure"] = failure
    _keep(path, content, known)
    found = sum(known.verdict().values())
    if failure or found:
        _tell(options, known, failure)
        return 1
    _show(content)
    shutil.rmtree(options.folder)
    return 0


def carry_out(options: Options, rounds: list[Round], known: Record, keep: Callable[[], None]) -> None:
    """Starts the processes and carries out the plan; says after each round how far it is."""

    def told(number: int) -> None:
        keep()
        found = sum(known.verdict().values())
        say(
            f"round {number + 1} of {len(rounds)}, step {known.step}, {known.seconds:.0f} s: "
            f"{known.kills.total()} kills, {known.done['reembeds']} re-embeds, found {found}"
        )

    say(f"data and logs: {options.folder}")
    with running(options.folder, options.milvus) as cluster:
        one = Run(cluster, options.seed, known)
        one.carry_out(rounds, told)
        if options.collected:
            one.checks.compare_collections()


def check(options: Options) -> Record:
    """Runs a short plan for the test suite.

    Raises:
        AssertionError: something was found, or the parts did not come to rest; with all that helps.
    """
    rounds, known = options.rounds(), Record()
    try:
        carry_out(options, rounds, known, lambda: None)
        assert not known.findings, f"{len(known.findings)} findings"
    except BaseException as error:
        error.add_note(last_words(options, known))
        raise
    shutil.rmtree(options.folder)
    return known


def last_words(options: Options, known: Record) -> str:
    """What helps to understand a failed run."""
    return "\n".join(
        (
            "the last operations:",
            *known.last,
            "findings:",
            *known.findings,
            f"logs and data: {options.folder}",
            f"once more: {options.command()}",
        )
    )


def _keep(path: Path, content: dict[str, Any], known: Record) -> None:
    content["measured"]["seconds"] = round(known.seconds, 1)
    verdict = known.verdict()
    content["steps"] = known.step
    content["kills"] = dict(sorted(known.kills.items())) | {"in all": known.kills.total()}
    content["done"] = dict(sorted(known.done.items()))
    content["refused_while_parts_were_down"] = dict(sorted(known.errors.items()))
    content["found"] = dict(verdict)
    content["findings"] = known.findings
    write(path, content)


def _tell(options: Options, known: Record, failure: str | None) -> None:
    print(last_words(options, known), failure or "", sep="\n", file=sys.stderr)


def _show(content: Mapping[str, Any]) -> None:
    rows: list[list[object]] = [[name, count] for name, count in content["done"].items()]
    rows += [[f"kills, {name}", count] for name, count in content["kills"].items()]
    rows += [[f"found, {name}", count] for name, count in content["found"].items()]
    show(f"Faults, {content['steps']} steps", ["what", "number"], rows)
