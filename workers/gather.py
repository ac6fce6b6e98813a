"""What may train: labels of people, pairs that need none, and what is kept apart to measure a candidate."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from embedloop.jobs import Lease
from embedloop.policy import Policy
from embedloop.records.documents import Corpus
from embedloop.records.jobs import Job
from embedloop.records.labels import Judgment, Split
from embedloop.records.training import TrainingPair
from embedloop.records.versions import IndexVersion
from embedloop.text.near_duplicates import near
from embedloop.text.normalise import query_key
from training.judgments import qrels_of
from training.mining import MinedNegatives
from workers.generated import generated_offers
from workers.labels import Labels, measured_queries, read_labels
from workers.parts import Parts
from workers.redaction import Clear, redacted
from workers.unlabelled import Source, held_out_pairs, pairs_without_labels, source_of


@dataclass(frozen=True)
class Gathered:
    """What a training set can be made of.

    Attributes:
        labels: Of people, in so far as the policy wants them; `measured` knows what the others measure too.
        unlabelled: Pairs of the other sources.
        held_out: Queries that measure a candidate where golden ones are too few; None where they are enough,
            or where the policy does not want that.
        apart: Documents that may be in no pair, not even as negatives.
        report: What each other source found and left out.
    """

    labels: Labels
    unlabelled: Sequence[TrainingPair]
    held_out: Sequence[TrainingPair] | None
    apart: Collection[str]
    report: Mapping[str, Any]

    @property
    def questions(self) -> list[Judgment]:
        """The unlabelled pairs as hard negatives are mined for them."""
        return [
            Judgment(one.anchor, one.document_id, 1, one.split, one.lineage[0])
            for one in self.unlabelled
            if not one.document_id.startswith("text:")
        ]

    @property
    def documents(self) -> set[str]:
        """Every document that something is known of."""
        judged = {one.document_id for one in self.labels.judged}
        return judged | {one.document_id for one in self.unlabelled}

    @property
    def pairs(self) -> int:
        return self.labels.positives + len(self.unlabelled)

    def enough(self, policy: Policy) -> Gathered:
        """Without any pair where there are fewer than the policy wants: passages are learnt from alone then."""
        if self.pairs >= policy.trigger.min_pairs:
            return self
        return replace(self, labels=replace(self.labels, judged=(), imported=()), unlabelled=())

    def too_little(self, policy: Policy) -> str | None:
        """Why no training can begin; None when it can."""
        needed = policy.trigger.min_pairs
        if self.pairs < needed and policy.training.sources and not policy.training.learns_from_passages:
            return f"{self.pairs} training pairs, at least {needed} are needed"
        if self.held_out is not None and len(self.held_out) < policy.gate.min_queries:
            return (
                f"{len(self.held_out)} documents held out give a query, at least {policy.gate.min_queries} are "
                "needed (policy.gate.min_queries; policy.splits.golden is their share)"
            )
        return None

    def kept_apart(self, mined: MinedNegatives) -> MinedNegatives:
        """The mined negatives without documents that train nothing."""
        kept = {
            query: tuple(one for one in found if one not in self.apart)
            for query, found in mined.negatives.items()
        }
        return replace(mined, negatives=kept)


def gather(
    parts: Parts, job: Job, corpus: Corpus, serving: IndexVersion, lease: Lease, clear: Clear
) -> Gathered:
    """Reads all sources that the policy names."""
    training = corpus.policy.training
    labels = read_labels(parts.database, corpus)
    hold_out = corpus.policy.gate.without_labels == "held_out" and not enough_golden(
        labels.golden, corpus.policy
    )
    if "judgments" not in training.sources:
        labels = replace(labels, judged=(), imported=())
    if training.judgments_only and not hold_out:
        return Gathered(labels, (), None, (), {})
    source = source_of(parts, corpus, serving, labels.removed, lease, hold_out=hold_out)
    held_out = [redacted(pair, clear) for pair in held_out_pairs(source)] if hold_out else None
    labelled = {(query_key(one.query), one.document_id) for one in labels.judged if one.grade > 0}

    def generate() -> Any:
        return generated_offers(parts, job, source, serving, clear)

    found = pairs_without_labels(source, labelled, generate)
    unlabelled, dropped = _beside_labels(found.pairs, labels, corpus.policy.splits.similarity)
    dev = [clear(pair.anchor) for pair in unlabelled if pair.split is Split.DEV]
    with parts.database.read() as connection:
        measured = measured_queries(connection, corpus, [one.anchor for one in held_out or ()], dev)
    return Gathered(
        replace(labels, measured=measured),
        unlabelled,
        held_out,
        _apart(source) if hold_out else (),
        {**found.report, "dev_like_labelled": dropped, "held_out": len(held_out or ())},
    )


def enough_golden(golden: Sequence[Judgment], policy: Policy) -> bool:
    """Whether the gate can measure a candidate on golden queries."""
    return len(qrels_of(golden)[0]) >= policy.gate.min_queries


def _apart(source: Source) -> set[str]:
    return {identity for identity, split in source.split_of.items() if split is Split.GOLDEN}


def _beside_labels(
    pairs: Sequence[TrainingPair], labels: Labels, similarity: float
) -> tuple[list[TrainingPair], int]:
    """Leaves out dev pairs that ask what people's training labels ask: labels are worth more than they."""
    trained = [one.query for one in labels.judged if one.split is Split.TRAIN]
    trained += [one.anchor for one in labels.imported if one.split is Split.TRAIN]
    keys = {query_key(query) for query in trained}
    dev = [pair.anchor for pair in pairs if pair.split is Split.DEV]
    like = near(dev, trained, similarity)
    kept = [
        pair
        for pair in pairs
        if pair.split is not Split.DEV or (pair.anchor_key not in keys and pair.anchor not in like)
    ]
    return kept, len(pairs) - len(kept)
