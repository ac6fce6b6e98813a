"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

DOCUMENT_ID = sa.String(length=256).with_variant(sa.String(length=256, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=128), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("corpora", sa.JSON(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_api_keys_key_hash")),
    )
    op.create_table(
        "corpora",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("policy", sa.JSON(), nullable=False),
        sa.Column("serving", sa.String(length=64), nullable=True),
        sa.Column("previous", sa.String(length=64), nullable=True),
        sa.Column("promotion_token", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("feedback_watermark", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_corpora")),
    )
    op.create_table(
        "gates",
        sa.Column("gate_id", sa.String(length=64), nullable=False),
        sa.Column("corpus", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("candidate", sa.String(length=64), nullable=False),
        sa.Column("serving", sa.String(length=64), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("gate_id", name=op.f("pk_gates")),
    )
    with op.batch_alter_table("gates", schema=None) as batch_op:
        batch_op.create_index("ix_gates_corpus_candidate", ["corpus", "candidate"], unique=False)

    op.create_table(
        "models",
        sa.Column("model_id", sa.String(length=64), nullable=False),
        sa.Column("base", sa.Text(), nullable=False),
        sa.Column("parent", sa.String(length=64), nullable=True),
        sa.Column("corpus", sa.String(length=64), nullable=True),
        sa.Column("training_set_id", sa.String(length=64), nullable=True),
        sa.Column("dimension", sa.Integer(), nullable=False),
        sa.Column("max_tokens", sa.Integer(), nullable=False),
        sa.Column("query_prompt", sa.Text(), nullable=False),
        sa.Column("passage_prompt", sa.Text(), nullable=False),
        sa.Column("backend", sa.String(length=16), nullable=False),
        sa.Column("manifest", sa.JSON(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("model_id", name=op.f("pk_models")),
    )
    op.create_table(
        "outbox",
        sa.Column(
            "outbox_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("task", sa.String(length=64), nullable=False),
        sa.Column("args", sa.JSON(), nullable=False),
        sa.Column("taken_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("outbox_id", name=op.f("pk_outbox")),
    )
    op.create_table(
        "training_sets",
        sa.Column("training_set_id", sa.String(length=64), nullable=False),
        sa.Column("corpus", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("training_set_id", name=op.f("pk_training_sets")),
    )
    op.create_table(
        "changes",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("corpus", sa.String(length=64), nullable=False),
        sa.Column("document_id", DOCUMENT_ID, nullable=False),
        sa.Column("op", sa.String(length=8), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["corpus"], ["corpora.name"], name=op.f("fk_changes_corpus_corpora"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_changes")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("changes", schema=None) as batch_op:
        batch_op.create_index("ix_changes_corpus_seq", ["corpus", "seq"], unique=False)

    op.create_table(
        "documents",
        sa.Column("corpus", sa.String(length=64), nullable=False),
        sa.Column("document_id", DOCUMENT_ID, nullable=False),
        sa.Column("rev", sa.BigInteger(), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["corpus"], ["corpora.name"], name=op.f("fk_documents_corpus_corpora"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("corpus", "document_id", name=op.f("pk_documents")),
    )
    op.create_table(
        "feedback",
        sa.Column("feedback_id", sa.String(length=64), nullable=False),
        sa.Column("retrieval_id", sa.String(length=64), nullable=False),
        sa.Column("corpus", sa.String(length=64), nullable=False),
        sa.Column("signal", sa.String(length=16), nullable=False),
        sa.Column("document_id", DOCUMENT_ID, nullable=True),
        sa.Column("passage_id", sa.String(length=64), nullable=True),
        sa.Column("person", sa.String(length=256), nullable=False),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("pending", sa.Boolean(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["corpus"], ["corpora.name"], name=op.f("fk_feedback_corpus_corpora"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("feedback_id", name=op.f("pk_feedback")),
    )
    with op.batch_alter_table("feedback", schema=None) as batch_op:
        batch_op.create_index("ix_feedback_corpus_at", ["corpus", "at"], unique=False)
        batch_op.create_index("ix_feedback_retrieval_id", ["retrieval_id"], unique=False)

    op.create_table(
        "index_versions",
        sa.Column("index_version_id", sa.String(length=64), nullable=False),
        sa.Column("corpus", sa.String(length=64), nullable=False),
        sa.Column("model_id", sa.String(length=64), nullable=False),
        sa.Column("collection", sa.String(length=128), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("chunking", sa.JSON(), nullable=False),
        sa.Column("index_settings", sa.JSON(), nullable=False),
        sa.Column("head", sa.BigInteger(), nullable=False),
        sa.Column("applied_seq", sa.BigInteger(), nullable=False),
        sa.Column("backfilled", sa.Boolean(), nullable=False),
        sa.Column("verification", sa.JSON(), nullable=True),
        sa.Column("applier_token", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("applier_lease_until", sa.Float(), server_default="0", nullable=False),
        sa.Column("served_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dropped_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["corpus"], ["corpora.name"], name=op.f("fk_index_versions_corpus_corpora"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.model_id"], name=op.f("fk_index_versions_model_id_models")
        ),
        sa.PrimaryKeyConstraint("index_version_id", name=op.f("pk_index_versions")),
        sa.UniqueConstraint("collection", name=op.f("uq_index_versions_collection")),
    )
    with op.batch_alter_table("index_versions", schema=None) as batch_op:
        batch_op.create_index(
            "uq_index_versions_building",
            ["corpus"],
            unique=True,
            sqlite_where=sa.text("state = 'building'"),
            postgresql_where=sa.text("state = 'building'"),
        )

    op.create_table(
        "jobs",
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("corpus", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("stage", sa.String(length=32), nullable=False),
        sa.Column("progress", sa.Float(), nullable=False),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column("checkpoint", sa.JSON(), nullable=False),
        sa.Column("error", sa.JSON(), nullable=True),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("idempotency_key", sa.String(length=256), nullable=True),
        sa.Column("lease_token", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("lease_until", sa.Float(), server_default="0", nullable=False),
        sa.Column("nudged_at", sa.Float(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["corpus"], ["corpora.name"], name=op.f("fk_jobs_corpus_corpora"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_jobs")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_jobs_idempotency_key")),
    )
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.create_index("ix_jobs_state_lease", ["state", "lease_until"], unique=False)
        batch_op.create_index(
            "uq_jobs_active",
            ["corpus"],
            unique=True,
            sqlite_where=sa.text("state IN ('queued','running') AND kind <> 'evaluate'"),
            postgresql_where=sa.text("state IN ('queued','running') AND kind <> 'evaluate'"),
        )

    op.create_table(
        "judgments",
        sa.Column("corpus", sa.String(length=64), nullable=False),
        sa.Column("query_key", sa.String(length=64), nullable=False),
        sa.Column("document_id", DOCUMENT_ID, nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("grade", sa.Integer(), nullable=False),
        sa.Column("sources", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["corpus"], ["corpora.name"], name=op.f("fk_judgments_corpus_corpora"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("corpus", "query_key", "document_id", "source", name=op.f("pk_judgments")),
    )
    op.create_table(
        "promotions",
        sa.Column("promotion_id", sa.String(length=64), nullable=False),
        sa.Column("corpus", sa.String(length=64), nullable=False),
        sa.Column("candidate", sa.String(length=64), nullable=False),
        sa.Column("replaces", sa.String(length=64), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("deadline", sa.Float(), nullable=False),
        sa.Column("actor", sa.String(length=256), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["corpus"], ["corpora.name"], name=op.f("fk_promotions_corpus_corpora"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("promotion_id", name=op.f("pk_promotions")),
    )
    with op.batch_alter_table("promotions", schema=None) as batch_op:
        batch_op.create_index(
            "uq_promotions_preparing",
            ["corpus"],
            unique=True,
            sqlite_where=sa.text("state = 'preparing'"),
            postgresql_where=sa.text("state = 'preparing'"),
        )

    op.create_table(
        "queries",
        sa.Column("corpus", sa.String(length=64), nullable=False),
        sa.Column("query_key", sa.String(length=64), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("split", sa.String(length=8), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["corpus"], ["corpora.name"], name=op.f("fk_queries_corpus_corpora"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("corpus", "query_key", name=op.f("pk_queries")),
    )
    op.create_table(
        "replicas",
        sa.Column("replica_id", sa.String(length=64), nullable=False),
        sa.Column("corpus", sa.String(length=64), nullable=False),
        sa.Column("serving", sa.String(length=64), nullable=True),
        sa.Column("prepared", sa.String(length=64), nullable=True),
        sa.Column("seen_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["corpus"], ["corpora.name"], name=op.f("fk_replicas_corpus_corpora"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("replica_id", "corpus", name=op.f("pk_replicas")),
    )
    op.create_table(
        "retrievals",
        sa.Column("retrieval_id", sa.String(length=64), nullable=False),
        sa.Column("corpus", sa.String(length=64), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("person", sa.String(length=256), nullable=False),
        sa.Column("index_version_id", sa.String(length=64), nullable=False),
        sa.Column("model_id", sa.String(length=64), nullable=False),
        sa.Column("shown", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["corpus"], ["corpora.name"], name=op.f("fk_retrievals_corpus_corpora"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("retrieval_id", name=op.f("pk_retrievals")),
    )
    with op.batch_alter_table("retrievals", schema=None) as batch_op:
        batch_op.create_index("ix_retrievals_corpus_at", ["corpus", "at"], unique=False)

    op.create_table(
        "apply_failures",
        sa.Column("index_version_id", sa.String(length=64), nullable=False),
        sa.Column("document_id", DOCUMENT_ID, nullable=False),
        sa.Column("rev", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["index_version_id"],
            ["index_versions.index_version_id"],
            name=op.f("fk_apply_failures_index_version_id_index_versions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("index_version_id", "document_id", name=op.f("pk_apply_failures")),
    )
    op.create_table(
        "placements",
        sa.Column("index_version_id", sa.String(length=64), nullable=False),
        sa.Column("document_id", DOCUMENT_ID, nullable=False),
        sa.Column("rev", sa.BigInteger(), nullable=False),
        sa.Column("passages", sa.Integer(), nullable=False),
        sa.Column("written", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["index_version_id"],
            ["index_versions.index_version_id"],
            name=op.f("fk_placements_index_version_id_index_versions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("index_version_id", "document_id", "rev", name=op.f("pk_placements")),
    )
    op.create_table(
        "shards",
        sa.Column(
            "shard_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("index_version_id", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("first_document_id", DOCUMENT_ID, nullable=False),
        sa.Column("last_document_id", DOCUMENT_ID, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("token", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("lease_until", sa.Float(), server_default="0", nullable=False),
        sa.Column("sent_at", sa.Float(), server_default="0", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("passages", sa.Integer(), server_default="0", nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["index_version_id"],
            ["index_versions.index_version_id"],
            name=op.f("fk_shards_index_version_id_index_versions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("shard_id", name=op.f("pk_shards")),
    )
    with op.batch_alter_table("shards", schema=None) as batch_op:
        batch_op.create_index("ix_shards_index_version_id_state", ["index_version_id", "state"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("shards", schema=None) as batch_op:
        batch_op.drop_index("ix_shards_index_version_id_state")

    op.drop_table("shards")
    op.drop_table("placements")
    op.drop_table("apply_failures")
    with op.batch_alter_table("retrievals", schema=None) as batch_op:
        batch_op.drop_index("ix_retrievals_corpus_at")

    op.drop_table("retrievals")
    op.drop_table("replicas")
    op.drop_table("queries")
    with op.batch_alter_table("promotions", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_promotions_preparing",
            sqlite_where=sa.text("state = 'preparing'"),
            postgresql_where=sa.text("state = 'preparing'"),
        )

    op.drop_table("promotions")
    op.drop_table("judgments")
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_jobs_active",
            sqlite_where=sa.text("state IN ('queued','running') AND kind <> 'evaluate'"),
            postgresql_where=sa.text("state IN ('queued','running') AND kind <> 'evaluate'"),
        )
        batch_op.drop_index("ix_jobs_state_lease")

    op.drop_table("jobs")
    with op.batch_alter_table("index_versions", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_index_versions_building",
            sqlite_where=sa.text("state = 'building'"),
            postgresql_where=sa.text("state = 'building'"),
        )

    op.drop_table("index_versions")
    with op.batch_alter_table("feedback", schema=None) as batch_op:
        batch_op.drop_index("ix_feedback_retrieval_id")
        batch_op.drop_index("ix_feedback_corpus_at")

    op.drop_table("feedback")
    op.drop_table("documents")
    with op.batch_alter_table("changes", schema=None) as batch_op:
        batch_op.drop_index("ix_changes_corpus_seq")

    op.drop_table("changes")
    op.drop_table("training_sets")
    op.drop_table("outbox")
    op.drop_table("models")
    with op.batch_alter_table("gates", schema=None) as batch_op:
        batch_op.drop_index("ix_gates_corpus_candidate")

    op.drop_table("gates")
    op.drop_table("corpora")
    op.drop_table("api_keys")
