"""Keys under which near duplicates meet."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

DOCUMENT_ID = sa.String(length=256).with_variant(sa.String(length=256, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "near_duplicate_keys",
        sa.Column("corpus", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=18), nullable=False),
        sa.Column("document_id", DOCUMENT_ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["corpus"],
            ["corpora.name"],
            name=op.f("fk_near_duplicate_keys_corpus_corpora"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("corpus", "key", "document_id", name=op.f("pk_near_duplicate_keys")),
    )
    op.create_index(
        "ix_near_duplicate_keys_corpus_document_id",
        "near_duplicate_keys",
        ["corpus", "document_id"],
        unique=False,
    )


def downgrade() -> None:
    op.drop_table("near_duplicate_keys")
