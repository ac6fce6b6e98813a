"""A searcher that goes on through the swap, and the check that every answer came wholly from one version.

Some of its queries are fixed probes. Their answers are recorded while only the old index version can serve
and again when only the new one can; any answer in between must be the one or the other, passage by passage.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from embedloop.client import Client, SearchResult
from embedloop.errors import DeadlineExceeded, EmbedloopError

TOP_K = 10
TOLERANCE = 1e-3
_SESSION = "swap-probe"

Listing = tuple[tuple[str, float], ...]
"""Passage ids with their cosines, best first."""

Oracle = Mapping[tuple[str, str], Listing]
"""(index version, probe query) -> what it answers."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One background search; `at` is in seconds on the monotonic clock, `error` its code if it failed."""

    at: float
    latency_ms: float
    query: str
    index_version: str = ""
    model_version: str = ""
    listing: Listing = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What went wrong among the background searches; `reasons` holds the first few in words.

    Attributes:
        searches: All of them.
        errors: Searches that were not answered.
        mixed: Answers whose model is not their index version's, or whose passages are not those that their
            index version gives.
        compared: Answers to probes that were compared passage by passage.
        by_version: Answers per index version.
        reasons: At most ten findings.
    """

    searches: int
    errors: int
    mixed: int
    compared: int
    by_version: Mapping[str, int]
    reasons: tuple[str, ...]


class SwapProbe:
    """Searches at a steady pace from `__enter__` to `__exit__` in one thread.

    Args:
        client: The service.
        corpus: Where to search.
        probes: Fixed queries; every second search is one of them.
        others: Other queries, for the rest.
        searches_per_second: The pace; a slow answer is not caught up on, so that training is not starved.
    """

    def __init__(
        self,
        client: Client,
        corpus: str,
        probes: Sequence[str],
        others: Sequence[str],
        searches_per_second: float,
    ):
        self._client = client
        self._corpus = corpus
        self._queries = [
            query for pair in zip(_repeated(probes, others), others, strict=False) for query in pair
        ]
        self._period = 1.0 / searches_per_second
        self._samples: list[Sample] = []
        self._grown = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="swap-probe", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def samples(self) -> tuple[Sample, ...]:
        with self._grown:
            return tuple(self._samples)

    def wait_for_more(self, count: int, timeout_seconds: float = 120.0) -> None:
        """Wait until `count` further searches have been made.

        Raises:
            DeadlineExceeded: They were not made in time.
        """
        with self._grown:
            wanted = len(self._samples) + count
            if not self._grown.wait_for(lambda: len(self._samples) >= wanted, timeout_seconds):
                missing = wanted - len(self._samples)
                raise DeadlineExceeded(
                    f"the background searcher must make {count} searches in {timeout_seconds:g} s, "
                    f"{missing} are missing"
                )

    def _run(self) -> None:
        turn = 0
        while not self._stop.is_set():
            began = time.monotonic()
            sample = self._search(self._queries[turn % len(self._queries)], began)
            with self._grown:
                self._samples.append(sample)
                self._grown.notify_all()
            turn += 1
            self._stop.wait(max(0.0, began + self._period - time.monotonic()))

    def _search(self, query: str, began: float) -> Sample:
        try:
            answer = self._client.search(self._corpus, query, top_k=TOP_K, session=_SESSION)
        except EmbedloopError as error:
            return Sample(began, _since(began), query, error=f"{error.code}: {error.message}")
        return Sample(
            began, _since(began), query, answer.index_version, answer.model_version, listing_of(answer)
        )


def listing_of(answer: SearchResult) -> Listing:
    """Read the passages of an answer."""
    return tuple((hit.passage_id, hit.score) for hit in answer.results)


def record(client: Client, corpus: str, probes: Iterable[str]) -> dict[tuple[str, str], Listing]:
    """Ask every probe once while one index version alone can serve."""
    recorded = {}
    for query in probes:
        answer = client.search(corpus, query, top_k=TOP_K, session=_SESSION)
        recorded[answer.index_version, query] = listing_of(answer)
    return recorded


def same(one: Listing, other: Listing) -> bool:
    """Compare two answers: the same passages with the same scores, within `TOLERANCE`, in the same places.

    Passages whose scores are equal within the tolerance may change places, also with one that fell off the
    end.

    >>> same((("a", 0.9), ("b", 0.5)), (("a", 0.9), ("b", 0.5)))
    True
    >>> same((("a", 0.9), ("b", 0.5)), (("b", 0.9), ("a", 0.5)))
    False
    >>> same((("a", 0.9), ("b", 0.5)), (("a", 0.9), ("c", 0.5)))
    True
    >>> same((("a", 0.9), ("b", 0.5)), (("c", 0.9), ("b", 0.5)))
    False
    """
    if len(one) != len(other):
        return False
    if any(abs(left - right) > TOLERANCE for (_, left), (_, right) in zip(one, other, strict=True)):
        return False
    return _covers(dict(one), dict(other)) and _covers(dict(other), dict(one))


def judge(
    samples: Sequence[Sample], model_of: Mapping[str, str], oracle: Oracle, probes: Iterable[str]
) -> Verdict:
    """Count the searches that failed and the answers that were not wholly one version's.

    Args:
        samples: The background searches.
        model_of: Index version -> the model version that built it, as the catalog says.
        oracle: What each index version answers to each probe.
        probes: The probe queries.
    """
    fixed = frozenset(probes)
    reasons: list[str] = []
    errors = mixed = compared = 0
    for sample in samples:
        if sample.error is not None:
            errors += 1
            reasons.append(f"{sample.query!r} was not answered: {sample.error}")
            continue
        finding = _mixture(sample, model_of, oracle, fixed)
        compared += sample.query in fixed
        if finding is not None:
            mixed += 1
            reasons.append(f"{sample.query!r}: {finding}")
    answered = Counter(sample.index_version for sample in samples if sample.error is None)
    return Verdict(len(samples), errors, mixed, compared, dict(answered), tuple(reasons[:10]))


def _mixture(sample: Sample, model_of: Mapping[str, str], oracle: Oracle, fixed: frozenset[str]) -> str | None:
    built_by = model_of.get(sample.index_version)
    if built_by != sample.model_version:
        return f"index version {sample.index_version} is of {built_by}, the query of {sample.model_version}"
    if sample.query not in fixed:
        return None
    recorded = oracle.get((sample.index_version, sample.query))
    if recorded is None:
        return f"answered by {sample.index_version}, which was serving neither before nor after"
    if not same(sample.listing, recorded):
        return f"the passages are not those of index version {sample.index_version}"
    return None


def _covers(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    last = min(other.values(), default=0.0)
    return all(abs(score - other.get(passage_id, last)) <= TOLERANCE for passage_id, score in one.items())


def _repeated(probes: Sequence[str], others: Sequence[str]) -> list[str]:
    return [probes[turn % len(probes)] for turn in range(max(len(probes), len(others)))]


def _since(began: float) -> float:
    return (time.monotonic() - began) * 1000.0
