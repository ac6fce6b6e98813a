"""Alembic's entry: runs migrations over the connection that `catalog/migrate.py` hands in."""

from alembic import context

from embedloop.catalog.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
