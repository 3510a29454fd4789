"""Hours, days and months; what is stored of them."""

from alembic import op

from sinks.migrations import revisions, script

revision = "0003_store"
down_revision = revisions()[revisions().index(revision) - 1]


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(script(revision))
