"""Balances that pay other invoices, and money that comes late."""

from alembic import op

from sinks.migrations import revisions, script

revision = "0017_balances"
down_revision = revisions()[revisions().index(revision) - 1]


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(script(revision))
