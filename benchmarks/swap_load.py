"""One part under load: clients search, writers write, somebody swaps, until the last swap has ended."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial

from benchmarks import command
from benchmarks.bench_corpus import Bench
from benchmarks.figures import poisson_schedule
from benchmarks.plan import SEED, SwapPlan
from benchmarks.progress import say
from benchmarks.swap_models import Part
from benchmarks.swap_moves import Mover
from benchmarks.swap_traffic import Searchers
from benchmarks.swap_watch import LagWatch
from benchmarks.writing import Writer, at_times
from embedloop.client import AsyncClient
from embedloop.demo.ontology import Term, Vocabulary
from embedloop.errors import EmbedloopError

LONGEST_SECONDS = 3600.0
CALL_SECONDS = 90.0
# A writer waits for its answer, so that ten writes a second need one.
WRITES_OF_ONE = 10.0
# Of the queries, so many ask for documents that are written meanwhile.
OWN_NAMES = 0.25


@dataclass
class Load:
    """Who does what to one part; `begin` and `end` are of `time.perf_counter()`."""

    searchers: Searchers
    writers: Sequence[Writer]
    mover: Mover
    lag: LagWatch
    failed_writes: Counter[str]
    begin: float = field(default_factory=time.perf_counter)
    end: float = 0.0

    def errors(self) -> dict[str, int]:
        """Searches, writes and swaps that were not answered as they should be, by kind."""
        searches = (f"search: {one.error}" for one in self.searchers.searches if one.error is not None)
        return dict(self.failed_writes + self.mover.failed + Counter(searches))

    def writes(self) -> dict[str, float]:
        """Acknowledged writes by kind, and all of them a second."""
        done = sum((writer.done for writer in self.writers), Counter[str]())
        return {**done, "a_second": round(done.total() / (self.end - self.begin), 1)}


async def run(bench: Bench, urls: Sequence[str], part: Part, vocabulary: Vocabulary, plan: SwapPlan) -> Load:
    """Puts one part under load until all its swaps have been made."""
    spare = command.spare_terms(vocabulary)
    key, failed = bench.stack.admin_key, Counter[str]()
    async with AsyncExitStack() as stack:
        connect = partial(AsyncClient, api_key=key, timeout_seconds=CALL_SECONDS)
        # What people do is not repeated, so that each failure is seen.
        people = [await stack.enter_async_context(connect(url, retries=0)) for url in urls]
        operators = [await stack.enter_async_context(connect(url)) for url in urls]
        writers = _writers(people, part, spare, failed)
        queries = queries_of(vocabulary, spare, plan.queries)
        ledgers = [writer.ledger for writer in writers]
        load = Load(
            Searchers(urls, key, part.corpus, queries, plan, ledgers),
            writers,
            Mover(operators, part, plan.calm_seconds),
            LagWatch(bench, operators[0], part.corpus),
            failed,
        )
        say(f"{part.corpus}: {plan.clients} clients, {part.writes:g} writes/s")
        await _until_swapped(load, part.writes / len(writers))
        load.end = time.perf_counter()
    return load


async def _until_swapped(load: Load, writes_of_one: float) -> None:
    async with asyncio.TaskGroup() as group:
        going_on = [group.create_task(load.searchers.go_on()), group.create_task(load.lag.go_on())]
        for number, writer in enumerate(load.writers):
            schedule = poisson_schedule(writes_of_one, LONGEST_SECONDS, SEED + number)
            going_on.append(group.create_task(_write(writer, load.begin, schedule)))
        await load.mover.run()
        for task in going_on:
            task.cancel()


async def _write(writer: Writer, begin: float, schedule: Sequence[float]) -> None:
    async def one(_: float) -> None:
        await writer.write()

    async with asyncio.TaskGroup() as group:
        await at_times(group, begin, schedule, one)


def _writers(
    clients: Sequence[AsyncClient], part: Part, spare: Sequence[Term], failed: Counter[str]
) -> list[Writer]:
    """So many that none has to hurry; each has documents of its own, and writes to one of the replicas."""

    def note(what: str, error: EmbedloopError) -> None:
        failed[f"{what}: {error.code}"] += 1

    count = math.ceil(part.writes / WRITES_OF_ONE)
    return [
        Writer(clients[number % len(clients)], part.corpus, spare[number::count], note)
        for number in range(count)
    ]


def queries_of(vocabulary: Vocabulary, spare: Sequence[Term], count: int) -> list[str]:
    """Synonyms of documents that stay, and names of documents that are written meanwhile."""
    own = int(count * OWN_NAMES)
    synonyms = [case.query for case in vocabulary.train[: count - own]]
    return synonyms + [term.name for term in spare[:own]]
