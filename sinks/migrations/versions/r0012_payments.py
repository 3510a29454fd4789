"""Collecting what invoices say."""

from alembic import op

from sinks.migrations import revisions, script

revision = "0012_payments"
down_revision = revisions()[revisions().index(revision) - 1]


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(script(revision))
