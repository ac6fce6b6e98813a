"""Parameters of the Milvus index types: what an index is built with, and how broadly it is searched."""

from __future__ import annotations

from typing import Any

from embedloop.policy import IndexSettings, MetricType

IVF_LISTS = 128
# Quantised vectors rank coarsely: this many times the hits wanted are ranked again by finer ones.
REFINE_FACTOR = 4
MAX_SEARCH_LIST = 65_535


def index_type_in_milvus(settings: IndexSettings) -> str:
    """Milvus' name of the index type, which for bits is another.

    >>> index_type_in_milvus(IndexSettings(vector_type="binary", index_type="IVF_FLAT"))
    'BIN_IVF_FLAT'
    """
    return f"BIN_{settings.index_type}" if settings.vector_type == "binary" else settings.index_type


def metric_in_milvus(settings: IndexSettings) -> str:
    """What Milvus itself ranks by: for bits the Hamming distance, where the policy says what the score is."""
    return "HAMMING" if settings.vector_type == "binary" else settings.metric_type


def build_parameters(settings: IndexSettings) -> dict[str, Any]:
    """What an index of this type is built with; parameters of other types are left out."""
    match settings.index_type:
        case "HNSW":
            return {"M": settings.m, "efConstruction": settings.ef_construction}
        case "HNSW_SQ":
            return {
                "M": settings.m,
                "efConstruction": settings.ef_construction,
                "sq_type": "SQ8",
                "refine": True,
                "refine_type": "FP16",
            }
        case "IVF_FLAT" | "IVF_SQ8":
            return {"nlist": IVF_LISTS}
        case "IVF_RABITQ":
            return {"nlist": IVF_LISTS, "refine": True, "refine_type": "SQ8"}
        case _:
            return {}


def search_parameters(settings: IndexSettings, limit: int) -> dict[str, Any]:
    """The metric, and breadth for every index type; one ignores what is not its own."""
    breadth = {
        "ef": max(settings.ef_search, limit),
        "nprobe": min(settings.ef_search, IVF_LISTS),
        "search_list": min(max(settings.ef_search, limit), MAX_SEARCH_LIST),
        "refine_k": REFINE_FACTOR,
    }
    return {"metric_type": metric_in_milvus(settings), "params": breadth}


def cosine_of(distance: float, metric_type: MetricType) -> float:
    """The cosine of two L2-normalised vectors from what Milvus calls their distance.

    Its `L2` is the square of the distance, without the root: |a - b|^2 = 2 - 2 cos.

    >>> cosine_of(0.5, "COSINE"), cosine_of(0.5, "IP"), cosine_of(1.0, "L2"), cosine_of(0.0, "L2")
    (0.5, 0.5, 0.5, 1.0)
    """
    return 1 - distance / 2 if metric_type == "L2" else distance
