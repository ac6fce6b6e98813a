"""Ways to store and index a corpus' vectors: which to try, what each costs, and which of them to propose.

Pure: the trial measures them (`embedloop.index_trial`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from embedloop.policy import COSINE_ONLY, IndexSettings, IndexType, VectorType
from embedloop.rescoring import candidates as taken
from embedloop.vector_types import bytes_a_vector
from embedloop.verification import MIN_RECALL, RECALL_AT

VARIED = ("vector_type", "index_type", "rescore_factor")
# Two runs of one index differ by as much; it is not worth a re-embed.
SAME_SPEED = 1.05
_TRIED: tuple[tuple[VectorType, IndexType, int | None], ...] = (
    ("float32", "HNSW", None),
    ("float32", "FLAT", None),
    ("float32", "HNSW_SQ", None),
    ("float32", "IVF_FLAT", None),
    ("float32", "IVF_SQ8", None),
    ("float16", "HNSW", None),
    ("bfloat16", "HNSW", None),
    ("int8", "HNSW", None),
    ("binary", "FLAT", 16),
    ("binary", "FLAT", 64),
    ("binary", "IVF_FLAT", 16),
    ("binary", "IVF_FLAT", 64),
)
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Proposal:
    """What to set in the policy, None where the index stays as it is, and why."""

    index: Mapping[str, Any] | None
    reason: str


def candidates(own: IndexSettings) -> list[IndexSettings]:
    """What to try for a corpus: its own settings first, then others that differ in `VARIED` alone.

    Vector types that need another metric than the corpus has are left out.

    >>> first, second = candidates(IndexSettings(index_type="FLAT", metric_type="IP"))[:2]
    >>> described(first)
    {'vector_type': 'float32', 'index_type': 'FLAT', 'rescore_factor': None}
    >>> second.index_type, second.metric_type
    ('HNSW', 'IP')
    """
    found = {_key(own): own}
    for values in _TRIED:
        if values[0] in COSINE_ONLY and own.metric_type != "COSINE":
            continue
        one = IndexSettings.model_validate(own.model_dump() | dict(zip(VARIED, values, strict=True)))
        found.setdefault(_key(one), one)
    return list(found.values())


def described(settings: IndexSettings) -> dict[str, Any]:
    """The settings that differ from candidate to candidate."""
    return {field: getattr(settings, field) for field in VARIED}


def name_of(settings: IndexSettings) -> str:
    """A candidate in short.

    >>> name_of(IndexSettings()), name_of(IndexSettings(index_type="IVF_SQ8", rescore_factor=8))
    ('float32/HNSW', 'float32/IVF_SQ8/8')
    """
    return "/".join(str(value) for value in described(settings).values() if value is not None)


def bytes_a_row(settings: IndexSettings, dimension: int) -> dict[str, int]:
    """What a vector takes in memory, computed; `beside` lies in a text field, which Milvus can map from disk.

    >>> bytes_a_row(IndexSettings(), 384), bytes_a_row(IndexSettings(index_type="IVF_SQ8"), 384)
    ({'index': 1664, 'beside': 0}, {'index': 392, 'beside': 0})
    """
    vector, beside = bytes_a_vector(dimension, settings.vector_type)
    links = 2 * settings.m * 4
    # As docs/operations.md tells them.
    index = {"HNSW": vector + links, "HNSW_SQ": 3 * dimension + links, "IVF_SQ8": dimension + 8}
    return {"index": index.get(settings.index_type, vector), "beside": beside}


def proposed(rows: Sequence[Row]) -> str | None:
    """The name of the fastest of those that find enough, None where none does.

    >>> found = [{"name": n, "recall_at_10": r, "search_ms": {"p50": ms}}
    ...          for n, r, ms in (("a", 1.0, 7.0), ("b", 0.97, 5.0), ("c", 0.9, 2.0))]
    >>> proposed([*found, {"name": "d", "refused": "Milvus 2.3.5 cannot do int8"}])
    'b'
    """
    best = _fastest(rows)
    return None if best is None else str(best["name"])


def proposal(rows: Sequence[Row]) -> Proposal:
    """What to do after a trial of `candidates`, whose first row is what the corpus has.

    >>> found = [{"name": n, "vector_type": "float32", "index_type": n, "rescore_factor": None,
    ...           "recall_at_10": r, "search_ms": {"p50": ms}}
    ...          for n, r, ms in (("HNSW", 1.0, 7.0), ("FLAT", 1.0, 5.0), ("IVF_SQ8", 0.9, 2.0))]
    >>> proposal(found).index
    {'vector_type': 'float32', 'index_type': 'FLAT', 'rescore_factor': None}
    >>> proposal(found).reason
    'FLAT finds 1.000 in 5.00 ms (p50), HNSW of the policy 1.000 in 7.00 ms'
    >>> proposal(found[:1])
    Proposal(index=None, reason='HNSW of the policy is the fastest that finds enough: 1.000 in 7.00 ms (p50)')
    >>> proposal(found[2:])
    Proposal(index=None, reason='none finds 0.95 of the nearest 10')
    """
    own, best = rows[0], _fastest(rows)
    if best is None:
        return Proposal(None, f"none finds {MIN_RECALL} of the nearest {RECALL_AT}")
    if own is best:
        return Proposal(
            None, f"{own['name']} of the policy is the fastest that finds enough: {_told(own)} (p50)"
        )
    if _finds_enough(own) and _median_ms(own) <= SAME_SPEED * _median_ms(best):
        return Proposal(
            None,
            f"{own['name']} of the policy is as fast as any that finds enough: {_told(own)} (p50); "
            f"{best['name']} {_told(best)}",
        )
    beside = "was refused" if "refused" in own else _told(own)
    index = {field: best[field] for field in VARIED}
    return Proposal(index, f"{best['name']} finds {_told(best)} (p50), {own['name']} of the policy {beside}")


def _key(settings: IndexSettings) -> tuple[str, str, int]:
    """Equal for settings under which the same is stored and searched."""
    return settings.vector_type, settings.index_type, taken(settings, 1)


def _fastest(rows: Sequence[Row]) -> Row | None:
    return min(filter(_finds_enough, rows), key=_median_ms, default=None)


def _finds_enough(row: Row) -> bool:
    return bool(row.get("recall_at_10", 0.0) >= MIN_RECALL)


def _median_ms(row: Row) -> float:
    return float(row["search_ms"]["p50"])


def _told(row: Row) -> str:
    return f"{row['recall_at_10']:.3f} in {_median_ms(row):.2f} ms"
