"""Closes, and since when accounts are billed."""

from alembic import context, op

from sinks.migrations import revisions, script

revision = "0021_closes"
down_revision = revisions()[revisions().index(revision) - 1]


def upgrade() -> None:
    if not context.config.attributes["second"]:
        op.get_bind().connection.cursor().execute(script(revision))
