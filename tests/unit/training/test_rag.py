from __future__ import annotations

from collections.abc import Sequence

import pytest

from training.rag import CONTEXT_PASSAGES, Question, holds_answer, measure_rag

CONTEXTS = {"when?": ["It ends in May 2024.", "Other"], "who?": ["Nobody is named here."]}
QUESTIONS = [Question("when?", ("May 2024", "spring")), Question("who?", ("the tenant",))]


class FakeAnswerer:
    """A model that repeats its first passage."""

    def answer(self, question: str, passages: Sequence[str]) -> str:
        return passages[0] if passages else "I do not know"


def test_the_share_of_questions_whose_context_holds_an_answer_is_told() -> None:
    found = measure_rag(QUESTIONS, CONTEXTS, None)
    assert (found.questions, found.answer_in_context.mean, found.answer_accuracy) == (2, 0.5, None)


def test_the_answers_of_a_language_model_are_scored_where_there_is_one() -> None:
    found = measure_rag(QUESTIONS, CONTEXTS | {"who?": ["Ask.", "The tenant pays."]}, FakeAnswerer())
    assert found.answer_in_context.mean == 1.0
    assert found.answer_accuracy is not None
    assert found.answer_accuracy.mean == 0.5


def test_an_answer_below_the_context_does_not_count() -> None:
    deep = ["no"] * CONTEXT_PASSAGES + ["May 2024"]
    assert measure_rag(QUESTIONS[:1], {"when?": deep}, None).answer_in_context.mean == 0.0


def test_a_question_without_a_context_is_not_answered() -> None:
    found = measure_rag(QUESTIONS, {}, FakeAnswerer())
    assert found.answer_in_context.mean == 0.0


def test_work_ends_when_it_is_told_to() -> None:
    def stop(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_rag(QUESTIONS, CONTEXTS, None, stop)


@pytest.mark.parametrize(
    ("text", "answer", "held"),
    [
        ("Pays 12.5% interest", "12.5 %", True),
        ("see paragraph 12", "paragraph 1", False),
        ("किराया पाँच हज़ार", "पाँच हज़ार", True),
        ("whatever", "...", False),
        ("whatever", "the", False),
    ],
)
def test_answers_are_found_as_words(text: str, answer: str, held: bool) -> None:
    assert holds_answer(text, [answer]) is held
