"""One run: the rounds of a plan against a cluster, with somebody who searches the whole time."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty

from tests.faults import record
from tests.faults.chaos import Chaos
from tests.faults.checks import Checks
from tests.faults.cluster import Cluster
from tests.faults.model import Content, Documents, Ledger
from tests.faults.moves import Moves
from tests.faults.oracle import Oracle
from tests.faults.plan import SLOTS, Kill, Promote, Reembed, Rollback, Round, Step, Zombie
from tests.faults.record import Record
from tests.faults.steps import EVERYTHING, Steps, ask
from tests.integration.stack import clinic

SEARCH_SECONDS = 0.3
LOOK_SECONDS = 0.05


@dataclass
class Run:
    """What belongs together in one run.

    Attributes:
        cluster: The processes.
        seed: Of the plan.
        record: What was done and found.
    """

    cluster: Cluster
    seed: int
    record: Record = field(default_factory=Record)
    documents: Documents = field(default_factory=Documents)
    ledger: Ledger = field(default_factory=Ledger)

    def __post_init__(self) -> None:
        self.oracle = Oracle(self.cluster, self.documents)
        parts = (self.cluster, self.documents, self.ledger, self.oracle, self.record)
        self.steps = Steps(*parts)
        self.checks = Checks(*parts, self.steps)
        self.moves = Moves(self.cluster, self.ledger, self.record, f"faults-{self.seed}")
        self.chaos = Chaos(self.cluster, self.record, self.seed)
        self._chance = random.Random(self.seed)
        self._pause = threading.Event()

    def carry_out(self, rounds: list[Round], on_round: Callable[[int], None]) -> None:
        """Carries out every round and settles after each; `on_round` hears of its number.

        Raises:
            AssertionError: the parts did not come to rest in time; what was found otherwise is in `record`.
        """
        self._fill()
        try:
            with self._searching():
                for number, one in enumerate(rounds):
                    for step, pause_ms in zip(one.steps, one.pauses_ms, strict=True):
                        self.record.step += 1
                        self._carry_out(step)
                        self._pause.wait(pause_ms / 1000)
                    self.settle()
                    on_round(number)
            self.checks.compare_rows()
        finally:
            # Whatever was stopped goes on, so that it can end.
            self.chaos.join()

    def settle(self) -> None:
        """Waits until everything is back and at rest, then compares it with the dictionary."""
        self.record.note("settle")
        while self.chaos.is_busy() or self.moves.is_busy():
            self._attack()
            if self.chaos.wants_writes.is_set():
                content = Content("", f"written while a worker is waited for {self._chance.random()}")
                self.steps.put(self._chance.choice(SLOTS), content)
            self._pause.wait(LOOK_SECONDS)
        self.chaos.join()
        self._attack()
        self.checks.wait_for_parts()
        self.moves.join()
        self.checks.wait_for_level()
        self.checks.compare()
        self.record.note("settled")

    def _fill(self) -> None:
        """Every document once, so that the first re-embed has something to do."""
        phrases = [f"{term} {asked}" for term, (asked, *_) in clinic.TERMS.items()]
        contents = [Content(phrases[n % len(phrases)], f"number {n}") for n in range(len(SLOTS))]
        self.steps.bulk(list(zip(SLOTS, contents, strict=True)))

    def _carry_out(self, step: Step) -> None:
        match step:
            case Kill() | Zombie():
                self.chaos.start(step)
            case Reembed() | Promote() | Rollback():
                self.moves.start(step)
            case _:
                self.steps.carry_out(step)
        self._attack()

    def _attack(self) -> None:
        """Writes to what a stopped worker is about to write."""
        try:
            while True:
                self.steps.attack(self.chaos.targets.get_nowait(), self._chance)
        except Empty:
            return

    @contextmanager
    def _searching(self) -> Iterator[None]:
        """Searches both replicas in turn, in a thread, and judges every answer, until the block ends."""
        ended = threading.Event()

        def search() -> None:
            queries = [query for query, _ in clinic.questions(0)]
            turn = 0
            while not ended.wait(SEARCH_SECONDS):
                client = self.cluster.clients[turn % 2]
                query = queries[turn % len(queries)]
                top_k = EVERYTHING if turn % 5 == 0 else 10
                turn += 1
                try:
                    ask(client, self.documents, self.oracle, self.record, query, top_k)
                except Exception as error:
                    self.record.find(record.INTERNAL, f"the searching thread: {type(error).__name__}: {error}")

        thread = threading.Thread(target=search, name="searching")
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
