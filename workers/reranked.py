"""Judged queries answered as a search answers them, where a second stage orders the first hits again."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence

from embedloop.encoder import Encoder, Vectors
from embedloop.jobs import Lease
from embedloop.records.versions import ModelVersion
from embedloop.reranker import Reranker, reordered
from embedloop.second_stage import EncoderRescorer, has_rescorer, load_second_encoder
from embedloop.text.chunking import embedding_text
from training.evaluation import rank_by_cosine
from workers.judged import Judged, rank
from workers.parts import Parts

Run = Mapping[str, Sequence[str]]
"""Query key -> ids of passages, the best first."""


def second_encoder(parts: Parts, model: ModelVersion) -> Encoder | None:
    """The encoder of a model version's own second stage; None where it answers in one."""
    if not has_rescorer(model):
        return None
    return load_second_encoder(parts.store, model, threads=parts.settings.embed_threads)


def rank_as_served(
    judged: Judged,
    encoder: Encoder,
    vectors: Vectors,
    depth: int,
    second: Encoder | None,
    lease: Lease,
    share: tuple[float, float],
) -> dict[str, list[str]]:
    """Query key -> document ids, the best first, as the model version answers them.

    Args:
        judged: The queries and the pool.
        encoder: Of the model version.
        vectors: Its (n, dim) of the pool's passages, in their order.
        depth: Most documents of a query.
        second: Of its own second stage, which has the policy's depth and budget; None where there is none.
        lease: Told the progress.
        share: The part of the stage's progress, from and to, that this is.
    """
    if second is None:
        return rank(judged, encoder, vectors, depth)
    found = nearest(judged, encoder, vectors, max(depth, judged.corpus.policy.reranking.depth))
    again, _ = rerank(judged, found, EncoderRescorer(second), lease, share)
    return {key: row[:depth] for key, row in documents_of(judged, again).items()}


def nearest(judged: Judged, encoder: Encoder, vectors: Vectors, depth: int) -> dict[str, list[str]]:
    """Query key -> ids of the passages nearest to it."""
    ids = [passage.passage_id for passage in judged.passages]
    near = rank_by_cosine(encoder.encode_queries(judged.queries), vectors, ids, depth)
    return dict(zip(judged.keys, near, strict=True))


def rerank(
    judged: Judged,
    run: Run,
    reranker: Reranker,
    lease: Lease,
    share: tuple[float, float],
    *,
    weight: float = 1.0,
) -> tuple[dict[str, list[str]], dict[str, float]]:
    """The run with its best `policy.reranking.depth` scored again within the budget, in `order_of` the weight.

    Returns:
        The run, and what that took: mean passages and median milliseconds.
    """
    texts = texts_of(judged)
    settings = judged.corpus.policy.reranking
    found: dict[str, list[str]] = {}
    counts, spent = [], []
    for position, (key, query) in enumerate(zip(judged.keys, judged.queries, strict=True)):
        lease.progress(share[0] + (share[1] - share[0]) * position / len(judged.queries))
        best = [texts[one] for one in run[key][: settings.depth]]
        begin = time.perf_counter()
        scores = reranker.score(query, best, budget_seconds=settings.budget_ms / 1000)
        spent.append(1000 * (time.perf_counter() - begin))
        counts.append(len(scores))
        found[key] = reordered(run[key], scores.tolist(), weight)
    return found, {"passages": statistics.mean(counts), "median_ms": statistics.median(spent)}


def texts_of(judged: Judged) -> dict[str, str]:
    """Passage id -> its text, as it is embedded."""
    return {one.passage_id: embedding_text(one.title, one.text) for one in judged.passages}


def documents_of(judged: Judged, run: Run) -> dict[str, list[str]]:
    """Query key -> documents in the order of their best passage."""
    owner = {one.passage_id: one.document_id for one in judged.passages}
    return {key: list(dict.fromkeys(owner[one] for one in row)) for key, row in run.items()}
