from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from semantic_text_splitter import TextSplitter
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split, Whitespace
from tokenizers.processors import TemplateProcessing

from embedloop.errors import ModelRefused
from embedloop.policy import Chunking
from embedloop.text.chunking import (
    MAX_CHUNK_CHARS,
    WINDOW_CHARS,
    Chunk,
    Chunker,
    _windowed,
    embedding_text,
)


@pytest.fixture
def tokenizer_file(tmp_path: Path) -> Path:
    """One token a word, two special ones, and truncation and padding set as shipped models have them."""
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "[PAD]": 3}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8)
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def chunker(path: Path, *, max_tokens: int = 16, overlap: int = 0, model: int = 64) -> Chunker:
    return Chunker.from_tokenizer_file(path, Chunking(max_tokens=max_tokens, overlap_tokens=overlap), model)


def words(count: int) -> str:
    return " ".join(f"word{number}" for number in range(count))


def test_long_text_is_cut_within_the_budget_and_loses_no_word(tokenizer_file: Path) -> None:
    text = words(100)
    chunks = chunker(tokenizer_file).split("", text)
    assert max(len(chunk.text.split()) for chunk in chunks) == 16
    assert " ".join(chunk.text for chunk in chunks) == text
    assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))


def test_offsets_point_at_the_chunk_in_the_original_text(tokenizer_file: Path) -> None:
    text = "  पैंथर्स 😀\n\n " + words(50)
    for chunk in chunker(tokenizer_file).split("Title", text):
        assert text[chunk.start : chunk.end] == chunk.text


def test_chunks_overlap_when_asked_to(tokenizer_file: Path) -> None:
    first, second, *_ = chunker(tokenizer_file, overlap=4).split("", words(60))
    assert second.text.startswith(" ".join(first.text.split()[-4:]))


def test_title_takes_its_share_of_the_model_window(tokenizer_file: Path) -> None:
    one = chunker(tokenizer_file, max_tokens=64, model=66)
    assert one.budget("") == 64
    assert one.budget(words(10)) == 48
    longest = max(len(chunk.text.split()) for chunk in one.split(words(10), words(200)))
    assert longest + 10 + 2 <= 66


def test_budget_never_falls_below_sixteen_tokens(tokenizer_file: Path) -> None:
    assert chunker(tokenizer_file, model=32).budget(words(500)) == 16


def test_overlap_is_reduced_where_a_long_title_leaves_little(tokenizer_file: Path) -> None:
    narrow = chunker(tokenizer_file, max_tokens=60, overlap=50, model=64)
    assert len(narrow.split(words(500), words(100))) > 6


def test_short_text_is_one_stripped_chunk(tokenizer_file: Path) -> None:
    assert chunker(tokenizer_file).split("", " gout ") == [Chunk(0, "gout", 1, 5)]


def test_title_alone_gives_one_empty_chunk(tokenizer_file: Path) -> None:
    assert chunker(tokenizer_file).split("Gout", " \n") == [Chunk(0, "", 0, 0)]


def test_nothing_gives_no_chunk(tokenizer_file: Path) -> None:
    assert chunker(tokenizer_file).split(" ", "\n") == []


def test_text_without_blanks_is_cut_to_what_a_milvus_field_holds(tokenizer_file: Path) -> None:
    text = "अ" * (2 * MAX_CHUNK_CHARS + 5)
    chunks = chunker(tokenizer_file).split("", text)
    assert [len(chunk.text) for chunk in chunks] == [MAX_CHUNK_CHARS, MAX_CHUNK_CHARS, 5]
    assert chunks[2].start == 2 * MAX_CHUNK_CHARS


def test_missing_tokenizer_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match=r"absent\.json"):
        chunker(tmp_path / "absent.json")


@pytest.mark.parametrize(
    ("title", "text", "expected"),
    [
        ("Gout", "Joints.", "Gout\nJoints."),
        (" ", "Joints. ", "Joints."),
        ("Gout", "\n", "Gout"),
        ("", "", ""),
    ],
)
def test_embedding_text_leaves_blank_parts_out(title: str, text: str, expected: str) -> None:
    assert embedding_text(title, text) == expected


MARKDOWN = "\n\n".join(f"## Part {part}\n\n{words(12)}\n\n* first {part}\n* second {part}" for part in range(6))


def by_markdown(path: Path, *, max_tokens: int = 40) -> Chunker:
    return Chunker.from_tokenizer_file(path, Chunking(by="markdown", max_tokens=max_tokens), 64)


def test_markdown_is_cut_at_headings(tokenizer_file: Path) -> None:
    chunks = by_markdown(tokenizer_file).split("", MARKDOWN)
    assert [chunk.text.split("\n")[0] for chunk in chunks] == [f"## Part {part}" for part in range(6)]


def test_text_is_cut_as_before_where_nothing_else_is_asked_for(tokenizer_file: Path) -> None:
    assert Chunking().by == "text"
    assert chunker(tokenizer_file, max_tokens=40).split("", MARKDOWN) != by_markdown(tokenizer_file).split(
        "", MARKDOWN
    )


@pytest.mark.parametrize("by", ["text", "markdown"])
@given(text=st.text(alphabet="#*-` \n.ab😀é|>", max_size=400))
def test_offsets_always_match_and_no_word_is_lost(by: Literal["text", "markdown"], text: str) -> None:
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    chunks = Chunker(tokenizer, Chunking(by=by, max_tokens=16), 64).split("", text)
    assert all(text[chunk.start : chunk.end] == chunk.text for chunk in chunks)
    assert "".join("".join(chunk.text.split()) for chunk in chunks) == "".join(text.split())


@dataclass
class Handed:
    """A splitter that notes how many characters it is handed at once."""

    real: Any
    lengths: list[int] = field(default_factory=list)

    def chunk_indices(self, text: str) -> Any:
        self.lengths.append(len(text))
        return self.real.chunk_indices(text)


@pytest.mark.parametrize("by", ["text", "markdown"])
def test_text_without_blanks_is_handed_to_the_splitter_in_windows_and_hardly_any_of_it_twice(
    monkeypatch: pytest.MonkeyPatch, by: Literal["text", "markdown"]
) -> None:
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Split(Regex("."), "isolated")
    cutter = Chunker(tokenizer, Chunking(by=by, max_tokens=64), 64)
    handed = Handed(cutter._splitter(64))
    monkeypatch.setitem(cutter._splitters, 64, handed)
    text = "高血圧と糖尿病の治療" * 4000
    chunks = cutter.split("", text)
    assert "".join(chunk.text for chunk in chunks) == text
    assert max(handed.lengths) == WINDOW_CHARS
    assert sum(handed.lengths) < 1.1 * len(text)


PARTS = st.sampled_from(["fever", "naïve", "высокий", "12.5", "Dr. X", "数据数据"])
ENDS = st.sampled_from([" ", " ", " ", ". ", "? ", ", ", "\n", "\n\n", "\n\n\n"])


@pytest.mark.parametrize("overlap", [0, 5])
@given(text=st.lists(st.tuples(PARTS, ENDS), min_size=100, max_size=200))
@settings(deadline=None, max_examples=40)
def test_windows_change_no_passage_of_text_with_separators(overlap: int, text: list[tuple[str, str]]) -> None:
    whole = "".join(f"{part}{end}" for part, end in text)
    splitter = TextSplitter.from_callback(lambda piece: len(piece.split()), 12, overlap)
    assert list(_windowed(splitter, whole, 400)) == splitter.chunk_indices(whole)


def test_word_longer_than_a_window_is_one_word(tokenizer_file: Path) -> None:
    word = "x" * (3 * WINDOW_CHARS)
    chunks = chunker(tokenizer_file).split("", f"fever {word} cough")
    assert "".join(chunk.text.replace(" ", "") for chunk in chunks) == f"fever{word}cough"
    assert max(len(chunk.text) for chunk in chunks) <= MAX_CHUNK_CHARS


def test_long_line_of_markdown_leaves_the_lines_around_it_as_they_are(tokenizer_file: Path) -> None:
    markdown = Chunker.from_tokenizer_file(tokenizer_file, Chunking(by="markdown", max_tokens=16), 64)
    around = f"# One\n\n{words(30)}\n\n# Two\n\n{words(30)}\n\n"
    alone = markdown.split("", around)
    beside = markdown.split("", around + words(4000))
    assert beside[: len(alone)] == alone
    assert sum(len(chunk.text.split()) for chunk in beside) == len(around.split()) + 4000
