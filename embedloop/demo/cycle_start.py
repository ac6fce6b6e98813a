"""The two ways a cycle starts: enough votes came in, or labels were imported and somebody asked."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from embedloop.client import Client
from embedloop.client.results import Json
from embedloop.demo import people
from embedloop.demo.corpus_setup import import_judgments
from embedloop.demo.metrics import Rank
from embedloop.demo.narrate import Narrator
from embedloop.demo.ontology import Vocabulary, dev_terms
from embedloop.demo.people import Tally
from embedloop.demo.plan import CORPUS, DemoPlan
from embedloop.errors import TooLittleFeedback
from embedloop.records.jobs import JobKind
from embedloop.records.labels import Split

ROUNDS = 3
_THRESHOLD_SHARE = 0.93
_SETTLE_SECONDS = 30.0
_LOOK_SECONDS = 1.0


def votes_until_cycle(ranks: Sequence[Rank], searches: int) -> int:
    """Choose the threshold of new feedback, such that nearly all searches are made before it is reached.

    Args:
        ranks: Where the right documents of some other queries came; they tell how many votes a search brings.
        searches: How many searches there will be.

    Returns:
        93 % of the votes to be expected: enough below for the searches to differ from those others.
    """
    per_search = sum(people.expected_votes(rank) for rank in ranks) / len(ranks)
    return max(1, math.floor(_THRESHOLD_SHARE * per_search * searches))


def vote_until_cycle(
    client: Client, plan: DemoPlan, vocabulary: Vocabulary, ranks: Sequence[Rank], narrator: Narrator
) -> tuple[Json, Tally]:
    """Let people search and vote until a cycle starts by itself.

    Each round they search every training synonym; a further round follows only if the votes fell short.

    Returns:
        The cycle's job and what people did.

    Raises:
        TooLittleFeedback: No cycle started although all rounds were played.
    """
    threshold = votes_until_cycle(ranks, len(vocabulary.train))
    client.update_policy(CORPUS, plan.trigger(threshold))
    narrator.say(
        f"{plan.people} people search {len(vocabulary.train)} synonyms, which the documents do not list, and "
        f"vote. After {threshold} votes a cycle starts by itself."
    )
    tally, stop = Tally(), Event()
    for number in range(ROUNDS):
        with (
            narrator.count("searches with feedback", len(vocabulary.train)) as searched,
            ThreadPoolExecutor(1, thread_name_prefix="round") as background,
        ):
            playing = background.submit(
                people.play,
                client,
                CORPUS,
                vocabulary.train,
                people=plan.people,
                threads=plan.threads,
                seed=f"{plan.seed}-{number}",
                tally=tally,
                stop=stop,
                on_visit=searched,
            )
            try:
                job = _look_while(client, playing.done)
            finally:
                stop.set()
            playing.result()
        if job is None and tally.votes >= threshold:
            # Votes count once the catalog has their retrievals, which come in batches.
            job = _look_while(client, _after(_SETTLE_SECONDS))
        if job is not None:
            return job, tally
        stop.clear()
    raise TooLittleFeedback(
        f"a cycle must start after {threshold} votes, none did after {tally.votes} votes in {ROUNDS} rounds"
    )


def start_labelled_cycle(client: Client, plan: DemoPlan, vocabulary: Vocabulary, narrator: Narrator) -> Json:
    """Import every training synonym as a judgment and start a cycle; the dev set is drawn by term."""
    dev = dev_terms(vocabulary.train, plan.dev_share, plan.seed)
    labelled = [(case, Split.DEV if case.term_id in dev else Split.TRAIN) for case in vocabulary.train]
    with narrator.count("labels imported", len(labelled)) as imported:
        import_judgments(client, labelled, imported)
    return client.submit_job(JobKind.CYCLE.value, CORPUS)


def _look_while(client: Client, ended: Callable[[], bool]) -> Json | None:
    """Look for a cycle's job until one is there or `ended` says so."""
    pause = Event()
    while True:
        last_look = ended()
        for job in client.jobs(CORPUS):
            if job["kind"] == JobKind.CYCLE.value:
                return job
        if last_look:
            return None
        pause.wait(_LOOK_SECONDS)


def _after(seconds: float) -> Callable[[], bool]:
    deadline = time.monotonic() + seconds
    return lambda: time.monotonic() > deadline
