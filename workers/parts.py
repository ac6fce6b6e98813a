"""What a worker process works with, made once in each process after it was spawned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from embedloop.applier import View
from embedloop.catalog import index_versions, models
from embedloop.catalog.database import Database
from embedloop.copying import StoredVectors, source_of
from embedloop.encoder import TOKENIZER_FILE, go_on
from embedloop.errors import NotReady
from embedloop.index import MilvusIndex
from embedloop.mapped import has_map
from embedloop.policy import Chunking
from embedloop.queue import TaskQueue
from embedloop.records.documents import Corpus
from embedloop.records.versions import IndexVersion, ModelVersion
from embedloop.registry import ModelStore
from embedloop.serving import EncoderCache
from embedloop.settings import Settings
from embedloop.text.chunking import Chunker

# The serving version and the one being built, and one more for an evaluation.
ENCODERS_KEPT = 3


@dataclass(frozen=True)
class Parts:
    """Adapters by the settings; each connects when it is first used."""

    settings: Settings
    _chunkers: dict[tuple[str, Chunking], Chunker] = field(default_factory=dict)

    @cached_property
    def database(self) -> Database:
        return Database(self.settings.database, pool_size=4)

    @cached_property
    def index(self) -> MilvusIndex:
        return MilvusIndex(
            self.settings.milvus_uri,
            token=self.settings.milvus_token.get_secret_value(),
            timeout_seconds=self.settings.milvus_timeout_seconds,
        )

    @cached_property
    def store(self) -> ModelStore:
        return ModelStore(self.settings.models, self.settings.data_dir / "model-cache")

    @cached_property
    def queue(self) -> TaskQueue:
        return TaskQueue(self.settings.broker_url, timeout_seconds=self.settings.broker_timeout_seconds)

    @cached_property
    def encoders(self) -> EncoderCache:
        return EncoderCache(
            self.store,
            threads=self.settings.embed_threads,
            batch_size=self.settings.encode_batch_size,
            capacity=ENCODERS_KEPT,
            bulk=True,
        )

    def model(self, model_id: str) -> ModelVersion:
        with self.database.read() as connection:
            return models.get(connection, model_id)

    def view(self, version: IndexVersion, *, check: Callable[[], None] = go_on) -> View:
        """An index version with its own model's encoder and chunker. Raises ModelRefused.

        Args:
            version: The version.
            check: Called between two batches of whatever is done with the view; raises to end it.
        """
        model = self.model(version.model_id)
        return View(
            database=self.database,
            index=self.index,
            version=version,
            encoder=self.encoders.get(model),
            chunker=self.chunker(version, model),
            check=check,
        )

    def source(self, version: IndexVersion) -> StoredVectors | None:
        """The vectors that another version of the corpus holds and this one would encode again."""
        with self.database.read() as connection:
            others = index_versions.of_corpus(connection, version.corpus)
            wanted = {one.model_id for one in (version, *others)}
            known = {model_id: models.get(connection, model_id) for model_id in wanted}
        found = source_of(version, others, known)
        return None if found is None else StoredVectors(self.index, found.collection)

    def serving(self, corpus: Corpus) -> IndexVersion:
        """The index version in charge. Raises NotReady when nothing serves yet."""
        if corpus.serving is None:
            raise NotReady(f"corpus {corpus.name!r} has no serving index version yet", field="corpus")
        with self.database.read() as connection:
            return index_versions.get(connection, corpus.serving)

    def without_map(self, model: ModelVersion) -> ModelVersion:
        """The model version whose files a mapped one took over for its passages; any other is itself."""
        while has_map(model) and model.parent is not None:
            model = self.model(model.parent)
        return model

    def root(self, model: ModelVersion) -> ModelVersion:
        """The untrained model that it goes back to."""
        while model.parent is not None:
            model = self.model(model.parent)
        return model

    def chunker(self, version: IndexVersion, model: ModelVersion) -> Chunker:
        """Kept between tasks: reading a tokenizer takes longer than applying one change."""
        key = (model.model_id, version.chunking)
        if key not in self._chunkers:
            folder = self.store.fetch(model.model_id)
            if len(self._chunkers) >= ENCODERS_KEPT:
                self._chunkers.clear()
            self._chunkers[key] = Chunker.from_tokenizer_file(
                folder / TOKENIZER_FILE, version.chunking, model.max_tokens
            )
        return self._chunkers[key]
