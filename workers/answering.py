"""Answers to questions from passages, by the language model that the settings name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from embedloop.settings import Settings
from training.language_model import LanguageModel
from workers.language_model import language_model_of

_ASKED = (
    "Answer the question in a few words, from the passages alone. "
    "If they do not hold the answer, say that you do not know."
)
_PASSAGE_CHARS = 4000


class ModelAnswerer:
    """A `training.rag.Answerer` that asks a language model."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model

    def answer(self, question: str, passages: Sequence[str]) -> str:
        """Asks once. Raises as the language model does."""
        context = "\n\n".join(f"[{n}] {text[:_PASSAGE_CHARS]}" for n, text in enumerate(passages, start=1))
        return self._model.complete(_ASKED, f"Passages:\n{context}\n\nQuestion: {question}")


@contextmanager
def answerer_of(settings: Settings) -> Iterator[ModelAnswerer | None]:
    """Answers by the language model of the settings, None where none is named."""
    with language_model_of(settings) as model:
        yield None if model is None else ModelAnswerer(model)
