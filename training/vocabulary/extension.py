"""Domain terms as tokens of a model of its own: new pieces in its tokenizer, new rows in its embeddings.

A new row begins as the mean of the rows of the pieces that the term was cut into (Hewitt 2021; Casanueva et al.
2020 and others do the same). The layers above have never seen it: train it, as `training.adaptation` does.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from embedloop.errors import TrainingFailed
from training.model_files import load_model, transformer_of
from training.vocabulary.pieces import NewPiece, extend_tokenizer
from training.vocabulary.report import cuts, open_tokenizer, worst_first
from training.vocabulary.terms import Term

# Vocabularies in the forms of other libraries, which would contradict the extended tokenizer.json.
_OTHER_FORMS = ("vocab.txt", "vocab.json", "merges.txt", "sentencepiece.bpe.model", "spiece.model")


@dataclass(frozen=True, slots=True)
class Extension:
    """What was added: terms that are one piece now, and the rows that the embeddings grew by."""

    terms: tuple[str, ...]
    rows: int


def terms_to_add(tokenizer: Tokenizer, terms: Sequence[Term], most: int) -> list[str]:
    """Of the terms that are cut, those that would save most pieces in all texts, at most `most`."""
    found = cuts(tokenizer, [term.word for term in terms])
    by_word = {term.word: cut for term, cut in zip(terms, found, strict=True)}
    split = [term for term in terms if not by_word[term.word].whole]
    return [term.word for term in worst_first(split, by_word)[:most]]


def extend_model(base: Path, terms: Sequence[str], target: Path) -> Extension:
    """Writes a copy of a model that knows the terms, whole or not at all.

    Args:
        base: sentence-transformers folder of a transformer with safetensors.
        terms: As the tokenizer normalises them; one that cannot be a piece is passed over.
        target: The new model folder; what is there is replaced.

    Raises:
        InvalidInput: The tokenizer is of a kind that cannot be extended.
        ModelRefused: The base may not be loaded.
        TrainingFailed: The base is no transformer, or its tokenizer reads differently once saved.
    """
    model = load_model(base)
    transformer = transformer_of(model)
    tokenizer, pieces = extend_tokenizer(open_tokenizer(base), terms)
    _add_rows(transformer, pieces)
    partial = target.with_name(target.name + ".partial")
    for leftover in (partial, target):
        shutil.rmtree(leftover, ignore_errors=True)
    model.save_pretrained(str(partial), create_model_card=False, safe_serialization=True)
    for name in _OTHER_FORMS:
        (partial / name).unlink(missing_ok=True)
    tokenizer.save(str(partial / "tokenizer.json"))
    _check_same_ids(partial, terms)
    partial.rename(target)
    whole = tuple(term for term, cut in zip(terms, cuts(tokenizer, terms), strict=True) if cut.whole)
    return Extension(terms=whole, rows=len(pieces))


def _add_rows(transformer: PreTrainedModel, pieces: Sequence[NewPiece]) -> None:
    before = transformer.get_input_embeddings().weight.detach().clone()
    wanted = 1 + max((piece.piece_id for piece in pieces), default=0)
    if wanted > len(before):
        transformer.resize_token_embeddings(wanted, mean_resizing=False)
    rows = transformer.get_input_embeddings().weight
    with torch.no_grad():
        for piece in pieces:
            rows[piece.piece_id] = before[list(piece.parts)].mean(dim=0)


def _check_same_ids(folder: Path, terms: Sequence[str]) -> None:
    """The service reads `tokenizer.json` itself: what a model is trained on must be what it is asked with."""
    reopened = load_model(folder)
    texts = [*terms, " ".join(terms), *(f"{term}s, ({term})" for term in terms)]
    window = reopened.max_seq_length
    file = Tokenizer.from_file(str(folder / "tokenizer.json"))
    file.no_padding()
    file.enable_truncation(max_length=window)
    for start in range(0, len(texts), 256):
        batch = texts[start : start + 256]
        theirs = reopened.preprocess(batch)
        lengths = theirs["attention_mask"].sum(dim=1).tolist()
        for text, ids, length, ours in zip(
            batch, theirs["input_ids"].tolist(), lengths, file.encode_batch(batch), strict=True
        ):
            if ids[:length] != ours.ids:
                raise TrainingFailed(f"the extended tokenizer reads {text[:80]!r} differently once it is saved")
