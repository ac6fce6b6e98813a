from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from embedloop.encoder import OnnxEncoder
from embedloop.errors import InvalidInput, TrainingFailed
from tests.unit.training.vocabulary.conftest import TERMS, TEXTS, BuildModel
from training.export import check_parity, export_onnx
from training.model_files import load_model
from training.vocabulary.extension import extend_model, terms_to_add
from training.vocabulary.pieces import extend_tokenizer
from training.vocabulary.report import cuts, open_tokenizer
from training.vocabulary.terms import Term

KINDS = ("WordPiece", "Unigram", "BPE")
IN_TEXT = [f"the patient has a {term} of the joint" for term in TERMS]


def rows(folder: Path) -> np.ndarray:
    weights = load_file(folder / "model.safetensors")
    (name,) = [one for one in weights if one.endswith("word_embeddings.weight")]
    return weights[name]


@pytest.mark.parametrize("kind", KINDS)
def test_terms_become_one_piece_each(kind: str, build_model: BuildModel) -> None:
    before = open_tokenizer(build_model(kind))
    after, _ = extend_tokenizer(before, TERMS)
    assert [len(one.ids) > 1 for one in cuts(before, TERMS)] == [True] * len(TERMS)
    assert [one.whole for one in cuts(after, TERMS)] == [True] * len(TERMS)


@pytest.mark.parametrize("kind", ["WordPiece", "Unigram"])
def test_other_words_are_cut_as_before(kind: str, build_model: BuildModel) -> None:
    before = open_tokenizer(build_model(kind))
    after, _ = extend_tokenizer(before, TERMS)
    assert [one.ids for one in after.encode_batch(TEXTS)] == [one.ids for one in before.encode_batch(TEXTS)]


def test_bpe_joins_in_other_words_only_pairs_that_a_term_has(build_model: BuildModel) -> None:
    before = open_tokenizer(build_model("BPE"))
    after, pieces = extend_tokenizer(before, TERMS)
    parts = {piece.piece_id: piece.parts for piece in pieces}
    for text in TEXTS:
        back = [part for one in after.encode(text).ids for part in parts.get(one, (one,))]
        assert back == before.encode(text).ids


@pytest.mark.parametrize("kind", KINDS)
def test_new_rows_are_the_mean_of_the_pieces_rows_and_old_rows_stay(
    kind: str, build_model: BuildModel, tmp_path: Path
) -> None:
    base = build_model(kind)
    before = open_tokenizer(base)
    extension = extend_model(base, TERMS, tmp_path / "model")
    assert extension.terms == tuple(TERMS)
    old, new = rows(base), rows(tmp_path / "model")
    (row,) = open_tokenizer(tmp_path / "model").encode(" podagra", add_special_tokens=False).ids
    pieces = before.encode(" podagra", add_special_tokens=False).ids
    assert new[row] == pytest.approx(old[pieces].mean(axis=0), abs=1e-6)
    used = before.get_vocab_size(with_added_tokens=True)
    assert (new[:used] == old[:used]).all()
    assert json.loads((tmp_path / "model" / "config.json").read_text())["vocab_size"] == len(new)


@pytest.mark.parametrize("kind", KINDS)
def test_service_and_trainer_embed_with_an_extended_model_alike(
    kind: str, build_model: BuildModel, tmp_path: Path
) -> None:
    target = tmp_path / "model"
    extend_model(build_model(kind), TERMS, target)
    export_onnx(target)
    assert check_parity(target, IN_TEXT) > 0.9999
    served = OnnxEncoder(target, max_tokens=64).encode_passages([*IN_TEXT, *TERMS])
    trained = load_model(target).encode([*IN_TEXT, *TERMS], normalize_embeddings=True, show_progress_bar=False)
    assert served == pytest.approx(trained, abs=1e-5)


def test_word_that_begins_with_a_term_is_cut_after_it(build_model: BuildModel) -> None:
    after, _ = extend_tokenizer(open_tokenizer(build_model("WordPiece")), TERMS)
    assert after.encode("tophuses", add_special_tokens=False).tokens[0] == "tophus"


def test_unigram_keeps_ids_of_tokens_that_lie_behind_its_list(build_model: BuildModel) -> None:
    tokenizer = open_tokenizer(build_model("Unigram"))
    tokenizer.add_tokens(["gout-flare"])
    behind = tokenizer.token_to_id("gout-flare")
    after, pieces = extend_tokenizer(tokenizer, TERMS)
    assert after.encode("gout-flare", add_special_tokens=False).ids == [behind]
    assert min(piece.piece_id for piece in pieces) == behind + 1


def test_bpe_term_is_one_piece_at_the_start_of_a_text_too(build_model: BuildModel) -> None:
    after, _ = extend_tokenizer(open_tokenizer(build_model("BPE")), TERMS)
    assert [len(after.encode(term, add_special_tokens=False).ids) for term in TERMS] == [1] * len(TERMS)


def test_known_words_and_words_that_are_cut_before_the_model_add_nothing(build_model: BuildModel) -> None:
    _, pieces = extend_tokenizer(open_tokenizer(build_model("WordPiece")), ["joint", "knee-joint", "tophus"])
    assert [piece.piece for piece in pieces] == ["tophus"]


def test_terms_that_save_most_pieces_are_chosen(build_model: BuildModel) -> None:
    tokenizer = open_tokenizer(build_model("WordPiece"))
    terms = [Term("joint", 90), Term("gout", 20), Term("hyperuricemia", 8), Term("iris", 1)]
    assert terms_to_add(tokenizer, terms, 2) == ["hyperuricemia", "gout"]


def test_extension_replaces_what_an_earlier_attempt_left(build_model: BuildModel, tmp_path: Path) -> None:
    for name in ("model", "model.partial"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vocab.txt").write_text("old")
    extend_model(build_model("WordPiece"), TERMS, tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert not (tmp_path / "model" / "vocab.txt").exists()


def test_word_level_tokenizer_is_refused_by_its_kind() -> None:
    with pytest.raises(InvalidInput, match="got WordLevel"):
        extend_tokenizer(Tokenizer(WordLevel({"gout": 0, "<unk>": 1}, unk_token="<unk>")), ["tophus"])


def test_static_model_is_refused(tmp_path: Path) -> None:
    tokenizer = Tokenizer(WordLevel({"gout": 0, "<unk>": 1}, unk_token="<unk>"))
    static = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=8)], device="cpu")
    static.save_pretrained(str(tmp_path / "static"), create_model_card=False)
    with pytest.raises(TrainingFailed, match="only a transformer"):
        extend_model(tmp_path / "static", ["tophus"], tmp_path / "model")
