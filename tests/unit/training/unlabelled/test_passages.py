from __future__ import annotations

from embedloop.records.labels import Split
from embedloop.text.normalise import query_key
from training.unlabelled.passages import Offer, choose

BODY = "a text of more than three words"


def offer(anchor: str, document_id: str = "d1", positive: str = BODY) -> Offer:
    return Offer(anchor, positive, document_id, f"structure:title:{document_id}")


def test_anchor_that_asks_for_two_documents_is_ambiguous() -> None:
    chosen = choose([offer("Introduction"), offer("introduction!", "d2"), offer("Gout", "d3")], {})
    assert [pair.anchor for pair in chosen.pairs] == ["Gout"]
    assert chosen.dropped == {"ambiguous": 2}


def test_what_is_there_already_is_not_made_again() -> None:
    taken = {(query_key("gout"), "d1")}
    chosen = choose([offer("Gout"), offer("Beer"), offer("beer.")], {}, taken)
    assert [pair.anchor for pair in chosen.pairs] == ["Beer"]
    assert chosen.dropped == {"repeated": 2}


def test_too_little_to_learn_from_is_left_out() -> None:
    short = [offer("Gout", positive="only three words"), offer("7"), offer(BODY), offer("x y " * 200)]
    assert choose(short, {}).dropped == {"too_short": 4}
    unspaced = offer("痛風", positive="痛風は関節の病気であり夜に来る尿酸が原因である")
    assert len(choose([unspaced], {}).pairs) == 1


def test_pairs_follow_their_document_into_its_split_and_only_train_is_limited() -> None:
    offers = [offer(f"query {n}", f"d{n}") for n in range(6)]
    chosen = choose(offers, {"d0": Split.DEV, "d5": Split.DEV}, most=2)
    assert [pair.split for pair in chosen.pairs] == [Split.DEV, Split.TRAIN, Split.TRAIN, Split.DEV]
    assert chosen.dropped == {"over_limit": 2}
    assert chosen.pairs[0].lineage == ("structure:title:d0",)
