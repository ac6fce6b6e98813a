"""A training that is paused, or whose worker ends, leaves a checkpoint and goes on from it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from embedloop.catalog import corpora
from embedloop.catalog.database import Database
from embedloop.jobs import Advance, Lease, Outcome
from embedloop.orders import Order
from embedloop.policy import Policy
from embedloop.records.jobs import Job, JobKind, JobState
from tests.unit.embedloop.job_machine import CORPUS, Machine
from training.finetune import TRAINING_SHARE, FinetuneConfig
from workers.train import run_child

MakeConfig = Callable[..., FinetuneConfig]
LOOK_SECONDS = 0.02


@pytest.fixture
def machine(sqlite_url: str) -> Iterator[Machine]:
    database = Database(sqlite_url)
    with database.write() as connection:
        corpora.add(connection, CORPUS, Policy())
    yield Machine(database)
    database.dispose()


@pytest.fixture
def training(machine: Machine) -> str:
    """A job at its training stage."""
    job, _ = machine.submit(JobKind.FINETUNE)
    machine.run(job.job_id, lambda *_: Advance())
    assert machine.get(job.job_id).stage == "train"
    return job.job_id


@contextmanager
def once_it_trains(machine: Machine, job_id: str, act: Callable[[], object]) -> Iterator[None]:
    """Acts as soon as the job tells of a step."""
    begun, over = machine.get(job_id).progress, threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_SECONDS):
            if machine.get(job_id).progress > begun:
                act()
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def saved_step(out: Path) -> int:
    """Of the newest checkpoint; 0 without one."""
    return max((int(p.name.rpartition("-")[2]) for p in out.glob("checkpoints/checkpoint-*")), default=0)


def trainers() -> list[psutil.Process]:
    return [p for p in psutil.Process().children(recursive=True) if "training" in p.cmdline()]


@pytest.mark.parametrize("how", ["pause", "worker ends"])
def test_a_training_that_is_interrupted_saves_its_step_and_goes_on_from_it(
    machine: Machine, training: str, make_config: MakeConfig, how: str
) -> None:
    # Its own evaluations come far too late to have left the checkpoint.
    config = make_config(epochs=10, batch_size=2, dev=False, evaluations=1)
    stopping = threading.Event()
    act = stopping.set if how == "worker ends" else lambda: machine.give(training, Order.PAUSE)

    with once_it_trains(machine, training, act):
        letters = machine.run(
            training, lambda _, lease: Advance(run_child(config, lease)), is_stopping=stopping.is_set
        )
    rests = machine.get(training)
    assert (rests.stage, rests.attempts, rests.error) == ("train", 0, None)
    assert rests.state is (JobState.RUNNING if how == "worker ends" else JobState.PAUSED)
    assert len(letters) == (1 if how == "worker ends" else 0)
    assert trainers() == []
    saved = saved_step(config.out)
    assert saved > 0
    assert not (config.out / "model").exists()

    machine.give(training, Order.RESUME)
    told: list[float] = []

    def goes_on(job: Job, lease: Lease) -> Outcome:
        tell = lease.progress
        lease.progress = lambda fraction: (told.append(fraction), tell(fraction))  # type: ignore[assignment]
        return Advance(run_child(config, lease))

    machine.run(training, goes_on)
    result = machine.get(training).checkpoint
    assert result["steps"] == result["planned_steps"] > saved
    assert told[0] == pytest.approx(0.95 * TRAINING_SHARE * saved / result["planned_steps"])
    assert (Path(result["model"]) / "model.safetensors").is_file()


def test_a_training_that_is_cancelled_ends_its_child(
    machine: Machine, training: str, make_config: MakeConfig
) -> None:
    config = make_config(epochs=10, batch_size=2, dev=False, evaluations=1)
    with once_it_trains(machine, training, lambda: machine.cancel(training)):
        machine.run(training, lambda _, lease: Advance(run_child(config, lease)))
    assert machine.get(training).state is JobState.CANCELLED
    assert trainers() == []
    assert not (config.out / "model").exists()
