"""Examples of answers for the OpenAPI document."""

from __future__ import annotations

from typing import Any

JOB: dict[str, Any] = {
    "id": "j-01f0c8b0f54a3e801c9b2f7d",
    "kind": "reindex",
    "corpus": "support",
    "state": "running",
    "stage": "embed",
    "progress": 0.46,
    "params": {"promote": True},
    "created_at": "2026-05-04T08:12:31.204118+00:00",
    "updated_at": "2026-05-04T08:12:58.771530+00:00",
}

CORPUS: dict[str, Any] = {
    "name": "support",
    "policy": {"base_model": "all-MiniLM-L6-v2", "trigger": {"min_pairs": 50}},
    "serving": "iv-2f7d1c9b",
    "previous": None,
    "documents": 1204,
    "created_at": "2026-05-04T08:12:31.204118+00:00",
}
MODEL: dict[str, Any] = {
    "id": "m-7d1c9b2f",
    "base": "all-MiniLM-L6-v2",
    "parent": "m-0a1b2c3d",
    "corpus": "support",
    "training_set": "ts-9b2f7d1c",
    "dimension": 384,
    "max_tokens": 256,
    "backend": "onnx",
    "metrics": {"gate": {"verdict": "passed"}},
    "manifest": {"model.onnx": "9f86d081884c7d65" * 4},
    "created_at": "2026-05-04T08:12:31.204118+00:00",
}
MODEL_CARD: dict[str, Any] = {
    "model_version": "m-7d1c9b2f",
    "base": "all-MiniLM-L6-v2",
    "parent": "m-0a1b2c3d",
    "corpus": "support",
    "created_at": "2026-05-04T08:12:31.204118+00:00",
    "dimension": 384,
    "max_tokens": 256,
    "backend": "onnx",
    "prompts": {"query": "", "passage": ""},
    "files": 9,
    "data": {
        "training_set": "ts-9b2f7d1c",
        "sha256": "9f86d081884c7d65" * 4,
        "counts": {"train": 4000, "dev": 500},
        "sources": {"feedback": 4711, "document": 2301, "negative": 3120},
        "created_at": "2026-05-04T08:02:11.104118+00:00",
    },
    "training": {"steps": 63, "seconds": 239.0, "stopped_by": "steps"},
    "gates": [],
    "limits": ["Text beyond 256 tokens is not read.", "No gate has measured it."],
}
INDEX_VERSION: dict[str, Any] = {
    "id": "iv-2f7d1c9b",
    "state": "serving",
    "model_version": "m-7d1c9b2f",
    "passages": 2117,
    "applied_seq": 1204,
    "lag": 0,
    "chunking": {"max_tokens": 192, "overlap_tokens": 0},
    "index": {
        "index_type": "HNSW",
        "metric_type": "COSINE",
        "vector_type": "float32",
        "m": 16,
        "ef_construction": 200,
        "ef_search": 128,
    },
    "verification": None,
    "created_at": "2026-05-04T08:12:31.204118+00:00",
}
DIFFERENCE: dict[str, Any] = {
    "index_version": "iv-9b2f7d1c",
    "against": "iv-2f7d1c9b",
    "created_at": "2026-05-04T08:12:31.204118+00:00",
    "top_k": 10,
    "critical": 1,
    "recent": 200,
    "recent_changed": 61,
    "recent_mean_change": 0.12,
    "queries": [
        {
            "query": "painful big toe",
            "critical": True,
            "change": 1.0,
            "before": [{"document_id": "flu", "passage_id": "a1", "score": 0.41, "title": "Flu"}],
            "after": [{"document_id": "gout", "passage_id": "b2", "score": 0.73, "title": "Gout"}],
        }
    ],
}
DOCUMENT: dict[str, Any] = {
    "document_id": "gout",
    "title": "Gout",
    "text": "Gout is an inflammatory arthritis.",
    "metadata": {"year": 2024, "tags": ["joints"]},
    "rev": 17,
}
WRITTEN: dict[str, Any] = {"document_id": "gout", "rev": 17, "seq": 17, "changed": True, "applied": True}
SEARCH: dict[str, Any] = {
    "retrieval_id": "0197d2c4a1b24f6d0c9e8b7a6f5e4d3c2b1a0f9e.Q2l0cnVzZnJ1aXQx",
    "index_version": "iv-2f7d1c9b",
    "model_version": "m-7d1c9b2f",
    "verified": True,
    "results": [
        {
            "rank": 1,
            "score": 0.7312,
            "passage_id": "5f0c8b0f54a3e801c9b2f7d4e6a1b3c5",
            "document_id": "gout",
            "title": "Gout",
            "text": "Gout is an inflammatory arthritis.",
            "metadata": {"year": 2024, "tags": ["joints"]},
        }
    ],
    "took_ms": {"queue": 0.2, "encode": 6.1, "search": 3.4, "verify": 0.3, "total": 10.3},
}
EMBEDDINGS: dict[str, Any] = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.0312, -0.0671, 0.0458]}],
    "model": "m-7d1c9b2f",
    "usage": {"prompt_tokens": 5, "total_tokens": 5},
}
READINESS: dict[str, Any] = {
    "status": "ready",
    "checks": {"catalog": "ok", "milvus": "ok", "broker": "ok", "encoder": "ok"},
    "capabilities": {
        "milvus": {
            "server": "2.6.4",
            "kind": "milvus",
            "index_types": [
                "AUTOINDEX",
                "DISKANN",
                "FLAT",
                "HNSW",
                "HNSW_SQ",
                "IVF_FLAT",
                "IVF_RABITQ",
                "IVF_SQ8",
            ],
            "metric_types": ["COSINE", "IP", "L2"],
            "vector_types": ["bfloat16", "binary", "float16", "float32", "int8"],
            "bm25": True,
            "filter_templates": True,
            "iterator_timestamps": True,
            "max_dimension": 32768,
            "aliased_drop": "refused",
        }
    },
}
MOVED: dict[str, Any] = {"corpus": "support", "serving": "iv-9b2f7d1c", "previous": "iv-2f7d1c9b"}
LINEAGE: dict[str, Any] = {
    "counts": {"pairs": 812, "train": 730, "dev": 82},
    "sources": {"feedback": 1204, "import": 31, "document": 410, "negative": 377},
    "report": {
        "votes": {"votes": 1322, "counted": 1251, "repeated": 64, "about_no_document": 7, "conflicts": 12},
        "position_bias": {"exponent": 0.41, "learnt_from": 380},
    },
}
TRACED: dict[str, Any] = {
    "id": "9c1e8b0f54a3e801c9b2f7d4e6a1b3c5",
    "training_set": "ts-9b2f7d1c",
    "model_versions": ["m-7d1c9b2f"],
    "query": "painful big toe",
    "document_id": "gout",
    "split": "train",
    "sources": {"document": ["gout"], "negative": ["flu"], "feedback": ["f-0197d2c4a1b24f6d"]},
}
REMOVAL: dict[str, Any] = {
    "id": "rm-4f6d0c9e8b7a6f5e4d3c2b1a",
    "kind": "person",
    "corpus": None,
    "removed": {"feedback": 31, "retrievals": 54, "judgments": 12, "queries": 9},
    "training_sets": ["ts-9b2f7d1c"],
    "model_versions": ["m-7d1c9b2f"],
    "created_at": "2026-05-04T08:12:31.204118+00:00",
    "updated_at": "2026-05-04T08:12:31.204118+00:00",
    "settled_at": "2026-05-04T08:18:02.117204+00:00",
}
