"""Queries by a language model for a sample of documents, searched for in the serving index."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from embedloop.errors import Misconfigured
from embedloop.jobs import Lease
from embedloop.records.jobs import Job
from embedloop.records.labels import Split
from embedloop.records.versions import IndexVersion
from embedloop.text.chunking import embedding_text
from training.kept_answers import KeptAnswers
from training.unlabelled.generated import Subject, round_trip, write_queries
from training.unlabelled.passages import Offer
from workers.language_model import language_model_of
from workers.parts import Parts
from workers.redaction import Clear
from workers.searchers import LoggedThenIndex
from workers.unlabelled import Source

LOOK_SECONDS = 0.5


def generated_offers(
    parts: Parts, job: Job, source: Source, serving: IndexVersion, clear: Clear
) -> tuple[list[Offer], dict[str, int]]:
    """Asks, searches, and tells how many queries were written and not found again.

    Args:
        parts: For the language model and Milvus.
        job: What was written is kept under its id until `forget_generated`.
        source: The corpus.
        serving: What is searched.
        clear: Takes personal data out of a text before it leaves the service.

    Raises:
        Misconfigured: No language model is named, or it refuses for good.
        Unavailable: The model or Milvus does not answer.
    """
    settings = source.corpus.policy.training.generated
    ids = source.ids((Split.TRAIN, Split.DEV), settings.max_documents, settings.seed)
    subjects, positives = [], {}
    for document in source.documents(ids):
        cut = source.cut(document)
        text = clear(embedding_text(document.title, document.text))
        subjects.append(Subject(document.document_id, document.rev, text))
        positives[document.document_id] = embedding_text(cut.title, "".join(cut.passages[:1]))
    with language_model_of(parts.settings) as model:
        if model is None:
            raise Misconfigured(
                "training.sources names `generated`: EMBEDLOOP_LLM_URL and EMBEDLOOP_LLM_MODEL must "
                "name a model"
            )
        written = write_queries(
            model,
            subjects,
            settings.queries_per_document,
            KeptAnswers(answers_folder(parts, job) / "queries.jsonl"),
            # Of the stage, what comes before and after takes a fifth each.
            lambda share: source.lease.progress(0.2 + 0.4 * share),
            lambda seconds: wait(source.lease, seconds),
        )
    searcher = LoggedThenIndex(parts.view(serving), {})
    offers, told = round_trip(written.queries, searcher, settings.within, positives)
    return offers, {**written.told, **told}


def forget_generated(parts: Parts, job: Job) -> None:
    """Removes what was kept for another attempt; the training set has it now."""
    shutil.rmtree(answers_folder(parts, job), ignore_errors=True)


def answers_folder(parts: Parts, job: Job) -> Path:
    """Where the answers of a language model are kept for another attempt at the stage."""
    return parts.settings.data_dir / "work" / job.job_id / "generated"


def wait(lease: Lease, seconds: float) -> None:
    """Pauses before a request is made again; a cancel ends it."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        lease.check()
        time.sleep(min(left, LOOK_SECONDS))
