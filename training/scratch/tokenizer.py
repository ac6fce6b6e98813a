"""Tokenizers made from a corpus; they keep vowel signs of Indic scripts, which BERT's takes for accents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tokenizers import AddedToken, Regex, Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import NFKC, BertNormalizer
from tokenizers.normalizers import Sequence as Normalizers
from tokenizers.pre_tokenizers import Split

UNKNOWN = "[UNK]"
PIECE_PREFIX = "##"
MOST_CHARS = 100
_BETWEEN_WORDS = Regex(r"[\s\p{P}\p{S}]+")


def static_tokenizer(vocabulary: Mapping[str, int], phrases: Sequence[str] = ()) -> Tokenizer:
    """A tokenizer of words without punctuation and without special tokens.

    A word that is not in the vocabulary is cut into the longest pieces that are; what no piece covers is
    `[UNK]`.

    Args:
        vocabulary: `[UNK]`, words in lower case, and pieces, of which those inside a word begin with `##`.
        phrases: Words with a blank between, that are one token; their ids follow the vocabulary's.
    """
    tokenizer = Tokenizer(
        WordPiece(
            dict(vocabulary),
            unk_token=UNKNOWN,
            continuing_subword_prefix=PIECE_PREFIX,
            max_input_chars_per_word=MOST_CHARS,
        )
    )
    tokenizer.normalizer = normalizer()
    tokenizer.pre_tokenizer = Split(_BETWEEN_WORDS, behavior="removed")
    tokenizer.add_tokens([AddedToken(phrase, single_word=True, normalized=True) for phrase in phrases])
    return tokenizer


class WordSplitter:
    """Cuts texts into the words that a `static_tokenizer` sees."""

    def __init__(self) -> None:
        self._normalizer = normalizer()
        self._splitter = Split(_BETWEEN_WORDS, behavior="removed")

    def words(self, text: str) -> list[str]:
        """Words in lower case, without punctuation.

        >>> WordSplitter().words("BP is 120/80, रक्तचाप में।")
        ['bp', 'is', '120', '80', 'रक्तचाप', 'में']
        """
        return [word for word, _ in self._splitter.pre_tokenize_str(self._normalizer.normalize_str(text))]


def piece_counts(words: Mapping[str, int], longest: int, least_words: int) -> dict[str, int]:
    """Counts the pieces that words begin with, and those inside of them with the prefix `##`.

    Args:
        words: Word -> how often it occurs.
        longest: Characters of the longest piece.
        least_words: Pieces longer than a character that fewer words have are left out.

    Returns:
        Piece -> occurrences, the most frequent first; every character of every word is among them.

    >>> piece_counts({"gout": 2, "goat": 1}, longest=2, least_words=2)
    {'g': 3, 'go': 3, '##o': 3, '##t': 3, '##u': 2, '##a': 1}
    """
    counts: dict[str, int] = {}
    in_words: dict[str, int] = {}
    for word, count in words.items():
        for piece in set(_pieces(word, longest)):
            counts[piece] = counts.get(piece, 0) + count
            in_words[piece] = in_words.get(piece, 0) + 1
    kept = [one for one in counts if in_words[one] >= least_words or len(one.removeprefix(PIECE_PREFIX)) == 1]
    return {piece: counts[piece] for piece in sorted(kept, key=lambda one: (-counts[one], _order(one)))}


def _order(piece: str) -> tuple[bool, int, str]:
    return piece.startswith(PIECE_PREFIX), len(piece), piece


def _pieces(word: str, longest: int) -> Iterable[str]:
    for start in range(len(word)):
        for end in range(start + 1, min(len(word), start + longest) + 1):
            yield word[:end] if start == 0 else PIECE_PREFIX + word[start:end]


def normalizer() -> Normalizers:
    # No accents are stripped: in Devanagari they are vowels. Joiners and control characters go.
    bert = BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=True)
    return Normalizers([NFKC(), bert])
