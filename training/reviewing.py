"""A cross-encoder as reviewer of hard negatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from sentence_transformers import CrossEncoder

from embedloop.errors import ModelRefused
from training.hardware import hardware_here
from training.model_files import refuse_pickled

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
        if not (folder / "config.json").is_file():
            raise ModelRefused(f"training.mining.cross_encoder must be a CrossEncoder folder, got {folder}")
        refuse_pickled(folder)
        try:
            self._model = CrossEncoder(
                str(folder), device=hardware_here("fp32").device, trust_remote_code=False, local_files_only=True
            )
        except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
            raise ModelRefused(f"{folder} cannot be loaded as a CrossEncoder: {error}") from error
        outputs = self._model.num_labels
        if outputs != 1:
            raise ModelRefused(f"a reviewing CrossEncoder must have 1 output, {folder} has {outputs}")
        self._texts = texts

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Relevance of each (query, document id), as the model's own activation gives it; greater is more."""
        if not pairs:
            return []
        asked = [(query, self._texts[document_id]) for query, document_id in pairs]
        scores = self._model.predict(asked, batch_size=_BATCH, show_progress_bar=False, convert_to_numpy=True)
        return [float(one) for one in np.asarray(scores).reshape(-1)]
