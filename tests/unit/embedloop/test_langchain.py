import copy
import importlib
import pickle
import sys

import pytest
from langchain_core.documents import Document

from embedloop.errors import InvalidInput, MissingExtra
from embedloop.langchain import TEXTS_PER_REQUEST, EmbedloopEmbeddings, EmbedloopRetriever
from tests.unit.embedloop.fake_service import KEY, FakeService


@pytest.fixture
def retriever(service: FakeService) -> EmbedloopRetriever:
    return EmbedloopRetriever(url=service.url, api_key=KEY, corpus="c", k=2, session="s1")


def test_documents_carry_what_feedback_needs_and_our_names_win(retriever: EmbedloopRetriever) -> None:
    first, second = retriever.invoke("what is gout")
    assert (first.page_content, first.id) == ("Joints.", "p1")
    assert first.metadata == {
        "topic": "bones",
        "retrieval_id": "r1",
        "document_id": "d1",
        "passage_id": "p1",
        "rank": 1,
        "score": 0.9,
        "title": "Gout",
        "index_version": "iv1",
        "model_version": "m1",
    }
    assert second.metadata["rank"] == 2


def test_k_at_invoke_time_wins_and_the_session_is_sent(
    service: FakeService, retriever: EmbedloopRetriever
) -> None:
    assert len(retriever.invoke("gout", k=3)) == 3
    assert service.seen[-1].json == {"query": "gout", "top_k": 3, "session": "s1"}
    with pytest.raises(InvalidInput, match=r"top_k must be 1\.\.1000, got 0"):
        retriever.invoke("gout", k=0)


async def test_asynchronous_search_does_the_same(service: FakeService, retriever: EmbedloopRetriever) -> None:
    assert await retriever.ainvoke("gout", k=1) == retriever.invoke("gout", k=1)
    assert service.seen[0].json == service.seen[1].json


@pytest.mark.parametrize(
    ("signal", "document_id"),
    [("up", {"document_id": "d1"}), ("correct", {"document_id": "d1"}), ("none_relevant", {})],
)
async def test_feedback_names_the_retrieval_and_the_document(
    service: FakeService, retriever: EmbedloopRetriever, signal: str, document_id: dict[str, str]
) -> None:
    document = retriever.invoke("gout")[0]
    assert retriever.feedback(document, signal, "fine")["feedback_id"] == "f1"
    assert await retriever.afeedback(document, signal, "fine") == {"feedback_id": "f1", "status": "stored"}
    expected = {"retrieval_id": "r1", "signal": signal, "comment": "fine"} | document_id
    assert [seen.json for seen in service.seen[-2:]] == [expected, expected]


def test_feedback_on_a_document_from_elsewhere_is_refused(
    service: FakeService, retriever: EmbedloopRetriever
) -> None:
    with pytest.raises(InvalidInput, match="lacks retrieval_id"):
        retriever.feedback(Document("x"), "up")
    assert service.seen == []


def test_unknown_signal_is_refused_with_the_known_ones(retriever: EmbedloopRetriever) -> None:
    with pytest.raises(InvalidInput, match=r"signal must be one of up, .*, got 'great'"):
        retriever.feedback(retriever.invoke("gout")[0], "great")


def test_key_is_not_shown_and_copies_still_work(retriever: EmbedloopRetriever) -> None:
    assert KEY not in repr(retriever)
    for other in (copy.deepcopy(retriever), pickle.loads(pickle.dumps(retriever))):
        assert len(other.invoke("gout")) == 2


async def test_embeddings_are_asked_for_by_kind_and_in_parts(service: FakeService) -> None:
    embeddings = EmbedloopEmbeddings(url=service.url, api_key=KEY, model="c")
    texts = ["a" * length for length in range(1, TEXTS_PER_REQUEST + 2)]
    vectors = embeddings.embed_documents(texts)
    assert [vector[0] for vector in vectors] == [float(len(text)) for text in texts]
    assert [len(seen.json["input"]) for seen in service.seen] == [TEXTS_PER_REQUEST, 1]
    assert {seen.json["input_type"] for seen in service.seen} == {"passage"}
    assert await embeddings.aembed_documents(texts) == vectors
    assert embeddings.embed_query("abc") == await embeddings.aembed_query("abc") == [3.0, 1.0]
    assert service.seen[-1].json["input_type"] == "query"


def test_no_texts_need_no_request(service: FakeService) -> None:
    assert EmbedloopEmbeddings(url=service.url, api_key=KEY, model="c").embed_documents([]) == []
    assert service.seen == []


def test_missing_langchain_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("callbacks", "documents", "embeddings", "retrievers"):
        monkeypatch.setitem(sys.modules, f"langchain_core.{name}", None)
    monkeypatch.delitem(sys.modules, "embedloop.langchain")
    with pytest.raises(MissingExtra, match=r"pip install 'embedloop\[langchain\]'"):
        importlib.import_module("embedloop.langchain")
