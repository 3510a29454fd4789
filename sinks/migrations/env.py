"""What alembic runs around the revisions. Connection, lock and record come from sinks.database."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    # A crash between two revisions leaves the first one whole and recorded.
    transaction_per_migration=True,
    on_version_apply=context.config.attributes["on_version_apply"],
)
with context.begin_transaction():
    context.run_migrations()
