"""Abstracts as documents of a benchmark: as long as the passages of most corpora, where terms are short."""

from __future__ import annotations

import random
from pathlib import Path

from benchmarks.plan import SEED
from embedloop.demo.ontology import Term, Vocabulary
from embedloop.errors import InvalidInput
from embedloop.readers import read_documents


def vocabulary(folder: Path, count: int) -> Vocabulary:
    """A seeded sample of a BEIR folder's documents, without queries.

    Raises:
        InvalidInput: There is no such folder, or it is none of BEIR.
    """
    if not folder.is_dir():
        raise InvalidInput(f"the abstracts are not there: {folder} must be a BEIR folder", field="data")
    documents = list(read_documents(folder))
    chosen = random.Random(SEED).sample(documents, min(count, len(documents)))
    terms = tuple(Term(one["id"], one.get("title", ""), one.get("text", ""), ()) for one in chosen)
    return Vocabulary(terms, (), (), (), folder.name)
