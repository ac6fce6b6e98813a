"""A cross-encoder on ONNX Runtime: reads a query with each passage, and scores how relevant that is."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from embedloop.encoder import ONNX_FILE, TOKENIZER_FILE, open_session
from embedloop.errors import ModelRefused
from embedloop.fusion import fuse
from embedloop.slices import slices

Scores = NDArray[np.float32]
T = TypeVar("T")

# Passages in one run of the graph: between two runs it is seen whether the next one still fits the budget.
RUN_PASSAGES = 8
# Weight of the newest run in the measured speed.
NEWEST = 0.3
WARM_UP = ("warm up", "a passage to warm the re-ranker with, about as long as many passages are " * 2)


class Reranker(Protocol):
    """Scores (query, passage); 0..1, greater is more relevant. Safe to call from several threads."""

    def score(self, query: str, passages: Sequence[str], *, budget_seconds: float = math.inf) -> Scores: ...


def order_of(scores: Sequence[float], weight: float = 1.0) -> list[int]:
    """Places in a new order: that of the scores, fused with the one they stand in.

    Args:
        scores: Of the first places; greater is more relevant.
        weight: Share of the scores' order, 0..1; with 1 it counts alone, equals staying in their order.

    >>> order_of([0.1, 0.2, 0.9]), order_of([0.1, 0.2, 0.9], 0.5), order_of([0.1, 0.2, 0.9], 0.0)
    ([2, 1, 0], [0, 2, 1], [0, 1, 2])
    """
    places = range(len(scores))
    by_score = sorted(places, key=lambda place: -scores[place])
    return [place for place, _ in fuse(places, by_score, weight)]


def reordered(found: Sequence[T], scores: Sequence[float], weight: float = 1.0) -> list[T]:
    """What was scored in its order of `order_of`, then the rest as it was.

    >>> reordered("abcd", [0.1, 0.9])
    ['b', 'a', 'c', 'd']
    """
    return [*(found[place] for place in order_of(scores, weight)), *found[len(scores) :]]


class OnnxReranker:
    """A `Reranker` from a folder that `training.reranker_export` wrote; no torch is loaded."""

    def __init__(self, folder: Path, *, max_tokens: int, threads: int = 2):
        """Loads `folder/onnx/model.onnx` and `folder/tokenizer.json`, and measures its speed.

        Raises:
            ModelRefused: a file is missing or not what it should be.
        """
        from tokenizers import Tokenizer

        for name in (ONNX_FILE, TOKENIZER_FILE):
            if not (folder / name).is_file():
                raise ModelRefused(f"model folder {folder} has no {name}")
        try:
            self._tokenizer: Any = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
            self._session = open_session(folder / ONNX_FILE, threads)
        except Exception as error:  # neither library's errors have a base but Exception
            raise ModelRefused(f"{folder} is no re-ranker that can run: {error}") from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length=max_tokens)
        self._inputs = {entry.name for entry in self._session.get_inputs()}
        self._seconds_per_token: float | None = None
        # The first run also plans memory: the second one is what is measured.
        for _ in range(2):
            self._seconds_per_token = None
            self.score(WARM_UP[0], WARM_UP[1:] * RUN_PASSAGES)

    def score(self, query: str, passages: Sequence[str], *, budget_seconds: float = math.inf) -> Scores:
        """Scores the first passages, as many as fit.

        Args:
            query: The query as it was asked.
            passages: As they are embedded, the best first.
            budget_seconds: No run is begun that would end later, at the speed measured so far.

        Returns:
            (k,) float32, 0..1, of the first k passages, 0 <= k <= n; greater is more relevant.
        """
        deadline = time.perf_counter() + budget_seconds
        scores: list[Scores] = []
        for part in slices(passages, RUN_PASSAGES):
            if time.perf_counter() >= deadline:
                break
            encodings = self._tokenizer.encode_batch([(query, passage) for passage in part])
            fitting = self._fitting([len(one.ids) for one in encodings], deadline)
            if fitting:
                scores.append(self._run(encodings[:fitting]))
            if fitting < len(part):
                break
        return np.concatenate(scores) if scores else np.empty(0, dtype=np.float32)

    def _fitting(self, lengths: Sequence[int], deadline: float) -> int:
        """How many of these passages, padded to the longest, are scored before the deadline."""
        pace = self._seconds_per_token
        if pace is None or deadline == math.inf:
            return len(lengths)
        tokens = max(0.0, deadline - time.perf_counter()) / pace
        fits = [count for count in range(1, len(lengths) + 1) if count * max(lengths[:count]) <= tokens]
        return max(fits, default=0)

    def _run(self, encodings: Sequence[Any]) -> Scores:
        """One run of the graph over tokenised pairs, padded to the longest of them."""
        begin = time.perf_counter()
        shape = (len(encodings), max(len(one.ids) for one in encodings))
        feed = {
            name: np.zeros(shape, dtype=np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")
        }
        for row, one in enumerate(encodings):
            feed["input_ids"][row, : len(one.ids)] = one.ids
            feed["attention_mask"][row, : len(one.ids)] = 1
            feed["token_type_ids"][row, : len(one.ids)] = one.type_ids
        found = self._session.run(None, {name: feed[name] for name in self._inputs})[0]
        taken = (time.perf_counter() - begin) / (shape[0] * shape[1])
        pace = self._seconds_per_token
        self._seconds_per_token = taken if pace is None else NEWEST * taken + (1 - NEWEST) * pace
        return np.asarray(found, dtype=np.float32).reshape(-1)
