"""A process that promotes what it is told to, and at a step that it is told of dies as by kill -9.

It reads one JSON object a line, `{"candidate": ..., "timeout_seconds": ..., "die_at": step or null}`, and
answers each with a line, `{"promoted": bool, "code": ..., "message": ...}`. What it watches are its own calls
to the catalog and to Milvus: the product knows nothing of it, and nothing of the product runs after the end.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from embedloop.catalog import promotions
from embedloop.catalog.database import Database
from embedloop.catalog.tables import promotions as promotions_table
from embedloop.errors import EmbedloopError
from embedloop.index import MilvusIndex
from embedloop.promotion import HEARD_WITHIN_SECONDS, promote
from tests.integration.promotion.steps import REPLICAS
from tests.patience import PATIENCE_SECONDS

_COMMITS = {"preparing": "open", "published": "publish", "called_off": "call off"}


class Promoter:
    """The process as the tests see it."""

    def __init__(self, database_url: str, milvus_port: int, corpus: str, log: Path):
        self._log = log
        self._errors = log.open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, database_url, f"http://127.0.0.1:{milvus_port}", corpus],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            bufsize=1,
        )

    def wait_ready(self) -> None:
        """It has connected to both servers."""
        assert self._line() == "ready", self._log.read_text()

    def ask(self, candidate: str, *, timeout_seconds: float = 30, die_at: str | None = None) -> None:
        assert self._process.stdin is not None
        told = {"candidate": candidate, "timeout_seconds": timeout_seconds, "die_at": die_at}
        self._process.stdin.write(json.dumps(told) + "\n")

    def outcome(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self._line() or "null")
        assert told is not None, self._log.read_text()
        return told

    @property
    def is_gone(self) -> bool:
        return self._process.poll() is not None

    @property
    def was_killed(self) -> bool:
        return self._process.wait(timeout=PATIENCE_SECONDS) == -signal.SIGKILL

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


class Death:
    """Ends the process at one step."""

    def __init__(self) -> None:
        self.step: str | None = None

    def at(self, step: str) -> None:
        if step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


class MortalDatabase(Database):
    """A catalog whose transactions are steps, named by what they made of the promotion."""

    def __init__(self, url: str, corpus: str, death: Death):
        super().__init__(url)
        self._corpus = corpus
        self._death = death

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with super().write() as connection:
            if self._candidate_is_everywhere(connection):
                self._death.at("all replicas have acknowledged")
            yield connection
            commit = _COMMITS[self._state(connection)]
            self._death.at(f"{commit}, before its commit")
        self._death.at(f"{commit}, after its commit")

    def _state(self, connection: Connection) -> str:
        table = promotions_table
        newest = select(table.c.state).where(table.c.corpus == self._corpus).order_by(table.c.token.desc())
        return connection.execute(newest.limit(1)).scalar_one_or_none() or "none"

    def _candidate_is_everywhere(self, connection: Connection) -> bool:
        under_way = promotions.preparing(connection).get(self._corpus)
        if under_way is None:
            return False
        heard = promotions.heard(connection, self._corpus, HEARD_WITHIN_SECONDS)
        return [r.prepared for r in heard] == [under_way.candidate] * REPLICAS


class MortalIndex(MilvusIndex):
    """A Milvus whose alias is a step."""

    death: Death

    def point_alias(self, alias: str, collection: str) -> None:
        self.death.at("alias, before it moves")
        super().point_alias(alias, collection)
        self.death.at("alias, after it has moved")


def main(database_url: str, milvus_uri: str, corpus: str) -> None:
    death = Death()
    database = MortalDatabase(database_url, corpus, death)
    index = MortalIndex(milvus_uri, timeout_seconds=PATIENCE_SECONDS)
    index.death = death
    print("ready", flush=True)
    for line in sys.stdin:
        told = json.loads(line)
        death.step = told["die_at"]
        print(json.dumps(_promote(database, index, corpus, death, told)), flush=True)


def _promote(
    database: Database, index: MilvusIndex, corpus: str, death: Death, told: dict[str, Any]
) -> dict[str, Any]:
    candidate = told["candidate"]

    def pause(seconds: float) -> None:
        with database.read() as connection:
            heard = promotions.heard(connection, corpus, HEARD_WITHIN_SECONDS)
            is_preparing = corpus in promotions.preparing(connection)
        if is_preparing:
            death.at(f"{sum(r.prepared == candidate for r in heard)} of 2 replicas have acknowledged")
        else:
            death.at(f"{sum(r.serving == candidate for r in heard)} of 2 replicas have moved")
        threading.Event().wait(seconds)

    try:
        promote(
            database,
            index,
            corpus,
            candidate,
            actor="promoter",
            timeout_seconds=told["timeout_seconds"],
            pause=pause,
        )
    except EmbedloopError as error:
        return {"promoted": False, "code": error.code, "message": error.message}
    return {"promoted": True, "code": None, "message": ""}


if __name__ == "__main__":
    main(*sys.argv[1:])
