from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import scale, scale_model
from embedloop.encoder import OnnxEncoder
from embedloop.registry import check_folder
from embedloop.text.chunking import embedding_text
from training.export import export_onnx


def job(workers: int, embed: float, whole: float, documents: int = 100) -> dict[str, Any]:
    rates = {"embed": embed, "embed_to_ready": whole, "job": whole}
    return {"workers": workers, "documents": documents, "documents_per_second": rates}


def phase(name: str, **peaks: float) -> dict[str, Any]:
    return {"phase": name, "peak_mib": peaks}


def found(*phases: dict[str, Any]) -> dict[str, Any]:
    jobs = [job(1, 400.0, 300.0, documents=25), job(1, 500.0, 250.0), job(2, 800.0, 320.0)]
    return {"bare": {"rows_per_second": 1000.0}, "reembed": jobs, "phases": phases}


def test_ratios_compare_the_jobs_on_the_larger_corpus_with_bare_insertion() -> None:
    phases = [phase("re-embed, 1", default=100.0), phase("re-embed, 1", default=110.0)]
    told = scale.ratios(found(*phases))
    assert told["embed_stage_with_1_to_bare"]["value"] == 0.5
    assert told["embed_stage_with_2_to_bare"]["value"] == 0.8
    assert told["job_with_1_to_bare"]["value"] == 0.25
    assert told["embed_stage_with_2_to_1"]["value"] == 1.6


def test_growth_is_that_of_our_processes_between_the_same_job_on_both_corpora() -> None:
    grown = scale.growth(
        [
            phase("ingest", default=500.0),
            phase("re-embed, 1", default=100.0, milvus=500.0),
            phase("re-embed, 1", default=100.0 + scale.GROWTH_MIB + 1, milvus=2000.0, apply=90.0),
            phase("re-embed, 2", default=900.0),
        ]
    )
    assert list(grown) == ["growth_of_default_mib"]
    assert grown["growth_of_default_mib"]["value"] == scale.GROWTH_MIB + 1
    assert not grown["growth_of_default_mib"]["met"]


def test_more_documents_begin_with_the_same_ones_and_all_differ() -> None:
    few, many = list(scale_model.documents(20)), list(islice(scale_model.documents(200), 20))
    assert few == many
    texts = [one["text"] for one in scale_model.documents(200)]
    assert len(set(texts)) == len(texts)


def test_model_that_costs_nothing_is_one_that_the_registry_takes_and_gives_each_text_a_vector_of_its_own(
    tmp_path: Path,
) -> None:
    folder = scale_model.build(tmp_path)
    check_folder(folder)
    export_onnx(folder)
    encoder = OnnxEncoder(folder, max_tokens=64, threads=1)
    texts = [embedding_text(one["title"], one["text"]) for one in scale_model.documents(200)]
    vectors = encoder.encode_passages(texts)
    assert vectors.shape == (200, scale_model.DIMENSION)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    cosines = (vectors @ vectors.T)[~np.eye(200, dtype=bool)]
    assert cosines.max() < 0.99
    assert abs(cosines.mean()) < 0.2
