"""A corpus on a real Milvus Lite server and a SQLite file, worked on by plain calls: no service, no Celery."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from embedloop import corpus as corpora_rules
from embedloop import reembed, verification
from embedloop.applier import View, apply_changes, following
from embedloop.catalog import corpora, index_versions, models, promotions, shards
from embedloop.catalog.database import Database, now
from embedloop.corpus import Written, put_documents
from embedloop.encoder import TOKENIZER_FILE, Encoder, Vectors, go_on
from embedloop.index import MilvusIndex
from embedloop.policy import Chunking, Policy
from embedloop.promotion import alias_of, promote, rollback
from embedloop.records.documents import Corpus, Hit, NewDocument
from embedloop.records.gate import Gate
from embedloop.records.versions import IndexState, IndexVersion, ModelVersion
from embedloop.registry import ModelStore, load_encoder
from embedloop.serving import EncoderCache, Replica
from embedloop.settings import Settings
from embedloop.text.chunking import Chunker
from embedloop.verification import Verification
from service.app import create_app
from tests.patience import PATIENCE_SECONDS
from tests.servers import Server
from workers.parts import Parts

if TYPE_CHECKING:
    from tests.integration.bench import Bench

LEASE = 30.0
CHUNKING = Chunking(max_tokens=16)

TEXTS = {
    "nose": "epistaxis bleeding from the nose",
    "heart": "myocardial infarction heart attack with chest pain",
    "kidney": "kidney stone and liver pain",
    "skin": "skin rash with itching and burn",
    "tooth": "dental caries tooth decay",
    "sugar": "diabetes high blood sugar insulin",
}


@dataclass
class World:
    """One corpus with what is needed to write to it, build versions of it, and ask it."""

    name: str
    database: Database
    index: MilvusIndex
    store: ModelStore
    folder: Path
    encoders: dict[str, Encoder] = field(default_factory=dict)
    collections: list[str] = field(default_factory=list)
    replicas: list[Replica] = field(default_factory=list)

    def put(self, documents: dict[str, str]) -> list[Written]:
        return put_documents(
            self.database,
            self.name,
            [NewDocument(i, "", text, {"lang": "en"}) for i, text in documents.items()],
        )

    def delete(self, document_id: str) -> Written:
        return corpora_rules.delete_document(self.database, self.name, document_id)

    def corpus(self) -> Corpus:
        with self.database.read() as connection:
            return corpora.get(connection, self.name)

    def version(self, identity: str) -> IndexVersion:
        with self.database.read() as connection:
            return index_versions.get(connection, identity)

    def view(self, version: IndexVersion) -> View:
        with self.database.read() as connection:
            model = models.get(connection, version.model_id)
        if model.model_id not in self.encoders:
            self.encoders[model.model_id] = load_encoder(self.store, model, threads=1, batch_size=32)
        chunker = Chunker.from_tokenizer_file(
            self.store.fetch(model.model_id) / TOKENIZER_FILE, version.chunking, model.max_tokens
        )
        return View(self.database, self.index, version, self.encoders[model.model_id], chunker)

    def plan(self, model: ModelVersion, shard_documents: int = 2) -> View:
        """A building version with its collection and its shards, none of them embedded."""
        with self.database.write() as connection:
            models.add(connection, model)
            version = reembed.plan(
                connection,
                corpus=self.name,
                model=model,
                chunking=CHUNKING,
                index=corpora.get(connection, self.name).policy.index,
                job_id="j-test",
                shard_chars=10_000,
                shard_documents=shard_documents,
            )
        self.index.create(version.collection, model.dimension, version.index)
        self.collections.append(version.collection)
        return self.view(version)

    def embed(self, view: View) -> None:
        """Every shard, then the backfill is over."""
        identity = view.version.index_version_id
        with self.database.write() as connection:
            waiting = shards.take_unsent(connection, identity, 300)
        for shard_id in waiting:
            self.embed_one(view, shard_id)
        reembed.finish_backfill(self.database, identity)

    def embed_one(self, view: View, shard_id: int) -> None:
        with self.database.write() as connection:
            shard = shards.claim(connection, shard_id, LEASE)
        assert shard is not None
        rows = reembed.embed_shard(view, shard)
        with self.database.write() as connection:
            shards.finish(connection, shard, rows)

    def verify(self, view: View, failures_allowed: Sequence[str] = ()) -> Verification:
        """As the stage does it: catch up, sweep, seal, compare, all under the applier's lease."""
        with following(view, lease_seconds=LEASE) as held:
            assert held is not None
            held.catch_up()
            reembed.sweep(view)
            self.index.seal(view.version.collection)
            return self.settle(view, verification.verify(view, failures_allowed=failures_allowed))

    def settle(self, view: View, found: Verification) -> Verification:
        state = IndexState.READY if found.passed else IndexState.RETIRED
        with self.database.write() as connection:
            index_versions.set_fields(
                connection,
                view.version.index_version_id,
                verification=dict(found.as_json()),
                state=state.value,
            )
        return found

    def build(self, model: ModelVersion) -> View:
        """A ready version."""
        view = self.plan(model)
        self.embed(view)
        found = self.verify(view)
        assert found.passed, found.reasons
        return view

    def serve(self, model: ModelVersion) -> View:
        """A version in charge."""
        view = self.build(model)
        self.pass_gate(model)
        self.promote(view)
        return view

    def pass_gate(self, model: ModelVersion, passed: bool = True, **metrics: str) -> None:
        with self.database.write() as connection:
            models.add_gate(
                connection,
                Gate(
                    gate_id=f"g-{model.model_id}-{now().timestamp()}",
                    corpus=self.name,
                    job_id="j-test",
                    candidate=model.model_id,
                    serving="m-before",
                    passed=passed,
                    reasons=[],
                    metrics=metrics,
                    created_at=now(),
                ),
            )

    def promote(self, view: View, timeout_seconds: float = PATIENCE_SECONDS) -> Corpus:
        return promote(
            self.database,
            self.index,
            self.name,
            view.version.index_version_id,
            actor="test",
            timeout_seconds=timeout_seconds,
        )

    def rollback(self, timeout_seconds: float = PATIENCE_SECONDS) -> Corpus:
        return rollback(self.database, self.index, self.name, actor="test", timeout_seconds=timeout_seconds)

    def apply(self, view: View) -> int:
        rows = apply_changes(view, lease_seconds=LEASE)
        assert rows is not None
        return rows

    def rows(self, view: View) -> list[tuple[str, int]]:
        """(document, rev) of every row, whatever the catalog says."""
        return sorted(
            (row.document_id, row.rev) for page in self.index.scan(view.version.collection) for row in page
        )

    def documents(self, view: View) -> set[str]:
        return {document_id for document_id, _ in self.rows(view)}

    def ask(self, view: View, query: str, limit: int = 3) -> list[Hit]:
        vectors = view.encoder.encode_queries([query])
        return self.index.search(
            view.version.collection, vectors, limit, settings=view.version.index, strong=True
        )[0]

    def failures(self, view: View) -> dict[str, str]:
        with self.database.read() as connection:
            return index_versions.failures(connection, view.version.index_version_id)

    def replica(self, name: str = "r-1", *, start: bool = True, lease_seconds: float = 300) -> Replica:
        replica = Replica(
            name,
            self.database,
            self.index,
            EncoderCache(self.store, threads=1, batch_size=32),
            poll_seconds=0.02,
            lease_seconds=lease_seconds,
        )
        if start:
            replica.start()
            self.replicas.append(replica)
        return replica

    def close(self) -> None:
        for replica in self.replicas:
            replica.stop()
        self.index.drop_alias(alias_of(self.name))
        for collection in self.collections:
            self.index.drop(collection)


@pytest.fixture
def world(
    database: Database, index: MilvusIndex, model_store: ModelStore, unique: str, tmp_path: Path
) -> Iterator[World]:
    with database.write() as connection:
        corpora.add(connection, unique, Policy(chunking=CHUNKING))
    made = World(unique, database, index, model_store, tmp_path)
    made.put(TEXTS)
    yield made
    made.close()


@pytest.fixture
def bench(
    world: World,
    milvus_server: Server,
    valkey_server: Server,
    model_store: ModelStore,
    database_url: str,
    index: MilvusIndex,
    tiny: ModelVersion,
    other_tiny: ModelVersion,
    tmp_path: Path,
) -> Iterator[Bench]:
    with world.database.write() as connection:
        models.add(connection, tiny)
        models.add(connection, other_tiny)
    settings = Settings(
        data_dir=tmp_path,
        database_url=database_url,
        milvus_uri=f"http://127.0.0.1:{milvus_server.port}",
        broker_url=f"redis://127.0.0.1:{valkey_server.port}/3",
        model_store=str(model_store.fetch(tiny.model_id).parent),
        shard_documents=2,
        promotion_timeout_seconds=60,
        replica_lease_seconds=1.5,
        embed_threads=1,
    )
    # The bench itself is made of the world above.
    from tests.integration.bench import Bench

    parts = Parts(settings)
    made = Bench(world, parts)
    yield made
    made.versions()
    parts.queue.close()
    parts.database.dispose()


@pytest.fixture
def http(bench: Bench) -> Iterator[TestClient]:
    """The service in this process, over the bench's parts, asked with its admin key."""
    folder = bench.parts.settings.data_dir / "in-process"
    # A busy machine must not let its replica's lease end in the middle of a test.
    changed = {"data_dir": folder, "replica_lease_seconds": 60.0}
    app = create_app(bench.parts.settings.model_copy(update=changed))
    with TestClient(app) as client:
        client.headers["Authorization"] = f"Bearer {(folder / 'admin.key').read_text().strip()}"
        yield client


@dataclass
class FaultyIndex:
    """A Milvus that fails at a chosen call, before or after the call took effect; else it is the real one."""

    real: MilvusIndex
    operation: str
    error: BaseException
    after_effect: bool = False
    failures_left: int = 1

    def __getattr__(self, name: str) -> object:
        method = getattr(self.real, name)
        if name != self.operation:
            return method

        def call(*arguments: object, **options: object) -> object:
            if self.failures_left <= 0:
                return method(*arguments, **options)
            self.failures_left -= 1
            if self.after_effect:
                method(*arguments, **options)
            raise self.error

        return call


@dataclass
class FakePoisonEncoder:
    """An encoder that one word breaks, as hostile text breaks a tokenizer or a graph."""

    real: Encoder
    word: str
    error: type[Exception] = RuntimeError

    @property
    def dimension(self) -> int:
        return self.real.dimension

    @property
    def max_tokens(self) -> int:
        return self.real.max_tokens

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return self.real.encode_queries(texts)

    def encode_passages(self, texts: Sequence[str], *, check: Callable[[], None] = go_on) -> Vectors:
        if any(self.word in text for text in texts):
            raise self.error(f"the graph broke on {self.word}")
        return self.real.encode_passages(texts, check=check)


def faulty(
    view: View, operation: str, error: BaseException | None = None, *, after_effect: bool = False
) -> View:
    wrapped = FaultyIndex(view.index, operation, error or ProcessGone(), after_effect)
    return replace(view, index=wrapped)  # type: ignore[arg-type]


class ProcessGone(BaseException):
    """Nothing catches it: the process is gone as far as the code under test can tell."""


def poisoned(view: View, word: str, error: type[Exception] = RuntimeError) -> View:
    return replace(view, encoder=FakePoisonEncoder(view.encoder, word, error))


def preparing(world: World) -> str | None:
    with world.database.read() as connection:
        found = promotions.preparing(connection).get(world.name)
    return None if found is None else found.candidate
