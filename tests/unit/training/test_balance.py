from __future__ import annotations

from embedloop.records.labels import Split
from embedloop.records.training import TrainingPair
from embedloop.text.normalise import query_key
from training.balance import DocumentKind, cap_per_document, coverage


def pair(
    anchor: str, document: str, split: Split = Split.TRAIN, lineage: tuple[str, ...] = ("f-1",), text: str = "t"
) -> TrainingPair:
    return TrainingPair(anchor, text, (), query_key(anchor), document, split, lineage)


def test_cap_keeps_the_pairs_that_most_people_speak_for() -> None:
    pairs = [pair("a", "D1"), pair("b", "D1", lineage=("f-1", "f-2")), pair("c", "D1"), pair("d", "D2")]
    kept, dropped = cap_per_document(pairs, 1)
    assert ([one.anchor for one in kept], dropped) == (["b", "d"], 2)


def test_cap_leaves_dev_pairs_alone() -> None:
    pairs = [pair("a", "D1", Split.DEV), pair("b", "D1", Split.DEV)]
    assert cap_per_document(pairs, 1) == (pairs, 0)


def test_coverage_counts_each_kind_by_split_and_names_what_has_no_label() -> None:
    kinds = {
        "D1": DocumentKind("joints", "short"),
        "D2": DocumentKind("eyes", "long"),
        "D3": DocumentKind("skin", "short"),
    }
    told = coverage([pair("gout?", "D1"), pair("red eye", "D2", Split.DEV)], [("big toe", "D1")], kinds)
    assert told["train"] == {
        "queries": 1,
        "documents": 1,
        "by_topic": {"joints": 1},
        "by_length": {"short": 1},
        "by_form": {"question": 1},
    }
    assert told["golden"]["by_form"] == {"keywords": 1}
    assert told["corpus"]["by_topic"] == {"joints": 1, "eyes": 1, "skin": 1}
    assert told["unlabelled_topics"] == ["skin"]
    assert "topic=eyes" in told["thin_in_golden"]
    assert told["documents_shared_with_golden"] == 1
