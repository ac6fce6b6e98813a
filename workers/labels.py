"""Labels for a training set: votes become judgments, judgments and imports become pairs that may train."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from embedloop import feedback as feedback_rules
from embedloop.catalog import documents, feedback, lineage, removals, splits
from embedloop.catalog import labelled_pairs as imported_texts
from embedloop.catalog.database import Database
from embedloop.errors import TrainingFailed
from embedloop.policy import Policy, Votes
from embedloop.records.documents import Corpus
from embedloop.records.feedback import Signal, Vote
from embedloop.records.labels import Judgment, LabelledText, Split
from embedloop.records.training import TrainingPair
from embedloop.removed import Removed, check_removed, marks_of
from embedloop.slices import slices
from embedloop.text.near_duplicates import clusters
from embedloop.text.normalise import query_key
from embedloop.text.strata import length_of, topic_of
from training.balance import DocumentKind, cap_per_document, coverage
from training.judgments import Key, aggregate, strongest
from training.leakage import Measured, check_leakage, without_leaks
from training.pairs import build_pairs, labelled_pairs, text_id, with_negatives
from training.propensity import Exposure, Propensity, estimate_propensity

# The newest answers tell of today's position bias; reading all of a large log would take longer than training.
ANSWERS_READ = 200_000
PAIRS_PER_TRANSACTION = 500
# Metadata may be large: of the whole corpus only its kinds are held.
DOCUMENTS_PER_READ = 1000
_TAKEN = (Signal.CLICK, Signal.UP)


@dataclass(frozen=True, slots=True)
class CountedVotes:
    """What became of the votes, for the training set's report, and whose each feedback was (marks)."""

    report: Mapping[str, Any]
    persons: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Labels:
    """What may train, and what may not because it is measured or was removed."""

    judged: Sequence[Judgment]
    imported: Sequence[LabelledText]
    golden: Sequence[Judgment]
    measured: Measured
    removed: Removed
    conflicts: int

    def pairs(
        self,
        texts: Mapping[str, str],
        negatives: Mapping[str, Sequence[str]],
        similarity: float,
        unlabelled: Sequence[TrainingPair] = (),
    ) -> list[TrainingPair]:
        """Pairs of documents and of imported texts, near duplicates told, in so far as nothing was removed.

        Args:
            texts: Document id -> its first passage, as it is embedded.
            negatives: Query -> ids of hard negatives.
            similarity: From which two texts are near duplicates.
            unlabelled: Pairs that need no labels; they get their negatives here.
        """
        allowed = {
            identity: text
            for identity, text in texts.items()
            if identity not in self.removed.documents and not self.removed.has_text(text)
        }
        imported = {text_id(one.text): one.text for one in self.imported}
        alike = clusters({**allowed, **imported}, similarity)
        return [
            *build_pairs(self.judged, allowed, negatives, alike),
            *labelled_pairs(self.imported, alike),
            *with_negatives(unlabelled, allowed, negatives, alike),
        ]

    @property
    def positives(self) -> int:
        return sum(one.grade > 0 for one in self.judged) + sum(one.relevant for one in self.imported)

    def report(self, pairs: Sequence[TrainingPair], kinds: Mapping[str, DocumentKind]) -> dict[str, Any]:
        golden = {(one.query, one.document_id) for one in self.golden if one.grade > 0}
        return {"judgments_in_conflict": self.conflicts, "coverage": coverage(pairs, sorted(golden), kinds)}


def judge(database: Database, corpus: Corpus, at: datetime) -> CountedVotes:
    """Makes the corpus' judgments from all feedback there is, without that of removed persons."""
    policy = corpus.policy.votes
    with database.read() as connection:
        removed = removals.marks(connection, corpus.name)
        given = feedback.votes(connection, corpus.name)
        votes = [vote for vote in given if removed.allow(vote)]
        exposures = _exposures(connection, corpus.name, votes) if _need_exposures(votes, policy) else None
    propensity = Propensity()
    if exposures is not None and policy.position_bias == "estimate":
        propensity = estimate_propensity(exposures.values())
    impressions = None
    if exposures is not None:
        impressions = {key: sum(one.shown.values()) for key, one in exposures.items()}
    made = aggregate(votes, policy, at=at, propensity=propensity, impressions=impressions)
    feedback_rules.judge_from_feedback(database, corpus, made.judgments)
    report = {
        "votes": {**made.counts, "removed": len(given) - len(votes)},
        "position_bias": {"exponent": round(propensity.exponent, 4), "learnt_from": propensity.taken},
    }
    return CountedVotes(report, {vote.feedback_id: marks_of(vote.person) for vote in votes})


def read_labels(database: Database, corpus: Corpus) -> Labels:
    """Reads judgments and imported pairs that may train, and every query that something is measured on."""
    name = corpus.name
    with database.read() as connection:
        removed = removals.marks(connection, name)
        judged = feedback.judgments_of(connection, name, (Split.TRAIN, Split.DEV))
        golden, _ = strongest(feedback.judgments_of(connection, name, (Split.GOLDEN,)))
        imported = imported_texts.of_corpus(connection, name)
        measured = measured_queries(connection, corpus)
    kept, conflicts = strongest(one for one in judged if one.document_id not in removed.documents)
    return Labels(
        judged=kept,
        imported=[one for one in imported if not removed.has_text(one.text)],
        golden=golden,
        measured=measured,
        removed=removed,
        conflicts=conflicts,
    )


def measured_queries(
    connection: Connection, corpus: Corpus, golden: Sequence[str] = (), dev: Sequence[str] = ()
) -> Measured:
    """Every golden and dev query that the corpus has at this moment, and others that measure beside them."""
    asked = splits.queries_in(connection, corpus.name, Split.GOLDEN)
    validated = splits.queries_in(connection, corpus.name, Split.DEV)
    return Measured([*asked, *golden], [*validated, *dev], corpus.policy.splits.similarity)


def chosen_pairs(
    offered: Sequence[TrainingPair], policy: Policy, labels: Labels
) -> tuple[list[TrainingPair], dict[str, int]]:
    """Leaves out what was removed, what leaks and what is too much of one document; counts it by reason."""
    allowed = [pair for pair in map(labels.removed.without, offered) if pair is not None]
    clean, leaks = without_leaks(allowed, labels.measured)
    kept, over = cap_per_document(clean, policy.balance.max_pairs_per_document)
    return kept, {**leaks, "over_document_cap": over, "removed": len(offered) - len(allowed)}


def check_may_train(
    database: Database, corpus: Corpus, training_set_id: str, pairs: Sequence[TrainingPair]
) -> None:
    """Makes sure that a frozen set may train now: labels and removals came in since it was frozen.

    Raises:
        TrainingFailed: It holds what is measured, or what was removed.
    """
    with database.read() as connection:
        measured = measured_queries(connection, corpus)
        removed = removals.marks(connection, corpus.name)
        stale = lineage.holds_removed(connection, training_set_id, removed)
    if stale:
        raise TrainingFailed(
            f"training set {training_set_id} holds what was removed since: start the job again"
        )
    check_removed(pairs, removed)
    check_leakage(pairs, measured)


def document_kinds(database: Database, corpus: Corpus) -> dict[str, DocumentKind]:
    """Every live document by what it is told apart by."""
    field = corpus.policy.splits.topic
    kinds: dict[str, DocumentKind] = {}
    with database.read() as connection:
        ids = documents.live_ids(connection, corpus.name)
        for part in slices(ids, DOCUMENTS_PER_READ):
            told = documents.lengths_and_metadata(connection, corpus.name, part)
            kinds |= {
                identity: DocumentKind(topic_of(metadata, field), length_of(characters))
                for identity, (characters, metadata) in told.items()
            }
    return kinds


def keep_lineage(
    database: Database,
    training_set_id: str,
    pairs: Sequence[TrainingPair],
    persons: Mapping[str, Sequence[str]],
    between: Callable[[], None],
) -> None:
    """Stores what each pair is made of, in short transactions; `between` them it may be told to stop."""
    for part in slices(pairs, PAIRS_PER_TRANSACTION):
        between()
        with database.write() as connection:
            lineage.add(connection, training_set_id, part, persons)


def _need_exposures(votes: Sequence[Vote], policy: Votes) -> bool:
    clicks = policy.click > 0 and any(vote.signal is Signal.CLICK for vote in votes)
    return clicks and (policy.position_bias == "estimate" or policy.min_impressions > 1)


def _exposures(connection: Connection, corpus: str, votes: Sequence[Vote]) -> dict[Key, Exposure]:
    """Of each (query, document) that somebody took: how often it was shown at each rank, and taken there."""
    taken_by = {(v.retrieval_id, v.document_id) for v in votes if v.signal in _TAKEN}
    wanted = {(query_key(v.query), v.document_id) for v in votes if v.signal in _TAKEN}
    queries = {key for key, _ in wanted}
    shown: dict[Key, Counter[int]] = defaultdict(Counter)
    taken: dict[Key, Counter[int]] = defaultdict(Counter)
    keys: dict[str, str] = {}
    for retrieval_id, query, answer in feedback.newest_answers(connection, corpus, ANSWERS_READ):
        key = keys.get(query) or keys.setdefault(query, query_key(query))
        if key not in queries:
            continue
        seen: set[str] = set()
        for rank, document_id in answer:
            if (key, document_id) not in wanted or document_id in seen:
                continue
            # A document of several passages is met at the first of them.
            seen.add(document_id)
            shown[key, document_id][rank] += 1
            taken[key, document_id][rank] += (retrieval_id, document_id) in taken_by
    return {pair: Exposure(shown[pair], taken[pair]) for pair in shown}
