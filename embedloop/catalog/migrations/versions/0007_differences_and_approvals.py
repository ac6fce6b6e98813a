"""Answers before and after, and a person's word on them; a job that waits for it excludes others."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

BEFORE = "state IN ('queued','running','paused') AND kind NOT IN ('evaluate','headroom')"
AFTER = "state IN ('queued','running','paused','awaiting_approval') AND kind NOT IN ('evaluate','headroom')"
UTC_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    _exclude_while(AFTER)
    op.create_table(
        "differences",
        sa.Column("index_version_id", sa.String(length=64), nullable=False),
        sa.Column("against", sa.String(length=64), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["index_version_id"],
            ["index_versions.index_version_id"],
            name=op.f("fk_differences_index_version_id_index_versions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("index_version_id", name=op.f("pk_differences")),
    )
    op.create_table(
        "approvals",
        sa.Column("approval_id", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("corpus", sa.String(length=64), nullable=False),
        sa.Column("index_version_id", sa.String(length=64), nullable=False),
        sa.Column("approved", sa.Boolean(), nullable=False),
        sa.Column("actor", sa.String(length=256), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.PrimaryKeyConstraint("approval_id", name=op.f("pk_approvals")),
    )
    op.create_index("ix_approvals_job_id", "approvals", ["job_id"])


def downgrade() -> None:
    # What knows no approval must not promote without one.
    op.execute("UPDATE jobs SET state = 'paused' WHERE state = 'awaiting_approval'")
    op.execute("UPDATE jobs SET stage = 'promote' WHERE stage = 'difference'")
    op.drop_table("approvals")
    op.drop_table("differences")
    _exclude_while(BEFORE)


def _exclude_while(condition: str) -> None:
    op.drop_index("uq_jobs_active", table_name="jobs")
    op.create_index(
        "uq_jobs_active",
        "jobs",
        ["corpus"],
        unique=True,
        sqlite_where=sa.text(condition),
        postgresql_where=sa.text(condition),
    )
