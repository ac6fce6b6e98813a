"""A corpus in a catalog of its own, and the edge of the world: a fake Milvus and a fake encoder."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from embedloop.catalog import corpora
from embedloop.catalog.database import Database, now
from embedloop.corpus import put_documents
from embedloop.encoder import Vectors, go_on
from embedloop.errors import CollectionNotFound, InvalidInput
from embedloop.fusion import EVEN
from embedloop.policy import Boost, Chunking, IndexSettings, Policy
from embedloop.records.documents import Corpus, Hit, NewDocument, Passage
from embedloop.records.versions import IndexState, IndexVersion, ModelVersion
from embedloop.serving import Serving

DIMENSION = 16


@dataclass
class FakeEncoder:
    """Equal texts get equal unit vectors, others nearly orthogonal ones; refuses what it is told to."""

    refuses: frozenset[str] = frozenset()
    gate: threading.Event | None = None
    entered: threading.Event = field(default_factory=threading.Event)
    batches: list[list[str]] = field(default_factory=list)
    dimension: int = DIMENSION
    max_tokens: int = 64

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        self.entered.set()
        if self.gate is not None:
            self.gate.wait(10)
        self.batches.append(list(texts))
        if self.refuses & set(texts):
            raise RuntimeError("hostile text")
        return np.stack([vector_of(text) for text in texts])

    def encode_passages(self, texts: Sequence[str], *, check: Callable[[], None] = go_on) -> Vectors:
        check()
        return self.encode_queries(texts)


class FakeIndex:
    """Milvus' search over rows in memory: brute-force cosine, one collection by name, no filters but `deny`."""

    def __init__(self) -> None:
        self.collections: dict[str, list[tuple[Passage, Vectors]]] = {}
        self.calls: list[tuple[str, int, int, str, bool]] = []
        self.words: list[Sequence[str] | None] = []
        self.weights: list[float] = []
        self.error: BaseException | None = None

    def put(self, collection: str, *passages: Passage) -> None:
        rows = self.collections.setdefault(collection, [])
        rows.extend((passage, vector_of(passage.text)) for passage in passages)

    def search(
        self,
        collection: str,
        vectors: Vectors,
        limit: int,
        *,
        settings: IndexSettings,
        filter_expression: str = "",
        strong: bool = False,
        timeout_seconds: float | None = None,
        words: Sequence[str] | None = None,
        bm25_weight: float = EVEN,
    ) -> list[list[Hit]]:
        self.calls.append((collection, len(vectors), limit, filter_expression, strong))
        self.words.append(words)
        self.weights.append(bm25_weight)
        if self.error is not None:
            raise self.error
        if collection not in self.collections:
            raise CollectionNotFound(f"can't find collection {collection}")
        if filter_expression not in ("", "known"):
            raise InvalidInput(f"Milvus refused the call: {filter_expression}")
        rows = self.collections[collection]
        answers = []
        for vector in vectors:
            hits = [Hit(passage, float(vector @ stored)) for passage, stored in rows]
            answers.append(sorted(hits, key=lambda hit: -hit.score)[:limit])
        return answers


def vector_of(text: str) -> Vectors:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    vector = np.random.default_rng(seed).normal(size=DIMENSION).astype(np.float32)
    unit: Vectors = vector / np.linalg.norm(vector)
    return unit


def passage(document_id: str, rev: int, text: str, ordinal: int = 0, year: int = 2020) -> Passage:
    key = f"{document_id}-{rev}-{ordinal}"
    return Passage(key, document_id, rev, ordinal, "", text, {"year": year})


def serving_of(
    corpus: str,
    encoder: FakeEncoder,
    *,
    version: str = "iv-1",
    collection: str = "one",
    boosts: tuple[Boost, ...] = (),
    bm25: bool = False,
    bm25_weight: float = EVEN,
) -> Serving:
    at = now()
    index_version = IndexVersion(
        index_version_id=version,
        corpus=corpus,
        model_id="m-1",
        collection=collection,
        state=IndexState.SERVING,
        chunking=Chunking(),
        index=IndexSettings(bm25=bm25),
        head=0,
        applied_seq=0,
        backfilled=True,
        verification=None,
        served_at=at,
        retired_at=None,
        created_at=at,
    )
    model = ModelVersion("m-1", "base", None, None, None, DIMENSION, 64, "", "", "onnx", {}, {}, at)
    return Serving(corpus, index_version, model, encoder, boosts, bm25_weight)


@pytest.fixture
def corpus(database: Database) -> Corpus:
    """A corpus with documents d0..d4."""
    with database.write() as connection:
        corpora.add(connection, "c", Policy())
    put_documents(database, "c", [NewDocument(f"d{i}", f"title {i}", f"text {i}") for i in range(5)])
    with database.read() as connection:
        return corpora.get(connection, "c")
