"""Jobs and their states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class JobKind(StrEnum):
    CYCLE = "cycle"
    FINETUNE = "finetune"
    EVALUATE = "evaluate"
    REINDEX = "reindex"
    HEADROOM = "headroom"
    BRIDGE = "bridge"
    TRAIN_FROM_SCRATCH = "train_from_scratch"
    RERANKER = "reranker"
    COMPRESS = "compress"
    INDEX_TRIAL = "index_trial"

    @property
    def exclusive(self) -> bool:
        """Whether it keeps other jobs off its corpus; one that only measures does not."""
        return self not in MEASURING


MEASURING = (JobKind.EVALUATE, JobKind.HEADROOM, JobKind.INDEX_TRIAL)


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    AWAITING_APPROVAL = "awaiting_approval"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REJECTED = "rejected"

    @property
    def ended(self) -> bool:
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.REJECTED)


@dataclass(frozen=True, slots=True)
class Job:
    """A row with a state, a stage, progress and a lease; Celery carries only its id."""

    job_id: str
    kind: JobKind
    corpus: str
    state: JobState
    stage: str
    progress: float
    params: Mapping[str, Any]
    checkpoint: Mapping[str, Any]
    error: Mapping[str, Any] | None
    result: Mapping[str, Any] | None
    cancel_requested: bool
    attempts: int
    created_at: datetime
    updated_at: datetime
