"""A service in memory, behind an httpx transport; its cycle moves from one index version to another.

The old version finds documents by the words that query and title share; the new one knows every synonym.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx

from embedloop.client import Client

STAGES = ("collect", "train", "gate", "build", "embed", "verify", "difference", "promote")


@dataclass
class FakeService:
    """Counts feedback as the real one does; `mixing_answers` answers after the swap hold old passages."""

    meaning: dict[str, str]
    mixing_answers: int = 0
    gate: str = "passed"
    policy: dict[str, Any] = field(default_factory=dict)
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    judgments: list[dict[str, Any]] = field(default_factory=list)
    feedback: list[dict[str, Any]] = field(default_factory=list)
    shown: dict[str, list[str]] = field(default_factory=dict)
    sessions: Counter[str] = field(default_factory=Counter)
    serving: str = "iv-old"
    stage: int = -1
    lock: threading.Lock = field(default_factory=threading.Lock)

    def client(self) -> Client:
        return Client("http://fake", "key", transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        with self.lock:
            path = request.url.path
            route = (request.method, path.rpartition("/")[2])
            if request.method == "GET" and path.startswith("/v1/jobs/"):
                return httpx.Response(200, json=self._job(route[1]))
            if request.method == "GET" and path.startswith("/v1/models/"):
                return httpx.Response(200, json=MODEL)
            body = [json.loads(line) for line in request.content.splitlines()] if request.content else [{}]
            match route:
                case ("POST", "corpora"):
                    self.policy = body[0]["policy"]
                    return httpx.Response(201, json={"name": body[0]["name"], "job": "first"})
                case ("PATCH", "hpo"):
                    for section, values in body[0]["policy"].items():
                        self.policy[section] = {**self.policy[section], **values}
                    return httpx.Response(200, json={"name": "hpo"})
                case ("POST", "documents:bulk"):
                    self.documents.update({line["id"]: line for line in body})
                    return _ndjson([{"line": n, "status": "stored", "seq": 9} for n in range(1, len(body) + 1)])
                case ("POST", "judgments:bulk"):
                    self.judgments.extend(body)
                    return _ndjson([{"line": n, "status": "stored"} for n in range(1, len(body) + 1)])
                case ("POST", "search"):
                    return httpx.Response(200, json=self._search(body[0]))
                case ("POST", "feedback"):
                    return self._feedback(body[0])
                case ("POST", "jobs"):
                    self.stage = 0
                    return httpx.Response(202, json=self._job("cycle"))
                case ("GET", "jobs"):
                    jobs = [self._job("first")] + ([self._job("cycle")] if self.stage >= 0 else [])
                    return httpx.Response(200, json={"items": jobs})
                case ("GET", "index-versions"):
                    return httpx.Response(200, json={"items": self._versions()})
            return httpx.Response(404, json={"code": "not_found", "detail": f"{route}"})

    def _search(self, body: dict[str, Any]) -> dict[str, Any]:
        self.sessions[body["session"]] += 1
        new = self.serving == "iv-new"
        mixed = new and self.mixing_answers > 0
        self.mixing_answers -= mixed
        words = set(body["query"].casefold().split())
        ranked = []
        for document_id, document in self.documents.items():
            score = len(words & set(document["title"].casefold().split())) / 10
            if new and not mixed and self.meaning.get(body["query"]) == document_id:
                score = 0.95
            ranked.append((-score, document_id))
        best = sorted(ranked)[: body["top_k"]]
        retrieval_id = f"r-{len(self.shown)}"
        self.shown[retrieval_id] = [document_id for _, document_id in best]
        return {
            "retrieval_id": retrieval_id,
            "index_version": self.serving,
            "model_version": "m-new" if new else "m-old",
            "verified": True,
            "took_ms": {"total": 1.0},
            "results": [
                {
                    "rank": rank,
                    "score": -negative,
                    "passage_id": f"p-{document_id}",
                    "document_id": document_id,
                    "title": self.documents[document_id]["title"],
                    "text": "",
                    "metadata": {},
                }
                for rank, (negative, document_id) in enumerate(best, 1)
            ],
        }

    def _feedback(self, body: dict[str, Any]) -> httpx.Response:
        named = body.get("document_id")
        if body["signal"] in ("up", "down") and named not in self.shown[body["retrieval_id"]]:
            problem = {"code": "invalid_input", "detail": "not shown", "field": "document_id"}
            return httpx.Response(400, json=problem)
        self.feedback.append(body)
        threshold = self.policy["trigger"]["new_feedback"]
        if threshold is not None and len(self.feedback) >= threshold and self.stage < 0:
            self.stage = 0
        return httpx.Response(201, json={"feedback_id": f"f-{len(self.feedback)}", "status": "stored"})

    def _job(self, job_id: str) -> dict[str, Any]:
        if job_id == "first":
            return _job("first", "reindex", "succeeded", "promote", 1.0, {})
        stage = STAGES[min(self.stage, len(STAGES) - 1)]
        self.stage += 1
        result = {
            "model_version": "m-new",
            "gate": {"verdict": self.gate, "reasons": ["ndcg@10 0.1 -> 0.2"], "metrics": {}},
            "promoted": self.gate == "passed",
        }
        if self.stage <= len(STAGES):
            return _job("cycle", "cycle", "running", stage, self.stage / 10, None)
        if self.gate != "passed":
            return _job("cycle", "cycle", "rejected", "gate", 1.0, result)
        self.serving = "iv-new"
        return _job("cycle", "cycle", "succeeded", stage, 1.0, result)

    def _versions(self) -> list[dict[str, Any]]:
        return [
            {
                "id": identity,
                "state": "serving" if identity == self.serving else "standby",
                "model_version": model,
                "applied_seq": 9,
            }
            for identity, model in (("iv-old", "m-old"), ("iv-new", "m-new"))
        ]


MODEL = {
    "id": "m-new",
    "base": "tiny",
    "parent": "m-old",
    "training_set": "ts-1",
    "metrics": {
        "curve": [{"step": 0, "dev": 0.4}, {"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0, "dev": 0.5}]
    },
}


def _job(job_id: str, kind: str, state: str, stage: str, progress: float, result: Any) -> dict[str, Any]:
    named = {"id": job_id, "kind": kind, "corpus": "hpo", "state": state, "stage": stage}
    return {**named, "progress": progress, "result": result, "error": None}


def _ndjson(lines: list[dict[str, Any]]) -> httpx.Response:
    total = {"lines": len(lines), "stored": len(lines), "refused": 0}
    written = [json.dumps(line) for line in [*lines, {"summary": total}]]
    return httpx.Response(200, text="\n".join(written) + "\n")
