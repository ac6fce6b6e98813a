"""What callers get: records as the JSON of the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection

from embedloop.catalog import corpora, documents, index_versions
from embedloop.duplicates import Duplicate
from embedloop.ingestion import Account
from embedloop.records.documents import Corpus, Document
from embedloop.records.jobs import Job
from embedloop.records.versions import Difference, IndexVersion, ModelVersion


def corpus_out(connection: Connection, corpus: Corpus) -> dict[str, Any]:
    return {
        "name": corpus.name,
        "policy": corpus.policy.model_dump(mode="json"),
        "serving": corpus.serving,
        "previous": corpus.previous,
        "documents": corpora.live_documents(connection, corpus.name),
        "created_at": corpus.created_at.isoformat(),
    }


def document_out(document: Document) -> dict[str, Any]:
    return {
        "document_id": document.document_id,
        "title": document.title,
        "text": document.text,
        "metadata": dict(document.metadata),
        "rev": document.rev,
    }


def account_out(account: Account, duplicate: Duplicate | None) -> dict[str, Any]:
    """What was done to a document on its way in; empty where it was stored as it was sent."""
    told: dict[str, Any] = {}
    if account.language is not None:
        told["language"] = account.language
    if account.removed:
        told["removed"] = [asdict(one) for one in account.removed]
    if account.redacted:
        told["redacted"] = dict(account.redacted)
    if account.rejection is not None:
        told["rejection"] = asdict(account.rejection)
    if duplicate is not None:
        told["duplicate_of"] = {
            "document_id": duplicate.document_id,
            "similarity": round(duplicate.similarity, 3),
        }
    return {"cleaning": told} if told else {}


def job_out(job: Job) -> dict[str, Any]:
    """`error` and `result` appear once there is one."""
    told: dict[str, Any] = {
        "id": job.job_id,
        "kind": job.kind.value,
        "corpus": job.corpus,
        "state": job.state.value,
        "stage": job.stage,
        "progress": job.progress,
        "params": dict(job.params),
        "created_at": job.created_at.isoformat(),
        "updated_at": job.updated_at.isoformat(),
    }
    if job.error is not None:
        told["error"] = {name: value for name, value in job.error.items() if value is not None}
    if job.result is not None:
        told["result"] = dict(job.result)
    return told


def model_out(model: ModelVersion) -> dict[str, Any]:
    return {
        "id": model.model_id,
        "base": model.base,
        "parent": model.parent,
        "corpus": model.corpus,
        "training_set": model.training_set_id,
        "dimension": model.dimension,
        "max_tokens": model.max_tokens,
        "backend": model.backend,
        "metrics": dict(model.metrics),
        "manifest": dict(model.manifest),
        "created_at": model.created_at.isoformat(),
    }


def difference_out(found: Difference, present: Mapping[str, Document]) -> dict[str, Any]:
    """The report with the titles that live documents have now; null for one that is gone."""

    def titled(hits: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [one | {"title": _title(present.get(one["document_id"]))} for one in hits]

    return {
        **found.report,
        "index_version": found.index_version_id,
        "against": found.against,
        "created_at": found.created_at.isoformat(),
        "queries": [
            query | {"before": titled(query["before"]), "after": titled(query["after"])}
            for query in found.report["queries"]
        ],
    }


def _title(document: Document | None) -> str | None:
    return None if document is None else document.title


def index_version_out(connection: Connection, version: IndexVersion) -> dict[str, Any]:
    """`lag` is the distance of the cursor from the head of the corpus' change log, in `seq`."""
    return {
        "id": version.index_version_id,
        "state": version.state.value,
        "model_version": version.model_id,
        "passages": index_versions.passages(connection, version.index_version_id),
        "applied_seq": version.applied_seq,
        "lag": max(0, documents.head(connection, version.corpus) - version.applied_seq),
        "chunking": version.chunking.model_dump(mode="json"),
        "index": version.index.model_dump(mode="json"),
        "verification": None if version.verification is None else dict(version.verification),
        "created_at": version.created_at.isoformat(),
    }
