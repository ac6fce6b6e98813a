"""Stage `train_reranker`: a child process trains a cross-encoder on the training set; it is registered."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from embedloop.catalog import corpora, documents, models
from embedloop.jobs import Advance, Lease, Outcome
from embedloop.records.jobs import Job
from embedloop.records.labels import Split
from embedloop.records.training import TrainingPair
from embedloop.registry import max_tokens_of, resolve_base
from embedloop.rerankers import register_reranker
from embedloop.text.chunking import embedding_text
from training.pairs import read_training_set
from workers.bases import BASE_TEXTS
from workers.labels import check_may_train
from workers.parts import Parts
from workers.train import PARITY_TEXTS, keep_record, metrics_of, run_child

log = logging.getLogger(__name__)


def train_reranker(parts: Parts, job: Job, lease: Lease) -> Outcome:
    """Trains and registers; what becomes of it is the gate's to say."""
    # torch loads here and not when a worker starts.
    from training.reranker_export import check_reranker, export_reranker
    from training.reranking import RerankerConfig

    with parts.database.read() as connection:
        corpus = corpora.get(connection, job.corpus)
        training_set = models.training_set(connection, job.checkpoint["training_set"])
        sample = documents.sample(connection, corpus.name, PARITY_TEXTS)
    frozen = parts.store.fetch(training_set.training_set_id) / training_set.path
    pairs = read_training_set(frozen)
    check_may_train(parts.database, corpus, training_set.training_set_id, pairs)
    settings = corpus.policy.reranking.training
    base = settings.base or corpus.policy.base_model
    work = parts.settings.data_dir / "work" / job.job_id
    run = work / "run"
    config = RerankerConfig(Path(base) if settings.base else resolve_base(base), run, frozen, settings)
    result = run_child(config, lease)
    asked = _asked(pairs, [embedding_text(d.title, d.text) for d in sample])

    def export(copy: Path) -> None:
        export_reranker(copy)
        check_reranker(copy, asked, max_tokens=max_tokens_of(copy))

    model = register_reranker(
        parts.database,
        parts.store,
        Path(result["model"]),
        base=base,
        export=export,
        corpus=corpus.name,
        training_set_id=training_set.training_set_id,
        metrics=metrics_of(result, training_set.counts),
    )
    keep_record(parts, run, model.model_id)
    shutil.rmtree(work, ignore_errors=True)
    log.info("registered re-ranker %s", model.model_id)
    return Advance({"model_version": model.model_id})


def _asked(pairs: Sequence[TrainingPair], texts: Sequence[str]) -> list[tuple[str, str]]:
    """Real queries with real passages, and some of any length and script."""
    queries = [pair.anchor for pair in pairs if pair.split is Split.TRAIN][: max(1, len(texts))]
    return [*zip(queries, texts, strict=False), *((BASE_TEXTS[0], text) for text in BASE_TEXTS)]
