"""Two backends, one truth: the exported graph and the torch model give the same embeddings."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedloop.encoder import (
    RUN_COST_TOKENS,
    Encoder,
    OnnxEncoder,
    TorchEncoder,
    Vectors,
    batches_of_like_length,
)
from embedloop.errors import ModelRefused, WorkerStopping
from embedloop.policy import DEFAULT_BASE_MODEL
from embedloop.records.versions import ModelVersion
from embedloop.registry import ModelStore, resolve_base
from tests.patience import PATIENCE_SECONDS
from training.export import export_onnx

LOWEST_COSINE = 0.9999

TEXTS = (
    "Nosebleed",
    "epistaxis bleeding from the nose",
    "",
    " ",
    "a",
    "What must the tenant do when the lease ends, and who pays for the repairs?",
    "BP 120/80 mmHg; HR 72; SpO2 98 %",
    "Röntgenaufnahme des Thorax in zwei Ebenen – ohne Befund.",
    "रक्तचाप और बीपी एक ही बात है",
    "高血圧と糖尿病の治療について",
    "ارتفاع ضغط الدم",
    "сердечный приступ",
    "😀🫀 heart emoji",
    "line one\nline two\n\n\tindented",
    "supercalifragilisticexpialidocious" * 8,
    "Recurrent bleeding from the nose, often from small vessels of the anterior septum. " * 3,
    "The patient was seen with a fever, a headache and a cough that had lasted for a week. " * 30,
    "0123456789 " * 40,
    "[CLS] [SEP] [PAD] [MASK]",
    '<b>bold</b> & "quoted" \\ back',
)

MakeEncoder = Callable[..., Encoder]


@pytest.fixture(scope="session")
def folder(model_store: ModelStore, tiny: ModelVersion) -> Path:
    return model_store.fetch(tiny.model_id)


@pytest.fixture(params=[OnnxEncoder, TorchEncoder], ids=["onnx", "torch"])
def make(request: pytest.FixtureRequest, folder: Path) -> MakeEncoder:
    def build(**options: Any) -> Encoder:
        encoder: Encoder = request.param(folder, **({"max_tokens": 64, "threads": 1} | options))
        return encoder

    return build


def cosines(left: Vectors, right: Vectors) -> Any:
    a, b = left.astype(np.float64), right.astype(np.float64)
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_both_backends_agree_on_real_text(folder: Path) -> None:
    onnx = OnnxEncoder(folder, max_tokens=64, threads=1, batch_size=4)
    torch = TorchEncoder(folder, max_tokens=64, threads=1, batch_size=4)
    assert (onnx.dimension, onnx.max_tokens) == (torch.dimension, torch.max_tokens) == (32, 64)
    assert cosines(onnx.encode_passages(TEXTS), torch.encode_passages(TEXTS)).min() >= LOWEST_COSINE
    assert cosines(onnx.encode_queries(TEXTS), torch.encode_queries(TEXTS)).min() >= LOWEST_COSINE


def test_vectors_are_float32_normalised_and_as_many_as_the_texts(make: MakeEncoder) -> None:
    encoder = make()
    vectors = encoder.encode_passages(TEXTS)
    assert vectors.shape == (len(TEXTS), encoder.dimension)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_the_order_of_the_texts_is_kept_whatever_their_lengths(make: MakeEncoder) -> None:
    encoder = make(batch_size=3)
    together = encoder.encode_passages(TEXTS)
    alone = np.vstack([encoder.encode_passages([text]) for text in TEXTS])
    assert cosines(together, alone).min() >= LOWEST_COSINE
    backwards = encoder.encode_passages(TEXTS[::-1])
    assert cosines(together, backwards[::-1]).min() >= LOWEST_COSINE


def test_no_texts_make_no_vectors(make: MakeEncoder) -> None:
    encoder = make()
    for vectors in (encoder.encode_queries([]), encoder.encode_passages(())):
        assert vectors.shape == (0, encoder.dimension)
        assert vectors.dtype == np.float32


def test_it_is_asked_before_each_batch_whether_to_go_on_and_stops_there(
    make: MakeEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = make(batch_size=4)
    batches: list[int] = []
    run = encoder._run  # type: ignore[attr-defined]
    monkeypatch.setattr(encoder, "_run", lambda batch: batches.append(len(batch)) or run(batch))
    asked: list[int] = []

    def stop_before_the_third() -> None:
        asked.append(len(batches))
        if len(batches) == 2:
            raise WorkerStopping("the worker ends")

    with pytest.raises(WorkerStopping):
        encoder.encode_passages(TEXTS, check=stop_before_the_third)
    assert asked == [0, 1, 2]
    assert max(batches) <= 4


def test_batches_are_planned_over_all_passages_of_a_call(
    make: MakeEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = make(batch_size=8)
    batches: list[int] = []
    run = encoder._run  # type: ignore[attr-defined]
    monkeypatch.setattr(encoder, "_run", lambda batch: batches.append(len(batch)) or run(batch))
    encoder.encode_passages(["fever", "the patient was seen with a fever"] * 8)
    assert batches == [8, 8]


def test_bulk_gives_the_same_vectors_from_several_runs_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = OnnxEncoder(folder, max_tokens=64, threads=2, batch_size=4, bulk=True)
    run = encoder._run
    together = threading.Barrier(2)

    def beside_another(batch: Any) -> Vectors:
        together.wait(timeout=PATIENCE_SECONDS)
        return run(batch)

    texts = TEXTS[:2] * 4
    expected = encoder.encode_passages(texts)
    monkeypatch.setattr(encoder, "_run", beside_another)
    assert cosines(encoder.encode_passages(texts), expected).min() >= LOWEST_COSINE


def test_bulk_stops_when_a_run_fails_and_when_it_is_told_to(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = OnnxEncoder(folder, max_tokens=64, threads=2, batch_size=1, bulk=True)
    texts = ["fever"] * 50
    asked: list[None] = []

    def stop_at_the_fifth() -> None:
        asked.append(None)
        if len(asked) == 5:
            raise WorkerStopping("the worker ends")

    with pytest.raises(WorkerStopping):
        encoder.encode_passages(texts, check=stop_at_the_fifth)
    assert len(asked) == 5

    def broken(batch: Any) -> Vectors:
        raise RuntimeError("the graph broke")

    monkeypatch.setattr(encoder, "_run", broken)
    begun: list[None] = []
    with pytest.raises(RuntimeError, match="the graph broke"):
        encoder.encode_passages(texts, check=lambda: begun.append(None))
    assert len(begun) <= 2


def test_each_kind_of_text_gets_its_own_prompt(make: MakeEncoder) -> None:
    plain = make()
    prompted = make(query_prompt="fever headache: ", passage_prompt="kidney stone: ")
    texts = ["nose", "heart attack"]
    queries = plain.encode_passages([f"fever headache: {text}" for text in texts])
    passages = plain.encode_passages([f"kidney stone: {text}" for text in texts])
    assert cosines(prompted.encode_queries(texts), queries).min() >= LOWEST_COSINE
    assert cosines(prompted.encode_passages(texts), passages).min() >= LOWEST_COSINE
    assert cosines(prompted.encode_queries(texts), plain.encode_queries(texts)).max() < LOWEST_COSINE


def test_text_beyond_the_window_does_not_count(make: MakeEncoder) -> None:
    encoder = make(max_tokens=16)
    start = "nose bleeding " * 20
    vectors = encoder.encode_passages([start, start + "kidney stone"])
    assert cosines(vectors[:1], vectors[1:]).min() >= LOWEST_COSINE


def test_threads_share_an_encoder(make: MakeEncoder) -> None:
    encoder = make(batch_size=4)
    expected = encoder.encode_passages(TEXTS)
    together = threading.Barrier(4)
    wrong: list[str] = []

    def encode() -> None:
        try:
            together.wait(timeout=PATIENCE_SECONDS)
            for position in range(10):
                shift = position % len(TEXTS)
                texts = TEXTS[shift:] + TEXTS[:shift]
                found = np.roll(encoder.encode_passages(texts), shift, axis=0)
                if cosines(found, expected).min() < LOWEST_COSINE:
                    wrong.append("another vector")
        except BaseException as error:
            wrong.append(repr(error))

    threads = [threading.Thread(target=encode) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=PATIENCE_SECONDS)
    assert wrong == []


@pytest.mark.parametrize("name", ["onnx/model.onnx", "tokenizer.json"])
def test_a_folder_that_lacks_a_file_is_refused_by_the_file(folder: Path, tmp_path: Path, name: str) -> None:
    for source in ("onnx/model.onnx", "tokenizer.json"):
        if source != name:
            (tmp_path / source).parent.mkdir(exist_ok=True)
            (tmp_path / source).write_bytes((folder / source).read_bytes())
    with pytest.raises(ModelRefused, match=f"has no {name}"):
        OnnxEncoder(tmp_path, max_tokens=64)


@pytest.mark.parametrize("name", ["onnx/model.onnx", "tokenizer.json"])
def test_a_broken_file_is_refused_by_the_file(folder: Path, tmp_path: Path, name: str) -> None:
    for source in ("onnx/model.onnx", "tokenizer.json"):
        (tmp_path / source).parent.mkdir(exist_ok=True)
        content = b"{ broken" if source == name else (folder / source).read_bytes()
        (tmp_path / source).write_bytes(content)
    with pytest.raises(ModelRefused, match=name):
        OnnxEncoder(tmp_path, max_tokens=64)


def test_torch_refuses_a_folder_without_safetensors(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ModelRefused, match="no safetensors"):
        TorchEncoder(tmp_path, max_tokens=64)


def test_texts_of_like_length_are_encoded_together() -> None:
    lengths = [9, 120, 8, 118, 9, 121, 10]
    assert batches_of_like_length(lengths, most=32) == [[5, 1, 3], [6, 0, 4, 2]]


def test_no_batch_is_greater_than_asked_for() -> None:
    assert [len(batch) for batch in batches_of_like_length([7] * 70, most=32)] == [32, 32, 6]


def test_a_batch_of_mixed_lengths_is_cut_before_padding_costs_more_than_another_run() -> None:
    lengths = list(range(1, 60))
    batches = batches_of_like_length(lengths, most=32)
    assert sorted(position for batch in batches for position in batch) == list(range(59))
    paddings = [sum(lengths[batch[0]] - lengths[i] for i in batch) for batch in batches]
    assert max(paddings) <= RUN_COST_TOKENS


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("minilm")
    base = resolve_base(DEFAULT_BASE_MODEL)
    for path in base.rglob("*"):
        if path.is_file():
            (copy / path.relative_to(base)).parent.mkdir(parents=True, exist_ok=True)
            (copy / path.relative_to(base)).write_bytes(path.read_bytes())
    export_onnx(copy)
    return copy


@pytest.mark.slow
def test_both_backends_agree_on_the_real_base_model(minilm: Path) -> None:
    onnx = OnnxEncoder(minilm, max_tokens=256, threads=2, batch_size=8)
    torch = TorchEncoder(minilm, max_tokens=256, threads=2, batch_size=8)
    ours, reference = onnx.encode_passages(TEXTS), torch.encode_passages(TEXTS)
    assert ours.shape == (len(TEXTS), 384)
    assert cosines(ours, reference).min() >= LOWEST_COSINE
    nosebleed, epistaxis, tenant = ours[0], ours[1], ours[5]
    assert nosebleed @ epistaxis > nosebleed @ tenant
