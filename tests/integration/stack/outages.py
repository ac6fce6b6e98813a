"""What a caller must see while a part is away, and what must be there when it is back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from embedloop.client import Client
from embedloop.errors import EmbedloopError
from tests.patience import eventually

AWAY_STATUSES = (503, 504)


@dataclass(frozen=True)
class Caller:
    """One who calls a replica over plain HTTP, without retries, and with the client."""

    http: httpx.Client
    client: Client
    corpus: str

    def search(self, query: str = "flu") -> httpx.Response:
        return self.http.post(f"/v1/corpora/{self.corpus}/search", json={"query": query})

    def put(self, identity: str) -> httpx.Response:
        body = {"text": f"written as {identity}"}
        return self.http.put(f"/v1/corpora/{self.corpus}/documents/{identity}", json=body)

    def vote(self, found: dict[str, Any]) -> httpx.Response:
        document = found["results"][0]["document_id"]
        body = {"retrieval_id": found["retrieval_id"], "signal": "up", "document_id": document}
        return self.http.post("/v1/feedback", json=body)

    def refused(self, call: Callable[[], httpx.Response]) -> bool:
        """Whether the call is refused now; how, is checked each time."""
        answer = call()
        if answer.is_success:
            return False
        assert answer.status_code in AWAY_STATUSES, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert int(answer.headers["Retry-After"]) >= 1
        return True

    def ready(self) -> bool:
        try:
            return self.client.ready().ready
        except EmbedloopError:
            return False

    def wait_healed(self, *documents: str) -> None:
        """Ready, verified, and everything that was written meanwhile is found."""
        eventually(self.ready, "the replica to be ready")

        def found() -> bool:
            answer = self.search()
            if not answer.is_success or not answer.json()["verified"]:
                return False
            shown = self.http.post(
                f"/v1/corpora/{self.corpus}/search", json={"query": "written", "top_k": 1000}
            ).json()
            return {*documents} <= {hit["document_id"] for hit in shown.get("results", [])}

        eventually(found, f"{documents} to be found again")
