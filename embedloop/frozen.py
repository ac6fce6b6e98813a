"""What all settings that a user writes have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Immutable, and strict about unknown keys, so that a typing error is told instead of ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")
