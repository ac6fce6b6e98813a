"""Cut documents into passages that fit an encoder, counted in the tokens of its own tokenizer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from semantic_text_splitter import MarkdownSplitter, TextSplitter
from tokenizers import Tokenizer

from embedloop.errors import ModelRefused
from embedloop.policy import Chunking

MIN_BUDGET = 16
MAX_CHUNK_CHARS = 16_000  # one word without blanks can be one token; a Milvus VARCHAR holds 65,535 bytes
_BUDGET_STEP = 16
# For each chunk the splitter looks for the end of the sentence, and where there is none to the end of the text:
# twice the text would take four times as long.
WINDOW_CHARS = 16_384
PIECES_AGAIN = 3
# So that a window holds several chunks.
_WINDOW_CHARS_PER_TOKEN = 32


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a text: `text == whole[start:end]`, offsets in characters, `ordinal` counts from 0."""

    ordinal: int
    text: str
    start: int
    end: int


class Chunker:
    """Splits at paragraph, sentence or word ends, the highest that fits (semantic-text-splitter).

    With `chunking.by` "markdown", a chunk ends at a heading, list item or block before it ends within a
    paragraph.

    The budget of a text is `chunking.max_tokens`, but never more than what the model has left beside the
    title and its special tokens, and never less than 16 tokens.
    """

    def __init__(self, tokenizer: Tokenizer, chunking: Chunking, model_max_tokens: int):
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._chunking = chunking
        self._room = model_max_tokens - tokenizer.num_special_tokens_to_add(False)
        self._splitters: dict[int, TextSplitter | MarkdownSplitter] = {}

    @classmethod
    def from_tokenizer_file(cls, path: Path, chunking: Chunking, model_max_tokens: int) -> Chunker:
        """Read a `tokenizer.json`; its truncation and padding are ignored, since both falsify counts.

        Raises:
            ModelRefused: The file is missing or no tokenizer.
        """
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises bare Exception
            raise ModelRefused(f"tokenizer file must be a tokenizer.json, got {path}: {error}") from error
        return cls(tokenizer, chunking, model_max_tokens)

    def split(self, title: str, text: str) -> list[Chunk]:
        """Cut one document's text.

        Args:
            title: Repeated before each chunk when it is encoded, so it takes its share of the budget.
            text: Cut into chunks without blanks at their ends.

        Returns:
            Chunks in the order of the text; one empty chunk when there is only a title; none without either.
        """
        if not text.strip():
            return [Chunk(0, "", 0, 0)] if title.strip() else []
        budget = self.budget(title)
        if len(text.encode("utf-8", "surrogatepass")) <= budget:
            pieces = [(0, text)]
        else:
            pieces = list(self._pieces(text, budget))
        spans = (span for start, piece in pieces for span in _bounded(start, piece))
        return [
            Chunk(ordinal, piece, start, start + len(piece)) for ordinal, (start, piece) in enumerate(spans)
        ]

    def budget(self, title: str) -> int:
        """Tokens that a chunk of a document with this title may have."""
        if not title.strip():
            room = self._room
        else:
            room = self._room - len(self._tokenizer.encode(title + "\n", add_special_tokens=False).ids)
        if room >= self._chunking.max_tokens:
            return self._chunking.max_tokens
        # Steps keep the number of splitters small: each holds a copy of the vocabulary.
        return max(MIN_BUDGET, room // _BUDGET_STEP * _BUDGET_STEP)

    def _pieces(self, text: str, budget: int) -> Iterator[tuple[int, str]]:
        """Pieces with their offsets, cut out of windows: the same as out of the whole text."""
        splitter = self._splitter(budget)
        width = max(WINDOW_CHARS, _WINDOW_CHARS_PER_TOKEN * budget)
        if self._chunking.by == "text":
            yield from _windowed(splitter, text, width)
            return
        # What a line of Markdown is depends on those before it, so that windows begin in lines alone.
        for start, stretch, is_line in _long_lines(text, width):
            for offset, piece in _windowed(splitter, stretch, width if is_line else len(stretch)):
                yield start + offset, piece

    def _splitter(self, budget: int) -> TextSplitter | MarkdownSplitter:
        splitter = self._splitters.get(budget)
        if splitter is None:
            overlap = min(self._chunking.overlap_tokens, budget // 2)
            kind = MarkdownSplitter if self._chunking.by == "markdown" else TextSplitter
            splitter = kind.from_huggingface_tokenizer(self._tokenizer, budget, overlap)
            self._splitters[budget] = splitter
        return splitter


def embedding_text(title: str, text: str) -> str:
    """Join what is encoded for a passage: title and text on lines of their own, without blank parts.

    >>> embedding_text("Gout", "A disease of the joints.")
    'Gout\\nA disease of the joints.'
    >>> embedding_text("", "A disease of the joints.")
    'A disease of the joints.'
    """
    return "\n".join(part for part in (title.strip(), text.strip()) if part)


def _windowed(splitter: TextSplitter | MarkdownSplitter, text: str, width: int) -> Iterator[tuple[int, str]]:
    """Pieces of a text with their offsets, where the splitter is handed at most `width` characters at once.

    The last piece of a window knew nothing of what follows; it is cut again in the next one, which begins some
    pieces before it, since where a piece begins depends on those that it overlaps. A window of few pieces is
    handed again, twice as wide.
    """
    start, wide, known = 0, width, -1
    while True:
        is_last = start + wide >= len(text)
        pieces = [(start + at, piece) for at, piece in splitter.chunk_indices(text[start : start + wide])]
        settled = pieces if is_last else pieces[:-1]
        fresh = [piece for piece in settled if piece[0] > known]
        yield from fresh
        if is_last:
            return
        known = fresh[-1][0] if fresh else known
        again = settled[-PIECES_AGAIN:][0][0] if settled else start
        start, wide = (again, width) if again > start else (start, 2 * wide)


def _long_lines(text: str, width: int) -> Iterator[tuple[int, str, bool]]:
    """Stretches of a text with their offsets: each line longer than `width`, and the lines between them.

    >>> list(_long_lines("ab\\ncd\\nabcdef\\ngh", 4))
    [(0, 'ab\\ncd\\n', False), (6, 'abcdef', True), (12, '\\ngh', False)]
    """
    end = 0
    for line in re.finditer(rf"[^\n]{{{width + 1},}}", text):
        if line.start() > end:
            yield end, text[end : line.start()], False
        yield line.start(), line.group(), True
        end = line.end()
    if end < len(text):
        yield end, text[end:], False


def _bounded(start: int, piece: str) -> list[tuple[int, str]]:
    """Strip a piece, and cut it into runs of at most `MAX_CHUNK_CHARS`."""
    stripped = piece.strip()
    offset = start + len(piece) - len(piece.lstrip())
    steps = range(0, len(stripped), MAX_CHUNK_CHARS)
    return [(offset + step, stripped[step : step + MAX_CHUNK_CHARS]) for step in steps]
