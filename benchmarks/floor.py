"""The floor: `python -m benchmarks.floor` measures the bare parts in one process, without the service.

The encoder and the Milvus server are the service's own, and so are threads, batch size and `ef`; there is no
HTTP, no catalog, no log. What the service adds is the difference.
"""

from __future__ import annotations

import itertools
import random
import time
from pathlib import Path
from typing import Any

from pymilvus import MilvusClient

from benchmarks import child
from benchmarks.figures import latency
from benchmarks.machine import cpu_seconds
from embedloop.encoder import OnnxEncoder, Vectors

OUTPUT_FIELDS = ["document_id", "title", "text", "metadata"]


class BareSearch:
    """Encode and search in the calling thread, with nothing around them."""

    def __init__(self, config: dict[str, Any]):
        self._encoder = encoder_of(config)
        self._client = MilvusClient(uri=config["milvus"], timeout=30)
        self._collection: str = config["collection"]
        self._top_k: int = config["top_k"]
        self._ef: int = config["ef_search"]

    def encode(self, queries: list[str]) -> Vectors:
        return self._encoder.encode_queries(queries)

    def search(self, vectors: Vectors) -> list[list[str]]:
        """The ids of the nearest documents of each query."""
        found = self._client.search(
            self._collection,
            data=list(vectors),
            limit=self._top_k,
            output_fields=OUTPUT_FIELDS,
            search_params={"metric_type": "COSINE", "params": {"ef": self._ef}},
            anns_field="vector",
            # As ours reads; the collection's own default waits for the latest write.
            consistency_level="Bounded",
        )
        return [[hit["entity"]["document_id"] for hit in hits] for hits in found]

    def close(self) -> None:
        self._client.close()


def search_floor(config: dict[str, Any]) -> dict[str, Any]:
    """One query at a time, then in batches."""
    bare = BareSearch(config)
    cases: list[list[str]] = list(config["cases"])
    random.Random(config["seed"]).shuffle(cases)
    single = _single(bare, cases, config)
    batched = _batched(bare, cases, config)
    bare.close()
    return {"single": single, "batched": batched}


def _single(bare: BareSearch, cases: list[list[str]], config: dict[str, Any]) -> dict[str, Any]:
    source = itertools.cycle(cases)
    for query, _ in itertools.islice(source, config["warm_up_requests"]):
        bare.search(bare.encode([query]))
    encode_ms, search_ms, hits = [], [], 0
    cpu = _cpu_times(config)
    begin = time.perf_counter()
    for query, right in itertools.islice(source, config["requests"]):
        first = time.perf_counter()
        vectors = bare.encode([query])
        second = time.perf_counter()
        found = bare.search(vectors)
        third = time.perf_counter()
        encode_ms.append(1000 * (second - first))
        search_ms.append(1000 * (third - second))
        hits += right in found[0]
    seconds = time.perf_counter() - begin
    total_ms = [encode + search for encode, search in zip(encode_ms, search_ms, strict=True)]
    return {
        "requests": len(total_ms),
        "seconds": round(seconds, 2),
        "requests_per_second": round(len(total_ms) / seconds, 2),
        "latency_ms": latency(total_ms),
        "encode_ms": latency(encode_ms),
        "search_ms": latency(search_ms),
        "cpu_ms_per_request": _since(cpu, config, len(total_ms)),
        "right_term_in_top_k": round(hits / len(total_ms), 4),
    }


def _batched(bare: BareSearch, cases: list[list[str]], config: dict[str, Any]) -> dict[str, Any]:
    size = config["batch"]
    source = itertools.cycle(query for query, _ in cases)
    bare.search(bare.encode(list(itertools.islice(source, size))))
    encode_ms, search_ms = [], []
    cpu = _cpu_times(config)
    begin = time.perf_counter()
    for _ in range(-(-config["requests"] // size)):
        queries = list(itertools.islice(source, size))
        first = time.perf_counter()
        vectors = bare.encode(queries)
        second = time.perf_counter()
        bare.search(vectors)
        encode_ms.append(1000 * (second - first))
        search_ms.append(1000 * (time.perf_counter() - second))
    seconds = time.perf_counter() - begin
    requests = size * len(encode_ms)
    return {
        "batch": size,
        "requests": requests,
        "seconds": round(seconds, 2),
        "requests_per_second": round(requests / seconds, 2),
        "encode_ms": latency(encode_ms),
        "search_ms": latency(search_ms),
        "cpu_ms_per_request": _since(cpu, config, requests),
    }


def _cpu_times(config: dict[str, Any]) -> dict[str, float]:
    """CPU seconds used so far by this process and by the Milvus server."""
    return {"floor": time.process_time(), "milvus": cpu_seconds(config["milvus_pid"])}


def _since(before: dict[str, float], config: dict[str, Any], requests: int) -> dict[str, float]:
    now = _cpu_times(config)
    return {name: round(1000 * (now[name] - before[name]) / requests, 3) for name in before}


def encode_floor(config: dict[str, Any]) -> dict[str, Any]:
    """All passages through the encoder, once, after a warm-up on one batch."""
    texts: list[str] = config["texts"]
    encoder = encoder_of(config)
    encoder.encode_passages(texts[: config["batch_size"]])
    begin, cpu = time.perf_counter(), time.process_time()
    encoder.encode_passages(texts)
    return {
        "passages": len(texts),
        "seconds": round(time.perf_counter() - begin, 3),
        "cpu_seconds": round(time.process_time() - cpu, 3),
    }


def encoder_of(config: dict[str, Any]) -> OnnxEncoder:
    return OnnxEncoder(
        Path(config["model"]),
        max_tokens=config["max_tokens"],
        threads=config["threads"],
        batch_size=config["batch_size"],
        bulk=config.get("bulk", False),
    )


def main(config: dict[str, Any]) -> dict[str, Any]:
    """Measures what the configuration asks for."""
    return search_floor(config) if config["what"] == "search" else encode_floor(config)


if __name__ == "__main__":
    child.answer(main)
