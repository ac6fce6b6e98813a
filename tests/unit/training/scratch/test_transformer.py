from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from embedloop.encoder import OnnxEncoder, TorchEncoder
from embedloop.errors import JobCancelled
from embedloop.recipe.scratch import OwnTransformer
from embedloop.registry import check_folder, max_tokens_of
from tests.unit.training.scratch.jargon import TOPICS, jargon
from training.evaluation import rank_by_cosine
from training.export import check_parity, export_onnx
from training.model_files import load_model
from training.scratch.transformer import WINDOW, build_transformer

MADE = jargon()
ODD_TEXTS = ["", "?! ...", "never met", "☃ ქართული", "रक्तचाप", MADE.documents[0], f"{MADE.queries[1]} x" * 200]


def build(folder: Path, **settings: object) -> dict[str, Any]:
    recipe = OwnTransformer.model_validate(
        {"method": "transformer", "dimension": 32, "layers": 2, "heads": 2, "max_pieces": 600, **settings}
    )
    return build_transformer(MADE.reports, recipe, folder, should_stop=lambda: False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("transformer") / "model"
    build(made)
    export_onnx(made)
    return made


def hits(encoder: TorchEncoder) -> float:
    """Share of the queries whose first document is the right one."""
    ids = [str(number) for number in range(TOPICS)]
    queries, documents = encoder.encode_queries(MADE.queries), encoder.encode_passages(MADE.documents)
    ranked = rank_by_cosine(queries, documents, ids, 1)
    return float(np.mean([row == [own] for row, own in zip(ranked, ids, strict=True)]))


def test_with_first_vectors_of_words_it_finds_before_it_has_learnt_anything(
    folder: Path, tmp_path: Path
) -> None:
    build(tmp_path / "drawn", initial="random")
    assert hits(TorchEncoder(folder, max_tokens=64)) > 0.9
    assert hits(TorchEncoder(tmp_path / "drawn", max_tokens=64)) < 0.5


def test_folder_is_one_that_may_be_registered(folder: Path) -> None:
    check_folder(folder)
    assert max_tokens_of(folder) == load_model(folder).max_seq_length == WINDOW
    assert not [path for path in folder.rglob("*") if path.suffix in (".bin", ".pt", ".npy", ".pkl")]
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_exported_graph_gives_the_vectors_of_the_model(folder: Path) -> None:
    assert check_parity(folder, ODD_TEXTS) > 0.999999
    served = OnnxEncoder(folder, max_tokens=WINDOW).encode_passages(ODD_TEXTS)
    assert served == pytest.approx(TorchEncoder(folder, max_tokens=WINDOW).encode_passages(ODD_TEXTS), abs=1e-5)


def test_service_cuts_texts_as_the_model_was_trained(folder: Path) -> None:
    """The service reads `tokenizer.json`, the training goes through the library."""
    from tokenizers import Tokenizer

    file, model = Tokenizer.from_file(str(folder / "tokenizer.json")), load_model(folder)
    for text in ODD_TEXTS[:-1]:
        assert file.encode(text).ids == model.preprocess([text])["input_ids"][0].tolist()


def test_same_seed_gives_the_same_files_and_another_one_does_not(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        build(tmp_path / name, seed=seed)
    first, again, other = (load_file(tmp_path / name / "model.safetensors") for name in "abc")
    assert all(np.array_equal(first[key], again[key]) for key in first)
    assert not all(np.array_equal(first[key], other[key]) for key in first)
    for name in ("tokenizer.json", "config.json"):
        assert (tmp_path / "a" / name).read_text() == (tmp_path / "b" / name).read_text()


def test_size_is_what_was_asked_for(tmp_path: Path) -> None:
    told = build(tmp_path / "model", dimension=48, layers=1, heads=4, max_pieces=300)
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert (config["hidden_size"], config["num_hidden_layers"], config["num_attention_heads"]) == (48, 1, 4)
    assert told["pieces"] == config["vocab_size"] == 300
    weights = load_file(tmp_path / "model" / "model.safetensors").values()
    assert told["weights"] == sum(one.size for one in weights)


def test_stop_leaves_no_model(tmp_path: Path) -> None:
    recipe = OwnTransformer(method="transformer", dimension=32, heads=2)
    with pytest.raises(JobCancelled):
        build_transformer(MADE.reports, recipe, tmp_path / "model", should_stop=lambda: True)
    assert not list(tmp_path.iterdir())
