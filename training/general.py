"""The general set: judged queries from outside the corpus, on which a tuned model must not forget.

The packaged one is built from WordNet by `training.wordnet.build`. Each set is ranked among its own
documents, and every query counts the same.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedloop.errors import InvalidInput
from training.evaluation import Scores, rank_by_cosine, score_run

METRIC = "ndcg@10"

Encode = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts in, (n, dim) float32 out, L2-normalised."""

_PACKAGED = Path(__file__).with_name("wordnet") / "general.json.gz"


@dataclass(frozen=True, slots=True)
class GeneralSet:
    """Judged queries with the documents among which they are answered.

    Attributes:
        name: What the set is, for people.
        queries: Query id -> text.
        documents: Document id -> text.
        qrels: Query id -> document id -> grade.
    """

    name: str
    queries: Mapping[str, str]
    documents: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class GeneralPair:
    """A question from outside the corpus and the text that answers it; `identity` is where it is from."""

    identity: str
    anchor: str
    positive: str


def packaged_general_set() -> GeneralSet:
    """Example sentences and words of WordNet 3.0 against the glosses of their meanings."""
    raw = _packaged()
    return GeneralSet("wordnet", raw["queries"], raw["documents"], raw["qrels"])


def packaged_pairs() -> list[GeneralPair]:
    """Questions and glosses of WordNet meanings that the packaged general set neither asks for nor ranks."""
    return [GeneralPair(*pair) for pair in _packaged()["pairs"]]


def score_general(sets: Sequence[GeneralSet], encode_queries: Encode, encode_passages: Encode) -> Scores:
    """Scores a model on all sets together.

    Args:
        sets: At least one.
        encode_queries: The model's, with its prompt for queries.
        encode_passages: The model's, with its prompt for passages.

    Returns:
        One value per query of every set; ids are `set/query`.

    Raises:
        InvalidInput: There is no set, or one has no query with a relevant document.
    """
    run: dict[str, Sequence[str]] = {}
    qrels: dict[str, Mapping[str, int]] = {}
    for one in sets:
        ids = sorted(one.queries)
        documents = sorted(one.documents)
        ranked = rank_by_cosine(
            encode_queries([one.queries[query] for query in ids]),
            encode_passages([one.documents[document] for document in documents]),
            documents,
            k=10,
        )
        run |= {f"{one.name}/{query}": row for query, row in zip(ids, ranked, strict=True)}
        qrels |= {f"{one.name}/{query}": one.qrels.get(query, {}) for query in ids}
    return score_run(run, qrels)


def write_general_sets(sets: Sequence[GeneralSet], path: Path) -> None:
    path.write_text(json.dumps([asdict(one) for one in sets]))


def read_general_sets(path: Path) -> list[GeneralSet]:
    """Reads what `write_general_sets` wrote.

    Raises:
        InvalidInput: The file is missing or holds something else.
    """
    try:
        return [GeneralSet(**raw) for raw in json.loads(path.read_text())]
    except (OSError, ValueError, TypeError) as error:
        raise InvalidInput(f"{path} holds no general sets: {error}") from error


def _packaged() -> dict[str, Any]:
    with gzip.open(_PACKAGED, "rt", encoding="utf-8") as file:
        raw: dict[str, Any] = json.load(file)
    return raw
