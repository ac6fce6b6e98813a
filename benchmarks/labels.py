"""Labels that a cycle trains on and that its gate reads."""

from __future__ import annotations

from benchmarks.bench_corpus import check_stored
from embedloop.client import Client
from embedloop.demo.ontology import Vocabulary
from embedloop.records.labels import Split


def label(client: Client, corpus: str, vocabulary: Vocabulary, training: int, golden: int) -> None:
    """Imports labels: `training` to train on, a tenth more to choose checkpoints by, `golden` for the gate.

    Raises:
        EmbedloopError: A label was refused.
    """
    dev = max(1, training // 10)
    train = vocabulary.train[: training + dev]
    labelled = [(case, Split.DEV if number < dev else Split.TRAIN) for number, case in enumerate(train)]
    labelled += [(case, Split.GOLDEN) for case in vocabulary.golden[:golden]]
    lines = (
        {"query": case.query, "document_id": case.term_id, "grade": 1, "split": split.value}
        for case, split in labelled
    )
    check_stored(client.bulk_judgments(corpus, lines))
