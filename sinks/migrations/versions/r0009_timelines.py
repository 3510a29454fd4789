"""What was known when of the timelines, and by which command."""

from alembic import op

from sinks.migrations import revisions, script

revision = "0009_timelines"
down_revision = revisions()[revisions().index(revision) - 1]


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(script(revision))
