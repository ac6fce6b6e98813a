"""What retrieval is worth to a language model: is the answer in the context, and does the model find it."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from training.evaluation import Interval, bootstrap_interval

CONTEXT_PASSAGES = 5
_ARTICLES = re.compile(r"\b(a|an|the)\b")


@dataclass(frozen=True, slots=True)
class Question:
    """A question with the answers that are right; one of them in a text is enough."""

    text: str
    answers: Sequence[str]


class Answerer(Protocol):
    """A language model that answers from a context."""

    def answer(self, question: str, passages: Sequence[str]) -> str:
        """Answers in a few words. Raises Unavailable when the model does not."""
        ...


@dataclass(frozen=True, slots=True)
class RagScores:
    """Shares of questions, 0..1, greater is better.

    Attributes:
        questions: How many.
        context_passages: How many passages each context held.
        answer_in_context: Questions of which the context holds an answer.
        answer_accuracy: Questions that the language model answered rightly; None where none is configured.
    """

    questions: int
    context_passages: int
    answer_in_context: Interval
    answer_accuracy: Interval | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def measure_rag(
    questions: Sequence[Question],
    contexts: Mapping[str, Sequence[str]],
    answerer: Answerer | None,
    on_question: Callable[[float], None] = lambda share: None,
) -> RagScores:
    """Scores contexts by the answers that they hold, and by what a language model makes of them.

    An answer counts as held, and as given, when its words occur in that order (DPR, Karpukhin et al. 2020,
    for contexts; "accuracy" of Mallen et al. 2023 for answers).

    Args:
        questions: At least one.
        contexts: Question text -> passages, best first; the first five are the context.
        answerer: A language model, if there is one.
        on_question: Told the share of the questions that are done; raises to end the work.
    """
    held, right = [], []
    for position, question in enumerate(questions):
        on_question(position / len(questions))
        context = list(contexts.get(question.text, ()))[:CONTEXT_PASSAGES]
        held.append(float(any(holds_answer(passage, question.answers) for passage in context)))
        if answerer is not None:
            right.append(float(holds_answer(answerer.answer(question.text, context), question.answers)))
    return RagScores(
        len(questions),
        CONTEXT_PASSAGES,
        bootstrap_interval(held),
        bootstrap_interval(right) if answerer is not None else None,
    )


def holds_answer(text: str, answers: Sequence[str]) -> bool:
    """Whether one of the answers occurs in the text, case, punctuation and articles aside.

    >>> holds_answer("The lease ends in May, 2024.", ["may 2024"]), holds_answer("in June", ["Jun"])
    (True, False)
    """
    words = f" {_normalised(text)} "
    return any(f" {normalised} " in words for one in answers if (normalised := _normalised(one)))


def _normalised(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    plain = "".join(" " if char in string.punctuation or _is_mark(char) else char for char in folded)
    return " ".join(_ARTICLES.sub(" ", plain).split())


def _is_mark(char: str) -> bool:
    return unicodedata.category(char).startswith("P")
