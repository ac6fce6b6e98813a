from __future__ import annotations

from pathlib import Path

import pytest

from embedloop.errors import InvalidInput
from training.wordnet import build as module
from training.wordnet.build import Synset, build, read_synsets

LIFE = (
    "00006269 03 n 01 life 0 002 @ 00004258 n 0000 ~ 07993776 n 0000 "
    '| living things collectively; "the oceans are teeming with life"  '
)
ALIVE = "00006500 00 a 0b " + "alive(p) 0 " + "w 0 " * 10 + "000 | having life and vigour in the body  "


def folder_with(tmp_path: Path, nouns: str, adjectives: str = "") -> Path:
    for name, content in zip(("noun", "verb", "adj", "adv"), (nouns, "", adjectives, ""), strict=True):
        (tmp_path / f"data.{name}").write_text("  1 This is the licence | of WordNet\n" + content)
    return tmp_path


def many(count: int) -> list[Synset]:
    return [
        Synset(f"n{n:05}", (f"word{n}",), f"gloss number {n} of this test", (f"a sentence with example {n}",))
        for n in range(count)
    ]


def test_words_gloss_and_examples_are_read(tmp_path: Path) -> None:
    assert read_synsets(folder_with(tmp_path, LIFE)) == [
        Synset("n00006269", ("life",), "living things collectively", ("the oceans are teeming with life",))
    ]


def test_count_of_words_is_hexadecimal_and_markers_of_position_are_left_out(tmp_path: Path) -> None:
    (found,) = read_synsets(folder_with(tmp_path, "", ALIVE))
    assert found.words == ("alive", *["w"] * 10)


def test_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"data\.noun"):
        read_synsets(tmp_path)


def test_half_of_the_queries_are_sentences_and_pairs_are_of_other_meanings() -> None:
    built = build(many(2000))
    sentences = [text for text in built["queries"].values() if " " in text]
    assert (len(built["queries"]), len(sentences)) == (module.QUERIES, module.QUERIES // 2)
    assert len(built["documents"]) == module.DOCUMENTS
    assert built["queries"].keys() <= built["documents"].keys()
    assert {pair[0] for pair in built["pairs"]}.isdisjoint(built["documents"])


def test_same_synsets_and_seed_give_the_same_set() -> None:
    assert build(many(2000)) == build(many(2000))
    assert build(many(2000)) != build(many(2000), seed=1)


def test_question_with_two_meanings_is_not_asked() -> None:
    twins = [Synset(f"n{n}", ("both",), f"meaning number {n} of this word", ()) for n in range(2)]
    assert build(twins)["queries"] == {}
