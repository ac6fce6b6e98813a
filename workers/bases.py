"""Registering model folders from a worker: with their export, checked against torch on real texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedloop.policy import Policy
from embedloop.recipe.compression import ExportSettings
from embedloop.records.versions import ModelVersion
from embedloop.registry import EXPORT_FILE, max_tokens_of, register, resolve_base
from embedloop.static_models import RESCORER_FOLDER
from training.general import GeneralSet, packaged_general_set
from workers.parts import Parts

if TYPE_CHECKING:
    from training.fidelity import Choice

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
        settings=policy.export,
    )


def register_folder(
    parts: Parts,
    folder: Path,
    *,
    base: str,
    prompts: tuple[str, str],
    texts: Sequence[str],
    settings: ExportSettings,
    judged: GeneralSet | None = None,
    check: Callable[[], None] = lambda: None,
    accept: Callable[[Choice], None] = lambda choice: None,
    parent: str | None = None,
    corpus: str | None = None,
    training_set_id: str | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> ModelVersion:
    """Registers a model folder with the export that the policy wants.

    An int8 graph is compared with fp32 on `judged`, or on the packaged general set where there is none, and
    `accept` may refuse what was chosen. Torch as backend knows no int8. Of a static model with a second stage
    the latter is quantised.

    Raises:
        ModelRefused: The ONNX export differs from the model on `texts`, or no int8 graph is faithful to it.
    """
    plain = settings.precision == "fp32" or parts.settings.encoder_backend == "torch"

    # torch loads here and not when a worker starts.
    from training.export import check_parity, export_onnx

    def export(copy: Path) -> None:
        folders = [one for one in (copy, copy / RESCORER_FOLDER) if one.is_dir()]
        for one in folders:
            export_onnx(one)
            check_parity(one, texts or BASE_TEXTS)
        if not plain:
            from training.quantised_export import export_int8

            heavy = folders[-1]
            choice = export_int8(
                heavy,
                settings,
                judged or packaged_general_set(),
                texts or BASE_TEXTS,
                heavy / EXPORT_FILE,
                check=check,
                max_tokens=max_tokens_of(heavy),
                query_prompt=prompts[0],
                passage_prompt=prompts[1],
                threads=parts.settings.embed_threads,
                batch_size=parts.settings.encode_batch_size,
            )
            accept(choice)

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
        settings=ExportSettings() if plain else settings,
    )
