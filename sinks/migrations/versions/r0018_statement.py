"""What a customer sees of his account."""

from alembic import context, op

from sinks.migrations import revisions, script

revision = "0018_statement"
down_revision = revisions()[revisions().index(revision) - 1]


def upgrade() -> None:
    if not context.config.attributes["second"]:
        op.get_bind().connection.cursor().execute(script(revision))
