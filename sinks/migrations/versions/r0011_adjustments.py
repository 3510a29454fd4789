"""What was billed for sealed periods beyond their invoices, and what may have to be."""

from alembic import op

from sinks.migrations import revisions, script

revision = "0011_adjustments"
down_revision = revisions()[revisions().index(revision) - 1]


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(script(revision))
