"""Stage `collect`: votes become judgments, judgments become a frozen training set."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from embedloop.catalog import corpora, index_versions, models
from embedloop.catalog.database import now
from embedloop.errors import NotReady
from embedloop.jobs import Advance, End, Lease, Outcome
from embedloop.lineage import SourceKind, kind_of
from embedloop.records import Corpus, IndexVersion, Job, JobState, Judgment, Split, TrainingPair, TrainingSet
from embedloop.text.names import presidio_names
from embedloop.text.redact import NameFinder, redact
from training.mining import MinedNegatives
from training.pairs import write_training_set
from workers.labels import chosen_pairs, document_kinds, judge, keep_lineage, read_labels
from workers.negatives import first_passages, mine
from workers.ordered import corpus_of
from workers.parts import Parts


def collect(parts: Parts, job: Job, lease: Lease) -> Outcome:
    """Freezes what people have said so far into a training set; rejects the job when it is too little."""
    begun = now()
    with parts.database.read() as connection:
        corpus = corpus_of(connection, job)
        serving = _serving(connection, corpus)
    counted = judge(parts.database, corpus, begun)
    lease.progress(0.2)
    labels = read_labels(parts.database, corpus)
    minimum = corpus.policy.trigger.min_pairs
    if labels.positives < minimum:
        reason = f"{labels.positives} training pairs, at least {minimum} are needed"
        return End(JobState.REJECTED, {"code": "too_little_feedback", "reason": reason})
    mined = mine(parts, corpus, serving, labels.judged, lease)
    lease.progress(0.7)
    texts = _texts(parts, corpus, serving, labels.judged, mined.negatives)
    own = labels.pairs(texts, mined.negatives, corpus.policy.splits.similarity)
    redacted = redactor_of(parts, corpus)
    others = _transferred(corpus, own, labels.measured.keys(Split.GOLDEN))
    pairs, left_out = chosen_pairs([redacted(pair) for pair in (*own, *others)], corpus.policy, labels)
    kinds = document_kinds(parts.database, corpus)
    report = {**counted.report, **labels.report(pairs, kinds), "left_out": left_out}
    frozen = _freeze(parts, corpus, pairs, mined, report)
    keep_lineage(parts.database, frozen.training_set_id, pairs, counted.persons, lease.check)
    with parts.database.write() as connection:
        models.add_training_set(connection, frozen)
        corpora.set_feedback_watermark(connection, corpus.name, begun)
    return Advance({"training_set": frozen.training_set_id, "negatives_dropped": mined.dropped})


def _serving(connection: Connection, corpus: Corpus) -> IndexVersion:
    if corpus.serving is None:
        raise NotReady(f"corpus {corpus.name!r} has no serving index version yet", field="corpus")
    return index_versions.get(connection, corpus.serving)


def _transferred(
    corpus: Corpus, own: Sequence[TrainingPair], golden_keys: Collection[str]
) -> list[TrainingPair]:
    training = corpus.policy.training
    if training.transfer is None:
        return []
    # Its general pairs come with ir_measures, which only the trainer needs.
    from training.transfer import transfer_pairs

    return transfer_pairs(training.transfer, own, golden_keys, training.seed)


def _texts(
    parts: Parts,
    corpus: Corpus,
    serving: IndexVersion,
    judged: Sequence[Judgment],
    negatives: Mapping[str, Collection[str]],
) -> dict[str, str]:
    wanted = {j.document_id for j in judged} | {i for ids in negatives.values() for i in ids}
    return first_passages(parts, corpus, serving, sorted(wanted))


def redactor_of(parts: Parts, corpus: Corpus) -> Callable[[TrainingPair], TrainingPair]:
    """Whatever the policy for documents: what takes out of a pair all that must not be trained on."""
    names = presidio_names(parts.settings.names_model) if corpus.policy.redact_names else None
    return lambda pair: _redacted(pair, names)


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
                "transfer": sum(kind_of(one.lineage[0]) is SourceKind.TRANSFER for one in pairs),
                **{f"negatives_{origin}": count for origin, count in sorted(mined.taken.items())},
                **{f"dropped_{rule}": count for rule, count in sorted(mined.dropped.items())},
            },
            path=frozen.path.name,
            created_at=now(),
            report=report,
        )
