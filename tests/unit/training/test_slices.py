from __future__ import annotations

from training.slices import MOST_TOPICS, make_slices, script_of

QUERIES = {"a": "gout", "b": "what may help against pain in toes", "c": "दर्द", "d": "gout again please"}
QRELS = {"a": {"d1": 1}, "b": {"d1": 0, "d2": 2}, "c": {"d3": 1}, "d": {"d1": 1, "d2": 1}}


def test_queries_fall_into_facets_by_length_and_script() -> None:
    slices = make_slices(QUERIES, QRELS, {}, {})
    assert slices["length"] == {"medium": {"b"}, "short": {"a", "c", "d"}}
    assert slices["script"] == {"devanagari": {"c"}, "latin": {"a", "b", "d"}}
    assert set(slices) == {"length", "script"}


def test_topics_are_those_of_relevant_documents_only() -> None:
    slices = make_slices(QUERIES, QRELS, {"d1": ["joints"], "d2": ["feet", "pain"]}, {})
    assert slices["topic"] == {"feet": {"b", "d"}, "joints": {"a", "d"}, "pain": {"b", "d"}}


def test_head_is_the_fewest_queries_that_make_half_of_what_is_asked() -> None:
    slices = make_slices(QUERIES, QRELS, {}, {"a": 5, "b": 3, "c": 1, "gone": 100})
    assert slices["frequency"] == {"head": {"a"}, "tail": {"b", "c", "d"}}


def test_a_query_that_nobody_asked_is_tail_and_without_logs_there_is_no_such_facet() -> None:
    assert "d" in make_slices(QUERIES, QRELS, {}, {"a": 1, "b": 1})["frequency"]["tail"]
    assert "frequency" not in make_slices(QUERIES, QRELS, {}, {"other": 7})


def test_a_facet_with_one_value_is_no_facet() -> None:
    assert make_slices({"a": "gout", "b": "flu"}, QRELS, {"d1": ["x"], "d2": ["x"]}, {}) == {}


def test_only_the_largest_topics_are_kept() -> None:
    queries = {f"q{n}": "x" for n in range(100)}
    qrels = {query: {query: 1} for query in queries}
    topics = {query: [f"t{n % (MOST_TOPICS + 10)}"] for n, query in enumerate(queries)}
    found = make_slices(queries, qrels, topics, {})["topic"]
    assert len(found) == MOST_TOPICS
    assert min(map(len, found.values())) == 3


def test_scripts_of_hostile_texts_are_named() -> None:
    assert script_of("") == "none"
    assert script_of("\x00\U0001f600 12") == "none"
    assert script_of("日本") == "cjk"
