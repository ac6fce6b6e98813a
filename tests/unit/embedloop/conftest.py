"""A machine that runs jobs, on SQLite and on PostgreSQL."""

from __future__ import annotations

import pytest

from embedloop.catalog import corpora
from embedloop.catalog.database import Database
from embedloop.policy import Policy
from tests.unit.embedloop.job_machine import CORPUS, Machine


@pytest.fixture
def machine(database: Database) -> Machine:
    with database.write() as connection:
        corpora.add(connection, CORPUS, Policy())
        corpora.add(connection, "other", Policy())
    return Machine(database)
