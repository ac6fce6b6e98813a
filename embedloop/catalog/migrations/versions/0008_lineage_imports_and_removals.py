"""Splits by stratum, imported pairs, the lineage of training pairs, removals."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

DOCUMENT_ID = sa.String(length=256).with_variant(sa.String(length=256, collation="C"), "postgresql")
SOURCE = sa.String(length=512).with_variant(sa.String(length=512, collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("training_sets", sa.Column("report", sa.JSON(), nullable=False, server_default="{}"))
    op.create_index("ix_judgments_corpus_document_id", "judgments", ["corpus", "document_id"])
    _splits()
    _pairs()
    _lineage()
    _removals()


def _corpus(table: str) -> list[Any]:
    return [
        sa.Column("corpus", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["corpus"], ["corpora.name"], name=op.f(f"fk_{table}_corpus_corpora"), ondelete="CASCADE"
        ),
    ]


def _splits() -> None:
    op.create_table(
        "split_groups",
        *_corpus("split_groups"),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("name", DOCUMENT_ID, nullable=False),
        sa.Column("stratum", sa.String(length=300), nullable=False),
        sa.Column("split", sa.String(length=8), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("corpus", "kind", "name", name=op.f("pk_split_groups")),
    )
    op.create_index("ix_split_groups_corpus_stratum", "split_groups", ["corpus", "stratum"])
    op.create_table(
        "query_bands",
        *_corpus("query_bands"),
        sa.Column("band", sa.String(length=18), nullable=False),
        sa.Column("query_key", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("corpus", "band", "query_key", name=op.f("pk_query_bands")),
    )
    # Splits that feedback was given so far go by document; the strictest binds what comes.
    op.execute(
        """
        INSERT INTO split_groups (corpus, kind, name, stratum, split, created_at)
        SELECT judgments.corpus, 'document', judgments.document_id, 'unknown',
               substr(min(CASE queries.split WHEN 'golden' THEN '1golden' WHEN 'dev' THEN '2dev'
                          ELSE '3train' END), 2),
               min(queries.created_at)
        FROM judgments
        JOIN queries ON queries.corpus = judgments.corpus AND queries.query_key = judgments.query_key
        WHERE judgments.source = 'feedback' AND judgments.grade > 0
        GROUP BY judgments.corpus, judgments.document_id
        """
    )


def _pairs() -> None:
    op.create_table(
        "imported_pairs",
        *_corpus("imported_pairs"),
        sa.Column("query_key", sa.String(length=64), nullable=False),
        sa.Column("text_key", sa.String(length=32), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("relevant", sa.Boolean(), nullable=False),
        sa.Column("source", SOURCE, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("corpus", "query_key", "text_key", name=op.f("pk_imported_pairs")),
    )


def _lineage() -> None:
    op.create_table(
        "training_pairs",
        sa.Column("training_set_id", sa.String(length=64), nullable=False),
        sa.Column("pair_id", sa.String(length=32), nullable=False),
        sa.Column("query_key", sa.String(length=64), nullable=False),
        sa.Column("document_id", SOURCE, nullable=False),
        sa.Column("split", sa.String(length=8), nullable=False),
        sa.PrimaryKeyConstraint("training_set_id", "pair_id", name=op.f("pk_training_pairs")),
    )
    op.create_table(
        "training_sources",
        sa.Column("training_set_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("source", SOURCE, nullable=False),
        sa.Column("pair_id", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint(
            "training_set_id", "kind", "source", "pair_id", name=op.f("pk_training_sources")
        ),
    )
    op.create_index("ix_training_sources_kind_source", "training_sources", ["kind", "source"])
    op.create_index(
        "ix_training_sources_training_set_id_pair_id", "training_sources", ["training_set_id", "pair_id"]
    )


def _removals() -> None:
    op.create_table(
        "removals",
        sa.Column("removal_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("corpus", sa.String(length=64)),
        sa.Column("removed", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("removal_id", name=op.f("pk_removals")),
    )
    op.create_table(
        "removal_marks",
        sa.Column("removal_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("mark", DOCUMENT_ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["removal_id"],
            ["removals.removal_id"],
            name=op.f("fk_removal_marks_removal_id_removals"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("removal_id", "kind", "mark", name=op.f("pk_removal_marks")),
    )


def downgrade() -> None:
    # What knows no such label would measure with it; the next cycle judges anew.
    op.execute("DELETE FROM judgments WHERE source = 'clicks'")
    for table in (
        "removal_marks",
        "removals",
        "training_sources",
        "training_pairs",
        "imported_pairs",
        "query_bands",
        "split_groups",
    ):
        op.drop_table(table)
    op.drop_index("ix_judgments_corpus_document_id", table_name="judgments")
    op.drop_column("training_sets", "report")
