"""Rows for the contrastive loss, and batches in which no negative is really an answer."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sentence_transformers.base.sampler import DefaultBatchSampler

from embedloop.errors import TrainingFailed
from embedloop.records.training import TrainingPair

# Batches whose rows are sorted by anchor: on short texts, 4 pad 24 % less than 1, and more no less.
_WINDOW = 4


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a batch: an anchor, its positive and exactly as many negatives as every other row.

    `answers` are the texts of all known positives of the anchor; none of them may act as a negative for it,
    and no near duplicate of the positive (same `cluster`) either.
    """

    anchor: str
    positive: str
    negatives: tuple[str, ...]
    key: str
    answers: frozenset[str]
    cluster: str = ""

    @property
    def documents(self) -> tuple[str, ...]:
        return (self.positive, *self.negatives)


def make_rows(pairs: Sequence[TrainingPair], hard_negatives: int, seed: int, *, at_least: int = 0) -> list[Row]:
    """Gives every pair the same number of negatives: its own first, then random training documents.

    The number of columns is `hard_negatives`, or less where the longest list of negatives is shorter or some
    anchor has fewer documents that could be wrong for it.

    Args:
        pairs: Pairs of the train split.
        hard_negatives: Most negatives per row.
        seed: The same seed gives the same rows.
        at_least: Fewest negatives per row, for a loss that cannot do without.

    Raises:
        TrainingFailed: A query has fewer than `at_least` documents that could be wrong for it.
    """
    columns = min(hard_negatives, max(at_least, max((len(pair.negatives) for pair in pairs), default=0)))
    known_answers = _answers(pairs)
    documents = sorted({pair.positive for pair in pairs})
    for pair in pairs:
        answers = known_answers[pair.anchor_key]
        own = set(pair.negatives).difference(documents, answers)
        columns = min(columns, len(own) + len(documents) - len(answers.intersection(documents)))
    if columns < at_least:
        raise TrainingFailed(
            f"the loss needs {at_least} wrong document(s) for every query, one has only {columns}"
        )
    generator = random.Random(seed)
    rows = []
    for pair in pairs:
        known = known_answers[pair.anchor_key]
        negatives = [text for text in pair.negatives if text not in known][:columns]
        while len(negatives) < columns:
            text = generator.choice(documents)
            if text not in known and text not in negatives:
                negatives.append(text)
        rows.append(Row(pair.anchor, pair.positive, tuple(negatives), pair.anchor_key, known, pair.cluster))
    return rows


def _answers(pairs: Sequence[TrainingPair]) -> dict[str, frozenset[str]]:
    """Anchor key -> its positives and all that nearly duplicate one of them."""
    alike: dict[str, set[str]] = defaultdict(set)
    for pair in pairs:
        if pair.cluster:
            alike[pair.cluster].add(pair.positive)
    answers: dict[str, set[str]] = defaultdict(set)
    for pair in pairs:
        answers[pair.anchor_key].update({pair.positive}, alike.get(pair.cluster, ()))
    return {key: frozenset(texts) for key, texts in answers.items()}


@dataclass(slots=True)
class _Batch:
    rows: list[int] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    documents: set[str] = field(default_factory=set)
    answers: set[str] = field(default_factory=set)
    clusters: set[str] = field(default_factory=set)
    positives: set[str] = field(default_factory=set)
    negatives: set[str] = field(default_factory=set)
    other_answers: set[str] = field(default_factory=set)

    def takes(self, row: Row, share: bool) -> bool:
        if share and row.positive in self.positives:
            return self._takes_sharing(row)
        return (
            row.key not in self.keys
            and row.cluster not in self.clusters
            and self.answers.isdisjoint(row.documents)
            and self.documents.isdisjoint(row.answers)
        )

    def _takes_sharing(self, row: Row) -> bool:
        """Whether nothing but the positive that both have is an answer to the row and a document of another."""
        return (
            row.key not in self.keys
            and row.positive not in self.negatives
            and row.positive not in self.other_answers
            and self.answers.isdisjoint(row.negatives)
            and row.answers & self.documents == {row.positive}
        )

    def add(self, index: int, row: Row) -> None:
        self.rows.append(index)
        self.keys.add(row.key)
        self.documents.update(row.documents)
        self.positives.add(row.positive)
        self.negatives.update(row.negatives)
        self.answers.update(row.answers)
        self.other_answers.update(row.answers - {row.positive})
        if row.cluster:
            self.clusters.add(row.cluster)


def plan_batches(
    rows: Sequence[Row],
    batch_size: int,
    seed: int,
    lengths: Sequence[tuple[int, int]] | None = None,
    *,
    share: bool = False,
) -> list[list[int]]:
    """Packs rows of similar length into batches without false negatives.

    In one batch no two rows share an anchor key or a cluster of near duplicates, and no row's positive or
    negative is a known answer to another row's anchor. Rows are taken in order of length and go into the first
    open batch that takes them. A row that would be alone and has no negatives teaches nothing and is left out.

    With `share`, rows of the same positive come together, for a loss that knows them as one document.

    Args:
        rows: What `make_rows` made.
        batch_size: Most rows per batch.
        seed: Orders rows of the same length, and the batches.
        lengths: Of each row's anchor and of its longest document, in tokens; by default in characters.
        share: Whether rows of one batch may have the same positive.

    Returns:
        Batches of indices into `rows`, in random order.
    """
    generator = random.Random(seed)
    sizes = lengths or [(len(row.anchor), max(map(len, row.documents))) for row in rows]
    full: list[list[int]] = []
    unfilled: list[_Batch] = []
    order = list(range(len(rows)))
    generator.shuffle(order)
    order = _by_document(rows, sizes, order) if share else _by_length(sizes, order, batch_size)
    for index in order:
        batch = next((one for one in unfilled if one.takes(rows[index], share)), None)
        if batch is None:
            unfilled.append(batch := _Batch())
        batch.add(index, rows[index])
        if len(batch.rows) == batch_size:
            unfilled.remove(batch)
            full.append(batch.rows)
    batches = full + [one.rows for one in unfilled if len(one.documents) > 1]
    generator.shuffle(batches)
    return batches


def _by_document(rows: Sequence[Row], sizes: Sequence[tuple[int, int]], order: Sequence[int]) -> list[int]:
    """By document length; rows of one document stay together."""
    longest: dict[str, int] = {}
    place: dict[str, int] = {}
    for at, index in enumerate(order):
        positive = rows[index].positive
        longest[positive] = max(sizes[index][1], longest.get(positive, 0))
        place.setdefault(positive, at)
    return sorted(order, key=lambda index: (longest[rows[index].positive], place[rows[index].positive]))


def _by_length(sizes: Sequence[tuple[int, int]], order: Sequence[int], batch_size: int) -> list[int]:
    """By document length; within a few batches by anchor length, which is padded too."""
    order = sorted(order, key=lambda index: sizes[index][1])
    window = _WINDOW * batch_size
    parts = (order[start : start + window] for start in range(0, len(order), window))
    return [index for part in parts for index in sorted(part, key=lambda index: sizes[index][0])]


class PlannedBatchSampler(DefaultBatchSampler):
    """Hands planned batches to the trainer; only their order changes from epoch to epoch."""

    def __init__(self, batches: Sequence[Sequence[int]], seed: int) -> None:
        if not batches:
            raise TrainingFailed("training needs pairs of at least two different queries and documents")
        rows = sum(map(len, batches))
        super().__init__(range(rows), batch_size=max(map(len, batches)), drop_last=False, seed=seed)
        self._batches = [list(batch) for batch in batches]

    def __iter__(self) -> Iterator[list[int]]:
        order = list(range(len(self._batches)))
        random.Random(f"{self.seed}:{self.epoch}").shuffle(order)
        return iter([self._batches[index] for index in order])

    def __len__(self) -> int:
        return len(self._batches)


class ReplannedBatchSampler(DefaultBatchSampler):
    """Batches of rows of like length, others in every epoch, so that each row meets more and more others."""

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        """Takes the tokens of each row.

        Raises:
            TrainingFailed: There is no row.
        """
        if not lengths:
            raise TrainingFailed("learning needs at least one text, got none")
        super().__init__(range(len(lengths)), batch_size=batch_size, drop_last=False, seed=seed)
        self._lengths, self._size = list(lengths), batch_size

    def __iter__(self) -> Iterator[list[int]]:
        generator = random.Random(f"{self.seed}:{self.epoch}")
        order = list(range(len(self._lengths)))
        generator.shuffle(order)
        window = _WINDOW * self._size
        order = [
            row
            for start in range(0, len(order), window)
            for row in sorted(order[start : start + window], key=lambda row: self._lengths[row])
        ]
        batches = [order[at : at + self._size] for at in range(0, len(order), self._size)]
        generator.shuffle(batches)
        return iter(batches)

    def __len__(self) -> int:
        return -(-len(self._lengths) // self._size)


def columns_of(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """The columns that the loss reads, in its order: anchor, positive, negative_1, ..."""
    columns: dict[str, list[Any]] = {
        "anchor": [row.anchor for row in rows],
        "positive": [row.positive for row in rows],
    }
    for number in range(len(rows[0].negatives) if rows else 0):
        columns[f"negative_{number + 1}"] = [row.negatives[number] for row in rows]
    return columns
