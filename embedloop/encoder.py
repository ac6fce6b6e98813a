"""The Encoder protocol and its ONNX Runtime backend, the default for serving and re-embedding on a CPU."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from embedloop.errors import MissingExtra, ModelRefused
from embedloop.static_models import is_static, set_window

Vectors = NDArray[np.float32]

ONNX_FILE = "onnx/model.onnx"
INT8_FILE = "onnx/model_int8.onnx"
TOKENIZER_FILE = "tokenizer.json"
# What a run of the graph costs beside its tokens, told in tokens (all-MiniLM-L6-v2: 3.5 ms, 0.25 ms a token).
RUN_COST_TOKENS = 16
# More tokens at once are no faster, and their activations leave the cache and stay allocated.
RUN_TOKENS = 1024


def go_on() -> None:
    """Stops nothing."""


class Encoder(Protocol):
    """Turns texts into vectors `(n, dim)` float32, L2-normalised, in the order given.

    Safe to call from several threads. `encode_queries` and `encode_passages` differ by their prompts. Batches
    are planned over all the texts of a call, so that many at once are padded least. Before each batch of
    passages `check` is called, in the calling thread; what it raises ends the work.
    """

    @property
    def dimension(self) -> int: ...

    @property
    def max_tokens(self) -> int: ...

    def encode_queries(self, texts: Sequence[str]) -> Vectors: ...

    def encode_passages(self, texts: Sequence[str], *, check: Callable[[], None] = go_on) -> Vectors: ...


class OnnxEncoder:
    """A sentence-transformers pipeline exported to ONNX, pooling and normalisation included.

    Tokenising is done here with the model's own `tokenizer.json`; no torch is loaded.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_tokens: int,
        query_prompt: str = "",
        passage_prompt: str = "",
        threads: int = 2,
        batch_size: int = 32,
        bulk: bool = False,
        graph: str = ONNX_FILE,
    ):
        """Loads the graph, `folder/onnx/model.onnx` unless told otherwise, and `folder/tokenizer.json`.

        Args:
            folder: Of a model version.
            max_tokens: What is longer is cut off.
            query_prompt: Put before each query.
            passage_prompt: Put before each passage.
            threads: That a run of the graph is divided among; with `bulk`, how many runs go on at once.
            batch_size: Most texts of a run.
            graph: Relative to the folder.
            bulk: For many texts rather than for one soon: each run has a thread of its own, and none waits for
                another at every node of the graph.

        Raises:
            ModelRefused: a file is missing or not what it should be.
        """
        from tokenizers import Tokenizer

        model_file, tokenizer_file = folder / graph, folder / TOKENIZER_FILE
        for path in (model_file, tokenizer_file):
            if not path.is_file():
                raise ModelRefused(f"model folder {folder} has no {path.relative_to(folder)}")
        try:
            self._tokenizer: Any = Tokenizer.from_file(str(tokenizer_file))
        except Exception as error:  # tokenizers raises bare Exception
            raise ModelRefused(f"{tokenizer_file} is no tokenizer: {error}") from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length=max_tokens)
        self._pad_id = _pad_id(folder, self._tokenizer)
        self._special_tokens = not is_static(folder)
        try:
            self._session = open_session(model_file, 1 if bulk else threads)
        except Exception as error:  # onnxruntime's errors have no base but Exception
            raise ModelRefused(f"{model_file} is no ONNX graph that can run: {error}") from error
        self._inputs = {entry.name for entry in self._session.get_inputs()}
        self._prompts = (query_prompt, passage_prompt)
        self._batch_size = batch_size
        self._runs_at_once = threads if bulk else 1
        self.max_tokens = max_tokens
        self.dimension = int(self._run(self._tokens(["a"])).shape[1])

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Vectors of queries: (n, dim) float32, L2-normalised."""
        return self._encode([self._prompts[0] + text for text in texts])

    def encode_passages(self, texts: Sequence[str], *, check: Callable[[], None] = go_on) -> Vectors:
        """Vectors of passages: (n, dim) float32, L2-normalised; `check` is called before each batch."""
        return self._encode([self._prompts[1] + text for text in texts], check)

    def _encode(self, texts: Sequence[str], check: Callable[[], None] = go_on) -> Vectors:
        encodings = self._tokens(texts)
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)

        def run(batch: list[int]) -> None:
            vectors[batch] = self._run([encodings[i] for i in batch])

        batches = batches_of_like_length([len(e.ids) for e in encodings], self._batch_size)
        _each(run, batches, min(self._runs_at_once, len(batches)), check)
        return vectors

    def feeds(self, texts: Sequence[str]) -> Iterator[dict[str, Any]]:
        """What the graph reads of passages, batch by batch: inputs of (n, tokens) int64 by their names."""
        encodings = self._tokens([self._prompts[1] + text for text in texts])
        for batch in batches_of_like_length([len(e.ids) for e in encodings], self._batch_size):
            yield self._feed([encodings[i] for i in batch])

    def _tokens(self, texts: Sequence[str]) -> Any:
        return self._tokenizer.encode_batch(list(texts), add_special_tokens=self._special_tokens)

    def _run(self, encodings: Sequence[Any]) -> Vectors:
        """One run of the graph over tokenised texts."""
        return np.asarray(self._session.run(None, self._feed(encodings))[0], dtype=np.float32)

    def _feed(self, encodings: Sequence[Any]) -> dict[str, Any]:
        """Tokenised texts, padded to the longest of them."""
        # A static model gives a text of signs alone no token at all.
        shape = (len(encodings), max(1, *(len(e.ids) for e in encodings)))
        ids = np.full(shape, self._pad_id, dtype=np.int64)
        mask = np.zeros(shape, dtype=np.int64)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding.ids)] = encoding.ids
            mask[row, : len(encoding.ids)] = 1
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros(shape, dtype=np.int64)}
        return {name: feed[name] for name in self._inputs}


def open_session(graph: Path, threads: int) -> Any:
    """An onnxruntime session on the CPU; raises whatever onnxruntime makes of a file that is no graph."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Plans of memory are kept for each shape, and here nearly every batch has one of its own.
    options.enable_mem_pattern = False
    # A spinning thread pool takes the core that another process of this machine needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(graph), sess_options=options, providers=["CPUExecutionProvider"])


class TorchEncoder:
    """sentence-transformers in torch: for GPUs, and the reference that exports are compared with."""

    def __init__(
        self,
        folder: Path,
        *,
        max_tokens: int,
        query_prompt: str = "",
        passage_prompt: str = "",
        threads: int = 2,
        batch_size: int = 32,
    ):
        """Loads the safetensors of `folder`.

        Raises:
            MissingExtra: sentence-transformers is not installed.
            ModelRefused: the folder holds no safetensors.
        """
        try:
            import torch
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise MissingExtra(
                "the torch backend needs sentence-transformers: pip install 'embedloop[training]'"
            ) from error
        if not any(folder.glob("*.safetensors")):
            raise ModelRefused(f"model folder {folder} has no safetensors")
        torch.set_num_threads(threads)
        self._model: Any = SentenceTransformer(str(folder), local_files_only=True, trust_remote_code=False)
        set_window(self._model, max_tokens)
        self._prompts = (query_prompt, passage_prompt)
        self._batch_size = batch_size
        self.max_tokens = max_tokens
        self.dimension = int(self._run(["a"]).shape[1])

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Vectors of queries: (n, dim) float32, L2-normalised."""
        return self._encode([self._prompts[0] + text for text in texts])

    def encode_passages(self, texts: Sequence[str], *, check: Callable[[], None] = go_on) -> Vectors:
        """Vectors of passages: (n, dim) float32, L2-normalised; `check` is called before each batch."""
        return self._encode([self._prompts[1] + text for text in texts], check)

    def _encode(self, texts: Sequence[str], check: Callable[[], None] = go_on) -> Vectors:
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        longest_first = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        for start in range(0, len(texts), self._batch_size):
            check()
            batch = longest_first[start : start + self._batch_size]
            vectors[batch] = self._run([texts[i] for i in batch])
        return vectors

    def _run(self, texts: Sequence[str]) -> Vectors:
        vectors = self._model.encode(
            list(texts),
            batch_size=self._batch_size,
            prompt="",
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
        )
        return np.asarray(vectors, dtype=np.float32)


def batches_of_like_length(lengths: Sequence[int], most: int) -> list[list[int]]:
    """Cuts texts into batches, the longest first, such that padding costs less than one more run would.

    Args:
        lengths: Tokens of each text.
        most: Greatest batch.

    Returns:
        Positions in `lengths`, each once.

    >>> batches_of_like_length([5, 40, 4, 39, 5], most=8)
    [[1, 3], [0, 4, 2]]
    """
    batches: list[list[int]] = []
    padding = longest = 0
    for position in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        size = len(batches[-1]) if batches else most
        padding += longest - lengths[position]
        if size == most or padding > RUN_COST_TOKENS or longest * (size + 1) > RUN_TOKENS:
            batches.append([])
            padding, longest = 0, lengths[position]
        batches[-1].append(position)
    return batches


def _each(
    run: Callable[[list[int]], None], batches: Iterable[list[int]], at_once: int, check: Callable[[], None]
) -> None:
    """Runs all batches, some at once; what `check` raises, called in this thread before each, ends the work."""
    if at_once <= 1:
        for batch in batches:
            check()
            run(batch)
        return
    running: set[Future[None]] = set()
    with ThreadPoolExecutor(at_once, thread_name_prefix="batches") as threads:
        for batch in batches:
            if len(running) == at_once:
                running = _after_the_first(running)
            check()
            running.add(threads.submit(run, batch))
        while running:
            running = _after_the_first(running)


def _after_the_first(running: set[Future[None]]) -> set[Future[None]]:
    """Waits until one of them is done, raises what went wrong in it, and returns those that are not done."""
    done, others = wait(running, return_when=FIRST_COMPLETED)
    for ended in done:
        ended.result()
    return others


def _pad_id(folder: Path, tokenizer: Any) -> int:
    """The padding token that the model was made with; padding is masked, so that its id must only exist."""
    special = folder / "special_tokens_map.json"
    token: Any = json.loads(special.read_text()).get("pad_token", "[PAD]") if special.is_file() else "[PAD]"
    found = tokenizer.token_to_id(token["content"] if isinstance(token, dict) else token)
    return 0 if found is None else int(found)
