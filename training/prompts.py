"""What goes before texts when a model embeds them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prompts:
    """What goes before a query and before a passage."""

    query: str
    passage: str
