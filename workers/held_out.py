"""What measures a candidate where there are too few labels: the structure of documents that train nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from embedloop.catalog import index_versions, models, removals
from embedloop.encoder import Encoder, Vectors
from embedloop.errors import TooLittleFeedback
from embedloop.jobs import Lease
from embedloop.records.documents import Corpus
from embedloop.records.jobs import Job
from embedloop.records.training import TrainingPair, TrainingSet
from training.evaluation import Scores
from training.gate import gate_pool
from training.general import GeneralSet
from training.general_score import SecondStage, score_general
from training.pairs import read_training_set
from training.slices import Slices, make_slices
from training.unlabelled.held_out import set_of, untrained
from workers.encoding import encoded
from workers.parts import Parts
from workers.redaction import clear_of, redacted
from workers.unlabelled import Source, held_out_pairs, source_of

POOL_SEED = 13


@dataclass(frozen=True)
class HeldOut:
    """Queries of documents that train nothing, with the texts among which each must find its own."""

    judged: GeneralSet

    @property
    def queries(self) -> list[str]:
        return [self.judged.queries[key] for key in sorted(self.judged.queries)]

    @property
    def slices(self) -> Slices:
        name = self.judged.name
        queries = {f"{name}/{key}": text for key, text in self.judged.queries.items()}
        return make_slices(queries, {}, {}, {})

    def measure(
        self,
        encoder: Encoder,
        lease: Lease,
        share: tuple[float, float],
        second: SecondStage | None = None,
    ) -> Scores:
        """Scores a model; `share` is the part of the stage's progress, from and to, that it is."""

        def passages(texts: Sequence[str]) -> Vectors:
            return encoded(encoder.encode_passages, texts, lease, share)

        return score_general([self.judged], encoder.encode_queries, passages, second)


def held_out_of(parts: Parts, corpus: Corpus, job: Job, lease: Lease) -> HeldOut:
    """Reads them, without any document that the candidate's training set holds, and without any query of it.

    Raises:
        TooLittleFeedback: No document that trained nothing gives a query.
    """
    with parts.database.read() as connection:
        serving = index_versions.get(connection, corpus.serving or "")
        removed = removals.marks(connection, corpus.name)
        trained = _trained_on(connection, job)
    source = source_of(parts, corpus, serving, removed, lease, hold_out=True)
    clear = clear_of(parts, corpus)
    offered: list[TrainingPair] = [redacted(pair, clear) for pair in held_out_pairs(source)]
    pairs = untrained(offered, [] if trained is None else _pairs_of(parts, trained))
    if not pairs:
        raise TooLittleFeedback(
            f"corpus {corpus.name!r} has too few golden queries, and no document that trained nothing gives "
            "a query (policy.splits.golden is their share)",
            field="corpus",
        )
    return HeldOut(set_of(pairs, _others(source, corpus, pairs)))


def _trained_on(connection: Connection, job: Job) -> TrainingSet | None:
    """What the candidate was trained on, in this job or before it; None for one made of an untrained base."""
    candidate = models.get(connection, job.checkpoint["model_version"])
    found = job.checkpoint.get("training_set") or candidate.training_set_id
    return None if found is None else models.training_set(connection, found)


def _pairs_of(parts: Parts, frozen: TrainingSet) -> list[TrainingPair]:
    return read_training_set(parts.store.fetch(frozen.training_set_id) / frozen.path)


def _others(source: Source, corpus: Corpus, pairs: Sequence[TrainingPair]) -> dict[str, str]:
    """Other documents' first passages, as the queries' own are told: without the title."""
    relevant = {pair.document_id for pair in pairs}
    pool = gate_pool(relevant, list(source.split_of), corpus.policy.gate.pool_size, POOL_SEED)
    others = [one for one in pool if one not in relevant]
    cut = (source.cut(document) for document in source.documents(others))
    return {one.document_id: one.passages[0] for one in cut if one.passages and one.passages[0].strip()}
