"""Timelines, accruals, alerts, invoices."""

from alembic import op

from sinks.migrations import script

revision = "0002_billing"
down_revision = "0001_ledger"


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(script(revision))
