"""Stage `bridge`: a model version whose queries a new model encodes, and whose passages stay as they are."""

from __future__ import annotations

import logging
import math
import random

import numpy as np

from embedloop.catalog import corpora, documents, removals
from embedloop.copying import StoredVectors, passage_key
from embedloop.corpus import passages_of
from embedloop.errors import InvalidInput
from embedloop.jobs import Advance, Lease, Outcome
from embedloop.mapped import register_mapped
from embedloop.records.documents import Corpus, Passage
from embedloop.records.jobs import Job
from embedloop.records.versions import IndexVersion, ModelVersion
from embedloop.text.chunking import embedding_text
from training.bridge import fit_bridge
from workers.encoding import encoded
from workers.parts import Parts
from workers.reading import read_documents

log = logging.getLogger(__name__)

# Several for each dimension of the models that are usual; the new model has to encode them.
MOST_TEXTS = 3000
_SAMPLED_SHARE = 0.05
_ENCODED_SHARE = 0.95


def bridge(parts: Parts, job: Job, lease: Lease) -> Outcome:
    """Lets the new model encode what the serving version holds, and registers the way between the two.

    Raises:
        NotReady: Nothing serves yet.
        InvalidInput: No bridge leads from the one model to the other, or too few passages are there.
    """
    with parts.database.read() as connection:
        corpus = corpora.get(connection, job.corpus)
    serving = parts.serving(corpus)
    new, old = parts.model(job.params["model_version"]), parts.without_map(parts.model(serving.model_id))
    check_can_meet(new, old)
    passages = _sampled(parts, corpus, serving, corpus.policy.training.seed, lease)
    stored = StoredVectors(parts.index, serving.collection).find(passages)
    shared = [passage for passage in passages if passage.passage_id in stored]
    if not shared:
        raise InvalidInput(f"corpus {corpus.name!r} has no passage to build a bridge on", field="corpus")
    texts = [embedding_text(passage.title, passage.text) for passage in shared]
    share = (_SAMPLED_SHARE, _ENCODED_SHARE)
    found = fit_bridge(
        encoded(parts.encoders.get(new).encode_passages, texts, lease, share),
        np.stack([stored[passage.passage_id] for passage in shared]),
        seed=corpus.policy.training.seed,
    )
    log.info("bridge from %s to %s: %s", new.model_id, old.model_id, found.to_json())
    model = register_mapped(
        parts.database,
        parts.store,
        old,
        found.query_map,
        queries=new,
        corpus=corpus.name,
        training_set_id=new.training_set_id,
        metrics={"bridge": {"queries": new.model_id, "passages": old.model_id, **found.to_json()}},
    )
    return Advance({"model_version": model.model_id})


def check_can_meet(new: ModelVersion, old: ModelVersion) -> None:
    """Raises InvalidInput for two models of which one version cannot be made, or need not."""
    if passage_key(new) == passage_key(old):
        raise InvalidInput(
            f"model version {new.model_id} makes the passages that serve already: a reindex copies them",
            field="params.model_version",
        )
    if new.backend != old.backend:
        raise InvalidInput(
            f"a bridge runs on one backend, but model version {new.model_id} runs on {new.backend!r} and the "
            f"serving one on {old.backend!r}",
            field="params.model_version",
        )


def _sampled(parts: Parts, corpus: Corpus, serving: IndexVersion, seed: int, lease: Lease) -> list[Passage]:
    """Passages drawn from a spread of the documents, none of which was removed from training."""
    chunker = parts.chunker(serving, parts.model(serving.model_id))
    with parts.database.read() as connection:
        removed = removals.marks(connection, corpus.name)
        spread = documents.spread(connection, corpus.name, MOST_TEXTS)
    ids = [document_id for document_id in spread if document_id not in removed.documents]
    draw = random.Random(seed)
    # A long document gives no more than its share, so that what is drawn does not grow with it.
    most = math.ceil(MOST_TEXTS / max(1, len(ids)))
    drawn: list[Passage] = []
    for document in read_documents(parts, corpus, ids, lease):
        passages = passages_of(document, chunker)
        drawn.extend(draw.sample(passages, min(most, len(passages))))
    return draw.sample(drawn, min(len(drawn), MOST_TEXTS))
