"""Judged queries with the passages among which every system must find what answers them."""

from __future__ import annotations

import random
import statistics
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection

from embedloop.catalog import corpora, documents, feedback, index_versions
from embedloop.corpus import passages_of
from embedloop.encoder import Encoder, Vectors
from embedloop.errors import NotReady, TooLittleFeedback
from embedloop.jobs import Lease
from embedloop.records.documents import Corpus, Passage
from embedloop.records.labels import Judgment, Split
from embedloop.records.versions import IndexVersion, ModelVersion
from embedloop.text.chunking import embedding_text
from embedloop.text.normalise import query_key
from training.evaluation import METRICS, Scores, rank_by_cosine, score_run
from training.gate import Cost, gate_pool
from training.judgments import qrels_of, strongest
from training.lexical import Bm25
from training.slices import Slices, make_slices, topics_of
from workers.encoding import encoded
from workers.parts import Parts

# Enough to know what people ask often, and no more than fits in memory many times over.
RETRIEVALS_READ = 50_000
TIMED_QUERIES = 50
_BYTES_PER_MB = 1e6


@dataclass(frozen=True)
class Judged:
    """Queries with their judgments, and the pool of passages.

    Attributes:
        corpus: The corpus.
        serving: The index version in charge, whose chunking made the passages.
        queries: Texts, in the order of their keys.
        qrels: Query key -> document id -> grade; each query has a relevant document.
        splits: Query key -> its split.
        passages: Of the pool's documents, in order of document id.
        asked: Query key -> how often it was searched for lately.
    """

    corpus: Corpus
    serving: IndexVersion
    queries: Sequence[str]
    qrels: Mapping[str, Mapping[str, int]]
    splits: Mapping[str, Split]
    passages: Sequence[Passage]
    asked: Mapping[str, int]

    @property
    def keys(self) -> list[str]:
        return [query_key(query) for query in self.queries]

    @property
    def document_ids(self) -> list[str]:
        """The document of each passage."""
        return [passage.document_id for passage in self.passages]

    def texts(self) -> dict[str, str]:
        """Document id -> all its passages, as they are embedded."""
        found: dict[str, list[str]] = {}
        for passage in self.passages:
            found.setdefault(passage.document_id, []).append(embedding_text(passage.title, passage.text))
        return {identity: "\n".join(parts) for identity, parts in found.items()}

    def slices(self, topic_field: str | None) -> Slices:
        """By length, script and frequency, and by topic where a metadata field names it."""
        topics = {} if topic_field is None else self.topics(topic_field)
        return make_slices(dict(zip(self.keys, self.queries, strict=True)), self.qrels, topics, self.asked)

    def topics(self, field: str) -> dict[str, list[str]]:
        """Document id -> what its metadata says in this field."""
        return {passage.document_id: topics_of(passage.metadata, field) for passage in self.passages}


def labels_of(connection: Connection, corpus: str, splits: Collection[Split]) -> list[Judgment]:
    """The judgments of some splits; of those that disagree on a document what was said most plainly."""
    return strongest(feedback.judgments_of(connection, corpus, splits))[0]


def load_judged(
    parts: Parts, name: str, splits: Collection[Split], *, most_queries: int | None = None
) -> Judged:
    """Reads the judged queries of some splits, a sample of `most_queries` of each where there are more.

    Raises:
        NotReady: Nothing serves yet.
        TooLittleFeedback: No query of these splits has a relevant document.
    """
    with parts.database.read() as connection:
        corpus = corpora.get(connection, name)
        if corpus.serving is None:
            raise NotReady(f"corpus {name!r} has no serving index version yet", field="corpus")
        serving = index_versions.get(connection, corpus.serving)
        found = _sampled(labels_of(connection, name, splits), most_queries)
        relevant = {one.document_id for one in found if one.grade > 0}
        pool = gate_pool(relevant, documents.live_ids(connection, name), corpus.policy.gate.pool_size, seed=13)
        stored = documents.get_many(connection, name, pool)
        searched = feedback.recent_queries(connection, name, RETRIEVALS_READ)
    queries, qrels = qrels_of(found)
    if not queries:
        wanted = " or ".join(sorted(split.value for split in splits))
        raise TooLittleFeedback(
            f"corpus {name!r} has no {wanted} query with a relevant document", field="corpus"
        )
    chunker = parts.chunker(serving, parts.model(serving.model_id))
    passages = [p for identity in sorted(stored) for p in passages_of(stored[identity], chunker)]
    split_of = {query_key(one.query): one.split for one in found}
    asked = Counter(query_key(query) for query in searched)
    return Judged(corpus, serving, queries, qrels, split_of, passages, asked)


def _sampled(found: Sequence[Judgment], most_queries: int | None) -> list[Judgment]:
    """The judgments of at most so many queries of each split, the same ones each time."""
    if most_queries is None:
        return list(found)
    keys: dict[Split, set[str]] = {}
    for one in found:
        if one.grade > 0:
            keys.setdefault(one.split, set()).add(query_key(one.query))
    kept = {
        key
        for wanted in keys.values()
        for key in random.Random(13).sample(sorted(wanted), min(most_queries, len(wanted)))
    }
    return [one for one in found if query_key(one.query) in kept]


def passage_vectors(
    parts: Parts,
    judged: Judged,
    encoder: Encoder,
    lease: Lease,
    share: tuple[float, float],
    *,
    stored: bool = False,
) -> Vectors:
    """Vectors (n, dim) of the pool's passages, in their order.

    Args:
        parts: For Milvus.
        judged: The pool.
        encoder: The model's.
        lease: Told the progress.
        share: The part of the stage's progress, from and to, that this encoding is.
        stored: Take the vectors that the serving collection holds already, where it does.
    """
    known: dict[str, Vectors] = {}
    if stored:
        known = parts.index.vectors(judged.serving.collection, [p.passage_id for p in judged.passages])
    todo = [p for p in judged.passages if p.passage_id not in known]
    if todo:
        texts = [embedding_text(p.title, p.text) for p in todo]
        vectors = encoded(encoder.encode_passages, texts, lease, share)
        known.update(zip((p.passage_id for p in todo), vectors, strict=True))
    return np.stack([known[p.passage_id] for p in judged.passages])


def rank(judged: Judged, encoder: Encoder, vectors: Vectors, depth: int) -> dict[str, list[str]]:
    """Query key -> document ids, nearest first."""
    ranked = rank_by_cosine(encoder.encode_queries(judged.queries), vectors, judged.document_ids, depth)
    return dict(zip(judged.keys, ranked, strict=True))


def rank_by_words(judged: Judged, depth: int) -> dict[str, list[str]]:
    """The same by BM25."""
    found = Bm25(judged.texts()).search(judged.queries, depth)
    return {key: [document for document, _ in row] for key, row in zip(judged.keys, found, strict=True)}


def score(judged: Judged, run: Mapping[str, Sequence[str]], metrics: Sequence[str] = METRICS) -> Scores:
    return score_run(run, judged.qrels, metrics)


def cost_of(parts: Parts, model: ModelVersion, encoder: Encoder, queries: Sequence[str]) -> Cost:
    """Encodes some queries one by one, as a search does, and weighs the model's files."""
    sample = list(queries)[:TIMED_QUERIES]
    encoder.encode_queries(sample[:1])
    spent = []
    for query in sample:
        begun = time.perf_counter()
        encoder.encode_queries([query])
        spent.append(1000 * (time.perf_counter() - begun))
    folder = parts.store.fetch(model.model_id)
    size = sum((folder / name).stat().st_size for name in model.manifest)
    return Cost(statistics.median(spent), size / _BYTES_PER_MB)
