"""The general set: judged queries from outside the corpus, on which a tuned model must not forget.

The packaged one is built from WordNet by `training.wordnet.build`. Each set is ranked among its own
documents, and every query counts the same.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from embedloop.errors import InvalidInput

METRIC = "ndcg@10"

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
