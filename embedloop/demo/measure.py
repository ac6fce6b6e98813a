"""The test queries through the search route."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from embedloop.client import Client
from embedloop.demo.metrics import METRICS, Rank, rank_of
from embedloop.demo.ontology import Case

TOP_K = 10


@dataclass(frozen=True, slots=True)
class Answered:
    """Where the right term of a query came, and the title that came first."""

    case: Case
    rank: Rank
    first: str


@dataclass(frozen=True, slots=True)
class Change:
    """A test query whose right term moved; `name` is that term's name."""

    query: str
    name: str
    before: Answered
    after: Answered


def measure(
    client: Client, corpus: str, cases: Sequence[Case], *, threads: int, on_answer: Callable[[], None]
) -> list[Answered]:
    """Search every case once, several at a time; answers come in the order of the cases."""

    def one(case: Case) -> Answered:
        answer = client.search(corpus, case.query, top_k=TOP_K, session="demo-test")
        rank = rank_of([hit.document_id for hit in answer.results], case.term_id)
        return Answered(case, rank, answer.results[0].title if answer.results else "")

    answered = []
    with ThreadPoolExecutor(threads, thread_name_prefix="measure") as pool:
        for each in pool.map(one, cases):
            answered.append(each)
            on_answer()
    return answered


def changes(
    before: Sequence[Answered], after: Sequence[Answered], names: dict[str, str], limit: int
) -> tuple[list[Change], list[Change]]:
    """Choose the queries that moved most in nDCG@10.

    Args:
        before: Answers of the old version.
        after: Answers of the new one to the same queries, in the same order.
        names: Term id -> name.
        limit: Most queries of each kind.

    Returns:
        Those that got better and those that got worse, the largest move first.
    """
    moved = [
        (_gain(old) - _gain(new), Change(old.case.query, names[old.case.term_id], old, new))
        for old, new in zip(before, after, strict=True)
        if _gain(old) != _gain(new)
    ]
    moved.sort(key=lambda one: (one[0], one[1].query))
    better = [change for lost, change in moved if lost < 0]
    worse = [change for lost, change in reversed(moved) if lost > 0]
    return better[:limit], worse[:limit]


def _gain(answered: Answered) -> float:
    return 0.0 if answered.rank is None else METRICS["ndcg@10"](answered.rank)
