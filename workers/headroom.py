"""Stage `headroom`: what training could bring to a corpus, and what it would cost, before any is done."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tokenizers import Tokenizer

from embedloop.catalog import index_versions
from embedloop.encoder import TOKENIZER_FILE, Encoder
from embedloop.jobs import End, Lease, Outcome
from embedloop.recipe.adaptation import MIN_DOCUMENTS
from embedloop.records.jobs import Job, JobState
from embedloop.records.labels import Judgment, Split
from embedloop.registry import verified_folder
from embedloop.text.chunking import embedding_text
from training.evaluation import bootstrap_interval, score_run
from training.finetune import FinetuneConfig
from training.headroom import ORACLE_DEPTH, Signs, advise, oracle_order, relative
from training.hybrid import tune_weight
from training.label_probe import METRIC, Space, probe_labels
from training.learning_curve import LearningCurve
from training.pairs import write_training_set
from training.vocabulary.report import advise_extension, measure, open_tokenizer
from training.vocabulary.terms import find_terms
from workers.bases import register_base
from workers.judged import Judged, labels_of, load_judged, passage_vectors, rank_by_words
from workers.labels import chosen_pairs, read_labels
from workers.negatives import first_passages
from workers.parts import Parts
from workers.passages import passage_texts
from workers.redaction import clear_of, redacted
from workers.train import run_child

# Of each split; what more labels bring is what the curve extrapolates.
MOST_QUERIES = 2000
ENOUGH_QUERIES = 20
VOCABULARY_DOCUMENTS = 2000
TIMED_PASSAGES = 64
PROBE_SECONDS = 20.0
MORE_LABELS = 4
# As deep as each list goes that a search for ten passages fuses.
FUSED_DEPTH = 12
NOTE_TRAINED = (
    "the serving model was trained on labels of this corpus: the curve shows what they still bring, and "
    "new ones may bring more"
)
NOTE_PROXY = "the curve is that of a linear map on stored vectors; a fine-tune may gain more or less"


def headroom(parts: Parts, job: Job, lease: Lease) -> Outcome:
    """Measures baselines, the oracle, what labels teach and what training costs; gives a verdict."""
    judged = load_judged(parts, job.corpus, tuple(Split), most_queries=MOST_QUERIES)
    serving = parts.model(judged.serving.model_id)
    encoder = parts.encoders.get(serving)
    with parts.database.read() as connection:
        found = labels_of(connection, job.corpus, tuple(Split))
        passages = index_versions.passages(connection, judged.serving.index_version_id)
    labels = sum(one.grade > 0 and one.split is Split.TRAIN for one in found)
    vectors = passage_vectors(parts, judged, encoder, lease, (0.0, 0.3), stored=True)
    space = Space(
        judged.keys, encoder.encode_queries(judged.queries), judged.document_ids, vectors, judged.qrels
    )
    lease.progress(0.4)
    by_words = rank_by_words(judged, ORACLE_DEPTH)
    scores = _baselines(judged, space, by_words)
    oracle, baseline = scores["oracle"]["mean"], scores["baseline"]["mean"]
    at = sorted({labels, MORE_LABELS * labels})
    curve = probe_labels(space, judged.splits, at=at, most=max(0.0, oracle - baseline))
    lease.progress(0.6)
    signs = Signs(
        baseline=baseline,
        bm25=scores["bm25"]["mean"],
        oracle=oracle,
        labels=labels,
        needed_labels=judged.corpus.policy.trigger.min_pairs,
        expected=None if curve is None else curve.expected[labels].mean,
        tokens_per_word=_tokens_per_word(parts, judged),
        passages=passages,
    )
    advice = advise(signs)
    cost = _cost(parts, job, judged, encoder, passages, lease)
    return End(
        JobState.SUCCEEDED,
        {
            "verdict": advice.verdict.value,
            "reason": advice.reason,
            "model_version": serving.model_id,
            "metric": METRIC,
            "scores": scores,
            "relative_headroom": relative(oracle - baseline, baseline),
            "labels": _labels(found),
            "tokens_per_word": signs.tokens_per_word,
            "vocabulary": _vocabulary(parts, judged, lease),
            "passages": passages,
            "curve": None if curve is None else _curve_told(curve, baseline),
            "hybrid": _hybrid(judged, space, by_words),
            "cost": cost,
            "notes": [NOTE_PROXY] if serving.parent is None else [NOTE_PROXY, NOTE_TRAINED],
        },
    )


def _hybrid(judged: Judged, space: Space, by_words: Mapping[str, Sequence[str]]) -> dict[str, Any] | None:
    """The weight of BM25 that the dev queries ask for; None where there are too few of them."""
    keys = [key for key in space.keys if judged.splits[key] is Split.DEV]
    if len(keys) < ENOUGH_QUERIES:
        return None
    tuning = tune_weight(
        space.run(keys, space.queries[space.rows(set(keys))], FUSED_DEPTH),
        {key: by_words[key][:FUSED_DEPTH] for key in keys},
        {key: judged.qrels[key] for key in keys},
        present=judged.corpus.policy.bm25_weight if judged.serving.index.bm25 else 0.0,
        confidence=judged.corpus.policy.gate.confidence,
    )
    return tuning.to_json()


def _baselines(
    judged: Judged, space: Space, by_words: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, Any]]:
    """The serving model, BM25 and the oracle on queries that never trained, where there are enough of them."""
    unseen = [key for key in space.keys if judged.splits[key] is not Split.TRAIN]
    keys = unseen if len(unseen) >= ENOUGH_QUERIES else list(space.keys)
    qrels = {key: judged.qrels[key] for key in keys}
    run = space.run(keys, space.queries[space.rows(set(keys))], ORACLE_DEPTH)
    runs: dict[str, Mapping[str, Sequence[str]]] = {
        "baseline": run,
        "bm25": {key: by_words[key] for key in keys},
        "oracle": oracle_order(run, qrels),
    }
    told = {}
    for name, one in runs.items():
        values = score_run(one, qrels, (METRIC,)).per_query[METRIC]
        told[name] = {**asdict(bootstrap_interval(list(values.values()))), "queries": len(values)}
    return told


def _labels(found: Sequence[Judgment]) -> dict[str, int]:
    """Positive judgments by split."""
    return {split.value: sum(one.grade > 0 and one.split is split for one in found) for split in Split}


def _curve_told(curve: LearningCurve, baseline: float) -> dict[str, Any]:
    told = curve.to_json()
    for one in told["expected"]:
        one["relative"] = relative(one["mean"], baseline)
    return told


def _tokens_per_word(parts: Parts, judged: Judged) -> float:
    folder = parts.store.fetch(judged.serving.model_id)
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    texts = [passage.text for passage in judged.passages[:: max(1, len(judged.passages) // 200)]]
    tokens = sum(len(one.ids) for one in tokenizer.encode_batch(texts, add_special_tokens=False))
    return tokens / max(1, sum(len(text.split()) for text in texts))


def _vocabulary(parts: Parts, judged: Judged, lease: Lease) -> dict[str, Any]:
    """How the serving model's tokenizer cuts the corpus' words, and whether new terms are worth trying."""
    tokenizer = open_tokenizer(parts.store.fetch(judged.serving.model_id))
    adaptation = judged.corpus.policy.training.adaptation
    least = MIN_DOCUMENTS if adaptation is None else adaptation.min_documents
    texts = passage_texts(parts, judged.corpus, VOCABULARY_DOCUMENTS, lease)
    report = measure(tokenizer, *find_terms(tokenizer, texts, least))
    return {**report.to_json(), "advice": advise_extension(report)}


def _cost(
    parts: Parts,
    job: Job,
    judged: Judged,
    encoder: Encoder,
    passages: int,
    lease: Lease,
) -> dict[str, Any]:
    """Seconds of a re-embed and of a training on this machine, from short probes of both."""
    sample = [embedding_text(p.title, p.text) for p in judged.passages[:TIMED_PASSAGES]]
    encoder.encode_passages(sample[:1])
    begun = time.perf_counter()
    encoder.encode_passages(sample)
    rate = len(sample) / (time.perf_counter() - begun)
    lease.progress(0.7)
    return {
        "passages_per_second": rate,
        "reembed_seconds": passages / rate,
        "training": _training(parts, job, judged, lease),
    }


def _training(parts: Parts, job: Job, judged: Judged, lease: Lease) -> dict[str, Any] | None:
    """A real fine-tune that is ended early; its model is thrown away. None with too few labels to train."""
    policy = judged.corpus.policy
    labels = read_labels(parts.database, judged.corpus)
    wanted = sorted({one.document_id for one in labels.judged if one.grade > 0})
    texts = first_passages(parts, judged.corpus, judged.serving, wanted, lease)
    clear = clear_of(parts, judged.corpus)
    own = labels.pairs(texts, {}, policy.splits.similarity)
    offered = [redacted(pair, clear) for pair in own if pair.split is Split.TRAIN]
    pairs, _ = chosen_pairs(offered, policy, labels)
    if len(pairs) < policy.trigger.min_pairs:
        return None
    base = register_base(parts, policy)
    work = parts.settings.data_dir / "work" / job.job_id
    # An earlier attempt's checkpoints would be resumed and falsify the time.
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    budget = min(PROBE_SECONDS, policy.training.time_budget_seconds)
    short = {"time_budget_seconds": budget, "merge_alphas": (), "evaluations": 1}
    config = FinetuneConfig(
        base=verified_folder(parts.store, base),
        out=work / "run",
        training_set=write_training_set(pairs, work / "set").path,
        settings=policy.training.model_copy(update=short),
        query_prompt=base.query_prompt,
        passage_prompt=base.passage_prompt,
    )
    try:
        result = run_child(config, lease, (0.7, 0.98), processes=config.settings.processes)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    seconds = result["seconds"] / max(1, result["steps"]) * result["planned_steps"]
    return {
        "pairs": len(pairs),
        "steps_probed": result["steps"],
        "steps": result["planned_steps"],
        "seconds": min(seconds, policy.training.time_budget_seconds),
    }
