from __future__ import annotations

import pytest

from tests.unit.training.vocabulary.conftest import BuildModel
from training.vocabulary.report import open_tokenizer
from training.vocabulary.terms import (
    WordCounts,
    count_words,
    domain_terms,
    general_words,
    normaliser_of,
)


def terms_of(texts: list[str], min_documents: int = 2) -> list[str]:
    general = general_words(str.lower)
    return [term.word for term in domain_terms(count_words(texts, str.lower), general, min_documents)]


def test_words_of_the_domain_are_told_from_those_of_every_text() -> None:
    texts = [f"Tophus: a sign of gout and hyperuricemia that is found in one of {n} joints" for n in range(10)]
    found = terms_of(texts)
    assert {"tophus", "hyperuricemia"} <= set(found)
    assert not {"a", "and", "of", "is", "in"} & set(found)


def test_documents_are_counted_and_not_occurrences() -> None:
    counts = count_words(["gout gout gout", "gout", "rest"], str.lower)
    assert (counts.texts, counts.documents["gout"], counts.occurrences["gout"]) == (3, 2, 4)
    assert terms_of(["tophus " * 9, "rest"]) == []


def test_case_and_accents_count_as_the_tokenizer_takes_them(build_model: BuildModel) -> None:
    normalise = normaliser_of(open_tokenizer(build_model("WordPiece")))
    assert count_words(["Ménière", "MENIERE"], normalise).documents == {"meniere": 2}
    bpe = normaliser_of(open_tokenizer(build_model("BPE")))
    assert count_words(["Ménière"], bpe).documents == {"Ménière": 1}


@pytest.mark.parametrize("text", ["call [EMAIL_kqzvghjkmnpqrstv] now", "call [PHONE] now"])
def test_what_the_redactor_left_is_no_word(text: str) -> None:
    assert set(count_words([text], str.lower).documents) == {"call", "now"}


def test_words_of_other_scripts_are_whole() -> None:
    assert terms_of(["रक्तचाप बढ़ा", "रक्तचाप घटा"]) == ["रक्तचाप"]


def test_numbers_and_letters_alone_are_no_terms() -> None:
    assert terms_of(["1234 x9 ab hp0000118"] * 3) == ["hp0000118"]


def test_terms_are_in_one_order_whatever_that_of_the_texts() -> None:
    texts = ["tophus podagra", "podagra tophus", "allopurinol", "allopurinol"]
    assert terms_of(texts) == terms_of(texts[::-1]) == ["allopurinol", "podagra", "tophus"]


def test_empty_corpus_has_no_terms() -> None:
    assert domain_terms(count_words([], str.lower), WordCounts(0, {}, {}), 1) == []
