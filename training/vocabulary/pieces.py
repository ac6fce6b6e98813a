"""New pieces for a tokenizer that it produces by its own algorithm, written into its JSON.

Pieces are added to the model of the tokenizer, not as `added_tokens`, which are cut out of a text before the
model sees it. WordPiece takes the longest piece that fits, so that a term is one when it is in the vocabulary.
Unigram takes the likeliest path: a term scores just above the pieces that it is made of. BPE merges pairs: a
term gets the merges that join its pieces, after all others; a word that holds the same pairs is joined, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

from embedloop.errors import InvalidInput
from training.vocabulary.report import bare, in_text

# Scores are log-probabilities; far below the difference of any two pieces that matters.
UNIGRAM_MARGIN = 1e-3

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


@dataclass(frozen=True, slots=True)
class NewPiece:
    """A piece with its id, and the ids of the old pieces that it was cut into before."""

    piece: str
    piece_id: int
    parts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """A piece as the tokenizer's own steps before its model write it, and the old pieces that it is made of."""

    piece: str
    parts: tuple[int, ...]


def extend_tokenizer(tokenizer: Tokenizer, terms: Sequence[str]) -> tuple[Tokenizer, list[NewPiece]]:
    """Adds terms to a tokenizer; the old pieces keep their ids.

    Args:
        tokenizer: Stays as it is.
        terms: As the tokenizer normalises them. One that its pre-tokenizer cuts, or that is a piece already, is
            passed over.

    Returns:
        The extended tokenizer, without window and padding, and its new pieces in order of their ids, which
        begin after the last one there was. With BPE some of them are parts of terms.

    Raises:
        InvalidInput: The tokenizer is of another kind.
    """
    state = json.loads(tokenizer.to_str())
    kind = state["model"].get("type")
    adding = _ADDING.get(kind)
    if adding is None:
        raise InvalidInput(f"a vocabulary can be extended in {', '.join(_ADDING)} tokenizers, got {kind}")
    plain = bare(Tokenizer.from_str(json.dumps(state)))
    written = list({one.piece: one for term in terms for one in _written(plain, term)}.values())
    pieces = adding(state, written)
    return bare(Tokenizer.from_str(json.dumps(state))), pieces


def _written(tokenizer: Tokenizer, term: str) -> list[Written]:
    """The term in the middle of a text and at its start, which are two pieces for some tokenizers."""
    found = []
    for text in dict.fromkeys((in_text(tokenizer, term), term)):
        normal = text if tokenizer.normalizer is None else tokenizer.normalizer.normalize_str(text)
        if tokenizer.pre_tokenizer is not None:
            words = [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normal)]
        else:
            words = [normal]
        if len(words) == 1 and tokenizer.token_to_id(words[0]) is None:
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            found.append(Written(words[0], tuple(ids)))
    return [one for one in found if one.parts]


def _first_free(state: Mapping[str, Any], vocabulary: Mapping[str, int]) -> int:
    added = [int(one["id"]) for one in state["added_tokens"]]
    return 1 + max([*vocabulary.values(), *added])


def _add_to_wordpiece(state: dict[str, Any], written: Sequence[Written]) -> list[NewPiece]:
    model = state["model"]
    vocabulary: dict[str, int] = model["vocab"]
    first = _first_free(state, vocabulary)
    short = [one for one in written if len(one.piece) <= model["max_input_chars_per_word"]]
    pieces = [NewPiece(one.piece, first + place, one.parts) for place, one in enumerate(short)]
    vocabulary.update({one.piece: one.piece_id for one in pieces})
    return pieces


def _add_to_unigram(state: dict[str, Any], written: Sequence[Written]) -> list[NewPiece]:
    vocabulary: list[list[Any]] = state["model"]["vocab"]
    scores = [float(score) for _, score in vocabulary]
    unknown = state["model"]["unk_id"]
    # Ids are places in the list: added tokens that lie behind it must keep theirs.
    behind = {int(one["id"]): one["content"] for one in state["added_tokens"]}
    while len(vocabulary) in behind:
        vocabulary.append([behind[len(vocabulary)], 0.0])
    if any(one > len(vocabulary) for one in behind):
        raise InvalidInput("the tokenizer has added tokens with a gap before them: it cannot be extended")
    first = len(vocabulary)
    # The library scores what it cannot read 10 below its lowest piece.
    floor = min(scores) - 10.0
    spelt = {at for at, (piece, _) in enumerate(vocabulary) if _BYTE.fullmatch(piece)}

    def score(parts: Sequence[int]) -> float:
        # Bytes stand for a character that cannot be read, which costs more than they say.
        own = sum(floor if part == unknown else scores[part] for part in parts if part not in spelt)
        # A term of more pieces gains more, so that it wins over shorter new terms within it.
        return own + UNIGRAM_MARGIN * max(1, len(parts) - 1)

    vocabulary.extend([one.piece, score(one.parts)] for one in written)
    return [NewPiece(one.piece, first + place, one.parts) for place, one in enumerate(written)]


def _add_to_bpe(state: dict[str, Any], written: Sequence[Written]) -> list[NewPiece]:
    model = state["model"]
    if model.get("continuing_subword_prefix"):
        raise InvalidInput("a BPE tokenizer that marks continuing pieces cannot be extended")
    vocabulary: dict[str, int] = model["vocab"]
    names = {number: piece for piece, number in vocabulary.items()}
    unread = {vocabulary.get(model.get("unk_token") or "")}
    if model.get("byte_fallback"):
        unread |= {number for piece, number in vocabulary.items() if _BYTE.fullmatch(piece)}
    merges = _Merges(_first_free(state, vocabulary), set(vocabulary), {})
    pieces: list[NewPiece] = []
    for one in written:
        # What is spelt in bytes, or not at all, never comes to the merges.
        if unread.isdisjoint(one.parts):
            pieces += merges.join([(names[part], (part,)) for part in one.parts])
    vocabulary.update({one.piece: one.piece_id for one in pieces})
    model["merges"] += [list(pair) for pair in merges.ranks]
    return pieces


@dataclass(slots=True)
class _Merges:
    """Merges that come after all that a BPE tokenizer has; a pair's rank is its place."""

    next_id: int
    known: set[str]
    ranks: dict[tuple[str, str], int]

    def join(self, parts: list[tuple[str, tuple[int, ...]]]) -> list[NewPiece]:
        """Adds what makes one piece of old ones; returns the pieces that were not there before."""
        parts = self._merged(parts)
        added = []
        while len(parts) > 1:
            (left, left_ids), (right, right_ids) = parts[:2]
            self.ranks[left, right] = len(self.ranks)
            if left + right not in self.known:
                self.known.add(left + right)
                added.append(NewPiece(left + right, self.next_id, left_ids + right_ids))
                self.next_id += 1
            parts = self._merged(parts)
        return added

    def _merged(self, parts: list[tuple[str, tuple[int, ...]]]) -> list[tuple[str, tuple[int, ...]]]:
        """What the merges make of pieces, as BPE does it: the pair of the lowest rank first, from the left."""
        while True:
            pairs = [
                (self.ranks[parts[at][0], parts[at + 1][0]], at)
                for at in range(len(parts) - 1)
                if (parts[at][0], parts[at + 1][0]) in self.ranks
            ]
            if not pairs:
                return parts
            _, at = min(pairs)
            (left, left_ids), (right, right_ids) = parts[at : at + 2]
            parts = [*parts[:at], (left + right, left_ids + right_ids), *parts[at + 2 :]]


_ADDING: dict[str, Callable[[dict[str, Any], Sequence[Written]], list[NewPiece]]] = {
    "WordPiece": _add_to_wordpiece,
    "Unigram": _add_to_unigram,
    "BPE": _add_to_bpe,
}
