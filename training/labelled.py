"""What vectors know of labels that documents carry: do equals lie together, can a simple model tell them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, silhouette_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

FOLDS = 5
NEIGHBOURS = 5
MOST_LABELS = 50


@dataclass(frozen=True, slots=True)
class Coherence:
    """How well documents of one label lie together.

    Attributes:
        silhouette: Mean silhouette by cosine distance (Rousseeuw 1987), -1..1, greater is better.
        intra: Mean cosine distance within a label, 0..2, smaller is better.
        inter: Mean cosine distance between labels, 0..2, greater is better.
    """

    silhouette: float
    intra: float
    inter: float


@dataclass(frozen=True, slots=True)
class Downstream:
    """Macro-F1 of predicting the label from the vector, cross-validated; 0..1, greater is better."""

    knn_f1: float
    linear_f1: float


@dataclass(frozen=True, slots=True)
class Labelled:
    """Vectors (n, dim) float32, L2-normalised, with n labels, each of them carried by several documents."""

    vectors: NDArray[np.float32]
    labels: NDArray[np.str_]

    @property
    def counts(self) -> dict[str, int]:
        return {str(label): count for label, count in sorted(Counter(self.labels.tolist()).items())}


def usable(vectors: NDArray[np.float32], labels: Sequence[str | None]) -> Labelled | None:
    """Keeps the documents of the most frequent labels; None when fewer than two labels can be told apart.

    A label needs one document for each of the five folds of a cross-validation.
    """
    counted = Counter(label for label in labels if label is not None)
    kept = {label for label, count in counted.most_common(MOST_LABELS) if count >= FOLDS}
    if len(kept) < 2:
        return None
    rows = [row for row, label in enumerate(labels) if label in kept]
    return Labelled(vectors[rows], np.array([labels[row] for row in rows], dtype=np.str_))


def coherence(labelled: Labelled) -> Coherence:
    """Silhouette and mean distances, by cosine."""
    distances = np.clip(1.0 - labelled.vectors @ labelled.vectors.T, 0.0, 2.0)
    np.fill_diagonal(distances, 0.0)
    same = labelled.labels[:, None] == labelled.labels[None, :]
    others = ~np.eye(len(distances), dtype=np.bool_)
    return Coherence(
        silhouette=float(silhouette_score(distances, labelled.labels, metric="precomputed")),
        intra=float(distances[same & others].mean()),
        inter=float(distances[~same].mean()),
    )


def downstream(labelled: Labelled, seed: int = 13) -> Downstream:
    """kNN (k=5, cosine) and logistic regression on frozen vectors, as embedding benchmarks do (MTEB, 2023)."""
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    predicted = {
        "knn_f1": KNeighborsClassifier(NEIGHBOURS, metric="cosine"),
        "linear_f1": LogisticRegression(max_iter=1000, random_state=seed),
    }
    return Downstream(
        **{
            name: float(
                f1_score(
                    labelled.labels,
                    cross_val_predict(model, labelled.vectors, labelled.labels, cv=folds),
                    average="macro",
                )
            )
            for name, model in predicted.items()
        }
    )


def measure_labels(vectors: NDArray[np.float32], labels: Sequence[str | None]) -> dict[str, Any] | None:
    """Coherence and downstream scores, JSON-ready; None when the labels tell nothing."""
    labelled = usable(vectors, labels)
    if labelled is None:
        return None
    return {
        "documents": len(labelled.labels),
        "labels": len(labelled.counts),
        "coherence": asdict(coherence(labelled)),
        "downstream": asdict(downstream(labelled)),
    }
