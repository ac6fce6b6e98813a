"""A static model of a tuned one: each token has one vector, and a text is the mean of its tokens' vectors.

After model2vec (van Dongen and Tulkens 2024): every token of the vocabulary goes through the model by itself,
the vectors are turned to their principal directions and cut, and frequent tokens weigh less (SIF, Arora et al.
2017). model2vec guesses how frequent a token is from its place in the vocabulary; here the corpus is counted,
and its usual words become tokens, so that none of them is a mean of pieces.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer

from embedloop.errors import JobCancelled, TrainingFailed
from embedloop.recipe.compression import StaticTier
from embedloop.records.labels import Split
from embedloop.static_models import RESCORER_FOLDER, is_static
from training.evaluation import rank_by_cosine
from training.kept import kept
from training.model_files import load_model, save_model
from training.pairs import read_training_set
from training.passages import read_passages
from training.static_folder import FALLBACK_SHARE, static_pipeline
from training.steps import Step, Task
from training.trainer import threads
from training.validation import encode
from training.vocabulary.pieces import NewPiece, extend_tokenizer
from training.vocabulary.report import cuts, open_tokenizer
from training.vocabulary.terms import count_words, normaliser_of

Matrix = NDArray[np.float32]

WEIGHT = 0.3
# Of the progress; what follows is measuring.
_ENCODED = 0.9
_SAMPLE = 200
_NEIGHBOURS = 10
_CHUNK = 256
# A word met once may be a slip of the pen.
_LEAST_OCCURRENCES = 2


def static_tier(settings: StaticTier) -> Step:
    """The step of a course that leaves the static model, and beside it the tuned one where that re-scores."""

    def body(task: Task) -> Mapping[str, Any]:
        with threads(task.config.settings.threads):
            return _distil(task, settings)

    return Step("static", WEIGHT, body)


def _distil(task: Task, settings: StaticTier) -> Mapping[str, Any]:
    if is_static(task.base):
        raise TrainingFailed("training.static: the model is static already")
    teacher, passages = load_model(task.base), read_passages(task.config.passages)
    texts = _texts(task, passages)
    tokenizer, words = _with_words(open_tokenizer(task.base), texts, settings.words)
    rows = principal(_alone(teacher, tokenizer, words, task), settings.dimension)
    rows *= rarities(tokenizer, texts, settings.a)[:, None]
    rows[_silent(tokenizer)] *= np.float32(FALLBACK_SHARE)
    model = static_pipeline(tokenizer, rows)
    sample = [task.config.prompts.passage + text for text in passages[:_SAMPLE]]
    told = {
        "tokens": len(rows),
        "words": len(words),
        "dimension": rows.shape[1],
        "overlap": _overlap(teacher, model, sample),
        **kept(task.config, teacher, model, sample),
    }
    save_model(model, task.model)
    if settings.rescore:
        _keep_teacher(task.base, task.model)
    return told


def _texts(task: Task, passages: Sequence[str]) -> list[str]:
    """The corpus and the queries of the train split, each with its prompt, as they will be read."""
    pairs = read_training_set(task.config.training_set)
    asked = sorted({pair.anchor for pair in pairs if pair.split is Split.TRAIN})
    prompts = task.config.prompts
    return [*(prompts.passage + text for text in passages), *(prompts.query + text for text in asked)]


def _with_words(tokenizer: Tokenizer, texts: Sequence[str], most: int) -> tuple[Tokenizer, list[NewPiece]]:
    """The tokenizer with the most frequent of the words that it cuts, and what these were cut into."""
    if most == 0:
        return tokenizer, []
    counted = count_words(texts, normaliser_of(tokenizer)).occurrences
    words = [word for word, count in counted.items() if count >= _LEAST_OCCURRENCES]
    split = [
        word for word, cut in zip(words, cuts(tokenizer, words), strict=True) if cut.known and not cut.whole
    ]
    usual = sorted(split, key=lambda word: (-counted[word], word))
    return extend_tokenizer(tokenizer, usual[:most])


def _alone(teacher: SentenceTransformer, tokenizer: Tokenizer, words: Sequence[NewPiece], task: Task) -> Matrix:
    """What the model makes of each token by itself: (tokens, dim), in the order of their ids."""
    count = tokenizer.get_vocab_size()
    parts = {word.piece_id: list(word.parts) for word in words}
    sequences = [parts.get(token, [token]) for token in range(count)]
    # Those of one length together: nothing is padded.
    order = sorted(range(count), key=lambda token: len(sequences[token]))
    before, after = _around(tokenizer)
    found: dict[int, Matrix] = {}
    start = 0
    while start < count:
        if task.should_stop():
            raise JobCancelled("the static model was stopped; it begins anew when the job goes on")
        length = len(sequences[order[start]])
        batch = [token for token in order[start : start + _CHUNK] if len(sequences[token]) == length]
        ids = torch.tensor([[*before, *sequences[token], *after] for token in batch])
        found.update(zip(batch, _vectors(teacher, ids), strict=True))
        start += len(batch)
        task.on_progress(_ENCODED * start / count)
    return np.stack([found[token] for token in range(count)])


def _around(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """The tokens that the model puts before and after every text."""
    alone = tokenizer.encode("a", add_special_tokens=False).ids
    whole = tokenizer.encode("a").ids
    for start in range(len(whole) - len(alone) + 1):
        if whole[start : start + len(alone)] == alone:
            return whole[:start], whole[start + len(alone) :]
    raise TrainingFailed("training.static: the tokenizer reads a text differently between its special tokens")


def _vectors(teacher: SentenceTransformer, ids: torch.Tensor) -> Matrix:
    wanted = teacher.preprocess(["a"])
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    with torch.no_grad():
        vectors = teacher({name: given[name] for name in given if name in wanted})["sentence_embedding"]
    return np.asarray(vectors.float().numpy(), dtype=np.float32)


def principal(rows: Matrix, dimension: int) -> Matrix:
    """The rows, centred, by their strongest principal directions, the strongest first.

    Args:
        rows: (n, dim).
        dimension: Directions that are kept, at most `dim`.

    >>> principal(np.array([[9.0, 0.0], [9.0, 2.0], [9.0, 4.0]], dtype=np.float32), dimension=1).tolist()
    [[-2.0], [0.0], [2.0]]
    """
    centred = (rows - rows.mean(axis=0)).astype(np.float64)
    # eigh sorts the weakest first.
    _, directions = np.linalg.eigh(centred.T @ centred)
    kept_directions = directions[:, ::-1][:, :dimension]
    return np.ascontiguousarray(centred @ kept_directions, dtype=np.float32)


def rarities(tokenizer: Tokenizer, texts: Sequence[str], a: float) -> NDArray[np.float32]:
    """What each token weighs: a / (a + p), p its share of the texts; one never seen counts as seen once."""
    counted: Counter[int] = Counter()
    for encoding in tokenizer.encode_batch(list(texts), add_special_tokens=False):
        counted.update(encoding.ids)
    counts = np.array([1 + counted[token] for token in range(tokenizer.get_vocab_size())], dtype=np.float64)
    return np.asarray(a / (a + counts / counts.sum()), dtype=np.float32)


def _silent(tokenizer: Tokenizer) -> list[int]:
    """Tokens that say nothing of a text: special ones, and the one for what cannot be read."""
    special = [number for number, one in tokenizer.get_added_tokens_decoder().items() if one.special]
    unknown = getattr(tokenizer.model, "unk_token", None)
    found = None if unknown is None else tokenizer.token_to_id(unknown)
    return sorted({*special, *([] if found is None else [found])})


def _overlap(teacher: SentenceTransformer, model: SentenceTransformer, texts: Sequence[str]) -> float:
    """Share of the ten texts nearest to each by the teacher that are among its ten nearest by the model."""
    names = [str(number) for number in range(len(texts))]
    near, ours = (
        rank_by_cosine(vectors, vectors, names, _NEIGHBOURS)
        for vectors in (encode(one, texts) for one in (teacher, model))
    )
    shares = [len(set(a) & set(b)) / len(a) for a, b in zip(near, ours, strict=True)]
    return round(float(np.mean(shares)), 4)


def _keep_teacher(teacher: Path, model: Path) -> None:
    """Puts the tuned model into the static one's folder; its graph is exported anew when it is registered."""
    leave = shutil.ignore_patterns("onnx", ".complete", RESCORER_FOLDER)
    shutil.copytree(teacher, model / RESCORER_FOLDER, ignore=leave)
