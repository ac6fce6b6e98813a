from __future__ import annotations

from pathlib import Path

import pytest

from embedloop.demo.ontology import (
    Synonym,
    Vocabulary,
    build_vocabulary,
    choose_terms,
    dev_terms,
    read_terms,
    release_of,
    share_of,
    usable_synonyms,
)
from embedloop.errors import InvalidInput
from embedloop.records.labels import Split
from embedloop.text.normalise import query_key

OBO = r"""format-version: 1.2
data-version: hp/releases/2030-01-01

[Term]
id: T:2
name: Dry eye
def: "Too few tears; a \"sicca\" state.\nOften itchy." [ref:1, ref:2]
synonym: "Eyes, dry" EXACT []
synonym: "DRY  EYE" EXACT layperson []
synonym: "Keratoconjunctivitis sicca" RELATED []
synonym: "keratoconjunctivitis Sicca." EXACT layperson []
synonym: "Dry eyes" EXACT plural_form [ref:3]
synonym: "Xerophthalmia old" EXACT obsolete_synonym []
synonym: "Sicca colour" EXACT uk_spelling []
synonym: "Sandy feeling" NARROW layperson []
synonym: "Shared words" EXACT []

[Term]
id: T:1
name: Gout
synonym: "shared WORDS" BROAD []
synonym: "Dry eye" RELATED []
synonym: "Big \"toe\" pain" EXACT layperson []

[Term]
id: T:3
name: obsolete Gone
is_obsolete: true
synonym: "Gone for good" EXACT []

[Typedef]
id: part_of
name: part of
"""


@pytest.fixture
def small_file(tmp_path: Path) -> Path:
    path = tmp_path / "small.obo"
    path.write_text(OBO, encoding="utf-8")
    return path


def test_terms_are_read_without_obsolete_ones_and_typedefs(small_file: Path) -> None:
    terms = read_terms(small_file)
    assert [(term.term_id, term.name) for term in terms] == [("T:1", "Gout"), ("T:2", "Dry eye")]


def test_escapes_scopes_and_types_are_read(small_file: Path) -> None:
    gout, eye = read_terms(small_file)
    assert gout.definition == ""
    assert eye.definition == 'Too few tears; a "sicca" state.\nOften itchy.'
    assert gout.synonyms[2] == Synonym('Big "toe" pain', "EXACT", "layperson")
    assert eye.synonyms[0] == Synonym("Eyes, dry", "EXACT", None)


def test_document_is_name_and_definition_only(small_file: Path) -> None:
    eye = read_terms(small_file)[1]
    assert eye.document == {"id": "T:2", "title": "Dry eye", "text": eye.definition}


def test_only_synonyms_with_one_meaning_are_usable(small_file: Path) -> None:
    assert usable_synonyms(read_terms(small_file)) == {
        "T:1": ('Big "toe" pain',),
        "T:2": ("Eyes, dry", "Keratoconjunctivitis sicca", "Sandy feeling"),
    }


def test_release_is_read_from_the_head(small_file: Path) -> None:
    assert release_of(small_file) == "hp/releases/2030-01-01"


def test_file_without_terms_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.obo"
    path.write_text("format-version: 1.2\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"empty\.obo must be an OBO file with terms"):
        read_terms(path)


def test_vocabulary_of_too_few_terms_is_refused(small_file: Path) -> None:
    with pytest.raises(InvalidInput, match="got 2"):
        build_vocabulary(small_file, terms=None, test_cap=800, golden_cap=400, seed=13)


def test_real_ontology_has_its_19034_terms(real_file: Path) -> None:
    terms = read_terms(real_file)
    assert len(terms) == 19_034
    assert sum(map(len, usable_synonyms(terms).values())) == 20_673
    assert release_of(real_file) == "hp/releases/2025-01-16"


def test_6000_terms_give_enough_queries_for_each_list(real_file: Path) -> None:
    vocabulary = build_vocabulary(real_file, terms=6000, test_cap=800, golden_cap=400, seed=13)
    assert len(vocabulary.terms) == 6000
    assert len(vocabulary.test) == 800
    assert len(vocabulary.golden) == 400
    assert len(vocabulary.train) > 4000


def test_no_term_and_no_wording_is_in_two_lists(small_vocabulary: Vocabulary) -> None:
    lists = (small_vocabulary.train, small_vocabulary.golden, small_vocabulary.test)
    for position, one in enumerate(lists):
        for other in lists[position + 1 :]:
            assert not {case.term_id for case in one} & {case.term_id for case in other}
            assert not {query_key(case.query) for case in one} & {query_key(case.query) for case in other}


def test_every_query_means_a_document_of_the_demo(small_vocabulary: Vocabulary) -> None:
    ids = {term.term_id for term in small_vocabulary.terms}
    cases = (*small_vocabulary.train, *small_vocabulary.golden, *small_vocabulary.test)
    assert {case.term_id for case in cases} <= ids


def test_same_seed_gives_the_same_vocabulary_and_another_seed_another(real_file: Path) -> None:
    terms = read_terms(real_file)
    assert choose_terms(terms, 300, 1) == choose_terms(list(terms), 300, 1)
    assert choose_terms(terms, 300, 1) != choose_terms(terms, 300, 2)


def test_caps_drop_queries_instead_of_training_on_them(real_file: Path) -> None:
    capped = build_vocabulary(real_file, terms=300, test_cap=5, golden_cap=4, seed=13)
    free = build_vocabulary(real_file, terms=300, test_cap=800, golden_cap=400, seed=13)
    assert (len(capped.test), len(capped.golden)) == (5, 4)
    assert capped.train == free.train


def test_terms_are_shared_out_at_about_75_8_and_17_percent() -> None:
    shares = [share_of(f"T:{number}", 13) for number in range(10_000)]
    assert shares.count(Split.TRAIN) == pytest.approx(7500, abs=200)
    assert shares.count(Split.GOLDEN) == pytest.approx(800, abs=120)
    assert shares.count(None) == pytest.approx(1700, abs=150)


def test_dev_queries_are_drawn_by_term(small_vocabulary: Vocabulary) -> None:
    known = {case.term_id for case in small_vocabulary.train}
    dev = dev_terms(small_vocabulary.train, 0.08, 13)
    assert dev < known
    assert len(dev) == round(0.08 * len(known))
