"""Marks of ratings for forecasts; the tax category of a price is said once."""

from alembic import op

from sinks.migrations import revisions, script

revision = "0015_rating"
down_revision = revisions()[revisions().index(revision) - 1]


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(script(revision))
