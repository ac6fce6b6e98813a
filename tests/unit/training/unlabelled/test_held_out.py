from __future__ import annotations

from dataclasses import replace

from embedloop.records.labels import Split
from embedloop.records.training import TrainingPair
from embedloop.text.normalise import query_key
from training.unlabelled.held_out import set_of, untrained


def pair(anchor: str, document_id: str) -> TrainingPair:
    text = f"the text of {document_id}"
    return TrainingPair(anchor, text, (), query_key(anchor), document_id, Split.TRAIN, ("f",))


def test_whatever_training_has_seen_measures_nothing() -> None:
    trained = replace(pair("gout", "d1"), negatives=("x",), negative_ids=("d2",))
    offered = [pair("a", "d1"), pair("b", "d2"), pair("Gout!", "d3"), pair("c", "d4")]
    assert [one.document_id for one in untrained(offered, [trained])] == ["d4"]


def test_each_query_asks_for_its_own_document_among_all() -> None:
    judged = set_of([pair("gout", "d1"), pair("flu", "d2")], {"d3": "another text"})
    assert judged.documents == {"d1": "the text of d1", "d2": "the text of d2", "d3": "another text"}
    assert judged.queries[query_key("gout")] == "gout"
    assert judged.qrels[query_key("gout")] == {"d1": 1}
