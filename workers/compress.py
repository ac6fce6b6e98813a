"""Stage `compress`: a cheaper model version of the one that serves, without training: int8, or static."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from embedloop.catalog import corpora, documents
from embedloop.errors import InvalidInput, ModelRefused
from embedloop.jobs import Advance, Lease, Outcome
from embedloop.mapped import has_map
from embedloop.recipe.compression import StaticTier
from embedloop.recipe.settings import TrainingSettings
from embedloop.records.documents import Corpus
from embedloop.records.jobs import Job
from embedloop.records.labels import Split
from embedloop.records.training import TrainingPair
from embedloop.records.versions import ModelVersion
from embedloop.registry import verified_folder
from embedloop.static_models import is_static
from embedloop.text.chunking import embedding_text
from training.fidelity import FP32, Choice
from training.finetune import FinetuneConfig
from training.pairs import build_pairs, write_training_set
from training.validation import dev_questions
from workers.bases import register_folder
from workers.judged import labels_of
from workers.negatives import first_passages
from workers.parts import Parts
from workers.passages import write_passages
from workers.train import PARITY_TEXTS, keep_record, metrics_of, run_child

log = logging.getLogger(__name__)

_FIELD = "params.to"


def compress(parts: Parts, job: Job, lease: Lease) -> Outcome:
    """Makes and registers it; whether it keeps enough is the gate's to say.

    Raises:
        NotReady: Nothing serves yet.
        InvalidInput: The model version cannot be made cheaper in this way.
        ModelRefused: No int8 graph of it is faithful and faster here.
    """
    with parts.database.read() as connection:
        corpus = corpora.get(connection, job.corpus)
    source = parts.model(job.params.get("model_version") or parts.serving(corpus).model_id)
    made = _WAYS[job.params["to"]](parts, corpus, job, source, lease)
    log.info("compressed model version %s to %s", source.model_id, made.model_id)
    return Advance({"model_version": made.model_id, "made_of": source.model_id})


def _to_int8(parts: Parts, corpus: Corpus, job: Job, source: ModelVersion, lease: Lease) -> ModelVersion:
    """The same weights with an int8 graph, the faster of two ways."""
    _refuse_mapped(source)
    if source.backend != "onnx":
        raise InvalidInput(
            f"to int8 leads from backend onnx, but model version {source.model_id} has {source.backend}",
            field=_FIELD,
        )
    folder = verified_folder(parts.store, source)
    if is_static(folder):
        raise InvalidInput(f"model version {source.model_id} is static: int8 saves nothing", field=_FIELD)
    with parts.database.read() as connection:
        sample = documents.sample(connection, corpus.name, PARITY_TEXTS)
    return register_folder(
        parts,
        folder,
        base=source.base,
        prompts=(source.query_prompt, source.passage_prompt),
        texts=[embedding_text(one.title, one.text) for one in sample],
        settings=corpus.policy.export.model_copy(update={"precision": "int8"}),
        judged=dev_questions(_dev_pairs(parts, corpus, lease)),
        check=lease.check,
        accept=check_faster,
        parent=source.model_id,
        corpus=corpus.name,
        training_set_id=source.training_set_id,
        metrics=_told(source, "int8"),
    )


def check_faster(choice: Choice) -> None:
    """Raises ModelRefused for a graph that encodes no more passages a second than fp32 does here.

    >>> from training.fidelity import Measured
    >>> full = Measured("fp32", 1, 1, 1, 0.7, 0, 6.0, 20.0)
    >>> check_faster(Choice("dynamic", (full, Measured("dynamic", 1, 1, 1, 0.7, 0, 6.0, 21.0)), {}))
    """
    pace = {one.graph: one.passages_per_second for one in choice.measured}
    if pace[choice.graph] <= pace[FP32]:
        raise ModelRefused(
            f"int8 gains nothing on this machine: {pace[choice.graph]:.1f} passages a second, fp32 encodes "
            f"{pace[FP32]:.1f}",
            field=_FIELD,
        )


def _to_static(parts: Parts, corpus: Corpus, job: Job, source: ModelVersion, lease: Lease) -> ModelVersion:
    """A static model of it, made in a child process, with the model itself as second stage unless unwanted."""
    _refuse_mapped(source)
    folder = verified_folder(parts.store, source)
    if is_static(folder):
        raise InvalidInput(f"model version {source.model_id} is static already", field=_FIELD)
    settings = static_settings(corpus.policy.training, job.params.get("static"))
    work = parts.settings.data_dir / "work" / job.job_id
    work.mkdir(parents=True, exist_ok=True)
    dev = _dev_pairs(parts, corpus, lease)
    config = FinetuneConfig(
        base=folder,
        out=work / "run",
        training_set=write_training_set(dev, work / "dev").path,
        settings=settings,
        query_prompt=source.query_prompt,
        passage_prompt=source.passage_prompt,
        passages=write_passages(parts, corpus, work / "passages.jsonl", lease),
    )
    result = run_child(config, lease)
    with parts.database.read() as connection:
        sample = documents.sample(connection, corpus.name, PARITY_TEXTS)
    model = register_folder(
        parts,
        Path(result["model"]),
        base=source.base,
        prompts=(source.query_prompt, source.passage_prompt),
        texts=[embedding_text(one.title, one.text) for one in sample],
        settings=corpus.policy.export,
        judged=dev_questions(dev),
        check=lease.check,
        parent=source.model_id,
        corpus=corpus.name,
        training_set_id=source.training_set_id,
        metrics={**metrics_of(result, {}), **_told(source, "static")},
    )
    keep_record(parts, config.out, model.model_id)
    shutil.rmtree(work, ignore_errors=True)
    return model


def static_settings(policy: TrainingSettings, given: Mapping[str, object] | None) -> TrainingSettings:
    """A recipe of the static step alone: as this job wants it, or else the policy.

    >>> static_settings(TrainingSettings(static=StaticTier(dimension=64)), None).static
    StaticTier(dimension=64, words=10000, a=0.001, rescore=True)
    """
    static = policy.static or StaticTier() if given is None else StaticTier.model_validate(given)
    return TrainingSettings(
        static=static, threads=policy.threads, max_tokens=policy.max_tokens, seed=policy.seed
    )


def _refuse_mapped(source: ModelVersion) -> None:
    if has_map(source):
        raise InvalidInput(
            f"model version {source.model_id} maps its queries: compress {source.parent}, which it was made of",
            field="params.model_version",
        )


def _dev_pairs(parts: Parts, corpus: Corpus, lease: Lease) -> Sequence[TrainingPair]:
    """Judged dev queries with their documents' first passages: nothing learns from them."""
    with parts.database.read() as connection:
        judged = labels_of(connection, corpus.name, (Split.DEV,))
    wanted = sorted({one.document_id for one in judged})
    return build_pairs(judged, first_passages(parts, corpus, parts.serving(corpus), wanted, lease), {})


def _told(source: ModelVersion, to: str) -> dict[str, object]:
    return {"compressed": {"to": to, "from": source.model_id}}


_Way = Callable[[Parts, Corpus, Job, ModelVersion, Lease], ModelVersion]
_WAYS: Mapping[str, _Way] = {"int8": _to_int8, "static": _to_static}
