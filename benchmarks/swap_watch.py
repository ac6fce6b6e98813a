"""How far the appliers are behind while writers write and versions come and go."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from benchmarks.bench_corpus import Bench
from benchmarks.soak_watch import broker_of, queued
from embedloop.client import AsyncClient
from embedloop.errors import EmbedloopError
from embedloop.records.versions import IndexState

LOOK_SECONDS = 1.0
FOLLOWING = (IndexState.SERVING.value, IndexState.STANDBY.value)


class LagWatch:
    """Looks every second: changes that the serving and the standby version lack, tasks in the broker."""

    def __init__(self, bench: Bench, client: AsyncClient, corpus: str):
        self.columns: dict[str, list[Any]] = {"at": [], "serving_lag": [], "standby_lag": [], "queued": []}
        self._client = client
        self._corpus = corpus
        # Without a broker of its own the stack has one that nobody else knows.
        self._broker = broker_of(bench) if bench.stack.broker else None

    async def go_on(self) -> None:
        """Looks until it is cancelled."""
        begin = time.perf_counter()
        while True:
            try:
                versions = await self._client.index_versions(self._corpus)
            except EmbedloopError:
                versions = []
            # The newest of a state: older standbys are about to be retired.
            lags = {one["state"]: one["lag"] for one in reversed(versions) if one["state"] in FOLLOWING}
            tasks = None if self._broker is None else await asyncio.to_thread(queued, self._broker)
            seen = (round(time.perf_counter() - begin, 1), *(lags.get(state) for state in FOLLOWING), tasks)
            for column, value in zip(self.columns.values(), seen, strict=True):
                column.append(value)
            await asyncio.sleep(LOOK_SECONDS)

    def most(self) -> dict[str, int | None]:
        """The most of each column but the time."""
        return {
            name: max((value for value in column if value is not None), default=None)
            for name, column in self.columns.items()
            if name != "at"
        }
