"""Which raw reports lie in which file of the archive."""

from alembic import op

from sinks.migrations import revisions, script

revision = "0014_archive"
down_revision = revisions()[revisions().index(revision) - 1]


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(script(revision))
