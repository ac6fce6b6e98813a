"""Stage `train` where the recipe is a map of queries: seconds, for no model is trained."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import numpy as np

from embedloop.catalog import documents
from embedloop.encoder import Vectors
from embedloop.errors import TrainingFailed
from embedloop.index_rows import passage_id
from embedloop.jobs import Advance, End, Lease, Outcome
from embedloop.lineage import SourceKind, kind_of
from embedloop.mapped import register_mapped
from embedloop.recipe.query_map import QueryMapSettings
from embedloop.records.documents import Corpus
from embedloop.records.jobs import JobState
from embedloop.records.labels import Split
from embedloop.records.training import TrainingPair, TrainingSet
from embedloop.records.versions import IndexVersion, ModelVersion
from training.map_kinds import Pairs
from training.query_map import fit_query_map
from training.trainer import threads
from workers.encoding import encoded
from workers.parts import Parts

log = logging.getLogger(__name__)

LEAST_PAIRS = 2
_ENCODED_SHARE = 0.7
_FITTED_SHARE = 0.95
# Labels that name a document; its first passage is what they are learnt from.
_JUDGED = (SourceKind.FEEDBACK, SourceKind.IMPORT)


def train_query_map(
    parts: Parts,
    corpus: Corpus,
    settings: QueryMapSettings,
    training_set: TrainingSet,
    pairs: Sequence[TrainingPair],
    lease: Lease,
) -> Outcome:
    """Fits a map over the vectors that the serving version holds, and registers its model with that map.

    A map that serves already is replaced and not added to. Rejects the job when the pairs that were held back
    would keep nothing of what was learnt.

    Raises:
        TrainingFailed: There are fewer than two pairs to learn from.
    """
    begun = time.monotonic()
    taught = sum(pair.split is Split.TRAIN for pair in pairs)
    if taught < LEAST_PAIRS:
        raise TrainingFailed(f"a map of queries needs {LEAST_PAIRS} training pairs or more, got {taught}")
    serving = parts.serving(corpus)
    model = parts.without_map(parts.model(serving.model_id))
    vectors = _pairs(parts, corpus, serving, model, pairs, lease)
    chosen = {split: _of_split(vectors, pairs, split) for split in (Split.TRAIN, Split.DEV)}
    training = corpus.policy.training
    with threads(training.threads):
        fitted = fit_query_map(
            chosen[Split.TRAIN], settings, seed=training.seed, dev=chosen[Split.DEV], check=lease.check
        )
    lease.progress(_FITTED_SHARE)
    told = {"kind": settings.kind, **fitted.to_json(), "seconds": round(time.monotonic() - begun, 1)}
    log.info("map of queries on %s: %s", model.model_id, told)
    if not fitted.share:
        reason = f"no share of the map helps the {fitted.chosen_on} pairs that it was not learnt from"
        return End(JobState.REJECTED, {"code": "nothing_learnt", "reason": reason, "query_map": told})
    candidate = register_mapped(
        parts.database,
        parts.store,
        model,
        fitted.query_map,
        corpus=corpus.name,
        training_set_id=training_set.training_set_id,
        metrics={"query_map": told, "pairs": dict(training_set.counts)},
    )
    return Advance({"model_version": candidate.model_id})


def _pairs(
    parts: Parts,
    corpus: Corpus,
    serving: IndexVersion,
    model: ModelVersion,
    pairs: Sequence[TrainingPair],
    lease: Lease,
) -> Pairs:
    encoder = parts.encoders.get(model)
    queries = encoded(encoder.encode_queries, [pair.anchor for pair in pairs], lease, (0.0, _ENCODED_SHARE / 2))
    stored = _stored(parts, corpus, serving, pairs)
    positives = {pair.positive: stored[pair.document_id] for pair in pairs if _is_stored(pair, stored)}
    others = sorted({pair.positive for pair in pairs} - positives.keys())
    if others:
        made = encoded(encoder.encode_passages, others, lease, (_ENCODED_SHARE / 2, _ENCODED_SHARE))
        positives.update(zip(others, made, strict=True))
    rows = np.stack([positives[pair.positive] for pair in pairs])
    return Pairs(queries, rows, [pair.document_id for pair in pairs])


def _stored(
    parts: Parts, corpus: Corpus, serving: IndexVersion, pairs: Sequence[TrainingPair]
) -> dict[str, Vectors]:
    """Document id -> vector of its first passage, of live documents that the serving version holds."""
    with parts.database.read() as connection:
        revs = documents.live_revs(connection, corpus.name, {pair.document_id for pair in pairs})
    keys = {passage_id(document_id, rev, 0): document_id for document_id, rev in revs.items()}
    found = parts.index.vectors(serving.collection, list(keys))
    return {keys[key]: vector for key, vector in found.items()}


def _is_stored(pair: TrainingPair, stored: dict[str, Vectors]) -> bool:
    return pair.document_id in stored and kind_of(pair.lineage[0]) in _JUDGED


def _of_split(vectors: Pairs, pairs: Sequence[TrainingPair], split: Split) -> Pairs:
    return vectors.take(np.array([n for n, pair in enumerate(pairs) if pair.split is split], dtype=np.int64))
