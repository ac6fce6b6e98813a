"""How good a model is on the dev split while it trains."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from embedloop.records.labels import Split
from embedloop.records.training import TrainingPair
from training.evaluation import Scores, rank_by_cosine, score_run
from training.general import GeneralSet
from training.space import Space, space_of

MOST_DISTRACTORS = 1000
MOST_QUERIES = 500
# Of what several graphs of one model are compared on.
COMPARED_QUERIES = 200
COMPARED_DOCUMENTS = 500


class DevSet:
    """Dev queries against dev documents and a sample of training documents, by vectors cut to `dimension`.

    A large dev split is sampled down to 500 queries. The distractors are at most 1,000 and at most a tenth of
    the training pairs, so that on small sets measuring does not take longer than learning.
    """

    def __init__(
        self,
        dev: Sequence[TrainingPair],
        train: Sequence[TrainingPair],
        query_prompt: str,
        passage_prompt: str,
        dimension: int | None = None,
    ) -> None:
        self._dimension = dimension
        generator = random.Random(0)
        answers: dict[str, set[str]] = defaultdict(set)
        anchors: dict[str, str] = {}
        for pair in dev:
            answers[pair.anchor_key].add(pair.positive)
            anchors.setdefault(pair.anchor_key, pair.anchor)
        keys = sorted(anchors)
        self.keys = sorted(generator.sample(keys, min(len(keys), MOST_QUERIES)))
        relevant = {text for key in self.keys for text in answers[key]}
        others = sorted({pair.positive for pair in train} - relevant)
        wanted = min(len(others), MOST_DISTRACTORS, max(10, len(train) // 10))
        self.documents = sorted(relevant | set(generator.sample(others, wanted)))
        self.queries = [query_prompt + anchors[key] for key in self.keys]
        self._passages = [passage_prompt + text for text in self.documents]
        self.qrels = {key: dict.fromkeys(answers[key], 1) for key in self.keys}
        place = {text: number for number, text in enumerate(self.documents)}
        self._firsts = [place[min(answers[key])] for key in self.keys]

    def measure(self, model: SentenceTransformer) -> tuple[float, Space]:
        """Mean nDCG@10 over the dev queries (0..1, greater is better), and the space that they lie in."""
        queries, passages = self._encoded(model)
        score = self._scored(queries, passages).mean["ndcg@10"]
        return score, space_of(queries, passages[self._firsts], passages)

    def score(self, model: SentenceTransformer) -> Scores:
        """Every metric of every dev query."""
        return self._scored(*self._encoded(model))

    def _encoded(self, model: SentenceTransformer) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return encode(model, self.queries, self._dimension), encode(model, self._passages, self._dimension)

    def _scored(self, queries: NDArray[np.float32], passages: NDArray[np.float32]) -> Scores:
        ranked = rank_by_cosine(queries, passages, self.documents, k=10)
        return score_run(dict(zip(self.keys, ranked, strict=True)), self.qrels)


def dev_questions(pairs: Sequence[TrainingPair]) -> GeneralSet | None:
    """At most 200 dev queries among at most 500 documents, without prompts; None where no pair is for dev.

    Documents that answer no query are left out first.
    """
    train, dev = ([one for one in pairs if one.split is split] for split in (Split.TRAIN, Split.DEV))
    if not dev:
        return None
    whole = DevSet(dev, train, "", "")
    keys = random.Random(0).sample(whole.keys, min(len(whole.keys), COMPARED_QUERIES))
    relevant = sorted({text for key in keys for text in whole.qrels[key]})
    others = [text for text in whole.documents if text not in set(relevant)]
    documents = relevant + others[: max(0, COMPARED_DOCUMENTS - len(relevant))]
    asked = dict(zip(whole.keys, whole.queries, strict=True))
    return GeneralSet(
        "dev",
        {key: asked[key] for key in keys},
        {text: text for text in documents},
        {key: whole.qrels[key] for key in keys},
    )


def encode(
    model: SentenceTransformer, texts: Sequence[str], dimension: int | None = None
) -> NDArray[np.float32]:
    """(n, dim) float32, cut to `dimension` and L2-normalised; the texts carry their prompt already."""
    vectors: NDArray[np.float32] = model.encode(
        list(texts),
        batch_size=64,
        show_progress_bar=False,
        normalize_embeddings=True,
        prompt="",
        truncate_dim=dimension,
    )
    return vectors
