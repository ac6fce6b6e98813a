"""A BERT of a few thousand weights, saved as a sentence-transformers folder: real algorithms, no download."""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizerFast

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def build_tiny_model(
    folder: Path, *, dimension: int = 32, seed: int = 0, words: Sequence[str] | None = None
) -> Path:
    """Writes a random, two-layer BERT with mean pooling and normalisation.

    Args:
        folder: Where the model goes; made if it is missing.
        dimension: Length of the embeddings, a multiple of 4.
        seed: The same seed and words give the same weights.
        words: Lower-case words that are one token each; anything else is spelt in letters.

    Returns:
        `folder`, with safetensors weights and a window of 64 tokens.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pieces = string.ascii_lowercase + string.digits
    vocabulary = [*_SPECIAL, *string.punctuation, *pieces, *(f"##{piece}" for piece in pieces)]
    vocabulary += [word for word in dict.fromkeys(words or ()) if word not in vocabulary]
    raw = folder / "raw"
    tokenizer = BertTokenizerFast(
        vocab={token: index for index, token in enumerate(vocabulary)}, do_lower_case=True
    )
    tokenizer.model_max_length = 64
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=dimension,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * dimension,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        bert = BertModel(config)
    bert.save_pretrained(raw)
    tokenizer.save_pretrained(raw)
    transformer = Transformer(str(raw), max_seq_length=64)
    model = SentenceTransformer(modules=[transformer, Pooling(dimension, "mean"), Normalize()], device="cpu")
    model.save_pretrained(str(folder), create_model_card=False)
    for leftover in raw.iterdir():
        leftover.unlink()
    raw.rmdir()
    return folder


def build_tiny_cross_encoder(folder: Path, base: Path, *, outputs: int = 1) -> Path:
    """Writes a random, one-layer CrossEncoder with the tokenizer of a model that `build_tiny_model` wrote."""
    tokenizer = SentenceTransformer(str(base), device="cpu", local_files_only=True).tokenizer
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=outputs,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertForSequenceClassification(config).save_pretrained(folder)
    return folder
