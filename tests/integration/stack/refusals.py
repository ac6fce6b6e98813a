"""The problem that a refusal must be."""

from __future__ import annotations

from typing import Any

import httpx


def refused(response: httpx.Response, status: int, code: str, field: str | None = None) -> dict[str, Any]:
    """The problem, which must be of this kind and name this field."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"].startswith("application/problem+json")
    problem: dict[str, Any] = response.json()
    assert problem["code"] == code, problem
    assert problem["status"] == status
    assert problem["type"] == f"urn:embedloop:error:{code}"
    assert isinstance(problem["retryable"], bool)
    assert problem["detail"]
    if field is not None:
        assert problem["field"] == field, problem
    return problem
