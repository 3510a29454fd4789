"""From plain PostgreSQL to TimescaleDB in place: nothing is lost, whatever interrupts it."""

import random
from collections.abc import Iterator
from datetime import timedelta

import pytest

from schemas.errors import ConfigError, RefusedError
from sinks.database import Connection, connect, migrate
from sinks.roles import differences
from sinks.store import convert as module
from sinks.store.backend import backend, require_community
from sinks.store.convert import convert
from sinks.store.maintain import maintain
from tests.fix_stack import GIVEN, make_given_database
from tests.store.books import START, Books, some_windows
from tests.store.test_maintain import APRIL, DAY, DROP, KEEP, LATER, MARCH, seal

TABLES = ("usage_window", "usage_late", "server_state", "usage_dropped", "account_usage_dropped")


@pytest.fixture
def plain() -> Iterator[Books]:
    """A plain ledger of ten days on a server that has TimescaleDB."""
    if GIVEN is None:
        pytest.skip("RACKMETER_TEST_DATABASE_URL names no server with TimescaleDB")
    url = make_given_database(GIVEN, plain=True)
    migrate(url)
    with connect(url, autocommit=True) as conn:
        if backend(conn).offered is None:
            pytest.skip("the server of RACKMETER_TEST_DATABASE_URL has no TimescaleDB")
        books = Books(conn)
        books.open()
        for server in ("s-1", "s-2", "s-3"):
            books.open_window(server, START + 10 * DAY, 77)
        books.windows(some_windows(random.Random(8), (0, 10), 150))
        books.late("s-2", START + DAY, 1, 12)
        yield books


def rows(conn: Connection) -> dict[str, list[tuple[object, ...]]]:
    return {
        table: conn.execute(f"SELECT x.*::text FROM {table} x ORDER BY 1").fetchall()
        for table in TABLES
    }


@pytest.mark.parametrize("maintained", ["never", "stored", "dropped"])
def test_every_row_is_kept_and_every_view_says_the_same(plain: Books, maintained: str) -> None:
    if maintained != "never":
        maintain(plain.conn, START + 5 * DAY, KEEP)
    if maintained == "dropped":
        seal(plain, MARCH, APRIL)
        maintain(plain.conn, LATER, DROP)
        plain.windows([("s-1", START - timedelta(minutes=5), 0, 4)])
    before = rows(plain.conn)
    assert "db convert" in backend(plain.conn).sentence()
    done = convert(plain.conn, lambda _: None)
    assert done.windows == len(before["usage_window"])
    assert backend(plain.conn).timescale
    assert rows(plain.conn) == before
    assert differences(plain.conn) == ([], [])
    plain.assert_complete()
    maintain(plain.conn, LATER, KEEP)
    plain.assert_complete()
    plain.windows([("s-3", START + 3 * DAY + timedelta(seconds=1), 1, 9)])
    plain.assert_complete()
    assert plain.conn.execute("SELECT to_regclass('usage_window_plain')").fetchone() == (None,)


def test_what_was_interrupted_goes_on(plain: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """Days that were copied are not copied again, unless they have changed since."""

    def stop(said: str) -> None:
        if said.startswith("day 6 "):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(plain.conn, stop)
    assert not backend(plain.conn).timescale
    plain.windows([("s-1", START + timedelta(seconds=1), 0, 5)])
    said: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(module, "_keep_frozen", lambda _conn: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            convert(plain.conn, said.append)
    assert len(said) == 10 - 6 + 1
    assert not backend(plain.conn).timescale
    plain.assert_complete()
    assert convert(plain.conn, said.append).copied == 0
    plain.assert_complete()


def test_workers_are_in_the_way(plain: Books) -> None:
    plain.conn.execute(
        "INSERT INTO ingest_topic VALUES (gen_random_uuid(), 'c', 'usage.reports', 1, 'x')"
    )
    plain.conn.execute(
        "INSERT INTO ingest_offset (topic_id, part, backend_pid, backend_start)"
        " SELECT topic_id, 0, pg_backend_pid(), backend_start FROM ingest_topic, pg_stat_activity"
        " WHERE pid = pg_backend_pid()"
    )
    with pytest.raises(RefusedError, match="Workers hold the partitions 0"):
        convert(plain.conn, lambda _: None)


def test_a_second_time_is_refused(plain: Books) -> None:
    convert(plain.conn, lambda _: None)
    with pytest.raises(RefusedError, match="lies on TimescaleDB already"):
        convert(plain.conn, lambda _: None)


def test_a_server_without_timescaledb_is_refused(billing: Connection) -> None:
    if GIVEN is not None:
        pytest.skip("this is about the embedded server")
    with pytest.raises(ConfigError, match="has no TimescaleDB"):
        convert(billing, lambda _: None)


def test_the_apache_edition_is_refused(billing: Connection) -> None:
    if GIVEN is not None:
        pytest.skip("a running TimescaleDB does not change its edition")
    billing.execute("SET timescaledb.license = 'apache'")
    with pytest.raises(ConfigError, match="Apache edition"):
        require_community(billing)
