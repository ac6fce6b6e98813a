"""Opening a model folder safely, with safetensors only, no remote code, no network; and writing one."""

from __future__ import annotations

import shutil
from pathlib import Path

from safetensors import safe_open
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Transformer
from transformers import PreTrainedModel

from embedloop.errors import ModelRefused, TrainingFailed

_UNSAFE = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"}


def load_model(folder: Path, *, attention: str | None = None, device: str = "cpu") -> SentenceTransformer:
    """Loads a sentence-transformers folder.

    Args:
        folder: The model.
        attention: Implementation of attention (`eager`, `sdpa`); by default the library chooses.
        device: Where to, as torch names it.

    Raises:
        ModelRefused: The folder is missing, holds no safetensors, would be loaded from pickled weights, or is
            no sentence-transformers model.
    """
    refuse_unsafe(folder)
    try:
        return SentenceTransformer(
            str(folder),
            device=device,
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"attn_implementation": attention} if attention else None,
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise ModelRefused(f"{folder} cannot be loaded as a sentence-transformers model: {error}") from error


def transformer_of(model: SentenceTransformer) -> PreTrainedModel:
    """The transformer of a pipeline.

    Raises:
        TrainingFailed: There is none, as in a static model.
    """
    if not isinstance(model[0], Transformer):
        raise TrainingFailed(f"only a transformer can be adapted, got {type(model[0]).__name__}")
    return model[0].auto_model


def load_cross_encoder(
    folder: Path, *, attention: str | None = None, device: str = "cpu", outputs: int | None = None
) -> CrossEncoder:
    """Loads a CrossEncoder with one output.

    Args:
        folder: A CrossEncoder; with `outputs`, also a sentence-transformers model, which gets a new head.
        attention: As in `load_model`.
        device: Where to, as torch names it.
        outputs: Number of outputs to make; None takes the folder's own.

    Raises:
        ModelRefused: The folder may not be loaded, or the model has more than one output.
    """
    if not (folder / "config.json").is_file():
        raise ModelRefused(f"a cross-encoder must be a folder with config.json, got {folder}")
    refuse_pickled(folder)
    try:
        model = CrossEncoder(
            str(folder),
            device=device,
            num_labels=outputs,
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"attn_implementation": attention} if attention else None,
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise ModelRefused(f"{folder} cannot be loaded as a CrossEncoder: {error}") from error
    if model.num_labels != 1:
        raise ModelRefused(f"a CrossEncoder must have 1 output, {folder} has {model.num_labels}")
    return model


def refuse_unsafe(folder: Path) -> None:
    """Checks a folder before anything in it is opened.

    Raises:
        ModelRefused: As in `load_model`.
    """
    if not (folder / "modules.json").is_file():
        raise ModelRefused(f"a model must be a sentence-transformers folder with modules.json, got {folder}")
    refuse_pickled(folder)


def refuse_pickled(folder: Path) -> None:
    """Raises ModelRefused for a folder with weights that are not safetensors, or with none."""
    safe = {path.parent for path in folder.rglob("*.safetensors")}
    if not safe:
        raise ModelRefused(f"a model must have its weights as safetensors, found none in {folder}")
    for path in sorted(folder.rglob("*")):
        if path.suffix in _UNSAFE and path.parent not in safe:
            raise ModelRefused(f"weights must be safetensors, got only {path.relative_to(folder)} in {folder}")


def stored_names(folder: Path) -> set[str]:
    """Names of the tensors in a folder's own safetensors, as they are written there."""
    names: set[str] = set()
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as weights:
            names.update(weights.keys())
    return names


def save_model(model: SentenceTransformer, folder: Path) -> None:
    """Writes a sentence-transformers folder, whole or not at all; what an earlier attempt left is replaced."""
    partial = folder.with_name(f"{folder.name}.partial")
    for leftover in (partial, folder):
        shutil.rmtree(leftover, ignore_errors=True)
    model.save_pretrained(str(partial), create_model_card=False, safe_serialization=True)
    partial.rename(folder)
