"""Search in two stages: a static model finds, and the model that it was made of orders the first hits again.

Both are one model version, so that they change together: with the index version, and in no other way. What the
second model makes of a passage is kept, so that passages that are found often cost nothing.
"""

from __future__ import annotations

import hashlib
import json
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from embedloop.encoder import ONNX_FILE, Encoder, OnnxEncoder, Vectors
from embedloop.records.versions import ModelVersion
from embedloop.registry import EXPORT_FILE, GRAPHS, ModelStore, max_tokens_of, verified_folder
from embedloop.reranker import NEWEST, RUN_PASSAGES, WARM_UP, Reranker, Scores
from embedloop.slices import slices
from embedloop.static_models import RESCORER_FOLDER

# 30 MB of vectors of 384 numbers, in each replica.
CACHED_PASSAGES = 20_000


class EncoderRescorer:
    """A `Reranker` that reads query and passage apart: the score is their cosine, moved to 0..1."""

    def __init__(self, encoder: Encoder, *, cached_passages: int = CACHED_PASSAGES):
        """Measures the encoder's speed.

        Args:
            encoder: Of the second stage.
            cached_passages: Vectors that are kept, the least recently used going first.
        """
        self._encoder = encoder
        self._cache = _PassageCache(cached_passages)
        self._seconds_per_character = 0.0
        # The first run also plans memory: the second one is what is measured.
        for _ in range(2):
            self._seconds_per_character = 0.0
            self._encode(WARM_UP[1:] * RUN_PASSAGES)

    def score(self, query: str, passages: Sequence[str], *, budget_seconds: float = math.inf) -> Scores:
        """Scores the first passages, as many as fit; a passage that was read before takes no time.

        Args:
            query: The query as it was asked.
            passages: As they are embedded, the best first.
            budget_seconds: No run is begun that would end later, at the speed measured so far.

        Returns:
            (k,) float32, 0..1, of the first k passages, 0 <= k <= n; greater is nearer.
        """
        deadline = time.perf_counter() + budget_seconds
        if not passages or budget_seconds <= len(query) * self._seconds_per_character:
            return np.empty(0, dtype=np.float32)
        asked = self._encoder.encode_queries([query])[0]
        keys = [_key(passage) for passage in passages]
        known = self._cache.find(keys)
        texts = dict(zip(keys, passages, strict=True))
        missing = [key for key in dict.fromkeys(keys) if key not in known]
        for part in slices(missing, RUN_PASSAGES):
            fitting = self._fitting([len(texts[key]) for key in part], deadline)
            if fitting:
                made = dict(
                    zip(part[:fitting], self._encode([texts[key] for key in part[:fitting]]), strict=True)
                )
                self._cache.add(made)
                known |= made
            if fitting < len(part):
                break
        first = next((place for place, key in enumerate(keys) if key not in known), len(keys))
        if first == 0:
            return np.empty(0, dtype=np.float32)
        cosines = np.stack([known[key] for key in keys[:first]]) @ asked
        return np.asarray(np.clip((1 + cosines) / 2, 0, 1), dtype=np.float32)

    def _fitting(self, lengths: Sequence[int], deadline: float) -> int:
        """How many of these passages are encoded before the deadline."""
        if deadline == math.inf:
            return len(lengths)
        left = deadline - time.perf_counter()
        taken = np.cumsum(lengths) * self._seconds_per_character
        return int(np.searchsorted(taken, max(0.0, left), side="right"))

    def _encode(self, texts: Sequence[str]) -> Vectors:
        """(n, dim) of passages; each run tells how long a character takes."""
        begin = time.perf_counter()
        vectors = self._encoder.encode_passages(texts)
        taken = (time.perf_counter() - begin) / max(1, sum(map(len, texts)))
        pace = self._seconds_per_character
        self._seconds_per_character = taken if pace == 0 else NEWEST * taken + (1 - NEWEST) * pace
        return vectors


class _PassageCache:
    """Vectors of passages by their text, the least recently used going first; safe to use from threads."""

    def __init__(self, capacity: int):
        self._capacity = capacity
        self._vectors: OrderedDict[bytes, Vectors] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Vectors]:
        with self._lock:
            found = {key: self._vectors[key] for key in keys if key in self._vectors}
            for key in found:
                self._vectors.move_to_end(key)
            return found

    def add(self, made: dict[bytes, Vectors]) -> None:
        with self._lock:
            # A row of its own: a view would keep its whole run.
            self._vectors.update((key, vector.copy()) for key, vector in made.items())
            while len(self._vectors) > self._capacity:
                self._vectors.popitem(last=False)


class Rescorers:
    """Second stages by model version; index versions of one model share its second stage with its cache."""

    def __init__(self, store: ModelStore, *, threads: int):
        self._store = store
        self._threads = threads
        self._loaded: dict[str, Reranker] = {}
        self._lock = threading.Lock()

    def get(self, model: ModelVersion) -> Reranker | None:
        """Loads it unless it is there; None for a model version of one stage. Raises ModelRefused."""
        if not has_rescorer(model):
            return None
        with self._lock:
            if model.model_id not in self._loaded:
                self._loaded[model.model_id] = EncoderRescorer(
                    load_second_encoder(self._store, model, threads=self._threads)
                )
            return self._loaded[model.model_id]

    def keep(self, model_ids: set[str]) -> None:
        """Drops every other one; requests in flight hold their own reference."""
        with self._lock:
            for model_id in set(self._loaded) - model_ids:
                del self._loaded[model_id]


def has_rescorer(model: ModelVersion) -> bool:
    """Whether its answers are ordered again by a second model of its own."""
    return any(name.startswith(f"{RESCORER_FOLDER}/") for name in model.manifest)


def load_second_encoder(store: ModelStore, model: ModelVersion, *, threads: int, bulk: bool = False) -> Encoder:
    """The encoder of a model version's second stage, with the version's own prompts.

    Raises:
        ModelRefused: its files differ from the manifest.
    """
    folder = verified_folder(store, model) / RESCORER_FOLDER
    return OnnxEncoder(
        folder,
        max_tokens=max_tokens_of(folder),
        query_prompt=model.query_prompt,
        passage_prompt=model.passage_prompt,
        threads=threads,
        bulk=bulk,
        graph=_graph_of(folder),
    )


def _graph_of(folder: Path) -> str:
    """The graph that its export chose, fp32 where nothing was quantised."""
    record = folder / EXPORT_FILE
    return GRAPHS[json.loads(record.read_text())["backend"]] if record.is_file() else ONNX_FILE


def _key(passage: str) -> bytes:
    return hashlib.blake2b(passage.encode("utf-8", "surrogatepass"), digest_size=16).digest()
