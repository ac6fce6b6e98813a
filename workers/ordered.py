"""What a job was ordered with beside its corpus' policy."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection

from embedloop.catalog import corpora
from embedloop.recipe.settings import TrainingSettings
from embedloop.records.documents import Corpus
from embedloop.records.jobs import Job


def corpus_of(connection: Connection, job: Job) -> Corpus:
    """The job's corpus; settings of training that the job came with stand in place of the policy's."""
    corpus = corpora.get(connection, job.corpus)
    ordered = job.params.get("training")
    if ordered is None:
        return corpus
    training = TrainingSettings.model_validate(ordered)
    return replace(corpus, policy=corpus.policy.model_copy(update={"training": training}))
