"""Registering model folders from a worker: with their ONNX export, checked against torch on real texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from embedloop.policy import Policy
from embedloop.records import ModelVersion
from embedloop.registry import register, resolve_base
from workers.parts import Parts

# An untrained base is registered before there are documents; these cover short, long and non-Latin text.
BASE_TEXTS = (
    "Nosebleed",
    "What must the tenant do when the lease ends?",
    "Recurrent bleeding from the nose, often from small vessels of the anterior septum. " * 6,
    "रक्तचाप और बीपी एक ही बात है",
    "BP 120/80 mmHg; HR 72; SpO2 98 %",
)


def register_base(parts: Parts, policy: Policy) -> ModelVersion:
    """The corpus' untrained base as a model version; the same files again are the version that there is."""
    return register_folder(
        parts,
        resolve_base(policy.base_model),
        base=policy.base_model,
        prompts=(policy.query_prompt, policy.passage_prompt),
        texts=BASE_TEXTS,
    )


def register_folder(
    parts: Parts,
    folder: Path,
    *,
    base: str,
    prompts: tuple[str, str],
    texts: Sequence[str],
    parent: str | None = None,
    corpus: str | None = None,
    training_set_id: str | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> ModelVersion:
    """Registers a model folder; raises ModelRefused when its ONNX export differs from it on `texts`."""

    # torch loads here and not when a worker starts.
    from training.export import check_parity, export_onnx

    def export(copy: Path) -> None:
        export_onnx(copy)
        check_parity(copy, texts or BASE_TEXTS)

    return register(
        parts.database,
        parts.store,
        folder,
        base=base,
        export=export,
        query_prompt=prompts[0],
        passage_prompt=prompts[1],
        backend=parts.settings.encoder_backend,
        parent=parent,
        corpus=corpus,
        training_set_id=training_set_id,
        metrics=metrics,
    )
