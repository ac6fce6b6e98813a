"""Word vectors as a static sentence-transformers folder: each token has its vector, a text is their mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from embedloop.errors import TrainingFailed
from embedloop.recipe.scratch import WordVectors
from training.model_files import save_model
from training.scratch.pooling import principal_directions, sif_weights, text_means, without
from training.scratch.tokenizer import UNKNOWN, WordSplitter, static_tokenizer
from training.scratch.words import Lexicon, learn_words
from training.static_folder import FALLBACK_SHARE, static_pipeline

# The size of a transformer's weights, so that learning rates made for those move these as far.
_ROOT_MEAN_SQUARE = 0.02


def build_static_model(
    passages: Sequence[str],
    settings: WordVectors,
    out: Path,
    *,
    on_progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> dict[str, Any]:
    """Learns word vectors from passages and saves them as a sentence-transformers folder.

    The weight of a word is folded into its row, the removal of common directions into a `Dense` layer, so that
    whatever reads such folders gives the vectors of SIF. A text without any known word gets the direction that
    was removed: a unit vector at right angles to those of all other texts.

    Args:
        passages: The corpus, as it is embedded.
        settings: The recipe.
        out: The folder to write, whole or not at all.
        on_progress: Told the share that is done, 0..1.
        should_stop: Asked often; True ends it without a model.

    Returns:
        What was learnt, JSON-ready: words, phrases, pieces, the share of words that are known.

    Raises:
        TrainingFailed: The passages hold too few words.
        JobCancelled: `should_stop` said so.
    """
    splitter = WordSplitter()
    texts = [splitter.words(passage) for passage in passages]
    lexicon = learn_words(texts, settings, on_progress=on_progress, should_stop=should_stop)
    tokenizer, rows = _rows(lexicon, settings)
    encoded = [one.ids for one in tokenizer.encode_batch(list(passages), add_special_tokens=False)]
    means = text_means(rows, encoded)
    if not len(means):
        raise TrainingFailed("from_scratch: the passages hold no word")
    directions = principal_directions(means)
    common = directions[: settings.components]
    scale = _ROOT_MEAN_SQUARE / float(np.sqrt(np.mean(rows**2)) or 1.0)
    projection = without(common)
    length = float(np.median(np.linalg.norm(means @ projection, axis=1)))
    fallback = common[0] if len(common) else directions[-1]
    bias = fallback * np.float32(FALLBACK_SHARE * scale * length)
    save_model(static_pipeline(tokenizer, rows * np.float32(scale), projection, bias), out)
    return _told(lexicon, encoded, tokenizer.token_to_id(UNKNOWN), len(passages))


def _rows(lexicon: Lexicon, settings: WordVectors) -> tuple[Tokenizer, NDArray[np.float32]]:
    """The tokenizer, and one row per token: [UNK] without any direction, words and pieces, phrases last."""
    names = list(lexicon.counts)
    vectors = lexicon.words * sif_weights(names, lexicon.counts, settings.a)[:, None]
    single = [number for number, name in enumerate(names) if " " not in name]
    joined = [number for number, name in enumerate(names) if " " in name]
    words = {names[number] for number in single}
    extra = [number for number, piece in enumerate(lexicon.pieces) if piece not in words]
    tokens = [UNKNOWN, *(names[one] for one in single), *(lexicon.pieces[one] for one in extra)]
    shares = _shares([lexicon.pieces[one] for one in extra], lexicon.counts)
    rows = [
        np.zeros((1, vectors.shape[1]), dtype=np.float32),
        vectors[single],
        lexicon.piece_vectors[extra] * shares[:, None],
        vectors[joined],
    ]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return static_tokenizer(vocabulary, [names[one] for one in joined]), np.concatenate(rows)


def _shares(pieces: Sequence[str], counts: dict[str, int]) -> NDArray[np.float32]:
    """A piece weighs as much of a word as it is long: an unknown word weighs about as much as a rare one."""
    characters = sum(len(word) * count for word, count in counts.items()) / sum(counts.values())
    lengths = np.array([len(piece.removeprefix("##")) for piece in pieces], dtype=np.float32)
    shares: NDArray[np.float32] = np.minimum(1.0, lengths / np.float32(characters))
    return shares


def _told(
    lexicon: Lexicon, encoded: Sequence[Sequence[int]], unknown: int | None, passages: int
) -> dict[str, Any]:
    tokens = sum(len(ids) for ids in encoded)
    missing = sum(one == unknown for ids in encoded for one in ids)
    return {
        "passages": passages,
        "words": sum(" " not in word for word in lexicon.counts),
        "phrases": sum(" " in word for word in lexicon.counts),
        "pieces": len(lexicon.pieces),
        "known_share": round(1 - missing / max(1, tokens), 4),
    }
