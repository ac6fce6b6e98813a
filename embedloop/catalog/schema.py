"""The whole schema: importing this makes every table known to the metadata."""

from __future__ import annotations

from embedloop.catalog import label_tables, tables
from embedloop.catalog.columns import metadata

__all__ = ["label_tables", "metadata", "tables"]
