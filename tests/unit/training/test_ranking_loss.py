from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

from training.model_files import load_model
from training.ranking_loss import SharedDocumentsRankingLoss

ANCHORS = ["what is a", "help with b", "today c", "the body"]
APART = ["a of the body", "b", "c", "disease"]
SHARED = ["a of the body", "b", "a of the body", "disease"]
BOTH: dict[str, Any] = {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"}


@pytest.fixture
def model(tiny_base: Path) -> SentenceTransformer:
    return load_model(tiny_base).eval()


def value(loss: torch.nn.Module, model: SentenceTransformer, *columns: list[str]) -> torch.Tensor:
    found: torch.Tensor = loss([model.preprocess(texts) for texts in columns], torch.tensor([]))
    return found


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("negatives", [[], [["of", "the", "with", "is"]]])
def test_loss_is_the_librarys_where_no_document_is_shared(
    symmetric: bool, negatives: list[list[str]], model: SentenceTransformer
) -> None:
    theirs = MultipleNegativesRankingLoss(model, **(BOTH if symmetric else {}))
    ours = SharedDocumentsRankingLoss(model, symmetric=symmetric)
    columns = (ANCHORS, APART, *negatives)
    torch.testing.assert_close(value(ours, model, *columns), value(theirs, model, *columns))


@pytest.mark.parametrize("symmetric", [False, True])
def test_shared_document_is_one_candidate_and_no_wrong_answer_to_its_own_queries(
    symmetric: bool, model: SentenceTransformer
) -> None:
    queries, documents = (
        torch.tensor(model.encode(texts, normalize_embeddings=True))
        for texts in (ANCHORS, ["a of the body", "b", "disease"])
    )
    scores = 20 * queries @ documents.T
    there = -torch.log_softmax(scores, dim=1)[range(4), [0, 1, 0, 2]].mean()
    back = -torch.log_softmax(scores.T, dim=1)
    both = ((back[0, 0] + back[0, 2]) / 2 + back[1, 1] + back[2, 3]) / 3
    found = value(SharedDocumentsRankingLoss(model, symmetric=symmetric), model, ANCHORS, SHARED)
    torch.testing.assert_close(found, (there + both) / 2 if symmetric else there, rtol=1e-4, atol=1e-5)


def test_shared_document_is_embedded_once(model: SentenceTransformer) -> None:
    rows: list[int] = []
    model.register_forward_pre_hook(lambda _, arguments: rows.append(len(arguments[0]["input_ids"])))
    value(SharedDocumentsRankingLoss(model, symmetric=True), model, ANCHORS, SHARED, ["of", "of", "of", "is"])
    assert rows == [4, 3, 2]
