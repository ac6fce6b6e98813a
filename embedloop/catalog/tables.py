"""The SQL tables of corpora, models, index versions and jobs: the source of truth. Migrations mirror them."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    text,
)

from embedloop.catalog.columns import (
    DocumentId,
    Seq,
    UtcDateTime,
    corpus_column,
    metadata,
)

corpora = Table(
    "corpora",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("policy", JSON, nullable=False),
    Column("serving", String(64)),
    Column("previous", String(64)),
    Column("promotion_token", BigInteger, nullable=False, server_default="0"),
    Column("feedback_watermark", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
)

changes = Table(
    "changes",
    metadata,
    Column("seq", Seq, primary_key=True, autoincrement=True),
    corpus_column(),
    Column("document_id", DocumentId, nullable=False),
    Column("op", String(8), nullable=False),
    Column("content_hash", String(64), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Index("ix_changes_corpus_seq", "corpus", "seq"),
    sqlite_autoincrement=True,
)

documents = Table(
    "documents",
    metadata,
    Column("corpus", String(64), ForeignKey("corpora.name", ondelete="CASCADE"), primary_key=True),
    Column("document_id", DocumentId, primary_key=True),
    Column("rev", BigInteger, nullable=False),
    Column("live", Boolean, nullable=False),
    Column("title", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("content_hash", String(64), nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

near_duplicate_keys = Table(
    "near_duplicate_keys",
    metadata,
    Column("corpus", String(64), ForeignKey("corpora.name", ondelete="CASCADE"), primary_key=True),
    Column("key", String(18), primary_key=True),
    Column("document_id", DocumentId, primary_key=True),
    Index("ix_near_duplicate_keys_corpus_document_id", "corpus", "document_id"),
)

models = Table(
    "models",
    metadata,
    Column("model_id", String(64), primary_key=True),
    Column("base", Text, nullable=False),
    Column("parent", String(64)),
    Column("corpus", String(64)),
    Column("training_set_id", String(64)),
    Column("dimension", Integer, nullable=False),
    Column("max_tokens", Integer, nullable=False),
    Column("query_prompt", Text, nullable=False),
    Column("passage_prompt", Text, nullable=False),
    Column("backend", String(16), nullable=False),
    Column("manifest", JSON, nullable=False),
    Column("metrics", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

index_versions = Table(
    "index_versions",
    metadata,
    Column("index_version_id", String(64), primary_key=True),
    corpus_column(),
    Column("model_id", String(64), ForeignKey("models.model_id"), nullable=False),
    Column("collection", String(128), nullable=False, unique=True),
    Column("state", String(16), nullable=False),
    Column("chunking", JSON, nullable=False),
    Column("index_settings", JSON, nullable=False),
    Column("head", BigInteger, nullable=False),
    Column("applied_seq", BigInteger, nullable=False),
    Column("backfilled", Boolean, nullable=False),
    Column("verification", JSON),
    Column("applier_token", BigInteger, nullable=False, server_default="0"),
    Column("applier_lease_until", Float, nullable=False, server_default="0"),
    Column("served_at", UtcDateTime),
    Column("retired_at", UtcDateTime),
    Column("dropped_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    # One building version per corpus: the database says so, not the code.
    Index(
        "uq_index_versions_building",
        "corpus",
        unique=True,
        sqlite_where=text("state = 'building'"),
        postgresql_where=text("state = 'building'"),
    ),
)

placements = Table(
    "placements",
    metadata,
    Column(
        "index_version_id",
        String(64),
        ForeignKey("index_versions.index_version_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("document_id", DocumentId, primary_key=True),
    Column("rev", BigInteger, primary_key=True),
    Column("passages", Integer, nullable=False),
    # False from before the rows are sent until Milvus has acknowledged them.
    Column("written", Boolean, nullable=False),
)

apply_failures = Table(
    "apply_failures",
    metadata,
    Column(
        "index_version_id",
        String(64),
        ForeignKey("index_versions.index_version_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("document_id", DocumentId, primary_key=True),
    Column("rev", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    # Of the document's passages, those that broke the encoder or Milvus, each tried alone.
    Column("passage_ids", JSON, nullable=False, server_default="[]"),
    Column("at", UtcDateTime, nullable=False),
)

_AT_WORK = (
    "state IN ('queued','running','paused','awaiting_approval') "
    "AND kind NOT IN ('evaluate','headroom','index_trial')"
)

jobs = Table(
    "jobs",
    metadata,
    Column("job_id", String(64), primary_key=True),
    Column("kind", String(32), nullable=False),
    corpus_column(),
    Column("state", String(32), nullable=False),
    Column("stage", String(32), nullable=False),
    Column("progress", Float, nullable=False),
    Column("params", JSON, nullable=False),
    Column("checkpoint", JSON, nullable=False),
    Column("error", JSON),
    Column("result", JSON),
    Column("cancel_requested", Boolean, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("idempotency_key", String(256), unique=True),
    Column("lease_token", BigInteger, nullable=False, server_default="0"),
    Column("lease_until", Float, nullable=False, server_default="0"),
    Column("nudged_at", Float, nullable=False, server_default="0"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index("ix_jobs_state_lease", "state", "lease_until"),
    # Two cycles of one corpus at once would fight over its building index version.
    Index(
        "uq_jobs_active",
        "corpus",
        unique=True,
        sqlite_where=text(_AT_WORK),
        postgresql_where=text(_AT_WORK),
    ),
)

outbox = Table(
    "outbox",
    metadata,
    Column("outbox_id", Seq, primary_key=True, autoincrement=True),
    Column("task", String(64), nullable=False),
    Column("args", JSON, nullable=False),
    # When a process last took it upon itself to send it.
    Column("taken_at", Float, nullable=False),
)

shards = Table(
    "shards",
    metadata,
    Column("shard_id", Seq, primary_key=True, autoincrement=True),
    Column(
        "index_version_id",
        String(64),
        ForeignKey("index_versions.index_version_id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("job_id", String(64), nullable=False),
    Column("first_document_id", DocumentId, nullable=False),
    Column("last_document_id", DocumentId, nullable=False),
    Column("state", String(16), nullable=False),
    Column("token", BigInteger, nullable=False, server_default="0"),
    Column("lease_until", Float, nullable=False, server_default="0"),
    Column("sent_at", Float, nullable=False, server_default="0"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("passages", Integer, nullable=False, server_default="0"),
    Column("error", Text),
    Index("ix_shards_index_version_id_state", "index_version_id", "state"),
)

gates = Table(
    "gates",
    metadata,
    Column("gate_id", String(64), primary_key=True),
    Column("corpus", String(64), nullable=False),
    Column("job_id", String(64), nullable=False),
    Column("candidate", String(64), nullable=False),
    Column("serving", String(64), nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("reasons", JSON, nullable=False),
    Column("metrics", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_gates_corpus_candidate", "corpus", "candidate"),
)

differences = Table(
    "differences",
    metadata,
    Column(
        "index_version_id",
        String(64),
        ForeignKey("index_versions.index_version_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("against", String(64), nullable=False),
    Column("report", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

# Without foreign keys: a decision outlives what it was about.
approvals = Table(
    "approvals",
    metadata,
    Column("approval_id", String(64), primary_key=True),
    Column("job_id", String(64), nullable=False),
    Column("corpus", String(64), nullable=False),
    Column("index_version_id", String(64), nullable=False),
    Column("approved", Boolean, nullable=False),
    Column("actor", String(256), nullable=False),
    Column("reason", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_approvals_job_id", "job_id"),
)

promotions = Table(
    "promotions",
    metadata,
    Column("promotion_id", String(64), primary_key=True),
    corpus_column(),
    Column("candidate", String(64), nullable=False),
    Column("replaces", String(64)),
    Column("state", String(16), nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("deadline", Float, nullable=False),
    Column("actor", String(256), nullable=False),
    Column("reason", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Index(
        "uq_promotions_preparing",
        "corpus",
        unique=True,
        sqlite_where=text("state = 'preparing'"),
        postgresql_where=text("state = 'preparing'"),
    ),
)

replicas = Table(
    "replicas",
    metadata,
    Column("replica_id", String(64), primary_key=True),
    Column("corpus", String(64), ForeignKey("corpora.name", ondelete="CASCADE"), primary_key=True),
    Column("serving", String(64)),
    Column("prepared", String(64)),
    Column("seen_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
)

deployment = Table(
    "deployment",
    metadata,
    # One row only.
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("deployment_id", String(16), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

garbage = Table(
    "garbage",
    metadata,
    Column("collection", String(255), primary_key=True),
    Column("due_at", Float, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", String(64), primary_key=True),
    Column("key_hash", String(64), nullable=False, unique=True),
    Column("label", String(128), nullable=False),
    Column("role", String(16), nullable=False),
    Column("corpora", JSON),
    Column("created_at", UtcDateTime, nullable=False),
)
