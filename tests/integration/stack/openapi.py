"""The service's OpenAPI document, read as closed: an answer with a field that it does not name breaks it."""

from __future__ import annotations

from typing import Any

from embedloop.settings import Settings
from service.app import create_app


def closed_document() -> dict[str, Any]:
    """Clients are told to expect further fields; the tests expect none."""
    document = create_app(Settings()).openapi()
    for schema in document["components"]["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return document
