"""Encoding for `/v1/embeddings`: beside the searches, few at a time, with token counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import anyio
import numpy as np
from tokenizers import Tokenizer

from embedloop.encoder import TOKENIZER_FILE, Vectors
from embedloop.errors import QueueFull
from embedloop.records.versions import ModelVersion
from embedloop.registry import ModelStore
from embedloop.serving import Serving
from embedloop.slices import slices

AT_ONCE = 1
MAX_WAITING = 16
TEXTS_PER_STEP = 32
TOKENIZERS_KEPT = 4


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors (n, dim) float32, L2-normalised, and how many tokens the model read."""

    vectors: Vectors
    tokens: int


class Embedder:
    """Runs in worker threads under a limit, so that bulk encoding never takes all cores from searches."""

    def __init__(self, store: ModelStore):
        self._store = store
        self._limiter = anyio.CapacityLimiter(AT_ONCE)
        self._tokenizers: dict[str, Any] = {}

    async def embed(
        self, serving: Serving, texts: Sequence[str], input_type: Literal["query", "passage"]
    ) -> Embedded:
        """Encodes n texts in steps; a caller that goes away stops it at the next step.

        Raises:
            QueueFull: too many such requests wait already.
        """
        if self._limiter.statistics().tasks_waiting >= MAX_WAITING:
            raise QueueFull(f"{MAX_WAITING} requests for embeddings are waiting", retry_after_seconds=2)
        encoder = serving.encoder
        encode = encoder.encode_queries if input_type == "query" else encoder.encode_passages
        parts: list[Vectors] = []
        tokens = 0
        for step in slices(texts, TEXTS_PER_STEP):
            parts.append(await anyio.to_thread.run_sync(encode, step, limiter=self._limiter))
            tokens += await anyio.to_thread.run_sync(self._count, serving.model, step, limiter=self._limiter)
        return Embedded(np.concatenate(parts), tokens)

    def _count(self, model: ModelVersion, texts: Sequence[str]) -> int:
        tokenizer = self._tokenizers.get(model.model_id)
        if tokenizer is None:
            path = self._store.fetch(model.model_id) / TOKENIZER_FILE
            tokenizer = Tokenizer.from_file(str(path))
            tokenizer.no_padding()
            tokenizer.enable_truncation(max_length=model.max_tokens)
            if len(self._tokenizers) >= TOKENIZERS_KEPT:
                self._tokenizers.clear()
            self._tokenizers[model.model_id] = tokenizer
        return sum(len(encoding.ids) for encoding in tokenizer.encode_batch(list(texts)))
