"""Starts the plain service that ours is compared with, and fills its collection."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import child
from benchmarks.engines import Engine, seal
from benchmarks.levels import Target
from benchmarks.machine import ROOT
from embedloop.demo.ontology import Term
from embedloop.errors import MissingExtra
from embedloop.policy import DEFAULT_BASE_MODEL, IndexSettings
from embedloop.registry import resolve_base
from embedloop.text.chunking import embedding_text
from tests.servers import Server, free_port

COLLECTION = "plain_service"
# Where `make bench` puts the packages of requirements-plain.txt.
PACKAGES = Path(sys.prefix) / "plain-service"


@dataclass(frozen=True, slots=True)
class PlainService:
    """How the plain service is run: its packages, its Milvus.

    Attributes:
        packages: Folder with the packages of `requirements-plain.txt`.
        engine: The Milvus that it shares with ours, in a collection of its own.
    """

    packages: Path
    engine: Engine

    def ingest(self, terms: Sequence[Term]) -> dict[str, Any]:
        """Adds the terms by `add_texts`, seals the collection; tells how long adding took."""
        texts = [embedding_text(term.name, term.definition) for term in terms]
        figures = child.measure(
            "benchmarks.plain_ingest",
            self._config()
            | {
                "texts": texts,
                "titles": [term.name for term in terms],
                "ids": [term.term_id for term in terms],
            },
            environment=self._environment(),
        )
        seal(self.engine.uri, COLLECTION)
        return figures

    @contextmanager
    def running(self) -> Iterator[Target]:
        """Runs it by uvicorn with uvicorn's defaults."""
        port = free_port()
        command = [sys.executable, "-m", "uvicorn", "--factory", "benchmarks.plain_service:create"]
        command += ["--host", "127.0.0.1", "--port", str(port)]
        environment = self._environment() | {"PLAIN_SERVICE": json.dumps(self._config())}
        with tempfile.TemporaryDirectory(prefix="embedloop-bench-") as folder:
            log = Path(folder) / "plain.log"
            server = Server(command, port, log, environment=environment, folder=ROOT)
            server.start()
            try:
                yield Target(
                    url=f"http://127.0.0.1:{port}",
                    path="/search",
                    key="",
                    pids={"service": server.pid, "milvus": self.engine.pid},
                )
            finally:
                server.stop()

    def _config(self) -> dict[str, Any]:
        index = IndexSettings()
        return {
            "model": str(resolve_base(DEFAULT_BASE_MODEL)),
            "milvus": self.engine.uri,
            "collection": COLLECTION,
            "m": index.m,
            "ef_construction": index.ef_construction,
            "ef_search": index.ef_search,
        }

    def _environment(self) -> dict[str, str]:
        return {"PYTHONPATH": f"{self.packages}{os.pathsep}{ROOT}", "HF_HUB_OFFLINE": "1"}


def add_packages(to: argparse.ArgumentParser) -> None:
    """Adds the option that names the folder of the packages."""
    to.add_argument("--plain-packages", type=Path, default=PACKAGES, help=f"of the peer (default {PACKAGES})")


def checked(packages: Path) -> Path:
    """The folder, if the plain service's packages are in it.

    Raises:
        MissingExtra: They are not.
    """
    if not (packages / "langchain_milvus").is_dir():
        raise MissingExtra(
            f"the plain service needs the packages of benchmarks/requirements-plain.txt in {packages}: "
            "run `make plain-service`, or name another folder by --plain-packages"
        )
    return packages
