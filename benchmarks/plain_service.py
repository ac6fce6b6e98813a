"""A search service as people write it today: `uvicorn --factory benchmarks.plain_service:create`.

FastAPI, `langchain_milvus.Milvus` and `HuggingFaceEmbeddings` (sentence-transformers in torch) with their
defaults; only the index has the parameters of ours. It runs in a process of its own, with the packages of
`requirements-plain.txt` before all others, and knows nothing of Embedloop.
"""

from __future__ import annotations

import json
import os
from typing import Any

from fastapi import FastAPI
from langchain_huggingface import HuggingFaceEmbeddings
from langchain_milvus import Milvus
from pydantic import BaseModel


class SearchIn(BaseModel):
    """What the route takes."""

    query: str
    top_k: int = 10


def store_of(config: dict[str, Any]) -> Milvus:
    """The vector store: its collection is made by the first `add_texts`."""
    return Milvus(
        HuggingFaceEmbeddings(model_name=config["model"]),
        collection_name=config["collection"],
        connection_args={"uri": config["milvus"]},
        index_params={
            "index_type": "HNSW",
            "metric_type": "COSINE",
            "params": {"M": config["m"], "efConstruction": config["ef_construction"]},
        },
        search_params={"metric_type": "COSINE", "params": {"ef": config["ef_search"]}},
    )


def create() -> FastAPI:
    """The app; its configuration is JSON in `PLAIN_SERVICE`."""
    store = store_of(json.loads(os.environ["PLAIN_SERVICE"]))
    app = FastAPI()

    @app.post("/search")
    def search(body: SearchIn) -> dict[str, Any]:
        found = store.similarity_search_with_score(body.query, k=body.top_k)
        return {
            "results": [
                {
                    "document_id": document.metadata["pk"],
                    "score": score,
                    "title": document.metadata["title"],
                    "text": document.page_content,
                    "metadata": document.metadata,
                }
                for document, score in found
            ]
        }

    return app
