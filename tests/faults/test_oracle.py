"""The oracle must see through an answer that is not wholly of one index version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from embedloop.client.results import SearchResult
from embedloop.encoder import TOKENIZER_FILE, OnnxEncoder
from embedloop.index_rows import passage_id
from embedloop.policy import Chunking
from embedloop.records.versions import ModelVersion
from embedloop.registry import ModelStore
from embedloop.text.chunking import Chunker, embedding_text
from tests.faults.model import NUMBER, Content, Documents
from tests.faults.oracle import Judge

QUERY, REV = "nosebleed", 7
CONTENT = Content("epistaxis", "bleeding from the nose " * 12)
NARROW, WIDE = Chunking(max_tokens=24), Chunking(max_tokens=48)


@pytest.fixture(scope="module")
def judges(
    register_tiny: Callable[[int, int], ModelVersion], model_store: ModelStore
) -> Callable[[int, Chunking], Judge]:
    """Judges of models of equal dimension, by their seed, and a chunking."""

    def make(seed: int, chunking: Chunking) -> Judge:
        model = register_tiny(32, seed)
        folder = model_store.fetch(model.model_id)
        chunker = Chunker.from_tokenizer_file(folder / TOKENIZER_FILE, chunking, model.max_tokens)
        return Judge(model.model_id, OnnxEncoder(folder, max_tokens=model.max_tokens), chunker, {})

    return make


def documents() -> Documents:
    known = Documents()
    known.acknowledge("d", known.begin("d", CONTENT))
    return known


def answer(asked: Judge, stored: Judge, **changed: Any) -> SearchResult:
    """All passages of the document as `stored` holds them, for a query that `asked` encoded."""
    chunks = stored.chunks(CONTENT.title, CONTENT.text)
    hits: list[Mapping[str, Any]] = [
        {
            "rank": ordinal + 1,
            "score": float(asked.vector(QUERY) @ stored.vector(embedding_text(CONTENT.title, text))),
            "passage_id": passage_id("d", REV, ordinal),
            "document_id": "d",
            "title": CONTENT.title,
            "text": text,
            "metadata": {NUMBER: 1},
            "explain": {"rev": REV, "ordinal": ordinal},
            **changed,
        }
        for ordinal, text in enumerate(chunks)
    ]
    return SearchResult.from_json(
        {
            "retrieval_id": "r",
            "index_version": "iv",
            "model_version": stored.model_id,
            "verified": True,
            "results": hits,
            "took_ms": {},
        }
    )


def test_answer_of_one_version_has_no_fault(judges: Callable[[int, Chunking], Judge]) -> None:
    own = judges(1, NARROW)
    assert len(own.chunks(CONTENT.title, CONTENT.text)) > 1
    assert own.faults(QUERY, answer(own, own), documents()) == []


def test_query_encoded_by_another_model_of_equal_dimension_is_seen(
    judges: Callable[[int, Chunking], Judge],
) -> None:
    own, other = judges(1, NARROW), judges(2, NARROW)
    assert own.faults(QUERY, answer(other, own), documents())


def test_passages_of_another_chunking_are_seen(judges: Callable[[int, Chunking], Judge]) -> None:
    own, other = judges(1, NARROW), judges(1, WIDE)
    assert own.faults(QUERY, answer(own, other), documents())


@pytest.mark.parametrize("changed", [{"metadata": {NUMBER: 2}}, {"title": "rash"}, {"passage_id": "0" * 32}])
def test_passage_that_was_never_written_so_is_seen(
    judges: Callable[[int, Chunking], Judge], changed: Mapping[str, Any]
) -> None:
    own = judges(1, WIDE)
    assert own.faults(QUERY, answer(own, own, **changed), documents())
