"""Stage `collect`: votes become judgments, judgments become a frozen training set."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from embedloop.catalog import corpora, index_versions, models
from embedloop.catalog.database import now
from embedloop.errors import NotReady
from embedloop.jobs import Advance, End, Lease, Outcome
from embedloop.lineage import SourceKind, kind_of
from embedloop.records.documents import Corpus
from embedloop.records.jobs import Job, JobKind, JobState
from embedloop.records.labels import Split
from embedloop.records.training import TrainingPair, TrainingSet
from embedloop.records.versions import IndexVersion
from training.mining import MinedNegatives
from training.pairs import write_training_set
from workers.augmented import augmented_pairs
from workers.gather import gather
from workers.generated import forget_generated
from workers.labels import chosen_pairs, document_kinds, judge, keep_lineage
from workers.negatives import first_passages, mine
from workers.ordered import corpus_of
from workers.parts import Parts
from workers.redaction import clear_of, redacted


def collect(parts: Parts, job: Job, lease: Lease) -> Outcome:
    """Freezes what people have said so far into a training set; rejects the job when it is too little."""
    begun = now()
    with parts.database.read() as connection:
        corpus = corpus_of(connection, job)
        serving = _serving(connection, corpus)
    counted = judge(parts.database, corpus, begun)
    lease.progress(0.2)
    clear = clear_of(parts, corpus)
    gathered = gather(parts, job, corpus, serving, lease, clear)
    if (reason := gathered.too_little(corpus.policy)) is not None:
        return End(JobState.REJECTED, {"code": "too_little_feedback", "reason": reason})
    gathered = gathered.enough(corpus.policy)
    labels = gathered.labels
    mined = gathered.kept_apart(mine(parts, corpus, serving, [*labels.judged, *gathered.questions], lease))
    lease.progress(0.7)
    texts = _texts(parts, corpus, serving, gathered.documents, mined.negatives)
    own = labels.pairs(texts, mined.negatives, corpus.policy.splits.similarity, gathered.unlabelled)
    others = _transferred(job, corpus, own, labels.measured.keys(Split.GOLDEN))
    pairs, left_out = chosen_pairs([redacted(pair, clear) for pair in (*own, *others)], corpus.policy, labels)
    varied = augmented_pairs(parts, job, corpus, pairs, labels, lease)
    pairs += varied.pairs
    kinds = document_kinds(parts.database, corpus)
    told = {**labels.report(pairs, kinds), "sources": gathered.report, "augmentation": varied.told}
    report = {**counted.report, **told, "left_out": left_out}
    frozen = _freeze(parts, corpus, pairs, mined, report)
    keep_lineage(parts.database, frozen.training_set_id, pairs, counted.persons, lease.check)
    with parts.database.write() as connection:
        models.add_training_set(connection, frozen)
        if job.kind is not JobKind.RERANKER:
            # What an encoder has not seen yet still starts its cycle.
            corpora.set_feedback_watermark(connection, corpus.name, begun)
    forget_generated(parts, job)
    return Advance({"training_set": frozen.training_set_id, "negatives_dropped": mined.dropped})


def _serving(connection: Connection, corpus: Corpus) -> IndexVersion:
    if corpus.serving is None:
        raise NotReady(f"corpus {corpus.name!r} has no serving index version yet", field="corpus")
    return index_versions.get(connection, corpus.serving)


def _transferred(
    job: Job, corpus: Corpus, own: Sequence[TrainingPair], golden_keys: Collection[str]
) -> list[TrainingPair]:
    training = corpus.policy.training
    # A re-ranker starts without knowledge that it could forget.
    if training.mixed_in is None or job.kind is JobKind.RERANKER:
        return []
    # Its general pairs come with ir_measures, which only the trainer needs.
    from training.transfer import transfer_pairs

    return transfer_pairs(training.mixed_in, own, golden_keys, training.seed)


def _texts(
    parts: Parts,
    corpus: Corpus,
    serving: IndexVersion,
    known: Collection[str],
    negatives: Mapping[str, Collection[str]],
) -> dict[str, str]:
    wanted = {*known, *(i for ids in negatives.values() for i in ids)}
    return first_passages(parts, corpus, serving, sorted(wanted))


def _freeze(
    parts: Parts,
    corpus: Corpus,
    pairs: Sequence[TrainingPair],
    mined: MinedNegatives,
    report: Mapping[str, Any],
) -> TrainingSet:
    with tempfile.TemporaryDirectory() as scratch:
        frozen = write_training_set(pairs, Path(scratch))
        identity = f"ts-{hashlib.sha256((corpus.name + frozen.sha256).encode()).hexdigest()[:20]}"
        parts.store.put(identity, frozen.path.parent)
        return TrainingSet(
            training_set_id=identity,
            corpus=corpus.name,
            sha256=frozen.sha256,
            counts={
                **frozen.counts,
                **_by_source(pairs),
                **{f"negatives_{origin}": count for origin, count in sorted(mined.taken.items())},
                **{f"dropped_{rule}": count for rule, count in sorted(mined.dropped.items())},
            },
            path=frozen.path.name,
            created_at=now(),
            report=report,
        )


def _by_source(pairs: Sequence[TrainingPair]) -> dict[str, int]:
    """Pairs that no label of the corpus stands behind, by where they are from."""
    # What made the pair itself stands last: a variant has the lineage of its pair before its own.
    counted = Counter(kind_of(one.lineage[-1]) for one in pairs)
    told = (SourceKind.STRUCTURE, SourceKind.GLOSSARY, SourceKind.GENERATED, SourceKind.AUGMENTED)
    return {
        SourceKind.TRANSFER.value: counted[SourceKind.TRANSFER],
        **{kind.value: counted[kind] for kind in told if counted[kind]},
    }
