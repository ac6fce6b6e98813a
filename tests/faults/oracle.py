"""What an index version must answer, computed from its own model and chunking and not from what it claims."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedloop.client.results import SearchResult
from embedloop.encoder import TOKENIZER_FILE, OnnxEncoder
from embedloop.index_rows import passage_id
from embedloop.records.versions import IndexVersion
from embedloop.text.chunking import Chunker, embedding_text
from tests.faults.cluster import Cluster
from tests.faults.model import NUMBER, Documents

# Milvus and ONNX Runtime add up in another order for batches of other lengths.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Judge:
    """One index version's encoder and chunker, with what they gave before."""

    model_id: str
    encoder: OnnxEncoder
    chunker: Chunker
    vectors: dict[str, NDArray[np.float32]]
    pieces: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def vector(self, text: str) -> NDArray[np.float32]:
        """(dim,) float32, L2-normalised; queries and passages have the same prompt here, none."""
        if text not in self.vectors:
            self.vectors[text] = self.encoder.encode_passages([text])[0]
        return self.vectors[text]

    def chunks(self, title: str, text: str) -> list[str]:
        if (title, text) not in self.pieces:
            self.pieces[title, text] = [chunk.text for chunk in self.chunker.split(title, text)]
        return self.pieces[title, text]

    def faults(self, query: str, answer: SearchResult, documents: Documents) -> list[str]:
        """Why this is no answer of this version; empty when it is."""
        found = []
        if answer.model_version != self.model_id:
            found.append(f"{answer.index_version} is of {self.model_id}, not of {answer.model_version}")
        if len({hit.passage_id for hit in answer.results}) < len(answer.results):
            found.append("a passage is there twice")
        wanted = self.vector(query)
        for hit in answer.raw["results"]:
            found += self._faults_of_hit(wanted, hit, documents)
        return found

    def _faults_of_hit(
        self, wanted: NDArray[np.float32], hit: Mapping[str, Any], documents: Documents
    ) -> Sequence[str]:
        document_id, ordinal = hit["document_id"], hit["explain"]["ordinal"]
        content = documents.content(document_id, hit["metadata"].get(NUMBER, 0))
        if content is None:
            return [f"{document_id!r} was never written with {hit['metadata']}"]
        chunks = self.chunks(content.title, content.text)
        if hit["title"] != content.title or ordinal >= len(chunks) or hit["text"] != chunks[ordinal]:
            return [f"{document_id!r} passage {ordinal} is {hit['text']!r}, of {chunks!r}"]
        if hit["passage_id"] != passage_id(document_id, hit["explain"]["rev"], ordinal):
            return [f"{document_id!r} passage {ordinal} has the key {hit['passage_id']}"]
        cosine = float(self.vector(embedding_text(content.title, chunks[ordinal])) @ wanted)
        if abs(cosine - hit["score"]) > TOLERANCE:
            return [f"{document_id!r} scores {hit['score']:.5f}, its own model says {cosine:.5f}"]
        return []


@dataclass
class Oracle:
    """Judges answers; safe to share between threads."""

    cluster: Cluster
    documents: Documents
    _judges: dict[str, Judge] = field(default_factory=dict)
    _encoders: dict[str, tuple[OnnxEncoder, dict[str, NDArray[np.float32]]]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def faults(self, query: str, answer: SearchResult) -> list[str]:
        """Why this cannot be an answer wholly of the index version that it names; empty when it can."""
        with self._lock:
            judge = self._judge(answer.index_version)
            if judge is None:
                return [f"the catalog knows no index version {answer.index_version}"]
            return judge.faults(query, answer, self.documents)

    def _judge(self, index_version: str) -> Judge | None:
        if index_version not in self._judges:
            versions = {v.index_version_id: v for v in self.cluster.versions()}
            if index_version not in versions:
                return None
            self._judges[index_version] = self._made(versions[index_version])
        return self._judges[index_version]

    def _made(self, version: IndexVersion) -> Judge:
        model = self.cluster.model(version.model_id)
        folder = self.cluster.stack.data_dir / "models" / model.model_id
        if model.model_id not in self._encoders:
            self._encoders[model.model_id] = OnnxEncoder(folder, max_tokens=model.max_tokens, threads=1), {}
        encoder, vectors = self._encoders[model.model_id]
        chunker = Chunker.from_tokenizer_file(folder / TOKENIZER_FILE, version.chunking, model.max_tokens)
        return Judge(model.model_id, encoder, chunker, vectors)
