"""What several test files here share: a machine that runs jobs, and a service of the test's own for clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from typer.testing import CliRunner, Result

from embedloop.catalog import corpora
from embedloop.catalog.database import Database
from embedloop.cli import app
from embedloop.client import Client
from embedloop.policy import Policy
from tests.unit.embedloop.fake_service import KEY, FakeService
from tests.unit.embedloop.job_machine import CORPUS, Machine

Run = Callable[..., Result]


@pytest.fixture
def machine(database: Database) -> Machine:
    """A machine that runs jobs, on SQLite and on PostgreSQL."""
    with database.write() as connection:
        corpora.add(connection, CORPUS, Policy())
        corpora.add(connection, "other", Policy())
    return Machine(database)


@pytest.fixture
def service() -> Iterator[FakeService]:
    with FakeService().serving() as running:
        yield running


@pytest.fixture
def client(service: FakeService) -> Iterator[Client]:
    with Client(service.url, KEY, timeout_seconds=5) as connected:
        yield connected


@pytest.fixture
def run(service: FakeService) -> Run:
    """The command line, given the service and its key by the environment; `changed` replaces of that."""
    environment = {"EMBEDLOOP_URL": service.url, "EMBEDLOOP_KEY": KEY, "COLUMNS": "200"}

    def invoke(*arguments: str, **changed: str) -> Result:
        return CliRunner(env=environment | changed).invoke(app, list(arguments))

    return invoke
