"""Credit that is given back, what corrected periods leave, outcomes of corrections."""

from alembic import op

from sinks.migrations import revisions, script

revision = "0016_taken_back"
down_revision = revisions()[revisions().index(revision) - 1]


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(script(revision))
