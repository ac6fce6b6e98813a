"""A headroom job keeps no other off its corpus."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0004"
branch_labels = None
depends_on = None

BEFORE = "state IN ('queued','running','paused') AND kind <> 'evaluate'"
AFTER = "state IN ('queued','running','paused') AND kind NOT IN ('evaluate','headroom')"


def upgrade() -> None:
    _exclude_while(AFTER)


def downgrade() -> None:
    # What does not know the kind cannot read such a row.
    op.execute("DELETE FROM jobs WHERE kind = 'headroom'")
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
