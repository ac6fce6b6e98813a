"""The general sets of a corpus: the packaged one and, by policy, other corpora's golden queries."""

from __future__ import annotations

from itertools import islice

from embedloop.catalog import corpora, documents, index_versions
from embedloop.encoder import Encoder
from embedloop.records.documents import Corpus
from embedloop.records.labels import Split
from embedloop.text.normalise import query_key
from training.evaluation import Scores
from training.gate import gate_pool
from training.general import GeneralSet, packaged_general_set
from training.general_score import SecondStage, score_general
from workers.judged import labels_of
from workers.negatives import first_passages
from workers.parts import Parts

# So that a service with many corpora does not measure for longer than it trains.
MOST_CORPORA = 5
MOST_QUERIES = 100
MOST_DOCUMENTS = 500


def general_sets(parts: Parts, corpus: Corpus) -> list[GeneralSet]:
    """What `policy.gate.general` names. Other corpora are told by number: a key may see only one of them."""
    match corpus.policy.gate.general:
        case "none":
            return []
        case "packaged":
            return [packaged_general_set()]
        case "other_corpora":
            with parts.database.read() as connection:
                others = [one for one in corpora.every(connection) if one.name != corpus.name and one.serving]
            found = (_golden_of(parts, one) for one in sorted(others, key=lambda one: one.name))
            judged = islice((golden for golden in found if golden[0]), MOST_CORPORA)
            numbered = [
                GeneralSet(f"corpus {number}", queries, texts, qrels)
                for number, (queries, texts, qrels) in enumerate(judged, start=1)
            ]
            return [packaged_general_set(), *numbered]


def _golden_of(
    parts: Parts, corpus: Corpus
) -> tuple[dict[str, str], dict[str, str], dict[str, dict[str, int]]]:
    """Queries, texts of documents, and grades of some of a corpus' golden set."""
    with parts.database.read() as connection:
        serving = index_versions.get(connection, corpus.serving or "")
        judged = labels_of(connection, corpus.name, (Split.GOLDEN,))
        relevant = [one for one in judged if one.grade > 0]
        live = documents.live_ids(connection, corpus.name) if relevant else []
    keys = sorted({query_key(one.query) for one in relevant})[:MOST_QUERIES]
    asked = [one for one in relevant if query_key(one.query) in set(keys)]
    pool = gate_pool({one.document_id for one in asked}, live, MOST_DOCUMENTS, seed=13)
    texts = first_passages(parts, corpus, serving, pool)
    queries: dict[str, str] = {}
    qrels: dict[str, dict[str, int]] = {}
    for one in asked:
        if one.document_id in texts:
            key = query_key(one.query)
            queries.setdefault(key, one.query)
            qrels.setdefault(key, {})[one.document_id] = one.grade
    return queries, texts, qrels


def measure_general(sets: list[GeneralSet], encoder: Encoder, second: SecondStage | None = None) -> Scores:
    """Scores one model, with its own prompts, on all sets together."""
    return score_general(sets, encoder.encode_queries, encoder.encode_passages, second)
