"""Transliteration, code-mixing and back-translation."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from embedloop.errors import TrainingFailed
from embedloop.settings import Settings
from tests.fake_language_model import completion, serving
from training.augmentation.back_translation import BackTranslation, PromptedTranslator
from training.augmentation.code_mixing import CodeMixing, read_translations
from training.augmentation.transliteration import Transliteration, in_latin
from training.kept_answers import KeptAnswers
from workers.language_model import language_model_of

RANDOM = random.Random(1)


def test_devanagari_is_written_as_people_type_it() -> None:
    assert Transliteration().variants("पेट में दर्द?", RANDOM) == ["pet men dard?"]
    assert in_latin("हृदय") == "hriday"


def test_latin_letters_are_read_as_words_that_the_corpus_has() -> None:
    known = Transliteration(["पेट में दर्द होता है।", "Plain English."])
    assert known.variants("Dard in the pet", RANDOM) == ["दर्द in the पेट"]
    assert known.variants("plain English", RANDOM) == []


def test_about_half_of_the_known_phrases_are_mixed_in() -> None:
    mixing = CodeMixing([("blood pressure", "रक्तचाप"), ("high", "उच्च")])
    made = {mixing.variants("high blood pressure now", random.Random(seed))[0] for seed in range(20)}
    assert made == {"उच्च blood pressure now", "high रक्तचाप now"}
    assert mixing.variants("उच्च", RANDOM) == ["high"]
    assert mixing.variants("nothing known", RANDOM) == []


def test_translations_are_read_from_both_formats(tmp_path: Path) -> None:
    table, lines = tmp_path / "t.csv", tmp_path / "t.jsonl"
    table.write_text("term,translation\nhigh,उच्च\n")
    lines.write_text(json.dumps({"term": "high", "translation": "उच्च"}) + "\n")
    assert read_translations(table) == read_translations(lines) == [("high", "उच्च")]
    lines.write_text('{"term": "secret"}\n')
    with pytest.raises(TrainingFailed, match="line 1") as refusal:
        read_translations(lines)
    assert "secret" not in refusal.value.message


def test_a_query_comes_back_from_another_language_in_other_words_and_is_paid_for_once(
    tmp_path: Path,
) -> None:
    def translate(body: dict[str, Any]) -> tuple[int, bytes]:
        asked, text = (message["content"] for message in body["messages"])
        there = "from English to German" in asked
        assert json.loads(text) == {"text": "toe hurts" if there else "Zeh tut weh"}
        return 200, completion("Zeh tut weh" if there else "painful toe")

    with serving(translate) as server:
        with language_model_of(Settings(llm_url=server.url, llm_model="small")) as model:
            assert model is not None
            for _ in range(2):
                kept = KeptAnswers(tmp_path / "translations.jsonl")
                back = BackTranslation(PromptedTranslator(model, kept, print), "English", "German")
                assert back.variants("toe hurts", RANDOM) == ["painful toe"]
        assert len(server.seen) == 2
