"""The losses that a policy may choose, and the table that each of them reads.

| loss | reads | when |
|---|---|---|
| `mnrl` | anchor, positive, negatives | the default: the rest of the batch is wrong (Henderson et al. 2017) |
| `cached_mnrl` | the same | batches larger than memory: GradCache (Gao et al. 2021) computes them in parts |
| `triplet` | anchor, positive, negative | judged negatives matter more than all others (Schroff et al. 2015) |
| `contrastive` | anchor, text, label 0 or 1 | clean judgments both ways, few documents (Hadsell et al. 2006) |
| `cosent` | anchor, text, label | as contrastive, but only the order of pairs counts (Huang et al. 2024) |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    ContrastiveLoss,
    CoSENTLoss,
    MatryoshkaLoss,
    SiameseDistanceMetric,
    TripletDistanceMetric,
    TripletLoss,
)

from embedloop.errors import TrainingFailed
from embedloop.recipe.settings import Loss, TrainingSettings
from training.batches import Row, columns_of
from training.ranking_loss import SharedDocumentsRankingLoss

# Cosine distances: the library's default of 5 is for vectors that are not normalised.
TRIPLET_MARGIN = 0.2
CONTRASTIVE_MARGIN = 0.5
_BOTH = ("query_to_doc", "doc_to_query")

Table = Mapping[str, Sequence[Any]]


def make_loss(settings: TrainingSettings, model: SentenceTransformer) -> torch.nn.Module:
    """The loss that the policy names, on this model; with `matryoshka`, at each of these dimensions too.

    Raises:
        TrainingFailed: The model has fewer dimensions than `matryoshka` names.
    """
    whole, nested = model.get_embedding_dimension(), settings.matryoshka
    if nested and (whole is None or max(nested) > whole):
        raise TrainingFailed(
            f"training.matryoshka must be at most the model's {whole} dimensions, got {max(nested)}"
        )
    loss = _loss_of(settings, model)
    # Kusupati et al. 2022, "Matryoshka Representation Learning", arXiv:2205.13147.
    return MatryoshkaLoss(model, loss, sorted({*nested, whole})) if nested else loss


def _loss_of(settings: TrainingSettings, model: SentenceTransformer) -> torch.nn.Module:
    loss: torch.nn.Module
    match settings.loss:
        case "mnrl":
            loss = SharedDocumentsRankingLoss(model, symmetric=settings.symmetric)
        case "cached_mnrl":
            # From each document back to the queries too, as the other one does it.
            both: dict[str, Any] = {"directions": _BOTH, "partition_mode": "per_direction"}
            loss = CachedMultipleNegativesRankingLoss(
                model, mini_batch_size=settings.mini_batch_size, **(both if settings.symmetric else {})
            )
        case "triplet":
            loss = TripletLoss(
                model, distance_metric=TripletDistanceMetric.COSINE, triplet_margin=TRIPLET_MARGIN
            )
        case "contrastive":
            loss = ContrastiveLoss(
                model, distance_metric=SiameseDistanceMetric.COSINE_DISTANCE, margin=CONTRASTIVE_MARGIN
            )
        case "cosent":
            loss = CoSENTLoss(model)
    return loss


def shares_documents(loss: Loss) -> bool:
    """Whether rows of one batch may have the same positive."""
    return loss == "mnrl"


def negatives_wanted(settings: TrainingSettings) -> tuple[int, int]:
    """Fewest and most negatives per row: all but MNRL compare with negatives of the row's own.

    >>> negatives_wanted(TrainingSettings(loss="mnrl", hard_negatives=2))
    (0, 2)
    >>> negatives_wanted(TrainingSettings(loss="triplet", hard_negatives=2))
    (1, 1)
    >>> negatives_wanted(TrainingSettings(loss="cosent", hard_negatives=0))
    (1, 1)
    """
    most = settings.hard_negatives
    match settings.loss:
        case "mnrl" | "cached_mnrl":
            return 0, most
        case "triplet":
            return 1, 1
        case "contrastive" | "cosent":
            return 1, max(1, most)


def table_of(
    loss: Loss, rows: Sequence[Row], batches: Sequence[Sequence[int]]
) -> tuple[Table, list[list[int]]]:
    """What the loss reads, in its order of columns, and the batches as indices into it.

    `contrastive` and `cosent` read a line for the positive and one for each negative of a row; the lines of a
    row stay in one batch.

    Args:
        loss: The policy's.
        rows: What `make_rows` made.
        batches: Indices into `rows`.
    """
    if loss not in ("contrastive", "cosent"):
        return columns_of(rows), [list(batch) for batch in batches]
    table: dict[str, list[Any]] = {"anchor": [], "document": [], "label": []}
    lines: list[list[int]] = []
    for row in rows:
        first = len(table["label"])
        for number, text in enumerate(row.documents):
            table["anchor"].append(row.anchor)
            table["document"].append(text)
            table["label"].append(1.0 if number == 0 else 0.0)
        lines.append(list(range(first, len(table["label"]))))
    return table, [[line for index in batch for line in lines[index]] for batch in batches]
