"""A cross-encoder as reviewer of hard negatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from training.hardware import hardware_here
from training.model_files import load_cross_encoder

_BATCH = 64


class CrossEncoderReviewer:
    """A `training.mining.Reviewer`: a sentence-transformers CrossEncoder with one output."""

    def __init__(self, folder: Path, texts: Mapping[str, str]) -> None:
        """Loads the folder; safetensors only, no remote code, no network.

        Args:
            folder: The model.
            texts: Document id -> text, for all documents that will be asked about.

        Raises:
            ModelRefused: The folder may not be loaded, or the model has more than one output.
        """
        self._model = load_cross_encoder(folder, device=hardware_here("fp32").device)
        self._texts = texts

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Relevance of each (query, document id), as the model's own activation gives it; greater is more."""
        if not pairs:
            return []
        asked = [(query, self._texts[document_id]) for query, document_id in pairs]
        scores = self._model.predict(asked, batch_size=_BATCH, show_progress_bar=False, convert_to_numpy=True)
        return [float(one) for one in np.asarray(scores).reshape(-1)]
