"""A paused job excludes others like one at work; failures name passages."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BEFORE = "state IN ('queued','running') AND kind <> 'evaluate'"
AFTER = "state IN ('queued','running','paused') AND kind <> 'evaluate'"


def upgrade() -> None:
    _exclude_while(AFTER)
    op.add_column("apply_failures", sa.Column("passage_ids", sa.JSON(), server_default="[]", nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("apply_failures") as batch_op:
        batch_op.drop_column("passage_ids")
    # What knows no pause lets the job go on.
    op.execute("UPDATE jobs SET state = 'queued' WHERE state = 'paused'")
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
