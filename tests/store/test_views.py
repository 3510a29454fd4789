"""Hours, days and accounts' months are complete at every moment, whatever was stored of them."""

import random
import threading
from datetime import datetime, timedelta

import psycopg
import pytest

from sinks.database import Connection, connect
from sinks.store.backend import backend
from sinks.store.marks import marks
from sinks.store.refresh import due, refresh
from tests.store.books import HOUR, SERVERS, START, WINDOW, Books, some_windows


@pytest.fixture
def books(ledger: Connection) -> Books:
    made = Books(ledger)
    made.open()
    return made


@pytest.mark.parametrize(
    ("width", "at", "bucket"),
    [
        ("1 hour", "2026-03-29 01:59:59+00", "2026-03-29 01:00:00+00"),
        ("1 day", "2026-03-29 00:00:00+00", "2026-03-29 00:00:00+00"),
        ("1 day", "1969-12-31 23:59:59+00", "1969-12-31 00:00:00+00"),
        ("7 days", "2026-03-29 12:00:00+00", "2026-03-23 00:00:00+00"),
        ("5 minutes", "2026-03-29 12:34:56+00", "2026-03-29 12:30:00+00"),
    ],
)
def test_buckets_are_of_utc(ledger: Connection, width: str, at: str, bucket: str) -> None:
    ledger.execute("SET timezone = 'Asia/Kathmandu'")
    row = ledger.execute(
        "SELECT rm_bucket(%s::interval, %s::timestamptz) = %s::timestamptz", (width, at, bucket)
    ).fetchone()
    assert row == (True,)


def test_the_backend_says_what_it_is(ledger: Connection, ledger_url: str) -> None:
    found = backend(ledger)
    assert found.timescale == (found.extension is not None)
    assert ("TimescaleDB" in found.sentence()) == found.timescale
    if "sslmode=disable" in ledger_url:
        assert "upgrade it" in found.sentence()


@pytest.mark.parametrize("seed", range(3))
def test_views_are_complete_whatever_is_stored(books: Books, seed: int) -> None:
    """Windows in any order, weeks late, late entries and open windows, between any refreshes."""
    rng = random.Random(seed)
    for server in SERVERS[:2]:
        books.open_window(server, START + rng.randrange(288) * WINDOW, rng.randrange(1 << 50))
    for day in range(1, 5):
        books.windows(some_windows(rng, (day - 1, day), rng.randrange(30)))
        if day > 1:
            books.windows(some_windows(rng, (0, day), rng.randrange(10)))
        books.late(rng.choice(SERVERS), START + rng.randrange(288 * day) * WINDOW, 1, -5)
        books.assert_complete()
        refresh(books.conn, START + rng.random() * timedelta(days=day))
        books.assert_complete()


def test_refreshing_again_finds_nothing_to_do(books: Books) -> None:
    now = START + timedelta(days=1, hours=2, minutes=20)
    books.windows(some_windows(random.Random(1), (0, 1), 20))
    first = refresh(books.conn, now)
    assert first.stored == START + timedelta(days=1, hours=2) == marks(books.conn).stored
    assert first.hours > 0
    again = refresh(books.conn, now)
    assert (again.hours, again.stale_hours, again.stored) == (0, 0, first.stored)


def test_a_window_below_the_mark_makes_its_hour_stale_until_it_is_stored_anew(books: Books) -> None:
    books.windows([("s-1", START, 0, 5), ("s-2", START + HOUR, 0, 7)])
    refresh(books.conn, START + timedelta(days=1, hours=1))
    books.windows([("s-1", START + WINDOW, 0, 11), ("s-3", START - timedelta(days=40), 1, 3)])
    stale = books.conn.execute("SELECT server_id, hour FROM usage_stale ORDER BY 1").fetchall()
    assert stale == [("s-1", START), ("s-3", START - timedelta(days=40))]
    books.assert_complete()
    assert refresh(books.conn, START + timedelta(days=1, hours=1)).stale_hours == 2
    assert books.conn.execute("SELECT count(*) FROM usage_stale").fetchone() == (0,)
    books.assert_complete()


def test_an_interrupted_refresh_is_made_good(books: Books) -> None:
    """Whatever was stored before the mark has moved is stored again, not added."""
    now = START + timedelta(hours=10)
    books.windows(some_windows(random.Random(2), (0, 0.4), 30))
    refresh(books.conn, now)
    books.conn.execute("UPDATE store_mark SET stored = stored - interval '3 hours'")
    books.assert_complete()
    refresh(books.conn, now)
    books.assert_complete()


def test_the_mark_waits_for_whoever_adds_windows(ledger_url: str, books: Books) -> None:
    """A window in a transaction that began before the mark moved is in what is stored then."""
    if "sslmode=disable" in ledger_url:
        pytest.skip("WebAssembly takes one connection at a time")
    books.windows([("s-1", START, 0, 5)])
    done: list[datetime | None] = []

    def move() -> None:
        with connect(ledger_url, autocommit=True) as conn:
            done.append(refresh(conn, START + timedelta(hours=3)).stored)

    other = threading.Thread(target=move)
    with books.conn.transaction():
        assert books.conn.execute("SELECT store_closing() = '-infinity'").fetchone() == (True,)
        other.start()
        other.join(0.5)
        assert other.is_alive()
        books.windows([("s-1", START + WINDOW, 0, 6)])
    other.join(20)
    assert done == [due(START + timedelta(hours=3))]
    books.assert_complete()


def test_what_is_not_asked_for_is_not_worked_out(books: Books) -> None:
    """Who does not ask for observed time does not pay for it."""
    books.windows(some_windows(random.Random(3), (0, 3), 200))
    refresh(books.conn, START + timedelta(days=4))
    books.conn.execute("ANALYZE")
    plan = books.conn.execute(
        "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT sum(quantity) FROM usage_hour"
        " WHERE server_id = 's-1' AND hour >= %s AND hour < %s AND meter = 'net.tx_bytes'",
        (START, START + HOUR),
    ).fetchall()
    assert "WindowAgg" not in str(plan)


def test_series_are_never_deleted(books: Books) -> None:
    """Windows name them, and a foreign key would cost a third of what writing a window costs."""
    with pytest.raises(psycopg.errors.RaiseException, match="windows name its rows"):
        books.conn.execute("DELETE FROM series_set WHERE set_id = %s", (books.sets[0],))
