from __future__ import annotations

from collections.abc import Sequence

from training.mining import mine_hard_negatives


class FakeSearcher:
    """Answers from a table, as an index would."""

    def __init__(self, answers: dict[str, list[tuple[str, float]]]) -> None:
        self.answers = answers

    def search(self, queries: Sequence[str], limit: int) -> list[list[tuple[str, float]]]:
        return [self.answers[query][:limit] for query in queries]


def test_candidates_nearer_than_the_margin_are_dropped_and_counted() -> None:
    searcher = FakeSearcher({"q": [("near", 0.99), ("P", 0.8), ("close", 0.77), ("edge", 0.76), ("far", 0.5)]})
    mined = mine_hard_negatives({"q": ["P"]}, {}, searcher, per_query=2, relative_margin=0.05)
    assert mined.negatives == {"q": ("edge", "far")}
    assert mined.dropped == {"known_positive": 1, "too_near": 2}
    assert mined.taken == {"judged": 0, "searched": 2}


def test_down_voted_documents_come_first_whatever_their_score() -> None:
    searcher = FakeSearcher({"q": [("bad", 0.99), ("P", 0.8), ("far", 0.5)]})
    mined = mine_hard_negatives({"q": ["P"]}, {"q": ["bad"]}, searcher, per_query=2, relative_margin=0.05)
    assert mined.negatives == {"q": ("bad", "far")}


def test_no_known_positive_is_ever_a_negative() -> None:
    searcher = FakeSearcher({"q": [("P1", 0.9), ("P2", 0.2), ("far", 0.1)]})
    mined = mine_hard_negatives({"q": ["P1", "P2"]}, {"q": ["P2"]}, searcher, per_query=5, relative_margin=0.05)
    assert mined.negatives == {"q": ("far",)}


def test_query_whose_positive_is_not_found_gets_no_searched_negative() -> None:
    searcher = FakeSearcher({"q": [("a", 0.9), ("b", 0.8)]})
    mined = mine_hard_negatives({"q": ["P"]}, {}, searcher, per_query=1, relative_margin=0.05)
    assert mined.negatives == {"q": ()}
    assert mined.dropped["positive_not_found"] == 2


def test_negative_cosines_keep_the_margin_below_the_positive() -> None:
    searcher = FakeSearcher({"q": [("P", -0.5), ("same", -0.51), ("far", -0.6)]})
    mined = mine_hard_negatives({"q": ["P"]}, {}, searcher, per_query=2, relative_margin=0.05)
    assert mined.negatives == {"q": ("far",)}


def test_document_with_several_passages_counts_once_at_its_nearest() -> None:
    searcher = FakeSearcher({"q": [("P", 0.9), ("a", 0.89), ("b", 0.5), ("a", 0.4), ("b", 0.3)]})
    mined = mine_hard_negatives({"q": ["P"]}, {}, searcher, per_query=3, relative_margin=0.05)
    assert mined.negatives == {"q": ("b",)}


def test_equal_scores_are_ordered_by_id() -> None:
    searcher = FakeSearcher({"q": [("P", 0.9), ("z", 0.5), ("a", 0.5)]})
    mined = mine_hard_negatives({"q": ["P"]}, {}, searcher, per_query=1, relative_margin=0.05)
    assert mined.negatives == {"q": ("a",)}


def test_nothing_is_searched_when_no_negatives_are_wanted() -> None:
    mined = mine_hard_negatives(
        {"q": ["P"]}, {"q": ["bad"]}, FakeSearcher({}), per_query=0, relative_margin=0.05
    )
    assert mined.negatives == {"q": ()}


DENSE = {"q": [("near", 0.99), ("P", 0.8), ("close", 0.77), ("far", 0.5)]}


def test_documents_that_only_words_find_alternate_with_the_near_ones() -> None:
    words = FakeSearcher({"q": [("wordy", 9.0), ("far", 8.0), ("P", 7.0), ("other", 1.0)]})
    mined = mine_hard_negatives(
        {"q": ["P"]}, {}, FakeSearcher(DENSE), lexical=words, per_query=3, relative_margin=0.05
    )
    assert mined.negatives == {"q": ("far", "wordy", "other")}
    assert mined.taken == {"judged": 0, "searched": 1, "lexical": 2}


def test_words_never_bring_back_what_is_too_near() -> None:
    words = FakeSearcher({"q": [("near", 9.0), ("close", 8.0), ("wordy", 7.0)]})
    mined = mine_hard_negatives(
        {"q": ["P"]}, {}, FakeSearcher(DENSE), lexical=words, per_query=3, relative_margin=0.05
    )
    assert set(mined.negatives["q"]) == {"far", "wordy"}


def test_document_whose_cosine_may_be_too_near_is_dropped_and_counted() -> None:
    searcher = FakeSearcher({"q": [("P", 0.8), ("close", 0.79)]})
    words = FakeSearcher({"q": [("wordy", 9.0)]})
    mined = mine_hard_negatives({"q": ["P"]}, {}, searcher, lexical=words, per_query=2, relative_margin=0.05)
    assert mined.negatives == {"q": ()}
    assert (mined.dropped["not_measured"], mined.dropped["too_near"]) == (1, 1)


def test_words_alone_are_measured_by_the_search_that_offers_nothing() -> None:
    words = FakeSearcher({"q": [("wordy", 9.0), ("near", 8.0)]})
    mined = mine_hard_negatives(
        {"q": ["P"]}, {}, None, measure=FakeSearcher(DENSE), lexical=words, per_query=3, relative_margin=0.05
    )
    assert mined.negatives == {"q": ("wordy",)}


class FakeReviewer:
    """Scores from a table, as a cross-encoder would; 0 for what it was not told of."""

    def __init__(self, scores: dict[str, float]) -> None:
        self.scores = scores
        self.asked: list[tuple[str, str]] = []

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        self.asked += pairs
        return [self.scores.get(document_id, 0.0) for _, document_id in pairs]


def test_candidate_that_the_reviewer_holds_for_an_answer_is_dropped() -> None:
    searcher = FakeSearcher({"q": [("P", 0.8), ("answer", 0.7), ("edge", 0.6), ("wrong", 0.5)]})
    reviewer = FakeReviewer({"P": 0.9, "answer": 0.89, "edge": 0.85, "wrong": 0.1})
    mined = mine_hard_negatives(
        {"q": ["P"]}, {}, searcher, reviewer=reviewer, per_query=2, relative_margin=0.05
    )
    assert mined.negatives == {"q": ("edge", "wrong")}
    assert mined.dropped["reviewed"] == 1


def test_reviewer_reads_no_more_than_three_candidates_for_each_negative() -> None:
    searcher = FakeSearcher({"q": [("P", 0.9), *((f"d{n}", 0.5 - n / 100) for n in range(20))]})
    reviewer = FakeReviewer({"P": 0.9})
    mine_hard_negatives({"q": ["P"]}, {}, searcher, reviewer=reviewer, per_query=2, relative_margin=0.05)
    assert sorted(one for _, one in reviewer.asked) == ["P", *(f"d{n}" for n in range(6))]
