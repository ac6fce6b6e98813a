"""What training may not see because something is measured on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from embedloop.errors import TrainingFailed
from embedloop.records.labels import Split
from embedloop.records.training import TrainingPair
from embedloop.text.near_duplicates import NearDuplicates
from embedloop.text.normalise import query_key


class Measured:
    """Queries that something is measured on, found again by their key and in their near duplicates.

    Golden queries keep away from train and dev, dev queries from train. A document may be the answer of a
    golden query and of training queries at once: a corpus is searched for the same documents before and after,
    and queries about one document share a split by themselves unless an import names splits. So that is no
    leakage, and the coverage report counts it.

    Args:
        golden: Every golden query, judged or not.
        dev: Every dev query.
        similarity: From which two queries are near duplicates: of runs of three words, Jaccard.
    """

    def __init__(self, golden: Collection[str], dev: Collection[str], similarity: float):
        self._keys: dict[Split, frozenset[str]] = {}
        self._alike: dict[Split, NearDuplicates] = {}
        for split, queries in ((Split.GOLDEN, golden), (Split.DEV, dev)):
            self._keys[split] = frozenset(map(query_key, queries))
            self._alike[split] = NearDuplicates(similarity)
            for query in queries:
                self._alike[split].add(query, query)

    def keys(self, split: Split) -> frozenset[str]:
        """The keys of the golden queries, or of those of dev."""
        return self._keys[split]

    def leak(self, pair: TrainingPair) -> str | None:
        """Why a pair may not be where it is; None when it may.

        The positive counts too: of imported pairs of sentences either may be a query.
        """
        for split in (Split.GOLDEN, Split.DEV):
            if split is pair.split:
                break
            for text in (pair.anchor, pair.positive):
                if query_key(text) in self._keys[split]:
                    return f"{split.value}_query"
                if self._alike[split].like(text) is not None:
                    return f"like_{split.value}_query"
        return None


def without_leaks(
    pairs: Sequence[TrainingPair], measured: Measured
) -> tuple[list[TrainingPair], Mapping[str, int]]:
    """The pairs that may train, and how many of the others were left out for which reason."""
    kept: list[TrainingPair] = []
    left_out: Counter[str] = Counter()
    for pair in pairs:
        reason = measured.leak(pair)
        if reason is None:
            kept.append(pair)
        else:
            left_out[reason] += 1
    return kept, dict(sorted(left_out.items()))


def check_leakage(pairs: Sequence[TrainingPair], measured: Measured) -> None:
    """Makes sure, of the pairs as they will train, that nothing the gate or dev measures is among them.

    Raises:
        TrainingFailed: An anchor or a positive is a golden or a dev query or a near duplicate of one, or a
            query is in both train and dev.
    """
    splits: dict[str, Split] = {}
    for pair in pairs:
        leak = "golden_query" if pair.split is Split.GOLDEN else measured.leak(pair)
        if leak is not None:
            what = leak.replace("_", " ")
            raise TrainingFailed(f"what is measured must never train a model, got the {what} {pair.anchor!r}")
        if splits.setdefault(pair.anchor_key, pair.split) is not pair.split:
            raise TrainingFailed(f"a query must be in train or in dev, got {pair.anchor!r} in both")
