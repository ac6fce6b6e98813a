"""Milvus Lite and the engine do the same: random operations on both, and on a model in NumPy, compare equal."""

from __future__ import annotations

import json
import operator
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from embedloop.errors import CollectionNotFound
from embedloop.filters import And, Compare, Filter, Not, Or, expression
from embedloop.index import MilvusIndex
from embedloop.index_rows import passage_id
from embedloop.policy import IndexSettings
from embedloop.records.documents import Hit, Passage

DIMENSION = 16
STEPS = 40
TOLERANCE = 1e-4
WORDS = ["gout", "fièvre", "漢字", 'a "b"', "c\\d", "x\ny"]
Unit = NDArray[np.float32]
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}


@dataclass
class Model:
    """What a collection must hold: rows by key, and how its searches must answer."""

    rows: dict[str, tuple[Passage, Unit]] = field(default_factory=dict)

    def search(self, vector: Unit, node: Filter | None) -> dict[str, float]:
        """Cosine of every row that the filter lets through, by key."""
        return {
            key: float(stored @ vector)
            for key, (passage, stored) in self.rows.items()
            if node is None or lets_through(node, passage)
        }


def lets_through(node: Filter, passage: Passage) -> bool:
    match node:
        case And():
            return all(lets_through(part, passage) for part in node.and_)
        case Or():
            return any(lets_through(part, passage) for part in node.or_)
        case Not():
            return not lets_through(node.not_, passage)
    value = passage.document_id if node.field == "document_id" else passage.metadata[node.field]
    if isinstance(node.value, tuple):
        return value in node.value
    return _COMPARISONS[node.op](value, node.value)


@dataclass
class Pair:
    """One collection and one alias on both servers, with the model of what they hold."""

    indexes: dict[str, MilvusIndex]
    collection: str
    alias: str
    random: np.random.Generator
    settings: IndexSettings
    model: Model = field(default_factory=Model)
    written: int = 0

    @property
    def other(self) -> str:
        """A second collection, always empty."""
        return f"{self.collection}_other"

    def each(self, call: Callable[[MilvusIndex], Any]) -> dict[str, Any]:
        return {kind: call(index) for kind, index in self.indexes.items()}

    def upsert(self) -> None:
        """New documents, and keys that are there already with another content."""
        count = int(self.random.integers(1, 40))
        known = list(self.model.rows)
        passages = [self._new() for _ in range(count)]
        for key in self.random.permutation(known)[: count // 3]:
            old = self.model.rows[str(key)][0]
            passages.append(self._passage(old.document_id, old.rev, old.ordinal))
        vectors = self.unit(len(passages))
        self.each(lambda index: index.upsert(self.collection, passages, vectors))
        for one, vector in zip(passages, vectors, strict=True):
            self.model.rows[one.passage_id] = (one, vector)

    def delete(self) -> None:
        known = list(self.model.rows)
        gone = [str(key) for key in self.random.permutation(known)[: int(self.random.integers(1, 12))]]
        keys = [*gone, passage_id("never", 1, 0)]
        self.each(lambda index: index.delete(self.collection, keys))
        for key in gone:
            del self.model.rows[key]

    def search(self) -> None:
        """Every operator, alone and nested: the same hits, in the same order but for ties, as brute force."""
        vectors = self.unit(2)
        limit = int(self.random.integers(1, 30))
        node = self.filter() if self.random.random() < 0.8 else None
        answers = self.each(
            lambda index: index.search(
                self.collection,
                vectors,
                limit,
                settings=IndexSettings(ef_search=512),
                filter_expression="" if node is None else expression(node),
                strong=True,
            )
        )
        for kind, found in answers.items():
            for vector, hits in zip(vectors, found, strict=True):
                self._same_as_brute_force(kind, hits, self.model.search(vector, node), limit, node)

    def reload(self) -> None:
        self.each(lambda index: index.flush(self.collection))
        self.each(lambda index: index.load(self.collection))

    def create(self, collection: str) -> None:
        self.each(lambda index: index.create(collection, DIMENSION, self.settings))

    def create_again(self) -> None:
        """What is there keeps its rows; what was dropped is gone, and empty when it is made anew."""
        self.create(self.collection)
        self.each(lambda index: index.drop_alias(self.alias))
        self.each(lambda index: index.drop(self.other))
        # Dropping what is not there is no error.
        self.each(lambda index: index.drop(self.other))
        for index in self.indexes.values():
            assert not index.exists(self.other)
            assert {self.collection, self.other} & set(index.collections()) == {self.collection}
            with pytest.raises(CollectionNotFound):
                index.count(self.other)
        self.create(self.other)
        assert self.each(lambda index: index.count(self.other)) == dict.fromkeys(self.indexes, 0)

    def move_alias(self) -> None:
        other = self.other
        if self.random.random() < 0.3:
            self.each(lambda index: index.drop_alias(self.alias))
            assert set(self.each(lambda index: index.alias_target(self.alias)).values()) == {None}
            for index in self.indexes.values():
                with pytest.raises(CollectionNotFound):
                    index.count(self.alias)
            return
        target = str(self.random.choice([self.collection, other]))
        self.each(lambda index: index.point_alias(self.alias, target))
        assert set(self.each(lambda index: index.alias_target(self.alias)).values()) == {target}
        for collection in (self.collection, other):
            pointing = [self.alias] if collection == target else []
            assert self.each(lambda index, name=collection: index.aliases(name)) == dict.fromkeys(
                self.indexes, pointing
            )
        rows = len(self.model.rows) if target == self.collection else 0
        assert self.each(lambda index: index.count(self.alias)) == dict.fromkeys(self.indexes, rows)

    def check(self) -> None:
        """After every step: the number of rows, their keys, no key twice."""
        rows = self.model.rows
        assert self.each(lambda index: index.count(self.collection)) == {
            kind: len(rows) for kind in self.indexes
        }
        asked = [*[str(key) for key in self.random.permutation(list(rows))[:20]], passage_id("never", 1, 0)]
        assert self.each(lambda index: index.present(self.collection, asked)) == {
            kind: set(asked[:-1]) for kind in self.indexes
        }
        for kind, found in self.each(lambda index: index.vectors(self.collection, asked)).items():
            assert set(found) == set(asked[:-1]), kind
            for key, vector in found.items():
                np.testing.assert_allclose(vector, rows[key][1], atol=1e-6, err_msg=kind)

    def check_wholly(self) -> None:
        """Every row once, as it was written, with its vector."""
        rows = self.model.rows
        for kind, index in self.indexes.items():
            seen = [row for page in index.scan(self.collection, with_vectors=True) for row in page]
            assert sorted(row.passage_id for row in seen) == sorted(rows), kind
            for row in seen:
                passage, vector = rows[row.passage_id]
                assert (row.document_id, row.rev) == (passage.document_id, passage.rev)
                np.testing.assert_allclose(row.vector, vector, atol=1e-6)

    def filter(self, depth: int = 0) -> Filter:
        kind = self.random.integers(0, 4) if depth < 2 else 3
        if kind == 0:
            return And.model_validate({"and": [self.filter(depth + 1) for _ in range(2)]})
        if kind == 1:
            return Or.model_validate({"or": [self.filter(depth + 1) for _ in range(2)]})
        if kind == 2:
            return Not.model_validate({"not": self.filter(depth + 1)})
        name = str(self.random.choice(["document_id", "word", "year", "share", "checked"]))
        several = self.random.random() < 0.3
        if several:
            return Compare(field=name, op="in", value=tuple(self._value(name) for _ in range(3)))
        ordered = name in ("year", "share")
        op: Any = self.random.choice(list(_COMPARISONS) if ordered else ["eq", "ne"])
        return Compare(field=name, op=str(op), value=self._value(name))

    def unit(self, count: int) -> Unit:
        drawn = self.random.normal(size=(count, DIMENSION)).astype(np.float32)
        return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)

    def _new(self) -> Passage:
        self.written += 1
        return self._passage(
            f"d{self.written}/ü", int(self.random.integers(1, 5)), int(self.random.integers(0, 3))
        )

    def _passage(self, document_id: str, rev: int, ordinal: int) -> Passage:
        metadata = {name: self._value(name) for name in ("word", "year", "share", "checked")}
        text = f"{self._value('word')} {self.random.integers(0, 1000)}"
        return Passage(
            passage_id(document_id, rev, ordinal), document_id, rev, ordinal, f"{document_id}?", text, metadata
        )

    def _value(self, name: str) -> Any:
        match name:
            case "document_id":
                return f"d{self.random.integers(1, self.written + 2)}/ü"
            case "word":
                return str(self.random.choice(WORDS))
            case "year":
                return int(self.random.integers(1995, 2005))
            case "share":
                return float(self.random.integers(0, 8)) / 4
            case _:
                return bool(self.random.random() < 0.5)

    def _same_as_brute_force(
        self, kind: str, hits: list[Hit], exact: dict[str, float], limit: int, node: Filter | None
    ) -> None:
        told = f"{kind}, {len(self.model.rows)} rows, filter {node and json.dumps(expression(node))}"
        keys = [hit.passage.passage_id for hit in hits]
        assert len(keys) == len(set(keys)) == min(limit, len(exact)), told
        best = sorted(exact.values(), reverse=True)[: len(keys)]
        np.testing.assert_allclose([hit.score for hit in hits], best, atol=TOLERANCE, err_msg=told)
        for hit in hits:
            assert hit.score == pytest.approx(exact[hit.passage.passage_id], abs=TOLERANCE), told
            assert hit.passage == self.model.rows[hit.passage.passage_id][0], told


@pytest.fixture
def pair(request: pytest.FixtureRequest, indexes: dict[str, MilvusIndex]) -> Iterator[Pair]:
    seed, index_type = request.param
    name = f"congruent{uuid.uuid4().hex[:8]}"
    settings = IndexSettings(index_type=index_type)
    made = Pair(indexes, name, f"{name}_alias", np.random.default_rng(seed), settings)
    for collection in (name, made.other):
        made.create(collection)
    yield made
    made.each(lambda index: index.drop_alias(made.alias))
    for collection in (name, made.other):
        made.each(lambda index, collection=collection: index.drop(collection))


@pytest.mark.parametrize("pair", [(1, "HNSW"), (2, "FLAT")], indirect=True, ids=["hnsw", "flat"])
def test_random_operations_have_the_same_outcome_on_both_servers_and_in_a_model(pair: Pair) -> None:
    steps = [pair.upsert, pair.delete, pair.search, pair.move_alias, pair.create_again, pair.reload]
    weights = np.array([0.25, 0.14, 0.46, 0.08, 0.04, 0.03])
    pair.upsert()
    for step in pair.random.choice(np.array(steps, dtype=object), size=STEPS, p=weights / weights.sum()):
        step()
        pair.check()
    pair.check_wholly()
    pair.reload()
    pair.search()
    pair.check_wholly()
