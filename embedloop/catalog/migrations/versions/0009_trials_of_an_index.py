"""A trial of index settings keeps no other job off its corpus."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

AT_WORK = "state IN ('queued','running','paused','awaiting_approval')"
BEFORE = f"{AT_WORK} AND kind NOT IN ('evaluate','headroom')"
AFTER = f"{AT_WORK} AND kind NOT IN ('evaluate','headroom','index_trial')"


def upgrade() -> None:
    _exclude_while(AFTER)


def downgrade() -> None:
    # What does not know the kind cannot read such a row.
    op.execute("DELETE FROM jobs WHERE kind = 'index_trial'")
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
