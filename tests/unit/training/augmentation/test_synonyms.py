from __future__ import annotations

import random

from training.augmentation.synonyms import Synonyms
from training.unlabelled.glossary import Entry
from training.wordnet.build import Synset


def synset(*words: str) -> Synset:
    return Synset("1", words, "a gloss", ())


def variants(synonyms: Synonyms, query: str) -> set[str]:
    return {one for seed in range(20) for one in synonyms.variants(query, random.Random(seed))}


def test_a_word_with_one_meaning_is_replaced() -> None:
    meanings = [synset("nosebleed", "epistaxis"), synset("bank", "shore"), synset("bank", "lender")]
    known = Synonyms(wordnet=meanings)
    assert variants(known, "my Nosebleed again") == {"my epistaxis again"}
    assert variants(known, "bank") == set()


def test_the_longest_phrase_counts_and_the_glossary_comes_first() -> None:
    glossary = [Entry(1, "heart attack", "x", ("MI",))]
    known = Synonyms(glossary, [synset("attack", "assault"), synset("heart attack", "infarct")])
    assert known.variants("heart attack", random.Random(1)) == ["MI", "infarct"]


def test_every_name_of_a_glossary_entry_may_stand_for_each_other() -> None:
    known = Synonyms([Entry(1, "hypertension", "x", ("high blood pressure", "HTN"))])
    assert variants(known, "HTN in pregnancy") == {
        "hypertension in pregnancy",
        "high blood pressure in pregnancy",
    }
