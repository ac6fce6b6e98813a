from __future__ import annotations

import pytest

from embedloop.recipe.sources import Structure
from training.unlabelled.passages import CutDocument
from training.unlabelled.structure import sections_of, structure_offers

GOUT = """Gout

Gout is a painful disease of the joints. It comes at night. Uric acid is its cause. Beer makes it worse.

## **Diet** and [beer](http://x)

Eat less meat and drink more water every day.

```
# no heading
```

Treatment
---------

Rest the joint and cool it for some days.
"""


def document(title: str = "Gout", text: str = GOUT, identity: str = "d1") -> CutDocument:
    return CutDocument(identity, title, text, [text.split("\n\n## ")[0]])


def offers(*kinds: str, most: int = 9, seed: int = 13, **changed: str) -> dict[str, str]:
    settings = Structure.model_validate({"kinds": kinds, "max_pairs_per_document": most, "seed": seed})
    found = structure_offers(document(**changed), settings, lambda text: text.split("\n")[0])
    assert all(one.document_id == "d1" for one in found)
    return {one.anchor: one.positive for one in found}


def test_title_asks_for_the_first_passage_without_the_title() -> None:
    (pair,) = offers("title").items()
    assert pair[0] == "Gout"
    assert pair[1].startswith("Gout is a painful disease")


def test_heading_asks_with_its_title_for_the_section_below_it() -> None:
    assert offers("heading") == {
        "Gout Diet and beer": "Eat less meat and drink more water every day.",
        "Gout Treatment": "Rest the joint and cool it for some days.",
    }
    assert "Diet and beer" in offers("heading", title="")


def test_a_line_in_code_is_no_heading() -> None:
    assert [one.heading for one in sections_of(GOUT)] == ["Diet and beer", "Treatment"]
    assert sections_of("no heading, # at all") == []


def test_cloze_takes_its_sentence_out_of_the_passage() -> None:
    by_seed = [offers("cloze", seed=seed) for seed in range(40)]
    pairs = [next(iter(one.items())) for one in by_seed]
    assert all(anchor in GOUT and positive.startswith("Gout\n") for anchor, positive in pairs)
    kept = sum(anchor in positive for anchor, positive in pairs)
    assert 0 < kept < 12
    assert len({anchor for anchor, _ in pairs}) > 1


def test_kinds_take_turns_up_to_the_cap_and_the_same_seed_chooses_the_same() -> None:
    first = offers("heading", "title", most=2)
    assert "Gout" in first
    assert len(first) == 2
    assert first == offers("heading", "title", most=2)


def test_lineage_names_kind_and_document() -> None:
    (offer,) = structure_offers(document(), Structure(kinds=("title",)), str)
    assert offer.source == "structure:title:d1"


@pytest.mark.parametrize("text", ["", "   ", "one sentence alone", "# only a heading"])
def test_what_has_no_structure_offers_nothing(text: str) -> None:
    assert offers("cloze", "heading", "title", title="", text=text) == {}
