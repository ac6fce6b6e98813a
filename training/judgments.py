"""From votes to judgments: who counts, how much, and when it is enough."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from embedloop.policy import Votes
from embedloop.records import Signal, Vote
from embedloop.text.normalise import query_key


@dataclass(frozen=True, slots=True)
class AggregatedJudgment:
    """A label made of several people's votes; grade 1 is relevant, 0 is not; `sources` are feedback ids."""

    query: str
    document_id: str
    grade: int
    sources: tuple[str, ...]


def aggregate(votes: Iterable[Vote], policy: Votes) -> list[AggregatedJudgment]:
    """Turns votes into judgments, each person counting once per query and document.

    A person's latest thumb or correction counts; their latest click counts only where there is neither, so
    that opening a document again never weakens an earlier thumb. `none_relevant` says nothing about one
    document and yields nothing.

    Args:
        votes: Votes in any order; queries are the same when their `query_key` is.
        policy: Weight of each signal, and the sum that makes a judgment.

    Returns:
        Judgments ordered by query key and document id; pairs without enough agreement are left out. `query`
        is the text of the earliest vote that counted.

    >>> from datetime import datetime
    >>> def vote(person, signal, day):
    ...     at = datetime(2026, 1, day)
    ...     return Vote(f"{person}{day}", "dry eye", "D1", signal, person, rank=1, at=at)
    >>> aggregate([vote("ann", Signal.UP, 1), vote("bob", Signal.CLICK, 2)], Votes())
    [AggregatedJudgment(query='dry eye', document_id='D1', grade=1, sources=('ann1', 'bob2'))]
    >>> aggregate([vote("ann", Signal.UP, 1), vote("ann", Signal.DOWN, 2)], Votes())[0].grade
    0
    >>> aggregate([vote("ann", Signal.UP, 1), vote("bob", Signal.DOWN, 2)], Votes())
    []
    """
    weights = {
        Signal.UP: policy.up,
        Signal.CORRECT: policy.correct,
        Signal.CLICK: policy.click,
        Signal.DOWN: -policy.down,
    }
    grouped: dict[tuple[str, str], list[Vote]] = defaultdict(list)
    for vote in votes:
        if vote.signal in weights:
            grouped[query_key(vote.query), vote.document_id].append(vote)
    judgments = []
    for (_, document_id), group in sorted(grouped.items()):
        counted = _one_per_person(group)
        # fsum: ten clicks of 0.1 must reach 1.0
        total = math.fsum(weights[vote.signal] for vote in counted)
        if abs(total) >= policy.min_weight:
            sources = tuple(vote.feedback_id for vote in counted)
            judgments.append(AggregatedJudgment(counted[0].query, document_id, int(total > 0), sources))
    return judgments


def _one_per_person(votes: Sequence[Vote]) -> list[Vote]:
    strongest: dict[str, Vote] = {}
    for vote in sorted(votes, key=lambda vote: (vote.signal != Signal.CLICK, vote.at, vote.feedback_id)):
        strongest[vote.person] = vote
    return sorted(strongest.values(), key=lambda vote: (vote.at, vote.feedback_id))
