"""Every call of the HTTP API, described once for the blocking and the asynchronous client."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from embedloop.client.results import Json, Readiness, SearchResult
from embedloop.client.wire import Call, encoded, failure, segment

WAIT_APPLIED_SECONDS = 60.0
# One request of a dry run holds thousands of documents, all cleaned before the answer ends.
DRY_RUN_SECONDS = 600.0
EVENT_SILENCE_SECONDS = 60.0
_JSON = {"Content-Type": "application/json"}
_NDJSON = {"Content-Type": "application/x-ndjson"}


def create_corpus(
    name: str,
    *,
    base_model: str | None = None,
    chunking: Mapping[str, Any] | None = None,
    policy: Mapping[str, Any] | None = None,
) -> Call[Json]:
    """Create a corpus; `job` in the answer builds its first index version."""
    body = _given(name=name, base_model=base_model, chunking=chunking, policy=policy)
    return _post("/v1/corpora", body)


def corpus(name: str) -> Call[Json]:
    """Read one corpus: its policy, what it serves, how many documents it holds."""
    return _get(_corpus(name))


def corpora() -> Call[list[Json]]:
    """List the corpora that the key may see."""
    return _items("/v1/corpora")


def update_policy(corpus: str, policy: Mapping[str, Any]) -> Call[Json]:
    """Change parts of a policy; each top-level section given is merged into the present one."""
    return _send("PATCH", _corpus(corpus), {"policy": policy})


def delete_corpus(name: str) -> Call[None]:
    """Delete a corpus with its documents, retrievals and index versions."""
    return Call("DELETE", _corpus(name), _nothing)


def put_document(
    corpus: str,
    document_id: str,
    *,
    text: str = "",
    title: str = "",
    metadata: Mapping[str, Any] | None = None,
    content_type: str | None = None,
    wait_applied: bool = False,
) -> Call[Json]:
    """Store one document; `wait_applied` returns when searches can find it.

    `content_type` is how the text is written: `text/html`, `message/rfc822`, `text/markdown` or `text/plain`.
    """
    body = {"title": title, "text": text, "metadata": metadata or {}} | _given(content_type=content_type)
    return Call(
        "PUT",
        _document(corpus, document_id),
        _json,
        query=_waiting(wait_applied),
        body=encoded(body),
        headers=_JSON,
        repeatable=True,
        extra_seconds=WAIT_APPLIED_SECONDS * wait_applied,
    )


def get_document(corpus: str, document_id: str) -> Call[Json]:
    """Read one document as it is stored."""
    return _get(_document(corpus, document_id))


def delete_document(corpus: str, document_id: str, *, wait_applied: bool = False) -> Call[Json]:
    """Delete one document; NotFound when there is none."""
    return Call(
        "DELETE",
        _document(corpus, document_id),
        _json,
        query=_waiting(wait_applied),
        extra_seconds=WAIT_APPLIED_SECONDS * wait_applied,
    )


def documents_batch(
    corpus: str, lines: bytes, *, wait_applied: bool, dry_run: bool = False
) -> Call[list[Json]]:
    """Send NDJSON documents; the answer's lines, of which the last is the summary."""
    return Call(
        "POST",
        f"{_corpus(corpus)}/documents:bulk",
        _ndjson,
        query=_waiting(wait_applied) | ({"dry_run": "true"} if dry_run else {}),
        body=lines,
        headers=_NDJSON,
        repeatable=True,
        extra_seconds=WAIT_APPLIED_SECONDS * wait_applied + DRY_RUN_SECONDS * dry_run,
    )


def judgments_batch(
    corpus: str, lines: bytes, *, import_name: str | None = None, first_line: int = 1
) -> Call[list[Json]]:
    """Send NDJSON judgments; the answer's lines, of which the last is the summary."""
    return _labels(f"{_corpus(corpus)}/judgments:bulk", lines, import_name, first_line)


def pairs_batch(
    corpus: str, lines: bytes, *, import_name: str | None = None, first_line: int = 1
) -> Call[list[Json]]:
    """Send NDJSON pairs; the answer's lines, of which the last is the summary."""
    return _labels(f"{_corpus(corpus)}/pairs:bulk", lines, import_name, first_line)


def search(
    corpus: str,
    query: str,
    *,
    top_k: int = 10,
    filter: Mapping[str, Any] | None = None,
    session: str | None = None,
    explain: bool = False,
) -> Call[SearchResult]:
    """Find the nearest passages.

    Args:
        corpus: Where to search.
        query: 1..4,000 characters.
        top_k: How many passages at most, 1..1000.
        filter: A tree of `{field, op, value}`, `{and: [...]}`, `{or: [...]}` and `{not: {...}}`.
        session: Names one person's session, so that its own writes are seen and its feedback counts once.
        explain: Ask for how each score came about; it is in the result's `raw`.
    """
    body = _given(query=query, top_k=top_k, filter=filter, session=session, explain=explain or None)

    def parse(_: int, answer: bytes) -> SearchResult:
        return SearchResult.from_json(json.loads(answer))

    path = f"{_corpus(corpus)}/search"
    return Call("POST", path, parse, body=encoded(body), headers=_JSON, repeatable=True)


def feedback(
    retrieval_id: str,
    signal: str,
    document_id: str | None = None,
    passage_id: str | None = None,
    comment: str | None = None,
) -> Call[Json]:
    """Say how an answer was: `up`, `down`, `click` on what was shown, `correct`, or `none_relevant`."""
    body = _given(
        retrieval_id=retrieval_id,
        signal=str(signal),
        document_id=document_id,
        passage_id=passage_id,
        comment=comment,
    )
    return _post("/v1/feedback", body)


def delete_feedback(feedback_id: str) -> Call[None]:
    """Take feedback back."""
    return Call("DELETE", f"/v1/feedback/{segment(feedback_id, 'feedback_id')}", _nothing)


def submit_job(
    kind: str, corpus: str, params: Mapping[str, Any] | None = None, idempotency_key: str | None = None
) -> Call[Json]:
    """Start a job of a kind that `JobKind` names, and no second one with the same key."""
    body = {"kind": str(kind), "corpus": corpus, "params": params or {}}
    headers = {**_JSON, "Idempotency-Key": idempotency_key or uuid.uuid4().hex}
    return Call("POST", "/v1/jobs", _json, body=encoded(body), headers=headers, repeatable=True)


def job(job_id: str) -> Call[Json]:
    """Read one job: state, stage, progress 0..1, error or result."""
    return _get(_job(job_id))


def jobs(corpus: str | None = None, state: str | None = None, limit: int | None = None) -> Call[list[Json]]:
    """List jobs, the newest first."""
    wanted = _given(corpus=corpus, state=state, limit=limit)
    return _items("/v1/jobs", {name: str(value) for name, value in wanted.items()})


def job_events(job_id: str) -> Call[None]:
    """Follow a job as server-sent events."""
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    return Call("GET", f"{_job(job_id)}/events", _nothing, headers=headers, extra_seconds=EVENT_SILENCE_SECONDS)


def cancel_job(job_id: str) -> Call[Json]:
    """Ask a job to end."""
    return Call("POST", f"{_job(job_id)}/cancel", _json, repeatable=True)


def pause_job(job_id: str) -> Call[Json]:
    """Let a job rest where it is; it still keeps other jobs off its corpus."""
    return Call("POST", f"{_job(job_id)}/pause", _json, repeatable=True)


def resume_job(job_id: str) -> Call[Json]:
    """Let a paused job go on where it was."""
    return Call("POST", f"{_job(job_id)}/resume", _json, repeatable=True)


def approve_job(job_id: str, reason: str | None = None) -> Call[Json]:
    """Let a job that is `awaiting_approval` promote."""
    return _post(f"{_job(job_id)}/approve", _given(reason=reason))


def reject_job(job_id: str, reason: str) -> Call[Json]:
    """End a job that is `awaiting_approval`; what it built is given up."""
    return _post(f"{_job(job_id)}/reject", {"reason": reason})


def models(corpus: str | None = None) -> Call[list[Json]]:
    """List model versions."""
    return _items("/v1/models", _given(corpus=corpus))


def model(model_id: str) -> Call[Json]:
    """Read one model version with its manifest and metrics."""
    return _get(f"/v1/models/{segment(model_id, 'model_id')}")


def model_card(model_id: str) -> Call[Json]:
    """Read a model version's card: lineage, training, every gate's decision, limits."""
    return _get(f"/v1/models/{segment(model_id, 'model_id')}/card")


def training_pairs(
    corpus: str,
    *,
    query: str | None = None,
    document_id: str | None = None,
    source: str | None = None,
    training_set: str | None = None,
    model_version: str | None = None,
    after: str | None = None,
    limit: int | None = None,
) -> Call[list[Json]]:
    """Trace training pairs to their sources, or a source to the model versions that saw it."""
    wanted = _given(
        query=query,
        document_id=document_id,
        source=source,
        training_set=training_set,
        model_version=model_version,
        after=after,
        limit=limit,
    )
    return _items(f"{_corpus(corpus)}/training-pairs", {name: str(value) for name, value in wanted.items()})


def forget(
    *,
    person: str | None = None,
    key_id: str | None = None,
    document_id: str | None = None,
    corpus: str | None = None,
) -> Call[Json]:
    """Take a person's or a document's data out of all future training; needs an admin key.

    Args:
        person: The session that they search under.
        key_id: Only where the session came with this key.
        document_id: A document instead, of `corpus`.
        corpus: Of a person, all corpora without it.
    """
    body = _given(person=person, key_id=key_id, document_id=document_id, corpus=corpus)
    headers = _JSON
    return Call("POST", "/v1/removals", _json, body=encoded(body), headers=headers, repeatable=True)


def removals() -> Call[list[Json]]:
    """List what was taken out of training, the newest first."""
    return _items("/v1/removals")


def removal(removal_id: str) -> Call[Json]:
    """Read one removal with the model versions that saw the data."""
    return _get(f"/v1/removals/{segment(removal_id, 'removal_id')}")


def index_versions(corpus: str) -> Call[list[Json]]:
    """List a corpus' index versions with their state and lag."""
    return _items(f"{_corpus(corpus)}/index-versions")


def difference(corpus: str, index_version: str) -> Call[Json]:
    """Read how an index version's answers differ from those of the one that served when it was built."""
    return _get(f"{_corpus(corpus)}/index-versions/{segment(index_version, 'index_version')}/difference")


def promote(corpus: str, index_version: str) -> Call[Json]:
    """Make an index version the serving one."""
    return _post(f"{_corpus(corpus)}/promote", {"index_version": index_version})


def rollback(corpus: str) -> Call[Json]:
    """Return to the index version that served before; no write is lost."""
    return Call("POST", f"{_corpus(corpus)}/rollback", _json)


def embeddings(model: str, input: str | Sequence[str], input_type: str = "query") -> Call[list[list[float]]]:
    """Encode texts with a corpus' serving model or with a model version.

    Returns:
        One L2-normalised vector for each text, in their order.
    """
    texts = [input] if isinstance(input, str) else list(input)
    body = {"input": texts, "model": model, "input_type": input_type, "encoding_format": "float"}

    def parse(_: int, answer: bytes) -> list[list[float]]:
        return [row["embedding"] for row in sorted(json.loads(answer)["data"], key=lambda row: row["index"])]

    return Call("POST", "/v1/embeddings", parse, body=encoded(body), headers=_JSON, repeatable=True)


def ready() -> Call[Readiness]:
    """Ask whether the service takes requests; a part that fails is named in `checks`, not raised."""

    def parse(status: int, answer: bytes) -> Readiness:
        body = json.loads(answer) if answer.startswith(b"{") else {}
        if status != 200 and "checks" not in body:
            raise failure(status, None, answer)
        return Readiness(status == 200, body["checks"])

    return Call("GET", "/readyz", parse, repeatable=True, accepts=(503,))


def _get(path: str) -> Call[Json]:
    return Call("GET", path, _json, repeatable=True)


def _items(path: str, query: Mapping[str, str] | None = None) -> Call[list[Json]]:
    def parse(_: int, answer: bytes) -> list[Json]:
        return list(json.loads(answer)["items"])

    return Call("GET", path, parse, query=query or {}, repeatable=True)


def _labels(path: str, lines: bytes, import_name: str | None, first_line: int) -> Call[list[Json]]:
    query = {} if import_name is None else {"import": import_name, "first_line": str(first_line)}
    return Call("POST", path, _ndjson, query=query, body=lines, headers=_NDJSON, repeatable=True)


def _post(path: str, body: Mapping[str, Any]) -> Call[Json]:
    return _send("POST", path, body)


def _send(method: str, path: str, body: Mapping[str, Any]) -> Call[Json]:
    return Call(method, path, _json, body=encoded(body), headers=_JSON)


def _corpus(name: str) -> str:
    return f"/v1/corpora/{segment(name, 'corpus')}"


def _document(corpus: str, document_id: str) -> str:
    return f"{_corpus(corpus)}/documents/{segment(document_id, 'document_id')}"


def _job(job_id: str) -> str:
    return f"/v1/jobs/{segment(job_id, 'job_id')}"


def _waiting(applied: bool) -> dict[str, str]:
    return {"wait": "applied"} if applied else {}


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _json(_: int, body: bytes) -> Json:
    answer = json.loads(body)
    if not isinstance(answer, dict):
        raise TypeError(f"an object was expected, got {type(answer).__name__}")
    return answer


def _ndjson(_: int, body: bytes) -> list[Json]:
    return [json.loads(line) for line in body.splitlines() if line.strip()]


def _nothing(_: int, body: bytes) -> None:
    return None
