"""The corpora of the swap benchmark, and the models between which they are swapped."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import labels
from benchmarks.bench_corpus import Bench, check_stored, check_succeeded, serving
from benchmarks.plan import SwapPlan
from benchmarks.progress import say
from embedloop.client import Client
from embedloop.demo.ontology import Vocabulary
from embedloop.encoder import OnnxEncoder
from embedloop.policy import DEFAULT_BASE_MODEL
from embedloop.records.jobs import JobKind
from embedloop.settings import Settings
from tests.tiny_model import build_tiny_model

JOB_SECONDS = 600.0
# (dimension, seed): two of one dimension, and one of another.
TINY = ((32, 1), (32, 2), (48, 3))
TINY_WORDS = 2000
# The gate is open and nothing starts by itself: a few steps make another model, which is all that is asked for.
POLICY: dict[str, Any] = {
    "splits": {"golden": 0.0, "dev": 0.1},
    "trigger": {"new_feedback": None, "min_pairs": 10},
    "training": {"max_tokens": 64, "max_steps": 20, "batch_size": 16, "evaluations": 1, "hard_negatives": 0},
    "gate": {"min_uplift": -1.0, "min_queries": 5, "pool_size": 100},
}


@dataclass(frozen=True, slots=True)
class Part:
    """A corpus with its traffic, and the moves of its index.

    Attributes:
        corpus: Name of the corpus, and of the part.
        models: Model versions; the first one serves.
        rounds: Model versions to re-embed with, one after the other.
        standing: Swaps between the two versions that stand, after each re-embed.
        writes: A second.
    """

    corpus: str
    models: Sequence[str]
    rounds: Sequence[str]
    standing: int
    writes: float


def tiny(bench: Bench, vocabulary: Vocabulary, plan: SwapPlan, folder: Path) -> Part:
    """A corpus with three tuned tiny models: 32, 32 and 48 dimensions; the gate has let all of them pass."""
    words = _words(vocabulary)
    bases = [
        str(build_tiny_model(folder / f"{dimension}-{seed}", dimension=dimension, seed=seed, words=words))
        for dimension, seed in TINY
    ]
    _create(bench.client, "tiny", bases[0], vocabulary, plan)
    first, second, wide = (_tuned(bench.client, "tiny", base) for base in bases)
    _reindex(bench.client, "tiny", first)
    models = (first, second, wide)
    return Part("tiny", models, (second, wide, first, second), plan.tiny_standing, plan.tiny_writes)


def real(bench: Bench, vocabulary: Vocabulary, plan: SwapPlan) -> Part:
    """A corpus with all-MiniLM-L6-v2 and the same model after a few steps of training."""
    _create(bench.client, "real", DEFAULT_BASE_MODEL, vocabulary, plan)
    base = serving(bench.client, "real")["model_version"]
    tuned = _tuned(bench.client, "real", DEFAULT_BASE_MODEL)
    # An odd number of swaps in between: the untuned model serves when the tuned one is built again.
    return Part("real", (base, tuned), (tuned, tuned), plan.real_standing, plan.real_writes)


def encoder_of(bench: Bench, model_version: str) -> OnnxEncoder:
    """The oracle's own encoder of a model version."""
    model = bench.client.model(model_version)
    folder = bench.stack.data_dir / "models" / model_version
    return OnnxEncoder(folder, max_tokens=model["max_tokens"], threads=Settings().encoder_threads)


def _create(client: Client, corpus: str, base: str, vocabulary: Vocabulary, plan: SwapPlan) -> None:
    say(f"corpus {corpus}: {len(vocabulary.terms)} terms")
    created = client.create_corpus(corpus, base_model=base, policy=POLICY)
    check_succeeded(client.wait_for_job(created["job"], JOB_SECONDS))
    documents = (term.document for term in vocabulary.terms)
    check_stored(client.bulk_documents(corpus, documents, wait_applied=True))
    labels.label(client, corpus, vocabulary, plan.training_pairs, plan.golden_queries)


def _tuned(client: Client, corpus: str, base: str) -> str:
    """A model version tuned from a base, which the gate of the corpus lets pass."""
    say(f"corpus {corpus}: tuning")
    client.update_policy(corpus, {"base_model": base})
    job = client.wait_for_job(client.submit_job(JobKind.FINETUNE.value, corpus)["id"], JOB_SECONDS)
    check_succeeded(job)
    return str(job["result"]["model_version"])


def _reindex(client: Client, corpus: str, model_version: str) -> None:
    job = client.submit_job(JobKind.REINDEX.value, corpus, {"model_version": model_version})
    check_succeeded(client.wait_for_job(job["id"], JOB_SECONDS))


def _words(vocabulary: Vocabulary) -> list[str]:
    """The most frequent words of the corpus."""
    texts = (f"{term.name} {term.definition}".lower() for term in vocabulary.terms)
    counts = Counter(word for text in texts for word in re.findall("[a-z]+", text))
    return [word for word, _ in counts.most_common(TINY_WORDS)]
