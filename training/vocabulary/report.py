"""How well a tokenizer knows the words of a corpus: pieces per word, what it cannot read or cuts worst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from embedloop.errors import ModelRefused
from training.vocabulary.terms import Term, WordCounts

WORST_TERMS = 20
# A term that is cut costs its pieces; below these, too little of a corpus is cut for an extension to matter.
MIN_SPLIT_TERMS = 100
MIN_SPLIT_SHARE = 0.02
MAX_KEPT_WHOLE = 0.75


@dataclass(frozen=True, slots=True)
class SplitTerm:
    """A term that the tokenizer does not keep whole, and what it makes of it."""

    term: str
    documents: int
    pieces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VocabularyReport:
    """What a tokenizer makes of a corpus.

    Attributes:
        model: Kind of tokenizer: `WordPiece`, `Unigram`, `BPE` or `WordLevel`.
        passages: Texts that were looked at.
        fertility: Pieces per running word.
        oov_rate: Share of running words with something in them that the tokenizer cannot read. Of a word model
            these are the words it does not know.
        terms: Domain terms found.
        term_fertility: Pieces per domain term.
        term_oov_rate: As `oov_rate`, over the domain terms.
        kept_whole: Share of the domain terms that are one piece.
        split_share: Share of running words that are domain terms cut in pieces.
        worst: Domain terms that cost most pieces over all texts, the worst first.
    """

    model: str
    passages: int
    fertility: float
    oov_rate: float
    terms: int
    term_fertility: float
    term_oov_rate: float
    kept_whole: float
    split_share: float
    worst: tuple[SplitTerm, ...]

    @property
    def split_terms(self) -> int:
        return round(self.terms * (1 - self.kept_whole))

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"split_terms": self.split_terms}


@dataclass(frozen=True, slots=True)
class Cut:
    """A word as a tokenizer cuts it; `known` is false where it cannot read all of it."""

    pieces: tuple[str, ...]
    ids: tuple[int, ...]
    known: bool

    @property
    def whole(self) -> bool:
        return self.known and len(self.ids) == 1


def open_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a model folder, without the window and padding that its file may ask for.

    Raises:
        ModelRefused: The folder has no `tokenizer.json`, or it cannot be read.
    """
    try:
        return bare(Tokenizer.from_file(str(folder / "tokenizer.json")))
    except Exception as error:  # tokenizers raises bare Exception
        raise ModelRefused(f"{folder} has no tokenizer.json that can be read: {error}") from error


def bare(tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def cuts(tokenizer: Tokenizer, words: Sequence[str]) -> list[Cut]:
    """How words are cut in the middle of a text."""
    unknown = getattr(tokenizer.model, "unk_token", None)
    unknown_id = getattr(tokenizer.model, "unk_id", None)
    if unknown is not None:
        unknown_id = tokenizer.token_to_id(unknown)
    found = []
    texts = [in_text(tokenizer, word) for word in words]
    for text, one in zip(texts, tokenizer.encode_batch(texts, add_special_tokens=False), strict=True):
        pieces = tuple(text[start:end].strip() for start, end in one.offsets)
        found.append(Cut(pieces, tuple(one.ids), bool(one.ids) and unknown_id not in one.ids))
    return found


def in_text(tokenizer: Tokenizer, word: str) -> str:
    """The word as after a blank; what has no pre-tokenizer puts the mark of one before every text itself."""
    return word if tokenizer.pre_tokenizer is None else f" {word}"


def measure(tokenizer: Tokenizer, words: WordCounts, terms: Sequence[Term]) -> VocabularyReport:
    """Counts over all running words and over the domain terms.

    Args:
        tokenizer: As `open_tokenizer` gives it.
        words: Words of the corpus, normalised by the same tokenizer.
        terms: Those of them that belong to the domain.
    """
    known = list(words.occurrences)
    by_word = dict(zip(known, cuts(tokenizer, known), strict=True))
    running = sum(words.occurrences.values())
    pieces = sum(count * len(by_word[word].ids) for word, count in words.occurrences.items())
    unread = sum(count for word, count in words.occurrences.items() if not by_word[word].known)
    split = [term for term in terms if not by_word[term.word].whole]
    split_words = sum(words.occurrences[term.word] for term in split)
    return VocabularyReport(
        model=type(tokenizer.model).__name__,
        passages=words.texts,
        fertility=_share(pieces, running),
        oov_rate=_share(unread, running),
        terms=len(terms),
        term_fertility=_share(sum(len(by_word[term.word].ids) for term in terms), len(terms)),
        term_oov_rate=_share(sum(not by_word[term.word].known for term in terms), len(terms)),
        kept_whole=_share(len(terms) - len(split), len(terms)),
        split_share=_share(split_words, running),
        worst=tuple(
            SplitTerm(term.word, term.documents, by_word[term.word].pieces)
            for term in worst_first(split, by_word)[:WORST_TERMS]
        ),
    )


def worst_first(split: Sequence[Term], by_word: dict[str, Cut]) -> list[Term]:
    """Terms by the pieces that they would save if they were whole, in all texts that hold them."""

    def saved(term: Term) -> int:
        cut = by_word[term.word]
        return term.documents * max(1, len(cut.ids) - 1)

    return sorted(split, key=lambda term: (-saved(term), term.word))


def advise_extension(report: VocabularyReport) -> str:
    """Says whether new terms in the tokenizer are worth trying.

    >>> from dataclasses import replace
    >>> cut = VocabularyReport("WordPiece", 6000, 1.4, 0.0, 1500, 2.0, 0.0, 0.5, 0.08, ())
    >>> advise_extension(cut)
    'worth trying: 750 of 1500 domain terms are cut (50% kept whole), 8.0% of the running words'
    >>> advise_extension(replace(cut, kept_whole=0.9))
    'not worth it: 90% of 1500 domain terms are kept whole'
    >>> advise_extension(replace(cut, split_share=0.01))
    'not worth it: the domain terms that are cut are 1.0% of the running words, less than 2.0%'
    >>> advise_extension(replace(cut, terms=40))
    'not worth it: 20 domain terms are cut, fewer than 100'
    """
    if report.kept_whole > MAX_KEPT_WHOLE:
        return f"not worth it: {report.kept_whole:.0%} of {report.terms} domain terms are kept whole"
    if report.split_terms < MIN_SPLIT_TERMS:
        return f"not worth it: {report.split_terms} domain terms are cut, fewer than {MIN_SPLIT_TERMS}"
    if report.split_share < MIN_SPLIT_SHARE:
        return (
            f"not worth it: the domain terms that are cut are {report.split_share:.1%} of the running words, "
            f"less than {MIN_SPLIT_SHARE:.1%}"
        )
    return (
        f"worth trying: {report.split_terms} of {report.terms} domain terms are cut "
        f"({report.kept_whole:.0%} kept whole), {report.split_share:.1%} of the running words"
    )


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
