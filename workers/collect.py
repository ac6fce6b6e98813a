"""Stage `collect`: votes become judgments, judgments become a frozen training set."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection

from embedloop import feedback as feedback_rules
from embedloop.catalog import corpora, documents, feedback, index_versions, models
from embedloop.catalog.database import now
from embedloop.corpus import passages_of
from embedloop.errors import NotReady
from embedloop.jobs import Advance, End, Lease, Outcome
from embedloop.records import Corpus, IndexVersion, Job, JobState, Judgment, Split, TrainingPair, TrainingSet
from embedloop.text.chunking import embedding_text
from embedloop.text.names import presidio_names
from embedloop.text.normalise import query_key
from embedloop.text.redact import NameFinder, redact
from training.judgments import aggregate
from training.mining import mine_hard_negatives
from training.pairs import build_pairs, check_leakage, write_training_set
from workers.parts import Parts
from workers.searchers import LoggedThenIndex


def collect(parts: Parts, job: Job, lease: Lease) -> Outcome:
    """Freezes what people have said so far into a training set; rejects the job when it is too little."""
    begun = now()
    with parts.database.read() as connection:
        corpus = corpora.get(connection, job.corpus)
        serving = _serving(connection, corpus)
        votes = feedback.votes(connection, corpus.name)
    feedback_rules.judge_from_feedback(parts.database, corpus, aggregate(votes, corpus.policy.votes))
    lease.progress(0.2)
    with parts.database.read() as connection:
        judged = feedback.judgments_of(connection, corpus.name, (Split.TRAIN, Split.DEV))
        golden = feedback.judgments_of(connection, corpus.name, (Split.GOLDEN,))
    positives = [j for j in judged if j.grade > 0]
    minimum = corpus.policy.trigger.min_pairs
    if len(positives) < minimum:
        reason = f"{len(positives)} training pairs, at least {minimum} are needed"
        return End(JobState.REJECTED, {"code": "too_little_feedback", "reason": reason})
    negatives, dropped = _negatives(parts, corpus, serving, judged)
    lease.progress(0.7)
    texts = _texts(parts, corpus, serving, judged, negatives)
    names = presidio_names(parts.settings.names_model) if corpus.policy.redact_names else None
    pairs = [_redacted(pair, names) for pair in build_pairs(judged, texts, negatives)]
    check_leakage(pairs, {query_key(j.query) for j in golden})
    frozen = _freeze(parts, corpus, pairs)
    with parts.database.write() as connection:
        models.add_training_set(connection, frozen)
        corpora.set_feedback_watermark(connection, corpus.name, begun)
    return Advance({"training_set": frozen.training_set_id, "negatives_dropped": dropped})


def _serving(connection: Connection, corpus: Corpus) -> IndexVersion:
    if corpus.serving is None:
        raise NotReady(f"corpus {corpus.name!r} has no serving index version yet", field="corpus")
    return index_versions.get(connection, corpus.serving)


def _negatives(
    parts: Parts, corpus: Corpus, serving: IndexVersion, judged: Sequence[Judgment]
) -> tuple[Mapping[str, Sequence[str]], Mapping[str, int]]:
    wanted = corpus.policy.training.hard_negatives
    if not wanted:
        return {}, {}
    relevant: dict[str, set[str]] = {}
    refused: dict[str, set[str]] = {}
    for judgment in judged:
        if judgment.split is Split.TRAIN:
            (relevant if judgment.grade > 0 else refused).setdefault(judgment.query, set()).add(
                judgment.document_id
            )
    view = parts.view(serving)
    mined = mine_hard_negatives(
        relevant,
        refused,
        LoggedThenIndex.of(view),
        per_query=wanted,
        relative_margin=corpus.policy.training.relative_margin,
    )
    return mined.negatives, mined.dropped


def _texts(
    parts: Parts,
    corpus: Corpus,
    serving: IndexVersion,
    judged: Sequence[Judgment],
    negatives: Mapping[str, Collection[str]],
) -> dict[str, str]:
    """Document id -> text of its first passage, exactly as it is embedded."""
    wanted = {j.document_id for j in judged} | {i for ids in negatives.values() for i in ids}
    with parts.database.read() as connection:
        found = documents.get_many(connection, corpus.name, sorted(wanted))
    chunker = parts.chunker(serving, parts.model(serving.model_id))
    texts = {}
    for identity, document in found.items():
        first = passages_of(document, chunker)[0]
        texts[identity] = embedding_text(first.title, first.text)
    return texts


def _redacted(pair: TrainingPair, names: NameFinder | None) -> TrainingPair:
    """Whatever the policy for documents, no personal data that the redactor knows gets into training."""

    def cleared(text: str) -> str:
        return redact(text, names=names).text

    return replace(
        pair,
        anchor=cleared(pair.anchor),
        positive=cleared(pair.positive),
        negatives=tuple(map(cleared, pair.negatives)),
    )


def _freeze(parts: Parts, corpus: Corpus, pairs: Sequence[TrainingPair]) -> TrainingSet:
    with tempfile.TemporaryDirectory() as scratch:
        frozen = write_training_set(pairs, Path(scratch))
        identity = f"ts-{hashlib.sha256((corpus.name + frozen.sha256).encode()).hexdigest()[:20]}"
        parts.store.put(identity, frozen.path.parent)
        return TrainingSet(
            training_set_id=identity,
            corpus=corpus.name,
            sha256=frozen.sha256,
            counts=dict(frozen.counts),
            path=frozen.path.name,
            created_at=now(),
        )
