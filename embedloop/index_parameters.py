"""Parameters of the Milvus index types: what an index is built with, and how broadly it is searched."""

from __future__ import annotations

from typing import Any

from embedloop.policy import IndexSettings

IVF_LISTS = 128
# Quantised vectors rank coarsely: this many times the hits wanted are ranked again by finer ones.
REFINE_FACTOR = 4
MAX_SEARCH_LIST = 65_535


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


def search_parameters(ef_search: int, limit: int) -> dict[str, Any]:
    """Breadth for every index type; one ignores what is not its own."""
    return {
        "ef": max(ef_search, limit),
        "nprobe": min(ef_search, IVF_LISTS),
        "search_list": min(max(ef_search, limit), MAX_SEARCH_LIST),
        "refine_k": REFINE_FACTOR,
    }
