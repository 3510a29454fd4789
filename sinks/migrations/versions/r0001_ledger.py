"""Positions, live state, windows."""

from alembic import op

from sinks.migrations import script

revision = "0001_ledger"
down_revision = None


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(script(revision))
