"""Embeds documents into the plain service's collection: `python -m benchmarks.plain_ingest`."""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import Any

from benchmarks import child
from benchmarks.plain_service import store_of

PACKAGES = ("langchain-milvus", "langchain-huggingface", "langchain-core", "pymilvus")


def main(config: dict[str, Any]) -> dict[str, Any]:
    """One call of `add_texts` with all documents; the model is loaded and warm before."""
    store = store_of(config)
    store.embeddings.embed_documents(config["texts"][:32])
    begin = time.perf_counter()
    store.add_texts(
        config["texts"], metadatas=[{"title": title} for title in config["titles"]], ids=config["ids"]
    )
    seconds = time.perf_counter() - begin
    return {
        "documents": len(config["texts"]),
        "seconds": round(seconds, 2),
        "documents_per_second": round(len(config["texts"]) / seconds, 2),
        "packages": {name: version(name) for name in PACKAGES},
    }


if __name__ == "__main__":
    child.answer(main)
