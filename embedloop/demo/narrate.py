"""What the demo says in the terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from embedloop.client.results import Json
from embedloop.demo.metrics import Comparison


@dataclass(frozen=True, slots=True)
class StageMark:
    """When a stage of the cycle began, in seconds on the monotonic clock."""

    name: str
    at: float


@dataclass(slots=True)
class Narrator:
    """Tells the story step by step, and keeps the seconds that each step took."""

    console: Console = field(default_factory=Console)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str, title: str) -> Iterator[None]:
        """Head a step with a rule; `name` is its key in `seconds`."""
        self.console.rule(f"[bold]{title}", align="left")
        began = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - began, 2)

    def say(self, text: str) -> None:
        self.console.print(text, soft_wrap=True)

    @contextmanager
    def count(self, description: str, total: int) -> Iterator[Callable[[], None]]:
        """Show a bar that grows by one with each call."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.console) as progress:
            task = progress.add_task(description, total=total)
            yield lambda: progress.advance(task)

    @contextmanager
    def job(self, description: str) -> Iterator[JobBar]:
        """Show a job's stage and progress."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.console) as progress:
            bar = JobBar(progress, description)
            yield bar
            bar.close()

    def comparison(self, compared: Mapping[str, Comparison], queries: int) -> None:
        """Print the table of before and after."""
        table = Table(title=f"{queries} held-out synonyms, before and after", title_justify="left")
        table.add_column("metric")
        for heading in ("before", "after", "uplift", "95 % of the uplift"):
            table.add_column(heading, justify="right")
        for metric, numbers in compared.items():
            uplift = numbers.uplift
            sure = "green" if uplift.low > 0 else "red" if uplift.high < 0 else "yellow"
            table.add_row(
                metric,
                f"{numbers.before.mean:.3f}",
                f"{numbers.after.mean:.3f}",
                f"[{sure}]{uplift.mean:+.3f}[/]",
                f"{uplift.low:+.3f} … {uplift.high:+.3f}",
            )
        self.console.print(table)

    def verdict(self, failures: Sequence[str]) -> None:
        """Print the end of the story: what failed, if anything."""
        if failures:
            self.console.print(
                "The demo failed: " + "; ".join(failures), style="bold red", markup=False, soft_wrap=True
            )
        else:
            self.console.print("Everything that was to be shown was shown.", style="bold green")


class JobBar:
    """A bar for one job, with a line for each stage that ended; `marks` says when each stage began."""

    def __init__(self, progress: Progress, description: str):
        self.marks: list[StageMark] = []
        self._progress = progress
        self._description = description
        self._task = progress.add_task(description, total=1.0)

    def __call__(self, job: Json) -> None:
        stage = str(job["stage"])
        if not self.marks or self.marks[-1].name != stage:
            self.close()
            self.marks.append(StageMark(stage, time.monotonic()))
        self._progress.update(
            self._task, completed=float(job["progress"]), description=f"{self._description}: {stage}"
        )

    def close(self) -> None:
        """Print the line of the last stage."""
        if self.marks:
            last = self.marks[-1]
            self._progress.console.print(
                f"  {last.name:<8} {time.monotonic() - last.at:6.1f} s", highlight=False
            )
