"""Simulated users who search a corpus in their own words and vote on what they see.

Each person knows which term their words mean. They look at rank r with probability 1 / (1 + 0.1 (r - 1)).
If they see the right term they give it a thumb up, and to each wrong one above it that they also saw a thumb
down with probability 0.5. One thumb in twenty is the wrong way round: an up on a wrong passage, a down on
the right one. If the right term is not shown at all, they name it with probability 0.6, or else say that
nothing was relevant. If it is shown and they overlook it, they say nothing.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from embedloop.client import Client
from embedloop.demo.metrics import Rank, rank_of
from embedloop.demo.ontology import Case
from embedloop.records.feedback import Signal

TOP_K = 10
WRONG_SHARE = 0.05
DOWN_SHARE = 0.5
CORRECT_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class Reaction:
    """One signal that a person gives; `wrong` when it contradicts what they know."""

    signal: Signal
    document_id: str | None = None
    wrong: bool = False


@dataclass(slots=True)
class Tally:
    """What was searched and given so far."""

    searches: int = 0
    signals: Counter[str] = field(default_factory=Counter)
    wrong: int = 0

    @property
    def votes(self) -> int:
        return sum(self.signals.values())

    def add(self, reactions: Sequence[Reaction]) -> None:
        self.searches += 1
        self.signals.update(reaction.signal.value for reaction in reactions)
        self.wrong += sum(reaction.wrong for reaction in reactions)


def attention(rank: int) -> float:
    """Probability that a person looks at a rank (from 1).

    >>> attention(1), attention(11)
    (1.0, 0.5)
    """
    return 1.0 / (1.0 + 0.1 * (rank - 1))


def react(shown: Sequence[str], right: str, rng: random.Random) -> list[Reaction]:
    """Decide what a person says about an answer.

    Args:
        shown: Distinct document ids, best first.
        right: The document that the person means.
        rng: Where their moods come from.
    """
    rank = rank_of(shown, right)
    if rank is None:
        if rng.random() < CORRECT_SHARE:
            return [Reaction(Signal.CORRECT, right)]
        return [Reaction(Signal.NONE_RELEVANT)]
    seen = [rng.random() < attention(position) for position in range(1, rank + 1)]
    if not seen[-1]:
        return []
    above = [
        document_id
        for document_id, looked in zip(shown, seen[:-1], strict=False)
        if looked and rng.random() < DOWN_SHARE
    ]
    return [_thumb(Signal.UP, right, rng), *(_thumb(Signal.DOWN, wrong, rng) for wrong in above)]


def expected_votes(rank: Rank) -> float:
    """Mean number of signals that a search brings whose right document has this rank.

    >>> expected_votes(1), expected_votes(None)
    (1.0, 1.0)
    """
    if rank is None:
        return 1.0
    above = sum(attention(position) for position in range(1, rank))
    return attention(rank) * (1.0 + DOWN_SHARE * above)


def visit(client: Client, corpus: str, case: Case, people: int, seed: str) -> list[Reaction]:
    """Let one person search once and give their feedback; the same seed and answer give the same feedback."""
    rng = random.Random(f"{seed}:{case.term_id}:{case.query}")
    person = f"person-{rng.randrange(people) + 1:02d}"
    answer = client.search(corpus, case.query, top_k=TOP_K, session=person)
    shown = list(dict.fromkeys(hit.document_id for hit in answer.results))
    reactions = react(shown, case.term_id, rng)
    for reaction in reactions:
        client.feedback(answer.retrieval_id, reaction.signal.value, document_id=reaction.document_id)
    return reactions


def play(
    client: Client,
    corpus: str,
    cases: Sequence[Case],
    *,
    people: int,
    threads: int,
    seed: str,
    tally: Tally,
    stop: threading.Event,
    on_visit: Callable[[], None],
) -> None:
    """Let people search every case once, several at a time, until all is done or `stop` is set.

    Args:
        client: The service.
        corpus: Where they search.
        cases: What they search, in this order.
        people: How many there are.
        threads: How many search at once.
        seed: Of their choices.
        tally: Counts what they do.
        stop: Set it to send everybody home; searches under way are finished.
        on_visit: Called after each search with its feedback, one at a time.
    """
    counting = threading.Lock()

    def one(case: Case) -> None:
        if stop.is_set():
            return
        reactions = visit(client, corpus, case, people, seed)
        with counting:
            tally.add(reactions)
            on_visit()

    with ThreadPoolExecutor(threads, thread_name_prefix="person") as pool:
        visits: list[Future[None]] = [pool.submit(one, case) for case in cases]
        try:
            for done in visits:
                done.result()
        except BaseException:
            stop.set()
            raise


def _thumb(signal: Signal, document_id: str, rng: random.Random) -> Reaction:
    if rng.random() >= WRONG_SHARE:
        return Reaction(signal, document_id)
    return Reaction(Signal.DOWN if signal is Signal.UP else Signal.UP, document_id, wrong=True)
