"""Tax profiles, wallets and the journal."""

from alembic import op

from sinks.migrations import revisions, script

revision = "0010_money"
down_revision = revisions()[revisions().index(revision) - 1]


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(script(revision))
