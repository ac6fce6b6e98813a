"""Vectors that another index version holds already: the same passage encoder need not encode again."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from embedloop.encoder import Vectors
from embedloop.errors import CollectionNotFound
from embedloop.index import MilvusIndex
from embedloop.query_map import QUERY_MAP_FILE, QUERY_MODEL_FOLDER
from embedloop.records.documents import Passage
from embedloop.records.versions import IndexState, IndexVersion, ModelVersion
from embedloop.static_models import RESCORER_FOLDER

log = logging.getLogger(__name__)

# The surest first: what serves was verified and is followed, what stands by is followed as long as it stands.
_HOLDS_ALL = (IndexState.SERVING, IndexState.STANDBY, IndexState.READY)


class VectorSource(Protocol):
    """Vectors of passages that were encoded before."""

    def find(self, passages: Sequence[Passage]) -> dict[str, Vectors]:
        """Passage id -> vector `(dim,)` float32, L2-normalised, of those passages that it knows as they are."""
        ...


@dataclass(frozen=True, slots=True)
class StoredVectors:
    """The vectors of another collection, for passages whose title and text it holds unchanged.

    A key says which document and rev a row is of. That a text was cut then as it is cut now, is compared.
    """

    index: MilvusIndex
    collection: str

    def find(self, passages: Sequence[Passage]) -> dict[str, Vectors]:
        """As `VectorSource`; a collection that was dropped meanwhile knows nothing."""
        keys = [passage.passage_id for passage in passages]
        try:
            stored = self.index.passages(self.collection, keys)
            same = [p.passage_id for p in passages if _is_same(p, stored.get(p.passage_id))]
            return self.index.vectors(self.collection, same)
        except CollectionNotFound:
            log.warning("collection %s is gone: its vectors are encoded anew", self.collection)
            return {}


def passage_key(model: ModelVersion) -> str:
    """Equal for model versions that make the same vectors of passages, whatever they do with queries."""
    files = {
        name: digest
        for name, digest in model.manifest.items()
        if name != QUERY_MAP_FILE and not name.startswith((f"{QUERY_MODEL_FOLDER}/", f"{RESCORER_FOLDER}/"))
    }
    content = [files, model.passage_prompt, model.max_tokens, model.dimension, model.backend]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def source_of(
    version: IndexVersion, others: Sequence[IndexVersion], models: Mapping[str, ModelVersion]
) -> IndexVersion | None:
    """The index version whose vectors this one may take; None when it must encode.

    Building the model version that serves once more is a rebuild: it starts from the texts. Vectors that were
    rounded are copied to where they would be rounded alike, and packing them again changes nothing.

    Args:
        version: To be built.
        others: Versions of the same corpus.
        models: Of all of them, by id.
    """
    key = passage_key(models[version.model_id])
    fitting = [
        other
        for other in others
        if other.state in _HOLDS_ALL
        and other.index_version_id != version.index_version_id
        and other.chunking == version.chunking
        and other.index.vector_type in ("float32", version.index.vector_type)
        and passage_key(models[other.model_id]) == key
    ]
    if any(one.state is IndexState.SERVING and one.model_id == version.model_id for one in others):
        return None
    return min(fitting, key=lambda other: _HOLDS_ALL.index(other.state), default=None)


def _is_same(passage: Passage, stored: Passage | None) -> bool:
    return stored is not None and (stored.title, stored.text) == (passage.title, passage.text)
