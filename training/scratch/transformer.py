"""A small BERT with a tokenizer of its own that has learnt nothing yet: what pre-training begins with.

Its layers begin near the identity, as their weights are drawn around zero, so that a text's first vector is
about the mean of its pieces' vectors. With those of latent semantic analysis it finds something at once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from embedloop.errors import JobCancelled
from embedloop.recipe.scratch import OwnTransformer
from training.model_files import save_model, transformer_of
from training.passages import spread
from training.scratch.piece_vectors import FirstVectors, first_vectors
from training.scratch.subwords import END, MASK, PADDING, START, UNKNOWN, subword_tokenizer
from training.trainer import window

# Tokens of a text that it reads, also where it is trained on fewer.
WINDOW = 512
_WIDER = 4
# Of the weights that are drawn, and root mean square of the first vectors.
_SIZE = 0.02
_UNMET_SHARE = 0.05
# Of the texts, so many are enough for the first vectors and for what they have in common.
_FIRST_TEXTS, _CENTRE_TEXTS = 20_000, 500


def build_transformer(
    texts: Sequence[str], settings: OwnTransformer, out: Path, *, should_stop: Callable[[], bool]
) -> dict[str, Any]:
    """Saves an untrained model as a sentence-transformers folder: BERT, mean pooling, normalisation.

    Args:
        texts: What the tokenizer and the first vectors are learnt from.
        settings: The recipe.
        out: The folder to write, whole or not at all.
        should_stop: Asked between its parts; True ends it without a model.

    Returns:
        What was made, JSON-ready: texts, pieces, weights.

    Raises:
        TrainingFailed: The texts are too few.
        JobCancelled: `should_stop` said so.
    """
    stopped = JobCancelled("making a transformer was stopped; it begins anew")
    tokenizer = subword_tokenizer(texts, settings.max_pieces, settings.min_count)
    if should_stop():
        raise stopped
    bert = _drawn(settings, tokenizer)
    if settings.initial == "words":
        some = tokenizer.encode_batch(spread(texts, _FIRST_TEXTS), add_special_tokens=False)
        cut = [one.tokens for one in some]
        _begin_with_words(bert, first_vectors(tokenizer, cut, settings.dimension, settings.seed, _SIZE))
    reading = _reading(bert, tokenizer, out.parent)
    if should_stop():
        raise stopped
    if settings.initial == "words":
        _centre(reading, texts, settings.max_tokens)
    save_model(SentenceTransformer(modules=[*reading, Normalize()], device="cpu"), out)
    return {
        "texts": len(texts),
        "pieces": tokenizer.get_vocab_size(),
        "weights": sum(one.numel() for one in bert.parameters()),
    }


def _drawn(settings: OwnTransformer, tokenizer: Tokenizer) -> BertModel:
    """A BERT with weights drawn from the seed.

    Positions begin at zero, so that one which training never reaches says nothing, and so do types, of which
    there is one.
    """
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=settings.dimension,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        intermediate_size=_WIDER * settings.dimension,
        max_position_embeddings=WINDOW,
        initializer_range=_SIZE,
        pad_token_id=tokenizer.token_to_id(PADDING),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        bert = BertModel(config)
    with torch.no_grad():
        bert.embeddings.position_embeddings.weight.zero_()
        bert.embeddings.token_type_embeddings.weight.zero_()
    return bert


def _begin_with_words(bert: BertModel, first: FirstVectors) -> None:
    """A piece of no text, as a special one, says little until it has been trained."""
    embeddings = bert.embeddings
    with torch.no_grad():
        embeddings.word_embeddings.weight.mul_(_UNMET_SHARE)
        embeddings.word_embeddings.weight[first.ids] = torch.from_numpy(first.rows)
        embeddings.token_type_embeddings.weight[0] = torch.from_numpy(first.common)


def _centre(reading: SentenceTransformer, texts: Sequence[str], max_tokens: int) -> None:
    """Takes what all texts' vectors have in common away, by the last bias of the layers."""
    bias = transformer_of(reading).encoder.layer[-1].output.LayerNorm.bias
    with window(reading, max_tokens):
        vectors = reading.encode(spread(texts, _CENTRE_TEXTS), convert_to_numpy=True, show_progress_bar=False)
    with torch.no_grad():
        bias.sub_(torch.from_numpy(vectors.mean(axis=0)))


def _reading(bert: BertModel, tokenizer: Tokenizer, beside: Path) -> SentenceTransformer:
    """The pipeline up to the mean of the pieces' last vectors."""
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=WINDOW,
        pad_token=PADDING,
        unk_token=UNKNOWN,
        cls_token=START,
        sep_token=END,
        mask_token=MASK,
    )
    with tempfile.TemporaryDirectory(dir=beside) as folder:
        bert.save_pretrained(folder)
        fast.save_pretrained(folder)
        transformer = Transformer(folder, max_seq_length=WINDOW)
    return SentenceTransformer(modules=[transformer, Pooling(bert.config.hidden_size, "mean")], device="cpu")
