"""Which model can have made an answer: decided by computing its scores again, not by what it claims."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from embedloop.encoder import Encoder, Vectors
from embedloop.text.chunking import embedding_text

# Milvus and NumPy add up in another order, and a batch pads its texts to another length.
TOLERANCE = 1e-4
EXAMPLES = 10
RIGHT, MIXED, MISNAMED, EMPTY = "right", "mixed", "misnamed", "empty"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one search was answered.

    Attributes:
        query: Number of the query.
        index_version: That it names.
        model_version: That it names.
        passages: Number of the shown text, and the score that came with it, best first.
    """

    query: int
    index_version: str
    model_version: str
    passages: tuple[tuple[int, float], ...]


class Oracle:
    """The vectors that every model gives to every query and to every text that was shown."""

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        queries: Sequence[str],
        texts: Sequence[tuple[str, str]],
        built_by: Mapping[str, str],
    ):
        """Encodes everything with every model.

        Args:
            encoders: Model version -> its encoder.
            queries: By their numbers.
            texts: Title and text of each passage shown, by their numbers.
            built_by: Index version -> the model version that built it, as the catalog says.
        """
        passages = [embedding_text(title, text) for title, text in texts]
        self._queries: dict[str, Vectors] = {m: e.encode_queries(queries) for m, e in encoders.items()}
        self._passages: dict[str, Vectors] = {m: e.encode_passages(passages) for m, e in encoders.items()}
        self._built_by = built_by

    def makers(self, answer: Answer) -> list[str]:
        """The model versions that give every shown passage the score that it was shown with."""
        numbers = [number for number, _ in answer.passages]
        scores = [score for _, score in answer.passages]
        found = []
        for model, passages in self._passages.items():
            cosines = passages[numbers] @ self._queries[model][answer.query]
            if np.allclose(cosines, scores, rtol=0, atol=TOLERANCE):
                found.append(model)
        return found

    def judge(self, answers: Iterable[Answer]) -> dict[str, Any]:
        """Counts what is wrong with the answers.

        Returns:
            `checked`; `mixed`: no single model explains all passages; `misnamed`: one does, but it is not the
            model that the answer names, or not the one that built the index version that it names; `empty`:
            nothing was shown; `ambiguous`: right, but another model would explain the answer as well;
            `by_model`; and the first `examples` of what is wrong.
        """
        counts: Counter[str] = Counter()
        by_model: Counter[str] = Counter()
        examples: list[str] = []
        for answer in answers:
            makers = self.makers(answer)
            found = verdict(answer, makers, self._built_by)
            counts["checked"] += 1
            counts[found] += 1
            counts["ambiguous"] += found == RIGHT and len(makers) > 1
            by_model[answer.model_version] += 1
            if found != RIGHT and len(examples) < EXAMPLES:
                named = f"{answer.model_version} and {answer.index_version}"
                examples.append(f"query {answer.query} is {found}: it names {named}, made by {makers}")
        names = ("checked", MIXED, MISNAMED, EMPTY, "ambiguous")
        return {name: counts[name] for name in names} | {"by_model": dict(by_model), "examples": examples}


def verdict(answer: Answer, makers: Sequence[str], built_by: Mapping[str, str]) -> str:
    """What an answer is, given the models that can have made it.

    >>> answer = Answer(0, "iv-1", "m-1", ((7, 0.5),))
    >>> verdict(answer, ["m-1"], {"iv-1": "m-1"})
    'right'
    >>> verdict(answer, [], {"iv-1": "m-1"})
    'mixed'
    >>> verdict(answer, ["m-2"], {"iv-1": "m-1"})
    'misnamed'
    """
    if not answer.passages:
        return EMPTY
    if not makers:
        return MIXED
    named = answer.model_version in makers and built_by.get(answer.index_version) == answer.model_version
    return RIGHT if named else MISNAMED
