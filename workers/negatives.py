"""Hard negatives for a corpus: what its people refused, and what its index and its words put near."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from embedloop.catalog import documents
from embedloop.corpus import passages_of
from embedloop.jobs import Lease
from embedloop.records.documents import Corpus
from embedloop.records.labels import Judgment, Split
from embedloop.records.versions import IndexVersion
from embedloop.text.chunking import embedding_text
from training.lexical import Bm25
from training.mining import MinedNegatives, Reviewer, mine_hard_negatives
from workers.parts import Parts
from workers.reading import read_documents
from workers.searchers import LoggedThenIndex


def mine(
    parts: Parts, corpus: Corpus, serving: IndexVersion, judged: Sequence[Judgment], lease: Lease
) -> MinedNegatives:
    """Mines as `policy.training` says.

    Raises:
        ModelRefused: The cross-encoder that the policy names may not be loaded.
    """
    training = corpus.policy.training
    # A map of queries is learnt from the other documents of a batch.
    if not training.hard_negatives or training.query_map is not None:
        return MinedNegatives({}, {}, {})
    relevant, refused = _by_grade(judged)
    view = parts.view(serving)
    words = None
    if "bm25" in training.mining.sources:
        with parts.database.read() as connection:
            ids = documents.live_ids(connection, corpus.name)
        words = Bm25(first_passages(parts, corpus, serving, ids, lease)) if ids else None
        # What is logged may be cut short by a filter; what BM25 finds is measured by the whole index.
        by_cosine = LoggedThenIndex(view, {})
    else:
        by_cosine = LoggedThenIndex.of(view)
    return mine_hard_negatives(
        relevant,
        refused,
        by_cosine if "index" in training.mining.sources else None,
        measure=by_cosine,
        lexical=words,
        reviewer=_reviewer(parts, corpus, serving),
        per_query=training.hard_negatives,
        relative_margin=training.relative_margin,
        limit=training.mining.depth,
    )


def first_passages(
    parts: Parts, corpus: Corpus, serving: IndexVersion, ids: Sequence[str], lease: Lease | None = None
) -> dict[str, str]:
    """Document id -> text of its first passage, exactly as it is embedded; of live documents only."""
    chunker = parts.chunker(serving, parts.model(serving.model_id))
    texts: dict[str, str] = {}
    for document in read_documents(parts, corpus, ids, lease):
        first = passages_of(document, chunker)[0]
        texts[document.document_id] = embedding_text(first.title, first.text)
    return texts


def _by_grade(judged: Sequence[Judgment]) -> tuple[Mapping[str, set[str]], Mapping[str, set[str]]]:
    """Training queries with their relevant documents, and with those that people refused."""
    relevant: dict[str, set[str]] = {}
    refused: dict[str, set[str]] = {}
    for judgment in judged:
        if judgment.split is Split.TRAIN:
            graded = relevant if judgment.grade > 0 else refused
            graded.setdefault(judgment.query, set()).add(judgment.document_id)
    return relevant, refused


class _CrossEncoder:
    """A `training.mining.Reviewer` that reads the texts which it is asked about, and loads its model then."""

    def __init__(self, parts: Parts, corpus: Corpus, serving: IndexVersion, folder: Path) -> None:
        self._parts, self._corpus, self._serving, self._folder = parts, corpus, serving, folder

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        # torch loads here and not when a worker starts.
        from training.reviewing import CrossEncoderReviewer

        ids = sorted({document_id for _, document_id in pairs})
        texts = first_passages(self._parts, self._corpus, self._serving, ids)
        return CrossEncoderReviewer(self._folder, texts).score(pairs)


def _reviewer(parts: Parts, corpus: Corpus, serving: IndexVersion) -> Reviewer | None:
    folder = corpus.policy.training.mining.cross_encoder
    return _CrossEncoder(parts, corpus, serving, Path(folder)) if folder else None
