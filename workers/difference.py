"""Stage `difference`: answers of the serving version and of its candidate, side by side, before the swap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from embedloop.applier import View
from embedloop.approval import needs_person
from embedloop.catalog import corpora, differences, documents, feedback, index_versions, models
from embedloop.errors import CollectionNotFound
from embedloop.jobs import Advance, AwaitApproval, Lease, Outcome
from embedloop.policy import Policy
from embedloop.recipe.reranking import Reranking
from embedloop.records.documents import Corpus, Hit, Passage
from embedloop.records.jobs import Job
from embedloop.reranker import Reranker, reordered
from embedloop.second_stage import EncoderRescorer
from embedloop.slices import slices
from embedloop.text.chunking import embedding_text
from embedloop.text.normalise import query_key
from training.difference import change_of, most_changed
from workers.parts import Parts
from workers.reranked import second_encoder

TOP_K = 10
# A margin for rows of documents that changed meanwhile.
FETCHED = 2 * TOP_K
RECENT_QUERIES = 200
RETRIEVALS_READ = 2000
SHOWN_CHANGES = 20
QUERIES_PER_SEARCH = 32

Answers = Mapping[str, Sequence[Hit]]


def difference(parts: Parts, job: Job, lease: Lease) -> Outcome:
    """Keeps the report with the candidate; the job waits for a person's word where that is needed.

    The policy may ask for it; and a model that no judged query speaks for is never promoted by itself.
    """
    with parts.database.read() as connection:
        corpus = corpora.get(connection, job.corpus)
        candidate = index_versions.get(connection, job.checkpoint["index_version"])
        serving = None if corpus.serving is None else index_versions.get(connection, corpus.serving)
        gate = models.newest_gate(connection, corpus.name, candidate.model_id)
    if serving is None or serving.index_version_id == candidate.index_version_id:
        return Advance()
    critical, recent = _queries(parts, corpus, job.params)
    queries = [*critical, *recent]
    try:
        before = _answers(parts, parts.view(serving), queries, corpus.policy, lease)
    except CollectionNotFound:
        # What Milvus lost answers nothing, and must not stand in the way of what replaces it.
        before = {query: [] for query in queries}
    lease.progress(0.5)
    after = _answers(parts, parts.view(candidate), queries, corpus.policy, lease)
    report = compared(critical, recent, before, after)
    with parts.database.write() as connection:
        differences.put(connection, candidate.index_version_id, against=serving.index_version_id, report=report)
    told = {"difference": {name: report[name] for name in ("critical", "recent", "recent_changed")}}
    known = candidate.model_id == serving.model_id
    if job.params.get("promote", True) and needs_person(corpus.policy, None if known else gate):
        return AwaitApproval(told)
    return Advance(told)


def compared(critical: Sequence[str], recent: Sequence[str], before: Answers, after: Answers) -> dict[str, Any]:
    """The report, JSON-ready: every critical query, and of the recent ones those that change most.

    Passages are told by id alone: their texts may have been deleted by the time that somebody reads it.
    """
    changes = {query: change_of(_ids(before[query]), _ids(after[query])) for query in before}
    shown = [*critical, *most_changed({query: changes[query] for query in recent}, SHOWN_CHANGES)]
    return {
        "top_k": TOP_K,
        "critical": len(critical),
        "recent": len(recent),
        "recent_changed": sum(changes[query] > 0 for query in recent),
        "recent_mean_change": sum(changes[query] for query in recent) / max(1, len(recent)),
        "queries": [
            {
                "query": query,
                "critical": query in critical,
                "change": changes[query],
                "before": _told(before[query]),
                "after": _told(after[query]),
            }
            for query in shown
        ],
    }


def _queries(parts: Parts, corpus: Corpus, params: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Critical queries of the policy and the job, and others that people asked lately; each once."""
    critical = (*corpus.policy.critical_queries, *(params.get("critical_queries") or ()))
    named = {query_key(query): query for query in critical}
    with parts.database.read() as connection:
        logged = feedback.recent_queries(connection, corpus.name, RETRIEVALS_READ)
    recent: dict[str, str] = {}
    for query in logged:
        if (key := query_key(query)) not in named:
            recent.setdefault(key, query)
    return list(named.values()), list(recent.values())[:RECENT_QUERIES]


def _answers(
    parts: Parts, view: View, queries: Sequence[str], policy: Policy, lease: Lease
) -> dict[str, list[Hit]]:
    """Query -> the first live passages, without boosts and without a re-ranker that the policy names."""
    found: dict[str, list[Hit]] = {}
    second = second_encoder(parts, parts.model(view.version.model_id))
    rescorer = None if second is None else EncoderRescorer(second)
    fetched = FETCHED if rescorer is None else max(FETCHED, policy.reranking.depth)
    for part in slices(queries, QUERIES_PER_SEARCH):
        lease.check()
        hits = parts.index.search(
            view.version.collection,
            view.encoder.encode_queries(part),
            fetched,
            settings=view.version.index,
            words=part if view.version.index.bm25 else None,
            bm25_weight=policy.bm25_weight,
        )
        live = _live(parts, view.version.corpus, hits)
        for query, ranked in zip(part, live, strict=True):
            lease.check()
            again = ranked if rescorer is None else _rescored(rescorer, query, ranked, policy.reranking)
            found[query] = again[:TOP_K]
    return found


def _rescored(rescorer: Reranker, query: str, hits: Sequence[Hit], settings: Reranking) -> list[Hit]:
    texts = [embedding_text(hit.passage.title, hit.passage.text) for hit in hits[: settings.depth]]
    scores = rescorer.score(query, texts, budget_seconds=settings.budget_ms / 1000)
    return reordered(hits, scores.tolist())


def _live(parts: Parts, corpus: str, answers: Sequence[Sequence[Hit]]) -> list[list[Hit]]:
    """The catalog has the last word on what is shown, here as in a search."""
    ids = {hit.passage.document_id for hits in answers for hit in hits}
    with parts.database.read() as connection:
        live = documents.live_revs(connection, corpus, ids)
    return [[hit for hit in hits if live.get(hit.passage.document_id) == hit.passage.rev] for hits in answers]


def _ids(hits: Sequence[Hit]) -> list[str]:
    """Documents in the order of their best passage; ids of passages differ between chunkings."""
    return list(dict.fromkeys(hit.passage.document_id for hit in hits))


def _told(hits: Sequence[Hit]) -> list[dict[str, Any]]:
    return [_passage(hit.passage) | {"score": hit.score} for hit in hits]


def _passage(passage: Passage) -> dict[str, Any]:
    return {"document_id": passage.document_id, "passage_id": passage.passage_id}
