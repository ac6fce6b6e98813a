"""A CrossEncoder folder as ONNX, and the proof that both give the same scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from embedloop.errors import InvalidInput, ModelRefused
from embedloop.reranker import OnnxReranker
from training.export import INPUTS, ByPosition, write_graph
from training.model_files import load_cross_encoder

# Of scores 0..1.
MOST_DIFFERENT = 1e-3
_BATCH = 16


class _Scored(ByPosition):
    """Token ids in, scores out."""

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.outputs(tensors)["scores"]).squeeze(-1)


def export_reranker(folder: Path) -> Path:
    """Writes `folder/onnx/model.onnx`: the whole model with a sigmoid at its end.

    Inputs `input_ids`, `attention_mask` and, where the model takes it, `token_type_ids`: (n, tokens) int64 with
    both sizes dynamic. Output `score`: (n,) float32, 0..1, greater is more relevant.

    Raises:
        ModelRefused: The folder is no safetensors CrossEncoder with one output, or it cannot be exported.
    """
    model = load_cross_encoder(folder, attention="eager").eval()
    # Padding in the example keeps the attention mask in the traced graph.
    tokens = model.preprocess([("a query", "a text"), ("another", "text that is longer than the first")])
    features = {name: tokens[name] for name in INPUTS if name in tokens}
    return write_graph(_Scored(model, list(features)).eval(), features, folder, "score")


def check_reranker(folder: Path, pairs: Sequence[tuple[str, str]], *, max_tokens: int) -> float:
    """Compares what serves, tokeniser included, with the torch model on real (query, passage) pairs.

    Returns:
        The greatest difference between two scores of one pair.

    Raises:
        InvalidInput: No pairs were given.
        ModelRefused: It is above 0.001, or a score is not finite.
    """
    if not pairs:
        raise InvalidInput("parity needs at least one pair, got 0")
    served = OnnxReranker(folder, max_tokens=max_tokens)
    exported = np.concatenate([served.score(query, [passage]) for query, passage in pairs])
    model = load_cross_encoder(folder)
    original = model.predict(
        list(pairs), batch_size=_BATCH, activation_fn=torch.nn.Sigmoid(), show_progress_bar=False
    )
    difference = np.abs(np.asarray(original, dtype=np.float64).reshape(-1) - exported)
    most = float(np.where(np.isfinite(difference), difference, 1.0).max())
    if most > MOST_DIFFERENT:
        raise ModelRefused(
            f"the ONNX export of {folder} differs from the model by {most:.6f} over {len(pairs)} pairs, must "
            f"be at most {MOST_DIFFERENT}"
        )
    return most
