"""The lines of a spool: a retrieval, or feedback that was given while the catalog was away."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson

from embedloop.feedback import AcceptedFeedback, GivenFeedback
from embedloop.records.feedback import Retrieval, Shown, Signal

Entry = Retrieval | AcceptedFeedback


def line_of(entry: Entry) -> bytes:
    """One line of JSON with its end."""
    told = _of_retrieval(entry) if isinstance(entry, Retrieval) else _of_feedback(entry)
    return orjson.dumps(told) + b"\n"


def entry_of(line: bytes) -> Entry:
    """What `line_of` wrote. Raises ValueError, KeyError or TypeError for anything else."""
    told: dict[str, Any] = orjson.loads(line)
    return _feedback(told) if "feedback_id" in told else _retrieval(told)


def _of_retrieval(retrieval: Retrieval) -> dict[str, Any]:
    return {
        "retrieval_id": retrieval.retrieval_id,
        "corpus": retrieval.corpus,
        "query": retrieval.query,
        "person": retrieval.person,
        "index_version_id": retrieval.index_version_id,
        "model_id": retrieval.model_id,
        "shown": [[s.rank, s.document_id, s.passage_id, s.score] for s in retrieval.shown],
        "at": retrieval.at.isoformat(),
    }


def _retrieval(line: dict[str, Any]) -> Retrieval:
    return Retrieval(
        retrieval_id=line["retrieval_id"],
        corpus=line["corpus"],
        query=line["query"],
        person=line["person"],
        index_version_id=line["index_version_id"],
        model_id=line["model_id"],
        shown=[Shown(*entry) for entry in line["shown"]],
        at=datetime.fromisoformat(line["at"]),
    )


def _of_feedback(accepted: AcceptedFeedback) -> dict[str, Any]:
    given = accepted.given
    return {
        "feedback_id": accepted.feedback_id,
        "retrieval_id": given.retrieval_id,
        "signal": given.signal.value,
        "document_id": given.document_id,
        "passage_id": given.passage_id,
        "comment": given.comment,
        "person": accepted.person,
        "visible": None if accepted.visible is None else list(accepted.visible),
        "at": accepted.at.isoformat(),
    }


def _feedback(line: dict[str, Any]) -> AcceptedFeedback:
    return AcceptedFeedback(
        feedback_id=line["feedback_id"],
        given=GivenFeedback(
            line["retrieval_id"],
            Signal(line["signal"]),
            line["document_id"],
            line["passage_id"],
            line["comment"],
        ),
        person=line["person"],
        visible=None if line["visible"] is None else tuple(line["visible"]),
        at=datetime.fromisoformat(line["at"]),
    )
