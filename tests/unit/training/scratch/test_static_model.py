from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from embedloop.encoder import OnnxEncoder, TorchEncoder
from embedloop.recipe.scratch import WordVectors
from embedloop.recipe.settings import TrainingSettings
from embedloop.registry import check_folder, resolve_base
from tests.unit.training.scratch.jargon import TOPICS, jargon
from training.evaluation import rank_by_cosine
from training.export import check_parity, export_onnx
from training.layers import prepared
from training.model_files import load_model
from training.scratch.static_model import build_static_model

MADE = jargon()
ODD_TEXTS = ["", "?! ...", "nothing known", "☃", MADE.documents[0], f"{MADE.queries[1]} x" * 30]


def build(folder: Path, **settings: object) -> Path:
    recipe = WordVectors.model_validate({"method": "fasttext", "dimension": 32, "epochs": 4, **settings})
    build_static_model(MADE.reports, recipe, folder, on_progress=lambda share: None, should_stop=lambda: False)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = build(tmp_path_factory.mktemp("static") / "model")
    export_onnx(made)
    return made


def hits(folder: Path, encoder: TorchEncoder) -> float:
    """Share of the queries whose first document is the right one."""
    ids = [str(number) for number in range(TOPICS)]
    queries, documents = encoder.encode_queries(MADE.queries), encoder.encode_passages(MADE.documents)
    ranked = rank_by_cosine(queries, documents, ids, 1)
    return float(np.mean([row == [own] for row, own in zip(ranked, ids, strict=True)]))


def test_made_of_a_jargon_it_finds_what_a_pretrained_model_cannot(tmp_path: Path) -> None:
    pretrained = TorchEncoder(resolve_base("all-MiniLM-L6-v2"), max_tokens=64)
    own = build(tmp_path / "own", method="lsa")
    assert hits(own, TorchEncoder(own, max_tokens=64)) == 1.0
    assert hits(own, pretrained) < 0.5


def test_folder_is_one_that_may_be_registered(folder: Path) -> None:
    check_folder(folder)
    assert not [path for path in folder.rglob("*") if path.suffix in (".bin", ".pt", ".npy", ".pkl")]


def test_exported_graph_gives_the_vectors_of_the_model(folder: Path) -> None:
    assert check_parity(folder, ODD_TEXTS) > 0.999999
    served = OnnxEncoder(folder, max_tokens=8192).encode_passages(ODD_TEXTS)
    assert served == pytest.approx(TorchEncoder(folder, max_tokens=8192).encode_passages(ODD_TEXTS), abs=1e-5)


def test_texts_alone_without_any_token_are_encoded(folder: Path) -> None:
    assert OnnxEncoder(folder, max_tokens=64).encode_queries([""]).shape == (1, 32)


def test_text_without_a_known_word_has_a_unit_vector_far_from_all_others(folder: Path) -> None:
    vectors = OnnxEncoder(folder, max_tokens=64).encode_passages(["", "☃ ...", *MADE.documents])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert np.abs(vectors[:2] @ vectors[2:].T).max() < 0.05


def test_only_the_vectors_of_words_learn_when_it_is_tuned(folder: Path) -> None:
    model = load_model(folder)
    with prepared(model, TrainingSettings()):
        learning = {name for name, one in model.named_parameters() if one.requires_grad}
    assert learning == {"0.embedding.weight"}


def test_misspelt_word_is_near_the_word(folder: Path) -> None:
    word = MADE.documents[0].split()[0]
    encoder = OnnxEncoder(folder, max_tokens=64)
    misspelt, right, *others = encoder.encode_queries([f"{word}{word[-1]}", word, *MADE.documents[1:]])
    assert misspelt @ right > max(misspelt @ other for other in others)


def test_text_beyond_the_window_is_not_read(folder: Path) -> None:
    first, second = MADE.documents[:2]
    for kind in (OnnxEncoder, TorchEncoder):
        short = kind(folder, max_tokens=4)
        assert short.encode_queries([f"{first} {second}"]) == pytest.approx(
            short.encode_queries([first]), abs=1e-6
        )


def test_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    first, again = build(tmp_path / "a", epochs=1), build(tmp_path / "b", epochs=1)
    for name in ("model.safetensors", "1_Dense/model.safetensors"):
        one, two = load_file(first / name), load_file(again / name)
        assert all(np.array_equal(one[key], two[key]) for key in one)
    assert (first / "tokenizer.json").read_text() == (again / "tokenizer.json").read_text()


def test_common_direction_is_removed_from_all_texts(tmp_path: Path) -> None:
    kept, removed = build(tmp_path / "kept", components=0), build(tmp_path / "removed", components=1)
    spread = [
        float(np.linalg.norm(load_model(one).encode(MADE.reports, show_progress_bar=False).mean(axis=0)))
        for one in (kept, removed)
    ]
    assert spread[1] < spread[0]


def test_model_that_is_there_is_replaced_as_a_whole(tmp_path: Path) -> None:
    leftover = tmp_path / "model.partial"
    leftover.mkdir()
    (leftover / "half").write_text("")
    made = build(tmp_path / "model", epochs=1)
    assert not leftover.exists()
    assert not (made / "half").exists()
