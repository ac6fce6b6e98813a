"""Keys of callers and the replicas that answer them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as the catalog knows it: hashed, with its role and the corpora that it may see (None: all)."""

    key_id: str
    label: str
    role: str
    corpora: Sequence[str] | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Replica:
    """What one service process holds for one corpus, and until when its lease runs."""

    replica_id: str
    corpus: str
    serving: str | None
    prepared: str | None
    expires_at: datetime
