"""A small HTTP server that answers as the contract says, with one corpus, `c`, in memory."""

from __future__ import annotations

import json
import socket
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

KEY = "elk_secret"
HIT = {
    "score": 0.9,
    "passage_id": "p1",
    "document_id": "d1",
    "title": "Gout",
    "text": "Joints.",
    "metadata": {"topic": "bones", "rank": "major"},
}

MODEL_CARD = {
    **{"model_version": "m1", "base": "b", "parent": None, "corpus": None, "created_at": "2026-05-04"},
    **{"dimension": 384, "max_tokens": 256, "backend": "onnx", "prompts": {}, "files": 9},
    **{"data": None, "training": None, "gates": [], "limits": ["Text beyond 256 tokens is not read."]},
}
DIFFERENCE = {
    "index_version": "iv2",
    "against": "iv1",
    "critical": 1,
    "recent": 0,
    "recent_changed": 0,
    "recent_mean_change": 0.0,
    "queries": [
        {
            "query": "who pays?",
            "critical": True,
            "change": 1.0,
            "before": [{"document_id": "a", "passage_id": "p", "score": 0.5, "title": "Rent"}],
            "after": [{"document_id": "b", "passage_id": "q", "score": 0.6, "title": "Lease"}],
        }
    ],
}
REASON = "1 documents cannot be embedded: document 'd7', passage 5f0c (RuntimeError: no)"
INDEX_VERSION = {
    "id": "iv1",
    "state": "retired",
    "model_version": "m1",
    "passages": 2117,
    "lag": 3,
    "index": {"index_type": "HNSW", "metric_type": "L2", "vector_type": "float16"},
    "verification": {"passed": False, "reasons": [REASON]},
    "created_at": "2026-05-04T08:12:31+00:00",
}


@dataclass(frozen=True)
class Seen:
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class FakeService:
    """Serves on `url` while it is entered; `seen` holds what came, `failures` what to answer instead."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    failures: deque[Response] = field(default_factory=deque)
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    job_states: list[dict[str, Any]] = field(default_factory=list)
    reranked: list[float] = field(default_factory=list)
    checks: dict[str, str] = field(default_factory=lambda: {"catalog": "ok", "milvus": "ok"})

    def fail(self, status: int, code: str = "", retry_after: str = "", **problem: Any) -> None:
        headers = {"Retry-After": retry_after} if retry_after else {}
        body = {"type": f"urn:embedloop:error:{code}", "status": status, "code": code, **problem}
        media_type = "application/problem+json"
        self.failures.append(JSONResponse(body, status, headers=headers, media_type=media_type))

    def paths(self) -> list[tuple[str, str]]:
        return [(seen.method, seen.path) for seen in self.seen]

    @contextmanager
    def serving(self) -> Iterator[FakeService]:
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(self._app(), log_level="error", ws="none", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield self
        finally:
            server.should_exit = True
            thread.join()
            listener.close()

    def _app(self) -> Starlette:
        documents = "/v1/corpora/{corpus}/documents/{document_id:path}"
        routes = [
            ("GET", "/readyz", self._ready),
            ("POST", "/v1/corpora", self._create),
            ("GET", "/v1/corpora", lambda request: {"items": [self._corpus("c")]}),
            ("GET", "/v1/corpora/{corpus}", lambda request: self._corpus(request.path_params["corpus"])),
            ("PATCH", "/v1/corpora/{corpus}", lambda request: self._corpus(request.path_params["corpus"])),
            ("DELETE", "/v1/corpora/{corpus}", lambda request: Response(status_code=204)),
            ("PUT", documents, self._put),
            ("GET", documents, self._get),
            ("DELETE", documents, self._delete),
            ("POST", "/v1/corpora/{corpus}/documents:bulk", self._bulk_documents),
            ("POST", "/v1/corpora/{corpus}/judgments:bulk", self._bulk_judgments),
            ("POST", "/v1/corpora/{corpus}/pairs:bulk", self._bulk_pairs),
            ("GET", "/v1/corpora/{corpus}/training-pairs", lambda request: {"items": [TRACED]}),
            ("POST", "/v1/removals", lambda request: JSONResponse(REMOVAL, 201)),
            ("GET", "/v1/removals", lambda request: {"items": [REMOVAL]}),
            ("GET", "/v1/removals/{removal_id}", lambda request: REMOVAL),
            ("POST", "/v1/corpora/{corpus}/search", self._search),
            ("POST", "/v1/corpora/{corpus}/promote", self._promoted),
            ("POST", "/v1/corpora/{corpus}/rollback", self._promoted),
            ("GET", "/v1/corpora/{corpus}/index-versions", lambda request: {"items": [INDEX_VERSION]}),
            ("POST", "/v1/feedback", self._feedback),
            ("DELETE", "/v1/feedback/{feedback_id:path}", lambda request: Response(status_code=204)),
            ("POST", "/v1/jobs", lambda request: JSONResponse(self._job(), 202)),
            ("GET", "/v1/corpora/{name}/index-versions/{id}/difference", lambda request: DIFFERENCE),
            ("GET", "/v1/jobs", lambda request: {"items": [self._job()]}),
            ("GET", "/v1/jobs/{job_id}", self._next_job),
            ("POST", "/v1/jobs/{job_id}/{order}", lambda request: JSONResponse(self._job(), 202)),
            ("GET", "/v1/jobs/{job_id}/events", self._events),
            ("GET", "/v1/models", lambda request: {"items": [MODEL]}),
            ("GET", "/v1/models/{model_id}", lambda request: MODEL),
            ("GET", "/v1/models/{model_id}/card", lambda request: MODEL_CARD),
            ("POST", "/v1/embeddings", self._embeddings),
        ]
        return Starlette(routes=[Route(path, self._route(do), methods=[verb]) for verb, path, do in routes])

    def _route(self, answer: Callable[[Request], Any]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            body = await request.body()
            raw_path = request.scope["raw_path"].decode()
            headers = dict(request.headers)
            self.seen.append(Seen(request.method, raw_path, request.url.query, headers, body))
            if self.failures:
                return self.failures.popleft()
            if request.url.path != "/readyz" and headers.get("authorization") != f"Bearer {KEY}":
                return self._problem(401, "unauthorised", "the key is not known")
            answered = answer(request)
            return answered if isinstance(answered, Response) else JSONResponse(answered)

        return endpoint

    def _problem(self, status: int, code: str, detail: str, **more: Any) -> Response:
        body = {"status": status, "code": code, "detail": detail, **more}
        return JSONResponse(body, status, media_type="application/problem+json")

    def _ready(self, request: Request) -> Response:
        ok = set(self.checks.values()) == {"ok"}
        return JSONResponse(
            {"status": "ready" if ok else "not ready", "checks": self.checks}, 200 if ok else 503
        )

    def _corpus(self, name: str) -> Any:
        if name != "c":
            return self._problem(404, "not_found", f"no corpus {name!r}", field="corpus")
        policy = {"base_model": "all-MiniLM-L6-v2"}
        documents = len(self.documents)
        return {"name": "c", "policy": policy, "serving": "iv1", "previous": None, "documents": documents}

    def _create(self, request: Request) -> Response:
        return JSONResponse({**self.seen[-1].json, "job": "j1"}, 201)

    def _put(self, request: Request) -> Any:
        self.documents[request.path_params["document_id"]] = self.seen[-1].json
        applied = request.query_params.get("wait") == "applied"
        document_id = request.path_params["document_id"]
        return {"document_id": document_id, "rev": 1, "seq": 1, "changed": True, "applied": applied}

    def _get(self, request: Request) -> Any:
        document_id = request.path_params["document_id"]
        if document_id not in self.documents:
            return self._problem(404, "not_found", f"no document {document_id!r}", field="document_id")
        return {"document_id": document_id, **self.documents[document_id], "rev": 1}

    def _delete(self, request: Request) -> Any:
        document_id = request.path_params["document_id"]
        del self.documents[document_id]
        return {"document_id": document_id, "rev": 2, "seq": 2, "changed": True, "applied": True}

    def _bulk_documents(self, request: Request) -> Response:
        def answer(number: int, line: dict[str, Any]) -> dict[str, Any]:
            if not (line.get("text") or line.get("op")):
                error = {"code": "invalid_input", "field": "text", "message": "text is blank"}
                return {"line": number, "id": line["id"], "status": "refused", "error": error}
            deleted = line.get("op") == "delete"
            self.documents[line["id"]] = line
            status = "deleted" if deleted else "stored"
            return {"line": number, "id": line["id"], "status": status, "seq": len(self.documents)}

        applied = request.query_params.get("wait") == "applied"
        return self._ndjson(answer, lambda: {"last_seq": len(self.documents), "applied": applied})

    def _bulk_judgments(self, request: Request) -> Response:
        def answer(number: int, line: dict[str, Any]) -> dict[str, Any]:
            return {"line": number, "status": "stored" if 0 <= line["grade"] <= 3 else "refused"}

        return self._ndjson(answer, dict)

    def _bulk_pairs(self, request: Request) -> Response:
        def answer(number: int, line: dict[str, Any]) -> dict[str, Any]:
            error = {"code": "conflict", "message": "this query is golden", "field": "anchor"}
            refused = {"status": "refused", "error": error}
            return {"line": number, **(refused if line["anchor"] == "golden" else {"status": "stored"})}

        return self._ndjson(answer, dict)

    def _ndjson(
        self, answer: Callable[[int, dict[str, Any]], dict[str, Any]], more: Callable[[], dict[str, Any]]
    ) -> Response:
        lines = [json.loads(line) for line in self.seen[-1].body.splitlines()]

        async def stream() -> AsyncIterator[str]:
            counts = {"lines": len(lines), "stored": 0, "unchanged": 0, "deleted": 0, "refused": 0}
            for number, line in enumerate(lines, 1):
                answered = answer(number, line)
                counts[answered["status"]] += 1
                yield json.dumps(answered) + "\n"
            yield json.dumps({"summary": counts | more()}) + "\n"

        return StreamingResponse(stream(), media_type="application/x-ndjson")

    def _search(self, request: Request) -> Any:
        wanted = self.seen[-1].json
        if not 1 <= wanted["top_k"] <= 1000:
            detail = f"top_k must be 1..1000, got {wanted['top_k']}"
            return self._problem(400, "invalid_input", detail, field="top_k")
        results = [{**HIT, "rank": rank} for rank in range(1, wanted["top_k"] + 1)]
        for result, score in zip(results, self.reranked, strict=False):
            result["rerank_score"] = score
        reranker = {"model_version": "m9", "reranked": len(self.reranked)}
        return {
            **({"reranker": reranker} if self.reranked else {}),
            "retrieval_id": "r1",
            "index_version": "iv1",
            "model_version": "m1",
            "verified": True,
            "results": results,
            "took_ms": {"queue": 0.1, "encode": 2.0, "search": 1.0, "verify": 0.5, "total": 3.6},
        }

    def _feedback(self, request: Request) -> Response:
        return JSONResponse({"feedback_id": "f1", "status": "stored"}, 201)

    def _promoted(self, request: Request) -> Any:
        return {"corpus": "c", "serving": "iv2", "previous": "iv1"}

    def _job(self, **now: Any) -> dict[str, Any]:
        job = {"id": "j1", "kind": "reindex", "corpus": "c", "state": "queued", "stage": "", "progress": 0.0}
        return (
            job
            | {"params": {}, "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}
            | now
        )

    def _next_job(self, request: Request) -> Any:
        if request.path_params["job_id"] != "j1":
            return self._problem(404, "not_found", "no such job", field="job_id")
        now = self.job_states.pop(0) if len(self.job_states) > 1 else self.job_states[0]
        return self._job(**now)

    def _events(self, request: Request) -> Response:
        async def stream() -> AsyncIterator[str]:
            yield ": hello\n\n"
            for now in self.job_states:
                yield f"event: progress\ndata: {json.dumps(self._job(**now))}\n\n"

        return StreamingResponse(stream(), media_type="text/event-stream")

    def _embeddings(self, request: Request) -> Any:
        wanted = self.seen[-1].json
        rows = [
            {"object": "embedding", "index": index, "embedding": [float(len(text)), 1.0]}
            for index, text in enumerate(wanted["input"])
        ]
        return {"object": "list", "data": rows[::-1], "model": wanted["model"], "usage": {}}


TRACED = {
    "id": "p1",
    "training_set": "ts1",
    "model_versions": ["m1"],
    "query": "big toe",
    "document_id": "d1",
    "split": "train",
    "sources": {"document": ["d1"], "feedback": ["f-1"]},
}
REMOVAL = {
    "id": "rm-1",
    "kind": "person",
    "corpus": None,
    "removed": {"feedback": 2},
    "training_sets": ["ts1"],
    "model_versions": ["m1"],
    **{"created_at": "2026-05-04", "updated_at": "2026-05-04", "settled_at": None},
}
MODEL = {
    "id": "m1",
    "base": "all-MiniLM-L6-v2",
    "parent": None,
    "corpus": "c",
    "dimension": 384,
    "created_at": "2026-01-01T00:00:00Z",
}
