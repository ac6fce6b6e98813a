"""What an index version holds beside what the catalog says, in memory that does not grow with the corpus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from embedloop.applier import View
from embedloop.catalog import documents, index_versions
from embedloop.corpus import passages_of
from embedloop.fidelity import Candidates, Truth
from embedloop.index_rows import passage_id
from embedloop.records.documents import Passage
from embedloop.records.versions import Placement
from embedloop.slices import slices

_PARTS = 256
_MODULUS = 1 << 128
# With Strong consistency, for which a server may wait for its next tick each time.
PASSAGES_PER_LOOK = 256


@dataclass
class Checksum:
    """An order-free checksum over keys of 16 bytes: their sum, in parts by the first byte of the key.

    The parts that differ say where to look for what differs. Sums of hashes as in Bellare and Micciancio 1997,
    "A New Paradigm for Collision-Free Hashing"; here it guards against accidents, not against an adversary.
    """

    counts: list[int] = field(default_factory=lambda: [0] * _PARTS)
    sums: list[int] = field(default_factory=lambda: [0] * _PARTS)

    def add(self, key: bytes) -> None:
        self.counts[key[0]] += 1
        self.sums[key[0]] = (self.sums[key[0]] + int.from_bytes(key)) % _MODULUS

    @property
    def count(self) -> int:
        return sum(self.counts)

    def hex(self) -> str:
        """The whole in 32 hexadecimal digits."""
        return f"{sum(self.sums) % _MODULUS:032x}"

    def differing(self, other: Checksum) -> set[int]:
        """The parts in which the two differ."""
        return {
            part
            for part in range(_PARTS)
            if (self.counts[part], self.sums[part]) != (other.counts[part], other.sums[part])
        }


@dataclass(frozen=True)
class Wanted:
    """What the catalog says of a version, up to its cursor.

    Attributes:
        checksum: Over the keys that must be there.
        in_motion: Keys of documents that changed after the cursor: their rows may be of either rev.
        missing: How many live documents are neither held nor failed.
        first_missing: The first ids of them.
        failed: Documents that could not be embedded.
    """

    checksum: Checksum
    in_motion: set[bytes]
    missing: int
    first_missing: Sequence[str]
    failed: set[str]


@dataclass(frozen=True)
class Difference:
    """Keys that the catalog expects and Milvus lacks, or the other way round, and rows of a key seen before."""

    absent: int
    unexpected: int
    repeated: int


def wanted(view: View, *, named: int) -> Wanted:
    """Reads the catalog as of one moment; `named` bounds how many missing documents are named."""
    identity = view.version.index_version_id
    with view.database.read() as connection:
        cursor = index_versions.get(connection, identity).applied_seq
        failed = set(index_versions.failures(connection, identity))
        missing, first = index_versions.absent_documents(connection, identity, up_to_seq=cursor, named=named)
        in_motion = _keys_of(connection, view, _moving(connection, view))
        checksum = Checksum()
        for key in _expected(connection, view, in_motion):
            checksum.add(key)
    return Wanted(checksum, in_motion, missing, first, failed)


def scan(
    view: View, expected: Wanted, queries: NDArray[np.float32], nearest: int
) -> tuple[Checksum, int, Truth]:
    """One pass over all rows.

    Args:
        view: The version.
        expected: What the catalog says.
        queries: (q, dim) float32, L2-normalised.
        nearest: How many exact nearest to find of each query.

    Returns:
        The checksum over the keys, how many rows are of documents in motion, and the truth about the nearest.
    """
    seen, moving = Checksum(), 0
    candidates = Candidates(queries, nearest, view.version.index.vector_type)
    for page in view.index.scan(view.version.collection, with_vectors=True):
        view.check()
        for row in page:
            key = bytes.fromhex(row.passage_id)
            if key in expected.in_motion:
                moving += 1
            else:
                seen.add(key)
        vectors = np.stack([row.vector for row in page if row.vector is not None])
        candidates.add([row.passage_id for row in page if row.vector is not None], vectors)
    return seen, moving, candidates.truth(view)


def difference(view: View, expected: Wanted, seen: Checksum) -> Difference:
    """Looks again, at the parts of the keys in which the checksums differ."""
    parts = expected.checksum.differing(seen)
    if not parts:
        return Difference(0, 0, 0)
    with view.database.read() as connection:
        # Documents that changed since the first look are in motion too.
        in_motion = expected.in_motion | _keys_of(connection, view, _moving(connection, view))
        keys = {key for key in _expected(connection, view, in_motion) if key[0] in parts}
    found: set[bytes] = set()
    rows = 0
    for page in view.index.scan(view.version.collection):
        view.check()
        for row in page:
            key = bytes.fromhex(row.passage_id)
            if key[0] in parts and key not in in_motion:
                found.add(key)
                rows += 1
    return Difference(len(keys - found), len(found - keys), rows - len(found))


def altered_passages(view: View, expected: Wanted, sample: int) -> tuple[int, list[str]]:
    """Compares what Milvus holds of documents spread over the corpus with what is cut from the catalog now.

    Returns:
        How many passages were compared, and in words those that are not there as they should be.
    """
    passages = _sampled(view, expected, sample)
    altered = []
    for part in slices(passages, PASSAGES_PER_LOOK):
        view.check()
        stored = view.index.passages(view.version.collection, [p.passage_id for p in part])
        altered += [
            f"document {p.document_id!r} passage {p.passage_id}: {what}"
            for p in part
            if (what := _alteration(p, stored)) is not None
        ]
    return len(passages), altered


def _sampled(view: View, expected: Wanted, sample: int) -> list[Passage]:
    """At most `sample` passages of each of as many documents, as they are cut from the catalog now."""
    with view.database.read() as connection:
        ids = documents.spread(connection, view.version.corpus, sample)
        found = documents.get_many(connection, view.version.corpus, ids)
        # Those of this moment: what changed since the first look is not in the version yet.
        moving = _moving(connection, view)
    passages = []
    for identity, document in found.items():
        if identity not in moving and identity not in expected.failed:
            view.check()
            passages += passages_of(document, view.chunker)[:sample]
    return passages


def _alteration(passage: Passage, stored: Mapping[str, Passage]) -> str | None:
    held = stored.get(passage.passage_id)
    if held is None:
        return "absent"
    names = ("document_id", "rev", "ordinal", "title", "text", "metadata")
    wrong = [name for name in names if getattr(held, name) != getattr(passage, name)]
    return f"{', '.join(wrong)} differs" if wrong else None


def _moving(connection: Connection, view: View) -> set[str]:
    """Documents that changed after the version's cursor."""
    cursor = index_versions.get(connection, view.version.index_version_id).applied_seq
    return documents.changed_after(connection, view.version.corpus, cursor)


def _keys_of(connection: Connection, view: View, document_ids: set[str]) -> set[bytes]:
    placed = index_versions.placements_of(connection, view.version.index_version_id, sorted(document_ids))
    return {key for group in placed.values() for one in group for key in _keys(one)}


def _expected(connection: Connection, view: View, in_motion: set[bytes]) -> Iterator[bytes]:
    for page in index_versions.iterate_placements(connection, view.version.index_version_id):
        view.check()
        for placed, live in page:
            if live and placed.written:
                yield from (key for key in _keys(placed) if key not in in_motion)


def _keys(placed: Placement) -> Iterator[bytes]:
    for ordinal in range(placed.passages):
        yield bytes.fromhex(passage_id(placed.document_id, placed.rev, ordinal))
