"""Every revision applied to a database that has been used at the one before.

`upgrades/NNNN_name.sql` is what such a database holds of the tables of that revision. Whoever adds
a revision adds a file; a table without a row here fails the test.
"""

import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from schemas.errors import DependencyError, RefusedError
from sinks import database, migrations
from sinks.database import Connection, connect, migrate, schema_revision
from sinks.migrations import revisions
from sinks.roles import differences
from tests.fix_stack import MakeDatabase
from tests.fix_worker import wait_for

FILLS = Path(__file__).parent / "upgrades"
REVISIONS = revisions()
PAIRS = list(pairwise(REVISIONS))
UNFILLED = {"alembic_version", "store_mark", "usage_hour_stored", "usage_day_stored"}
"""Made by migrations and maintenance; the first three have rows or need none to be kept."""

DROPPED = {("item_price", "tax"), ("item_price_past", "tax")}
"""Columns that 0015 drops: they repeated what the price beside them says."""

Content = dict[str, tuple[frozenset[str], int, str]]
"""Table → its columns, rows, and a digest of those columns of them."""


@pytest.fixture(scope="session")
def used(make_database: MakeDatabase) -> dict[str, str]:
    """Revision → the name of a template that was used up to it."""
    made: dict[str, str] = {}
    for revision in REVISIONS:
        url = make_database(made[max(made)]) if made else make_database()
        migrate(url, to=revision)
        with connect(url, autocommit=True) as conn:
            conn.execute((FILLS / f"{revision}.sql").read_bytes())
            row = conn.execute("SELECT current_database()").fetchone()
        assert row is not None
        made[revision] = str(row[0])
    return made


@pytest.fixture
def url(make_database: MakeDatabase, used: dict[str, str], revision: str) -> str:
    return make_database(used[revision])


@pytest.fixture
def conn(url: str) -> Iterator[Connection]:
    with connect(url, autocommit=True) as conn:
        yield conn


def content(conn: Connection, like: Content | None = None) -> Content:
    """Every table but alembic's; of those in ``like`` the columns that they had there."""
    found: Content = {}
    for schema, name, columns in conn.execute(_TABLES).fetchall():
        table = f"{schema}.{name}"
        lasting = frozenset(column for column in columns if (name, column) not in DROPPED)
        kept = lasting if like is None else like.get(table, (frozenset(),))[0]
        names = sql.SQL(", ").join(map(sql.Identifier, sorted(kept)))
        query = sql.SQL(
            "SELECT count(*), coalesce(md5(string_agg(r::text, ',' ORDER BY r::text)), '')"
            " FROM (SELECT {} FROM {}) r"
        ).format(names, sql.Identifier(schema, name))
        row = conn.execute(query).fetchone()
        assert row is not None
        found[table] = (kept, row[0], row[1])
    return found


_TABLES = """
    SELECT n.nspname, c.relname, array_agg(a.attname::text)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT attisdropped
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname IN ('public', 'customer')
      AND c.relname <> 'alembic_version'
    GROUP BY 1, 2
"""
_VIEWS = """
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'v' AND n.nspname IN ('public', 'customer') ORDER BY 1, 2
"""


def assert_answers(conn: Connection) -> None:
    """All views, and the figures that must agree."""
    views = conn.execute(_VIEWS).fetchall()
    assert len(views) > 20
    for schema, name in views:
        conn.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(schema, name))).fetchall()
    assert conn.execute("SELECT * FROM conservation_violation").fetchall() == []
    sums = [
        conn.execute(f"SELECT sum(quantity) FROM {view}").fetchone()
        for view in ("usage", "usage_hour", "usage_day")
    ]
    assert sums[0] == sums[1] == sums[2] != (None,)
    assert differences(conn) == ([], [])


@pytest.mark.parametrize("revision", REVISIONS)
def test_what_is_filled_is_everything(conn: Connection, revision: str) -> None:
    """So that no table comes through unnoticed."""
    empty = {table for table, (_, rows, _) in content(conn).items() if rows == 0}
    assert {table.partition(".")[2] for table in empty} <= UNFILLED
    assert conn.execute("SELECT * FROM conservation_violation").fetchall() == []


@pytest.mark.parametrize(("revision", "after"), PAIRS)
def test_no_row_is_lost(conn: Connection, url: str, revision: str, after: str) -> None:
    before = content(conn)
    assert migrate(url, to=after) == [after]
    now = content(conn, before)
    assert {table: now[table] for table in before} == before
    migrate(url)
    assert_answers(conn)
    now = content(conn, before)
    assert {table: now[table] for table in before} == before


@pytest.mark.parametrize(("revision", "after"), PAIRS)
def test_a_migration_that_is_killed_goes_on_the_next_time(
    conn: Connection, url: str, revision: str, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything is done but the commit; then the server ends the session."""
    before = content(conn)
    whole = Path.read_text

    def slow(self: Path, encoding: str | None = None) -> str:
        text = whole(self, encoding=encoding)
        return text + "; SELECT pg_sleep(60)" if self.stem == after else text

    monkeypatch.setattr(Path, "read_text", slow)
    raised: list[Exception] = []

    def migrating() -> None:
        try:
            migrate(url)
        except DependencyError as error:
            raised.append(error)

    thread = threading.Thread(target=migrating)
    thread.start()
    wait_for(lambda: end_sleeper(conn), "a migration at its end", seconds=30)
    thread.join(30)
    monkeypatch.undo()
    assert "Nothing is half done; migrate again" in str(raised[0])
    assert schema_revision(conn) == revision
    assert content(conn) == before
    assert migrate(url) == REVISIONS[REVISIONS.index(after) :]
    assert_answers(conn)


def end_sleeper(conn: Connection) -> bool:
    row = conn.execute(
        "SELECT bool_or(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event = 'PgSleep'"
    ).fetchone()
    return row == (True,)


@pytest.mark.parametrize("revision", ["0003_store"])
def test_a_long_reader_is_not_waited_for(
    conn: Connection, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits for a table makes everybody behind him wait too. Nothing that was done is lost."""
    monkeypatch.setattr(database, "MIGRATION_LOCK_TIMEOUT_MS", 200)
    with connect(url) as reader:
        reader.execute("SELECT * FROM account")
        with pytest.raises(RefusedError, match="in use: stop the workers"):
            migrate(url)
        conn.execute("SET lock_timeout = 200")
        assert conn.execute("SELECT count(*) FROM account").fetchone() == (2,), "nobody waits"
    migrate(url)
    assert_answers(conn)


def test_a_script_is_one_transaction(fresh_database: str) -> None:
    """Squawk takes it for granted; what cannot run in one would be refused here."""
    with psycopg.connect(fresh_database) as conn:
        for revision in REVISIONS:
            conn.execute(migrations.script(revision).encode())
        conn.rollback()
        assert conn.execute("SELECT to_regclass('usage_window')").fetchone() == (None,)
