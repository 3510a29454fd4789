"""The audit trail: acts, their chain, and its signed heads."""

from alembic import op

from sinks.migrations import revisions, script

revision = "0013_audit"
down_revision = revisions()[revisions().index(revision) - 1]


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(script(revision))
