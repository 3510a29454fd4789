"""What numbers were given out that this database does not have."""

from alembic import op

from sinks.migrations import revisions, script

revision = "0006_numbers"
down_revision = revisions()[revisions().index(revision) - 1]


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(script(revision))
