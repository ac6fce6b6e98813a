"""The decision whether a candidate may serve, and on what evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

# What a gate measured on: queries that people judged, or such as untrained documents ask by themselves.
Evidence = Literal["golden", "held_out_structure"]
HELD_OUT: Evidence = "held_out_structure"


@dataclass(frozen=True, slots=True)
class Gate:
    """The decision whether a candidate may serve, with its numbers."""

    gate_id: str
    corpus: str
    job_id: str
    candidate: str
    serving: str
    passed: bool
    reasons: Sequence[str]
    metrics: Mapping[str, Any]
    created_at: datetime
