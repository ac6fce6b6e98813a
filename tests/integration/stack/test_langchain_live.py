"""LangChain's own standard tests against the live service."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_tests.integration_tests import EmbeddingsIntegrationTests, RetrieversIntegrationTests

from embedloop.client import Client
from embedloop.langchain import EmbedloopEmbeddings, EmbedloopRetriever
from embedloop.supervisor import Stack
from tests.integration.stack.conftest import make_corpus

CORPUS = "langchain"


@pytest.fixture(scope="module", autouse=True)
def corpus(client: Client, base_model: str) -> None:
    make_corpus(client, CORPUS, base_model)


class TestRetriever(RetrieversIntegrationTests):
    address: dict[str, Any]

    @pytest.fixture(autouse=True)
    def _address(self, stack: Stack) -> None:
        self.address = {"url": stack.url, "api_key": stack.admin_key, "corpus": CORPUS}

    @property
    def retriever_constructor(self) -> type[EmbedloopRetriever]:
        return EmbedloopRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return self.address

    @property
    def retriever_query_example(self) -> str:
        return "bleeding from the nose"

    def test_feedback_on_a_found_document_is_stored(self, retriever: EmbedloopRetriever) -> None:
        found: list[Document] = retriever.invoke(self.retriever_query_example)
        assert retriever.feedback(found[0], "up")["status"] == "stored"
        assert found[0].metadata["rank"] == 1
        assert retriever.feedback(found[0], "none_relevant")["status"] == "stored"

    async def test_async_finds_what_sync_finds(self, retriever: EmbedloopRetriever) -> None:
        found = retriever.invoke(self.retriever_query_example)
        again = await retriever.ainvoke(self.retriever_query_example)
        assert [one.id for one in again] == [one.id for one in found]
        assert (await retriever.afeedback(again[0], "click"))["status"] == "stored"


class TestEmbeddings(EmbeddingsIntegrationTests):
    # The base class builds the model in a fixture that knows no others.
    @pytest.fixture
    def model(self, stack: Stack) -> EmbedloopEmbeddings:
        return EmbedloopEmbeddings(url=stack.url, api_key=stack.admin_key, model=CORPUS)

    @property
    def embeddings_class(self) -> type[EmbedloopEmbeddings]:
        return EmbedloopEmbeddings

    def test_many_texts_keep_their_order(self, model: EmbedloopEmbeddings) -> None:
        texts = [f"text {n}" for n in range(150)]
        together = model.embed_documents(texts)
        assert together[140] == pytest.approx(model.embed_documents([texts[140]])[0], abs=1e-5)
