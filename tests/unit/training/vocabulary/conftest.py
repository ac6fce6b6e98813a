"""Tiny transformers with tokenizers of each kind, trained on a few medical sentences."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaModel,
    XLMRobertaTokenizer,
)

from tests.tiny_model import build_tiny_model

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
TEXTS = [
    "the patient has a swollen joint and a fever",
    "pain of the joint is treated with rest and water",
    "a rare disease of the bone and the blood",
    "the doctor looks at the blood of the patient",
]
TERMS = ["tophus", "hyperuricemia", "hyperuricemic", "podagra", "colchicine"]

BuildModel = Callable[[str], Path]


@pytest.fixture(scope="session")
def build_model(tmp_path_factory: pytest.TempPathFactory) -> BuildModel:
    """Gives a model folder by the kind of its tokenizer; each is built once."""
    built: dict[str, Path] = {}

    def build(kind: str) -> Path:
        if kind not in built:
            built[kind] = _BUILDING[kind](tmp_path_factory.mktemp(kind))
        return built[kind]

    return build


def _wordpiece(folder: Path) -> Path:
    return build_tiny_model(folder, words=["joint", "of", "the", "blood"])


def _unigram(folder: Path) -> Path:
    trained = Tokenizer(models.Unigram())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trained.train_from_iterator(
        [*TEXTS, *TERMS],
        trainers.UnigramTrainer(vocab_size=60, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False),
    )
    scores = dict(_scores(trained))
    vocabulary = [(one, 0.0) for one in SPECIAL] + [one for one in scores.items() if one[0] not in SPECIAL]
    # As the real ones have it: nothing that is whole already is a term here.
    tokenizer = XLMRobertaTokenizer(vocab=[one for one in vocabulary if len(one[0]) < 5 or one[0] in SPECIAL])
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer) + 3,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=32,
        max_position_embeddings=66,
        pad_token_id=1,
    )
    return _saved(folder, XLMRobertaModel, config, tokenizer)


def _bpe(folder: Path) -> Path:
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    trained.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(
            vocab_size=300,
            special_tokens=SPECIAL,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=trained,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
    )
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=32,
        max_position_embeddings=66,
        pad_token_id=1,
    )
    return _saved(folder, RobertaModel, config, tokenizer)


def _saved(folder: Path, architecture: type, config: object, tokenizer: PreTrainedTokenizerFast) -> Path:
    tokenizer.model_max_length = 64
    raw = folder / "raw"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        architecture(config).save_pretrained(raw)
    tokenizer.save_pretrained(raw)
    transformer = Transformer(str(raw), max_seq_length=64)
    model = SentenceTransformer(modules=[transformer, Pooling(32, "mean"), Normalize()], device="cpu")
    model.save_pretrained(str(folder / "model"), create_model_card=False)
    return folder / "model"


def _scores(tokenizer: Tokenizer) -> list[tuple[str, float]]:
    return [(piece, score) for piece, score in json.loads(tokenizer.to_str())["model"]["vocab"]]


_BUILDING: dict[str, Callable[[Path], Path]] = {"WordPiece": _wordpiece, "Unigram": _unigram, "BPE": _bpe}
