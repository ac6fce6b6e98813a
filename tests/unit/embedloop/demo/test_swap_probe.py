from __future__ import annotations

from dataclasses import replace

from embedloop.demo.ontology import Vocabulary
from embedloop.demo.swap_probe import Sample, SwapProbe, judge, record, same
from tests.unit.embedloop.demo.fake_service import FakeService

OLD = (("p1", 0.9), ("p2", 0.5))
NEW = (("p3", 0.8), ("p1", 0.7))
MODEL_OF = {"iv-old": "m-old", "iv-new": "m-new"}
ORACLE = {("iv-old", "q"): OLD, ("iv-new", "q"): NEW}
SAMPLE = Sample(0.0, 5.0, "q", "iv-old", "m-old", OLD)


def test_answers_of_either_version_are_no_mixture() -> None:
    samples = [SAMPLE, Sample(1.0, 5.0, "q", "iv-new", "m-new", NEW)]
    verdict = judge(samples, MODEL_OF, ORACLE, ["q"])
    assert (verdict.errors, verdict.mixed, verdict.compared) == (0, 0, 2)
    assert verdict.by_version == {"iv-old": 1, "iv-new": 1}


def test_model_of_another_version_is_a_mixture() -> None:
    verdict = judge([replace(SAMPLE, query="other", model_version="m-new")], MODEL_OF, ORACLE, ["q"])
    assert (verdict.mixed, verdict.compared) == (1, 0)
    assert "is of m-old, the query of m-new" in verdict.reasons[0]


def test_unknown_index_version_is_a_mixture() -> None:
    assert judge([replace(SAMPLE, index_version="iv-x")], MODEL_OF, ORACLE, ["q"]).mixed == 1


def test_passages_of_another_version_are_a_mixture() -> None:
    assert judge([replace(SAMPLE, listing=NEW)], MODEL_OF, ORACLE, ["q"]).mixed == 1


def test_one_foreign_passage_is_a_mixture() -> None:
    assert judge([replace(SAMPLE, listing=(("p1", 0.9), ("p3", 0.51)))], MODEL_OF, ORACLE, ["q"]).mixed == 1


def test_failed_search_is_counted_and_told() -> None:
    verdict = judge([Sample(0.0, 5.0, "q", error="unavailable: gone")], MODEL_OF, ORACLE, ["q"])
    assert (verdict.searches, verdict.errors, verdict.mixed) == (1, 1, 0)
    assert verdict.reasons == ("'q' was not answered: unavailable: gone",)


def test_rounding_of_scores_and_order_of_equals_do_not_matter() -> None:
    assert same((("a", 0.9), ("b", 0.5), ("c", 0.4999)), (("a", 0.9004), ("c", 0.5), ("b", 0.4999)))


def test_missing_or_shifted_passage_matters() -> None:
    assert not same((("a", 0.9),), (("a", 0.9), ("b", 0.5)))
    assert not same((("a", 0.9),), (("a", 0.902),))
    assert not same((("a", 0.9), ("b", 0.5)), (("x", 0.9), ("b", 0.5)))


def test_probe_searches_until_it_is_left_and_every_second_search_is_a_probe(
    small_vocabulary: Vocabulary,
) -> None:
    service = FakeService(meaning={})
    service.documents = {term.term_id: term.document for term in small_vocabulary.terms}
    with service.client() as client:
        oracle = record(client, "hpo", ["eye"])
        with SwapProbe(client, "hpo", ["eye"], ["ear", "toe"], searches_per_second=1000) as probe:
            probe.wait_for_more(6)
    samples = probe.samples
    assert [one.query for one in samples[:4]] == ["eye", "ear", "eye", "toe"]
    verdict = judge(samples, MODEL_OF, oracle, ["eye"])
    assert verdict.searches == len(samples) >= 6
    assert (verdict.errors, verdict.mixed) == (0, 0)
    assert verdict.compared == sum(one.query == "eye" for one in samples)
