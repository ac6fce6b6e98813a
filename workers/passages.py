"""Texts of a corpus for what learns from them without labels: sampled, redacted, as they are embedded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from embedloop.catalog import documents, removals
from embedloop.corpus import passages_of
from embedloop.jobs import Lease
from embedloop.records.documents import Corpus
from embedloop.text.chunking import embedding_text
from embedloop.text.names import presidio_names
from embedloop.text.redact import redact
from workers.parts import Parts
from workers.reading import read_documents

# More teach little more, and take longer than a night on two cores.
MOST_DOCUMENTS = 50_000


def write_passages(parts: Parts, corpus: Corpus, path: Path, lease: Lease) -> Path:
    """Writes the passages of a spread of the live documents, a JSON string a line, whole or not at all.

    Raises:
        NotReady: The corpus has no serving index version, whose chunking counts.
    """
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        for text in passage_texts(parts, corpus, MOST_DOCUMENTS, lease):
            file.write(json.dumps(text, ensure_ascii=False) + "\n")
    return partial.rename(path)


def passage_texts(parts: Parts, corpus: Corpus, most_documents: int, lease: Lease) -> Iterator[str]:
    """The passages of a spread of the live documents.

    No personal data that the redactor knows is in them, whatever the policy for documents, and nothing of a
    document that was removed from training.

    Raises:
        NotReady: The corpus has no serving index version, whose chunking counts.
    """
    serving = parts.serving(corpus)
    with parts.database.read() as connection:
        ids = documents.spread(connection, corpus.name, most_documents)
        removed = removals.marks(connection, corpus.name)
    chunker = parts.chunker(serving, parts.model(serving.model_id))
    names = presidio_names(parts.settings.names_model) if corpus.policy.redact_names else None
    for document in read_documents(parts, corpus, ids, lease):
        for passage in passages_of(document, chunker):
            text = redact(embedding_text(passage.title, passage.text), names=names).text
            if document.document_id not in removed.documents and not removed.has_text(text):
                yield text
