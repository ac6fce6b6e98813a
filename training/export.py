"""A model folder as ONNX, and the proof that both give the same embeddings."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from embedloop.errors import InvalidInput, ModelRefused
from training.model_files import load_model

LOWEST_COSINE = 0.9999

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_OPSET = 17
_BATCH = 16


class ByPosition(torch.nn.Module):
    """A model that takes its inputs by position, as the exporter traces them."""

    def __init__(self, model: torch.nn.Module, inputs: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.inputs = tuple(inputs)

    def outputs(self, tensors: Sequence[torch.Tensor]) -> Mapping[str, torch.Tensor]:
        found: Mapping[str, torch.Tensor] = self.model(dict(zip(self.inputs, tensors, strict=True)))
        return found


class _Pipeline(ByPosition):
    """Token ids in, L2-normalised embeddings out."""

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(self.outputs(tensors)["sentence_embedding"], dim=-1)


class _StaticPipeline(torch.nn.Module):
    """As `_Pipeline`, of a static model: the mean of the tokens' vectors goes through its other modules."""

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__()
        self.embedding = model[0].embedding
        self.rest = torch.nn.ModuleList(list(model)[1:])

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        rows = torch.nn.functional.embedding(input_ids, self.embedding.weight)
        mask = attention_mask.unsqueeze(-1).to(rows.dtype)
        features = {"sentence_embedding": (rows * mask).sum(1) / mask.sum(1).clamp(min=1.0)}
        for module in self.rest:
            features = module(features)
        return torch.nn.functional.normalize(features["sentence_embedding"], dim=-1)


def export_onnx(model_folder: Path) -> Path:
    """Writes `model_folder/onnx/model.onnx`: the whole pipeline with pooling and normalisation.

    Inputs `input_ids`, `attention_mask` and, where the model takes it, `token_type_ids`: (n, tokens) int64
    with both sizes dynamic. Output `embedding`: (n, dim) float32, L2-normalised.

    Raises:
        ModelRefused: The folder is no safetensors model, or its layers cannot be exported.
    """
    model = load_model(model_folder, attention="eager").eval()
    # Padding in the example keeps the attention mask in the traced graph.
    features = _features(model, ["a short text", "another text that is longer than the first"])
    pipeline = (_StaticPipeline(model) if _is_static(model) else _Pipeline(model, list(features))).eval()
    return write_graph(pipeline, features, model_folder, "embedding")


def write_graph(
    pipeline: torch.nn.Module, features: Mapping[str, torch.Tensor], model_folder: Path, output: str
) -> Path:
    """Traces a pipeline into `model_folder/onnx/model.onnx`, whole or not at all.

    Args:
        pipeline: Takes the features by position, each (n, tokens).
        features: An example with padding.
        model_folder: The model's.
        output: Name of what comes out, (n, ...).

    Raises:
        ModelRefused: A layer cannot be exported.
    """
    path = model_folder / "onnx" / "model.onnx"
    path.parent.mkdir(exist_ok=True)
    partial = path.with_suffix(".partial")
    dynamic = {name: {0: "batch", 1: "sequence"} for name in features} | {output: {0: "batch"}}
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)  # type: ignore[attr-defined]
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            warnings.filterwarnings("ignore", message="Exporting aten::index", category=UserWarning)
            # The dynamo exporter needed 10 s where this one needs 1.4 s, and its graph ran no faster.
            torch.onnx.export(
                pipeline,
                tuple(features.values()),
                str(partial),
                dynamo=False,
                opset_version=_OPSET,
                input_names=list(features),
                output_names=[output],
                dynamic_axes=dynamic,
            )
    except (RuntimeError, TypeError, ValueError, torch.onnx.errors.OnnxExporterError) as error:
        partial.unlink(missing_ok=True)
        raise ModelRefused(f"{model_folder} cannot be exported to ONNX: {error}") from error
    partial.replace(path)
    return path


def check_parity(model_folder: Path, texts: Sequence[str]) -> float:
    """Compares the exported graph with the torch model on real texts.

    Returns:
        The lowest cosine between the two embeddings of one text; 1 is identical.

    Raises:
        InvalidInput: No texts were given.
        ModelRefused: The lowest cosine is below 0.9999, or a vector is not finite.
    """
    if not texts:
        raise InvalidInput("parity needs at least one text, got 0")
    model = load_model(model_folder).eval()
    session = onnxruntime.InferenceSession(
        str(model_folder / "onnx" / "model.onnx"), providers=["CPUExecutionProvider"]
    )
    wanted = [one.name for one in session.get_inputs()]
    lowest = 1.0
    for first in range(0, len(texts), _BATCH):
        features = _features(model, texts[first : first + _BATCH])
        (exported,) = session.run(["embedding"], {name: features[name].numpy() for name in wanted})
        original = _embeddings(model, texts[first : first + _BATCH])
        cosines = _cosines(original, exported)
        lowest = min(lowest, float(np.where(np.isfinite(cosines), cosines, -1.0).min()))
    if lowest < LOWEST_COSINE:
        raise ModelRefused(
            f"the ONNX export of {model_folder} differs from the model: lowest cosine {lowest:.6f} over "
            f"{len(texts)} texts, must be at least {LOWEST_COSINE}"
        )
    return lowest


def _embeddings(model: SentenceTransformer, texts: Sequence[str]) -> NDArray[np.float32]:
    with torch.no_grad():
        found: NDArray[np.float32] = model(model.preprocess(list(texts)))["sentence_embedding"].numpy()
    return found


def _features(model: SentenceTransformer, texts: Sequence[str]) -> dict[str, torch.Tensor]:
    """The inputs of the graph, padded: (n, tokens) int64."""
    if _is_static(model):
        encodings = model.tokenizer.encode_batch(list(texts), add_special_tokens=False)
        longest = max(1, *(len(one.ids) for one in encodings))
        ids, mask = (torch.zeros(len(texts), longest, dtype=torch.int64) for _ in range(2))
        for row, one in enumerate(encodings):
            ids[row, : len(one.ids)] = torch.tensor(one.ids, dtype=torch.int64)
            mask[row, : len(one.ids)] = 1
        return {"input_ids": ids, "attention_mask": mask}
    tokens: dict[str, Any] = model.preprocess(list(texts))
    return {name: tokens[name] for name in INPUTS if name in tokens}


def _is_static(model: SentenceTransformer) -> bool:
    return isinstance(model[0], StaticEmbedding)


def _cosines(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float64]:
    a, b = left.astype(np.float64), right.astype(np.float64)
    product: NDArray[np.float64] = (a * b).sum(axis=1) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return product
