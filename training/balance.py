"""Which kinds of queries and documents a training set has how many of, and a cap for the commonest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from embedloop.records.labels import Split
from embedloop.records.training import TrainingPair
from embedloop.text.strata import UNKNOWN, form_of

TOPICS_TOLD = 50
# With fewer golden queries a slice says nothing by itself.
FEW_GOLDEN = 10


@dataclass(frozen=True, slots=True)
class DocumentKind:
    """What a document is told apart by."""

    topic: str
    length: str


def cap_per_document(pairs: Sequence[TrainingPair], most: int) -> tuple[list[TrainingPair], int]:
    """Leaves at most so many training pairs of each document: those that most sources speak for.

    Returns:
        The pairs in their order, and how many were left out.
    """
    ranked = sorted(pairs, key=lambda pair: (-len(pair.lineage), pair.anchor_key))
    taken: Counter[str] = Counter()
    dropped = set()
    for pair in ranked:
        if pair.split is Split.TRAIN:
            taken[pair.document_id] += 1
            if taken[pair.document_id] > most:
                dropped.add((pair.anchor_key, pair.document_id))
    kept = [pair for pair in pairs if (pair.anchor_key, pair.document_id) not in dropped]
    return kept, len(pairs) - len(kept)


def coverage(
    pairs: Sequence[TrainingPair],
    golden: Collection[tuple[str, str]],
    corpus: Mapping[str, DocumentKind],
) -> dict[str, Any]:
    """What the splits have of each topic, length and form of query, beside the whole corpus.

    Args:
        pairs: Pairs of train and dev.
        golden: (query, id of a relevant document) of the golden set.
        corpus: Every live document.

    Returns:
        By split `queries`, `documents`, and counts of queries `by_topic`, `by_length` (of the document) and
        `by_form`; of the corpus counts of documents; `unlabelled_topics`; `thin_in_golden`: kinds with fewer
        than 10 golden queries; `documents_shared_with_golden`. At most 50 topics, the commonest.
    """
    asked = {
        split.value: [(pair.anchor, pair.document_id) for pair in pairs if pair.split is split]
        for split in (Split.TRAIN, Split.DEV)
    }
    asked[Split.GOLDEN.value] = list(golden)
    told: dict[str, Any] = {split: _of_split(rows, corpus) for split, rows in asked.items()}
    topics = Counter(kind.topic for kind in corpus.values())
    labelled = {
        corpus[document_id].topic for rows in asked.values() for _, document_id in rows if document_id in corpus
    }
    golden_documents = {document_id for _, document_id in golden}
    told["corpus"] = {
        "documents": len(corpus),
        "by_topic": dict(topics.most_common(TOPICS_TOLD)),
        "by_length": dict(Counter(kind.length for kind in corpus.values())),
    }
    told["unlabelled_topics"] = sorted(topic for topic in topics if topic not in labelled)[:TOPICS_TOLD]
    told["thin_in_golden"] = _thin(told)
    told["documents_shared_with_golden"] = len(
        {document_id for _, document_id in asked[Split.TRAIN.value]} & golden_documents
    )
    return told


def _of_split(rows: Sequence[tuple[str, str]], corpus: Mapping[str, DocumentKind]) -> dict[str, Any]:
    unknown = DocumentKind(UNKNOWN, UNKNOWN)
    kinds = [corpus.get(document_id, unknown) for _, document_id in rows]
    return {
        "queries": len({query for query, _ in rows}),
        "documents": len({document_id for _, document_id in rows}),
        "by_topic": _counted(kind.topic for kind in kinds),
        "by_length": _counted(kind.length for kind in kinds),
        "by_form": _counted(form_of(query) for query, _ in rows),
    }


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common(TOPICS_TOLD))


def _thin(told: Mapping[str, Any]) -> list[str]:
    golden = told[Split.GOLDEN.value]
    kinds = {
        "topic": told["corpus"]["by_topic"],
        "length": told["corpus"]["by_length"],
        "form": told[Split.TRAIN.value]["by_form"],
    }
    return [
        f"{name}={value}"
        for name, values in kinds.items()
        for value in sorted(values)
        if golden[f"by_{name}"].get(value, 0) < FEW_GOLDEN
    ]
