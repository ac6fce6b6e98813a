"""What a trial of index settings is made with: passages of the serving version, and queries that people ask."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from embedloop.catalog import feedback, index_versions
from embedloop.encoder import Encoder, Vectors
from embedloop.index_rows import passage_id
from embedloop.index_trial import ROWS_A_MESSAGE, Sample
from embedloop.jobs import Lease
from embedloop.records.documents import Corpus, Passage
from embedloop.records.labels import Split
from embedloop.records.versions import IndexVersion
from embedloop.slices import slices
from embedloop.text.chunking import embedding_text
from embedloop.text.normalise import query_key
from embedloop.verification import QUERY_CHARS
from workers.parts import Parts

# Of the vectors, which stay in memory; texts lie in a file.
MOST_BYTES = 400 * 1024 * 1024
RETRIEVALS_READ = 2000
_QUERIES_PER_STEP = 64


@dataclass(frozen=True)
class Drawn:
    """A sample, how many passages there are, and where its queries come from: `asked`, `judged`, `titles`."""

    sample: Sample
    passages: int
    sources: Mapping[str, int]


class Spool:
    """Passages in a file without a name, which the system takes back however the process ends."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `close`
        self._ends = [0]

    def add(self, passages: Sequence[Passage]) -> None:
        for passage in passages:
            self._file.write(json.dumps(asdict(passage)).encode() + b"\n")
            self._ends.append(self._file.tell())

    def read(self, start: int, stop: int) -> list[Passage]:
        """The passages start..stop, the end left out; do not add any after the first call."""
        self._file.seek(self._ends[start])
        lines = self._file.read(self._ends[stop] - self._ends[start]).splitlines()
        return [Passage(**json.loads(line)) for line in lines]

    def close(self) -> None:
        self._file.close()


@contextmanager
def drawn(
    parts: Parts, corpus: Corpus, serving: IndexVersion, rows: int, queries: int, lease: Lease
) -> Iterator[Drawn]:
    """A sample spread evenly over the serving version, as long as the block lasts.

    Args:
        parts: Adapters.
        corpus: The corpus.
        serving: The version in charge.
        rows: Passages at most; fewer where their vectors would not fit into `MOST_BYTES`.
        queries: Queries at most.
        lease: Asked between two steps whether to go on.
    """
    encoder = parts.encoders.get(parts.model(serving.model_id))
    most = min(rows, MOST_BYTES // (4 * encoder.dimension))
    with parts.database.read() as connection:
        passages = index_versions.passages(connection, serving.index_version_id)
    spool = Spool(parts.settings.data_dir / "work")
    try:
        wanted = _keys(parts, serving, passages, most, lease)
        keys, vectors = _rows(parts, serving, encoder, wanted, spool, lease)
        texts, sources = _queries(parts, corpus, queries, spool, len(keys))
        yield Drawn(Sample(keys, spool.read, vectors, _encoded(encoder, texts, lease)), passages, sources)
    finally:
        spool.close()


def _keys(parts: Parts, serving: IndexVersion, passages: int, most: int, lease: Lease) -> list[str]:
    """Every so manieth row of the version's live documents, at most `most`."""
    found: list[str] = []
    at, of = 0, max(passages, most)
    with parts.database.read() as connection:
        for page in index_versions.iterate_placements(connection, serving.index_version_id):
            lease.check()
            for placed, live in page:
                for ordinal in range(placed.passages):
                    if live and at * most // of != (at + 1) * most // of:
                        found.append(passage_id(placed.document_id, placed.rev, ordinal))
                    at += 1
    # Documents may have been written since they were counted.
    return found[:most]


def _rows(
    parts: Parts, serving: IndexVersion, encoder: Encoder, wanted: Sequence[str], spool: Spool, lease: Lease
) -> tuple[list[str], Vectors]:
    """Those that Milvus holds, their passages into the spool: ids, and vectors (n, dim) in float32.

    What is stored more coarsely is encoded once more.
    """
    stored_exactly = serving.index.vector_type == "float32"
    keys: list[str] = []
    vectors = np.empty((len(wanted), encoder.dimension), dtype=np.float32)
    for part in slices(wanted, ROWS_A_MESSAGE):
        lease.check()
        passages = parts.index.passages(serving.collection, part)
        if stored_exactly:
            known = parts.index.vectors(serving.collection, part)
        else:
            texts = [embedding_text(p.title, p.text) for p in passages.values()]
            known = dict(zip(passages, encoder.encode_passages(texts, check=lease.check), strict=True))
        there = [key for key in part if key in passages and key in known]
        for number, key in enumerate(there, len(keys)):
            vectors[number] = known[key]
        spool.add([passages[key] for key in there])
        keys += there
    return keys, vectors[: len(keys)]


def _queries(
    parts: Parts, corpus: Corpus, most: int, spool: Spool, rows: int
) -> tuple[list[str], dict[str, int]]:
    """What was asked lately, then what was judged, then titles of the sample; each query once."""
    with parts.database.read() as connection:
        asked = feedback.recent_queries(connection, corpus.name, RETRIEVALS_READ)
        judged = [one.query for one in feedback.judgments_of(connection, corpus.name, tuple(Split))]
    generator = random.Random(13)
    generator.shuffle(judged)
    numbers = generator.sample(range(rows), rows)
    sources = {"asked": asked, "judged": judged, "titles": _titles(spool, numbers)}
    found: dict[str, str] = {}
    counts: dict[str, int] = {}
    for source, offered in sources.items():
        before = len(found)
        for text in offered:
            if len(found) == most:
                break
            found.setdefault(query_key(text), text)
        counts[source] = len(found) - before
    return list(found.values()), counts


def _titles(spool: Spool, numbers: Sequence[int]) -> Iterator[str]:
    """Titles, or the beginnings of texts without one."""
    for number in numbers:
        (passage,) = spool.read(number, number + 1)
        if text := (passage.title.strip() or passage.text.strip())[:QUERY_CHARS]:
            yield text


def _encoded(encoder: Encoder, texts: Sequence[str], lease: Lease) -> Vectors:
    parts = [np.empty((0, encoder.dimension), dtype=np.float32)]
    for part in slices(texts, _QUERIES_PER_STEP):
        lease.check()
        parts.append(encoder.encode_queries(part))
    return np.vstack(parts)
