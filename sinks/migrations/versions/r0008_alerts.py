"""Who is told of what, and budgets."""

from alembic import op

from sinks.migrations import revisions, script

revision = "0008_alerts"
down_revision = revisions()[revisions().index(revision) - 1]


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(script(revision))
