from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import BertPreTokenizer

from embedloop.errors import ModelRefused
from tests.unit.training.vocabulary.conftest import TERMS, BuildModel
from training.vocabulary.pieces import extend_tokenizer
from training.vocabulary.report import measure, open_tokenizer
from training.vocabulary.terms import Term, count_words, normaliser_of

WORDS = count_words(["joint gout", "joint tophus", "joint"], str.lower)
DOMAIN = [Term("joint", 3), Term("gout", 1), Term("tophus", 1)]


def test_wordpiece_is_measured_by_its_pieces(build_model: BuildModel) -> None:
    report = measure(open_tokenizer(build_model("WordPiece")), WORDS, DOMAIN)
    assert report.model == "WordPiece"
    assert report.fertility == pytest.approx((3 * 1 + 4 + 6) / 5)
    assert report.term_fertility == pytest.approx((1 + 4 + 6) / 3)
    assert report.kept_whole == pytest.approx(1 / 3)
    assert report.split_share == pytest.approx(2 / 5)
    assert (report.oov_rate, report.split_terms) == (0.0, 2)
    assert [(one.term, one.pieces) for one in report.worst] == [
        ("tophus", tuple("tophus")),
        ("gout", tuple("gout")),
    ]


def test_word_model_is_measured_by_the_words_that_it_does_not_know() -> None:
    tokenizer = Tokenizer(WordLevel({"joint": 0, "<unk>": 1}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = BertPreTokenizer()
    report = measure(tokenizer, WORDS, DOMAIN)
    assert report.oov_rate == pytest.approx(2 / 5)
    assert report.term_oov_rate == pytest.approx(2 / 3)
    assert report.kept_whole == pytest.approx(1 / 3)
    assert {one.term for one in report.worst} == {"gout", "tophus"}


@pytest.mark.parametrize("kind", ["WordPiece", "Unigram", "BPE"])
def test_extension_keeps_more_terms_whole(kind: str, build_model: BuildModel) -> None:
    tokenizer = open_tokenizer(build_model(kind))
    words = count_words([" ".join(TERMS)] * 2, normaliser_of(tokenizer))
    terms = [Term(term, 2) for term in TERMS]
    assert measure(tokenizer, words, terms).kept_whole == 0.0
    report = measure(extend_tokenizer(tokenizer, TERMS)[0], words, terms)
    assert (report.kept_whole, report.term_fertility, report.worst) == (1.0, 1.0, ())


def test_report_of_nothing_is_told_without_numbers_that_are_none(build_model: BuildModel) -> None:
    report = measure(open_tokenizer(build_model("WordPiece")), count_words([], str.lower), [])
    assert (report.passages, report.terms, report.fertility, report.kept_whole) == (0, 0, 0.0, 0.0)


def test_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match=r"no tokenizer\.json"):
        open_tokenizer(tmp_path)
