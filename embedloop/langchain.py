"""Embedloop in LangChain: a retriever whose documents can be given feedback, and embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import SecretStr

from embedloop.client import AsyncClient, Client, SearchResult
from embedloop.errors import InvalidInput, MissingExtra
from embedloop.records.feedback import Signal

try:
    from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_core.retrievers import BaseRetriever
except ImportError as error:
    message = "embedloop.langchain needs langchain-core: pip install 'embedloop[langchain]'"
    raise MissingExtra(message) from error

TEXTS_PER_REQUEST = 64


class EmbedloopRetriever(BaseRetriever):
    """Searches a corpus; every call is logged by the service and can be learnt from.

    Each document's metadata holds `retrieval_id`, `document_id`, `passage_id`, `rank` (from 1), `score`
    (greater is nearer), `title`, `index_version` and `model_version` beside the document's own metadata, and
    `rerank_score` where a re-ranker scored it; where names meet, these win.

    Example:
        ```python
        retriever = EmbedloopRetriever(url="http://127.0.0.1:8080", api_key=key, corpus="docs", k=5)
        documents = retriever.invoke("what is gout", k=3)
        retriever.feedback(documents[0], "up")
        ```

    Attributes:
        url: Address of the service.
        api_key: A key that may search the corpus.
        corpus: Its name.
        k: How many passages, unless `invoke(query, k=...)` says otherwise.
        filter: A filter tree, as in `Client.search`.
        session: Names one person's session.
    """

    url: str
    api_key: SecretStr
    corpus: str
    k: int = 10
    filter: dict[str, Any] | None = None
    session: str | None = None

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        return _documents(self._client().search(self.corpus, query, **self._options(k)))

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        async with self._async_client() as client:
            return _documents(await client.search(self.corpus, query, **self._options(k)))

    def feedback(self, document: Document, signal: str, comment: str | None = None) -> dict[str, Any]:
        """Tell the service how a document that this retriever found was.

        Args:
            document: As it came from `invoke`.
            signal: `up`, `down`, `click`, `correct`, or `none_relevant` for the whole answer.
            comment: Free text.

        Returns:
            `{feedback_id, status}`.

        Raises:
            InvalidInput: The signal is unknown, or the document came from elsewhere.
        """
        return self._client().feedback(**_feedback(document, signal, comment))

    async def afeedback(self, document: Document, signal: str, comment: str | None = None) -> dict[str, Any]:
        """See `feedback`."""
        async with self._async_client() as client:
            return await client.feedback(**_feedback(document, signal, comment))

    def _options(self, k: int | None) -> dict[str, Any]:
        return {"top_k": self.k if k is None else k, "filter": self.filter, "session": self.session}

    def _client(self) -> Client:
        return _shared_client(self.url, self.api_key.get_secret_value())

    def _async_client(self) -> AsyncClient:
        return AsyncClient(self.url, self.api_key.get_secret_value())


class EmbedloopEmbeddings(Embeddings):
    """Encodes texts as the service does: with a corpus' serving model, or with one model version.

    Args:
        url: Address of the service.
        api_key: A key that may see the corpus.
        model: Name of a corpus, or id of a model version.
    """

    def __init__(self, *, url: str, api_key: str, model: str):
        self._url = url
        self._api_key = api_key
        self.model = model

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Encode passages; one L2-normalised vector for each."""
        client = _shared_client(self._url, self._api_key)
        return [vector for part in _parts(texts) for vector in client.embeddings(self.model, part, "passage")]

    def embed_query(self, text: str) -> list[float]:
        """Encode a query."""
        return _shared_client(self._url, self._api_key).embeddings(self.model, text, "query")[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """See `embed_documents`."""
        async with AsyncClient(self._url, self._api_key) as client:
            answers = [await client.embeddings(self.model, part, "passage") for part in _parts(texts)]
        return [vector for answer in answers for vector in answer]

    async def aembed_query(self, text: str) -> list[float]:
        """See `embed_query`."""
        async with AsyncClient(self._url, self._api_key) as client:
            return (await client.embeddings(self.model, text, "query"))[0]


@lru_cache(maxsize=32)
def _shared_client(url: str, api_key: str) -> Client:
    """One client for each service, outside the retriever, which must stay copyable and serialisable."""
    return Client(url, api_key)


def _parts(texts: list[str]) -> list[list[str]]:
    return [texts[start : start + TEXTS_PER_REQUEST] for start in range(0, len(texts), TEXTS_PER_REQUEST)]


def _documents(found: SearchResult) -> list[Document]:
    return [
        Document(
            id=hit.passage_id,
            page_content=hit.text or hit.title,
            metadata={
                **hit.metadata,
                "retrieval_id": found.retrieval_id,
                "document_id": hit.document_id,
                "passage_id": hit.passage_id,
                "rank": hit.rank,
                "score": hit.score,
                **({} if hit.rerank_score is None else {"rerank_score": hit.rerank_score}),
                "title": hit.title,
                "index_version": found.index_version,
                "model_version": found.model_version,
            },
        )
        for hit in found.results
    ]


def _feedback(document: Document, signal: str, comment: str | None) -> dict[str, Any]:
    known = [each.value for each in Signal]
    if signal not in known:
        raise InvalidInput(f"signal must be one of {', '.join(known)}, got {signal!r}", field="signal")
    metadata: Mapping[str, Any] = document.metadata
    missing = [name for name in ("retrieval_id", "document_id") if name not in metadata]
    if missing:
        raise InvalidInput(f"document must come from EmbedloopRetriever; its metadata lacks {missing[0]}")
    shown = None if signal == Signal.NONE_RELEVANT else metadata["document_id"]
    return {
        "retrieval_id": metadata["retrieval_id"],
        "signal": str(signal),
        "document_id": shown,
        "comment": comment,
    }
