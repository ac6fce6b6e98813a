"""Roads beside the tuned vectors: words fused with them, a re-ranker behind, a cheap tier before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.plan import SEED
from benchmarks.roads_measure import DECIDES, Clock, Reached, Served, reached, timed
from benchmarks.roads_walk import Walk
from benchmarks.training_models import METRICS
from benchmarks.training_recipes import with_negatives
from benchmarks.training_sets import DEV, TEST, Qrels
from embedloop.fusion import EVEN
from embedloop.recipe.reranking import RerankerTraining
from embedloop.recipe.settings import TrainingSettings
from embedloop.records.labels import Split
from embedloop.registry import max_tokens_of
from embedloop.reranker import OnnxReranker, reordered
from embedloop.second_stage import EncoderRescorer
from training.evaluation import rank_by_cosine, score_run
from training.hybrid import WEIGHTS, fused_run, tune_weight
from training.lexical import Bm25
from training.pairs import write_training_set
from training.reranker_export import check_reranker, export_reranker
from training.reranking import RerankerConfig, train_reranker

DEPTH = 100
RERANKED = 20
RESCORED = 50
_TIMED = 60


def hybrid(walk: Walk, served: Served, training_cpu_seconds: float) -> Reached:
    """BM25 fused with a model's vectors, by the weight that the dev queries choose."""
    index = Bm25(walk.ranking.documents)
    near, by_words = {}, {}
    for split in (DEV, TEST):
        asked = _asked(walk, walk.ranking.qrels[split])
        near[split] = _near(served, asked, DEPTH)
        found = index.search(list(asked.values()), DEPTH)
        by_words[split] = {
            key: [document for document, _ in row] for key, row in zip(asked, found, strict=True)
        }
    tuned = tune_weight(near[DEV], by_words[DEV], walk.ranking.qrels[DEV], present=EVEN, seed=SEED)
    run = fused_run(near[TEST], by_words[TEST], tuned.best)
    texts = list(_asked(walk, walk.ranking.qrels[TEST]).values())[:_TIMED]
    spent = timed(texts, lambda text: (served.encoder.encode_queries([text]), index.search([text], DEPTH)))
    return _as_served(walk, served, run, training_cpu_seconds, spent, {"weight": tuned.best})


def by_reranker(walk: Walk) -> Reached:
    """A cross-encoder, trained on the same pairs, looks at the first hits of the tuned model again.

    Its negatives are what the tuned model finds wrongly, and its order counts as much as the dev queries say.
    """
    served, clock = walk.tuned_served, Clock()
    pairs = with_negatives(walk.ranking, served.encoded, TrainingSettings(hard_negatives=2))
    folder = walk.folder / "reranker"
    # A cross-encoder reads each pair alone: what fits into some minutes of two cores.
    settings = RerankerTraining(seed=SEED, negatives=2, epochs=1)
    if walk.plan.max_steps is not None:
        settings = settings.model_copy(update={"epochs": 0.1})
    result = train_reranker(
        RerankerConfig(
            walk.base_folder,
            folder / "run",
            write_training_set(pairs, folder / "set").path,
            settings,
        ),
        on_progress=lambda told: None,
        should_stop=lambda: False,
    )
    seconds = walk.tuned.cpu_seconds + clock.seconds()
    asked = {split: _asked(walk, walk.ranking.qrels[split]) for split in (DEV, TEST)}
    reranker = _exported(result.model, list(asked[TEST].values()), walk)
    near = {split: _near(served, asked[split], RERANKED) for split in asked}

    def again(split: Split, key: str) -> list[str]:
        first = near[split][key]
        scores = reranker.score(asked[split][key], [walk.ranking.documents[one] for one in first])
        return reordered(first, scores.tolist())

    alone = {split: {key: again(split, key) for key in near[split]} for split in asked}
    qrels = walk.ranking.qrels[DEV]
    weight = tune_weight(near[DEV], alone[DEV], qrels, present=1.0, weights=WEIGHTS[1:], seed=SEED).best
    run = fused_run(near[TEST], alone[TEST], weight)
    spent = timed(list(asked[TEST])[:_TIMED], lambda key: again(TEST, key))
    scores = score_run(alone[TEST], walk.ranking.qrels[TEST], METRICS).mean
    told = {"depth": RERANKED, "weight": weight, "ndcg_alone": round(scores[DECIDES], 4)}
    return _as_served(walk, served, run, seconds, spent, told)


def by_two_stages(walk: Walk, static: Served, static_cpu_seconds: float) -> Reached:
    """The static tier finds, the tuned model orders the first hits again: as a model version with both serves.

    The index is the static one's; passages that the tuned model has read for one query cost the next nothing.
    """
    asked = _asked(walk, walk.ranking.qrels[TEST])
    near = _near(static, asked, DEPTH)
    rescorer = EncoderRescorer(walk.tuned_served.encoder)

    def again(key: str) -> list[str]:
        static.encoder.encode_queries([asked[key]])
        first = near[key][:RESCORED]
        scores = rescorer.score(asked[key], [walk.ranking.documents[one] for one in first])
        return reordered(near[key], scores.tolist())

    keys = list(asked)
    cold = timed(keys[:_TIMED], again)
    run = {key: again(key) for key in keys}
    told = {"depth": RESCORED, "query_ms_of_known_passages": timed(keys[:_TIMED], again)}
    seconds = round(walk.tuned.cpu_seconds + static_cpu_seconds, 2)
    return _as_served(walk, static, run, seconds, cold, told)


def _asked(walk: Walk, qrels: Qrels) -> dict[str, str]:
    return {key: walk.ranking.queries[key] for key in sorted(qrels)}


def _near(served: Served, asked: Mapping[str, str], depth: int) -> dict[str, list[str]]:
    vectors = served.encoder.encode_queries(list(asked.values()))
    ranked = rank_by_cosine(vectors, served.encoded.vectors, served.encoded.ids, depth)
    return dict(zip(asked, ranked, strict=True))


def _exported(folder: Path, queries: Sequence[str], walk: Walk) -> OnnxReranker:
    export_reranker(folder)
    texts = [walk.ranking.documents[one] for one in sorted(walk.ranking.documents)[:32]]
    tokens = max_tokens_of(folder)
    check_reranker(folder, list(zip(queries, texts, strict=False)), max_tokens=tokens)
    return OnnxReranker(folder, max_tokens=tokens)


def _as_served(
    walk: Walk,
    served: Served,
    run: Mapping[str, Sequence[str]],
    training_cpu_seconds: float,
    query_ms: float,
    told: Mapping[str, Any],
) -> Reached:
    """A run of a served model's documents in another order, with what a query takes then."""
    plain = reached(served, walk.ranking, training_cpu_seconds, told)
    scores = score_run({key: list(row)[:10] for key, row in run.items()}, walk.ranking.qrels[TEST], METRICS)
    return replace(plain, scores=scores, cost={**plain.cost, "query_ms": query_ms})
