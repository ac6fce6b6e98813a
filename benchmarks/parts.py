"""The servers below a measured stack: those of production, or the embedded ones."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import bench_corpus, engines
from benchmarks.bench_corpus import Bench
from benchmarks.progress import say
from tests import servers

PRODUCTION, EMBEDDED = "production", "embedded"


def add_parts(to: argparse.ArgumentParser) -> None:
    """Adds the choice of the parts."""
    told = "Milvus 2.3.5 and PostgreSQL, or Milvus Lite and SQLite"
    to.add_argument("--parts", choices=(PRODUCTION, EMBEDDED), default=PRODUCTION, help=told)


@contextmanager
def running(kind: str, *, policy: Mapping[str, Any] | None = None, with_corpus: bool = True) -> Iterator[Bench]:
    """A stack on servers that are started for it.

    Args:
        kind: `production`: the Milvus engine, PostgreSQL and Valkey; `embedded`: Milvus Lite, SQLite, Valkey.
        policy: Of the corpus.
        with_corpus: False leaves making corpora to the caller.
    """
    if kind == EMBEDDED:
        with (
            engines.running(engines.LITE) as engine,
            bench_corpus.running(engine, policy=policy, with_corpus=with_corpus) as bench,
        ):
            yield bench
        return
    with (
        tempfile.TemporaryDirectory(prefix="embedloop-bench-postgres-") as postgres_folder,
        tempfile.TemporaryDirectory(prefix="embedloop-bench-valkey-") as valkey_folder,
        engines.running(engines.ENGINE) as engine,
    ):
        postgres = servers.postgres(Path(postgres_folder))
        valkey = servers.valkey(Path(valkey_folder))
        say("starting PostgreSQL and Valkey")
        try:
            postgres.start()
            valkey.start()
            with bench_corpus.running(
                engine,
                database=servers.postgres_url(postgres),
                broker=f"redis://127.0.0.1:{valkey.port}/0",
                servers={"postgres": postgres.pid, "valkey": valkey.pid},
                policy=policy,
                with_corpus=with_corpus,
            ) as bench:
                yield bench
        finally:
            valkey.stop()
            postgres.stop()
