"""What a timer does: room ahead, compression, and dropping only what nobody needs."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from schemas.errors import DifferenceError, RefusedError
from sinks.database import Connection, connect
from sinks.store import chunks, partitions
from sinks.store.backend import backend
from sinks.store.maintain import Policy, maintain
from sinks.store.marks import alone, marks
from sinks.store.refresh import refresh
from tests.store.books import RENTED, START, ZONES, Books, some_windows

DAY = timedelta(days=1)
KEEP = Policy(keep_windows=None, dispute=30 * DAY, columnstore_after=7 * DAY)
DROP = Policy(keep_windows=62 * DAY, dispute=30 * DAY, columnstore_after=7 * DAY)
LATER = START + 200 * DAY


@pytest.fixture
def books(ledger: Connection) -> Books:
    """Three servers over ten days around a month's end, two customers."""
    made = Books(ledger)
    made.open()
    if backend(ledger).timescale:  # so that the month's end lies between chunks
        ledger.execute("SELECT set_chunk_time_interval('usage_window', interval '1 day')")
    rng = random.Random(5)
    for server in RENTED:
        made.open_window(server, START + 10 * DAY, rng.randrange(1 << 40))
    made.windows(some_windows(rng, (0, 10), 120))
    made.windows([("s-1", START + timedelta(hours=21, minutes=40 + 5 * k), 0, k) for k in range(9)])
    made.late("s-2", START + DAY, 1, 12)
    return made


def seal(books: Books, *months: datetime) -> None:
    """Seals every scope's periods that begin in these local months."""
    for scope, account in books.conn.execute("SELECT scope_id, account_id FROM rating_scope"):
        for month in months:
            low = month.replace(tzinfo=ZONES[account])
            high = (low + 32 * DAY).replace(day=1)
            books.conn.execute(
                "INSERT INTO scope_seal VALUES (%s, %s, %s, %s, 'x', NULL)",
                (scope, low, high, high),
            )


MARCH, APRIL = datetime(2025, 3, 1), datetime(2025, 4, 1)  # noqa: DTZ001 - local


def used(books: Books) -> dict[tuple[str, str, str], int]:
    """What stands for each series, dropped or not."""
    rows = books.conn.execute(
        "SELECT server_id, meter, resource, sum(quantity) FROM ("
        " SELECT server_id, meter, resource, quantity FROM usage"
        " UNION ALL SELECT server_id, meter, resource, quantity FROM usage_dropped) u"
        " GROUP BY 1, 2, 3"
    ).fetchall()
    return {(server, meter, resource): int(total) for server, meter, resource, total in rows}


def count(books: Books) -> int:
    row = books.conn.execute("SELECT count(*) FROM usage_window").fetchone()
    assert row is not None
    return int(row[0])


def test_a_dry_run_says_what_a_run_does_then_and_a_second_finds_nothing(books: Books) -> None:
    seal(books, MARCH, APRIL)
    before = count(books)
    said = maintain(books.conn, LATER, DROP, dry_run=True)
    assert count(books) == before
    assert marks(books.conn).stored is None
    done = maintain(books.conn, LATER, DROP)
    assert (said.made, said.stored_before) == (done.made, done.stored_before)
    again = maintain(books.conn, LATER, DROP)
    assert (
        again.made,
        again.hours,
        again.stale_hours,
        again.compressed,
        again.dropped_windows,
    ) == ([], 0, 0, [], 0)


def test_partitions_are_there_ahead_and_windows_lie_in_theirs(books: Books) -> None:
    if backend(books.conn).timescale:
        pytest.skip("TimescaleDB makes its chunks itself")
    now = datetime(2025, 12, 31, 23, 59, tzinfo=UTC)
    before = books.conn.execute("SELECT * FROM usage_window ORDER BY 1, 2").fetchall()
    report = maintain(books.conn, now, KEEP)
    assert report.made == [
        f"usage_window_{month}" for month in ("2025_03", "2025_04", "2025_12", "2026_01", "2026_02")
    ]
    assert books.conn.execute(f"SELECT count(*) FROM {partitions.DEFAULT}").fetchone() == (0,)
    assert books.conn.execute("SELECT * FROM usage_window ORDER BY 1, 2").fetchall() == before
    books.windows([("s-1", START - 400 * DAY, 0, 1)])
    assert maintain(books.conn, now, KEEP).made == ["usage_window_2024_02"]
    books.assert_complete()


def test_old_days_are_compressed_and_windows_still_come_in(books: Books) -> None:
    if not backend(books.conn).timescale:
        pytest.skip("only TimescaleDB has a columnstore")
    report = maintain(books.conn, START + 14 * DAY, KEEP)
    found = {chunk.name: chunk for chunk in chunks.chunks(books.conn)}
    assert report.compressed
    assert all(chunk.compressed == (chunk.end <= START + 7 * DAY) for chunk in found.values())
    books.windows(some_windows(random.Random(6), (0, 3), 30))
    books.late("s-1", START + DAY, 0, 4)
    books.assert_complete()
    maintain(books.conn, START + 14 * DAY, KEEP)
    books.assert_complete()


@pytest.mark.parametrize(
    ("sealed", "now", "why"),
    [
        ((), LATER, "is not sealed"),
        ((MARCH,), LATER, "2025-04 of scope"),
        ((MARCH, APRIL), START + 75 * DAY, None),
        ((MARCH, APRIL), START + 55 * DAY, None),
    ],
    ids=["nothing is sealed", "April is open", "March is past its dispute", "all is young"],
)
def test_what_a_period_needs_is_kept(
    books: Books, sealed: tuple[datetime, ...], now: datetime, why: str | None
) -> None:
    seal(books, *sealed)
    report = maintain(books.conn, now, DROP)
    assert (why is None and report.refused is None) or (why or "-") in str(report.refused)
    kept = {
        (s, at) for s, at in books.conn.execute("SELECT server_id, window_start FROM usage_window")
    }
    for server, at in books.taken - kept:
        assert at < now - 62 * DAY, server
        assert at < datetime(2025, 4, 1, tzinfo=UTC) or APRIL in sealed
    books.assert_complete()


def test_a_period_that_may_be_disputed_is_kept(books: Books) -> None:
    seal(books, MARCH, APRIL)
    long = Policy(keep_windows=62 * DAY, dispute=365 * DAY, columnstore_after=7 * DAY)
    report = maintain(books.conn, LATER, long)
    assert "may be disputed for 365 days" in str(report.refused)
    assert report.dropped_windows == 0


def test_dropped_windows_are_missed_by_nobody(books: Books) -> None:
    """Sums, hours, days and months are what they were; conservation holds."""
    seal(books, MARCH, APRIL)
    before = used(books)
    report = maintain(books.conn, LATER, DROP)
    assert report.refused is None
    assert report.dropped_windows == len(books.taken)
    assert count(books) == 0
    assert used(books) == before
    books.assert_complete()


def test_what_comes_for_dropped_time_is_counted_beside_it(books: Books) -> None:
    """A server that was silent delivers windows of frozen hours; another run keeps them."""
    seal(books, MARCH, APRIL)
    maintain(books.conn, LATER, DROP)
    new = [row for row in some_windows(random.Random(9), (0, 10), 40) if row[:2] not in books.taken]
    books.windows(new)
    books.late("s-1", START + DAY, 0, -3)
    for _ in range(2):
        books.assert_complete()
        assert count(books) == len(new)
        assert maintain(books.conn, LATER, DROP).dropped_windows == 0
    assert sum(used(books).values()) == sum(sum(entry[3]) for entry in books.entries)


def test_windows_are_dropped_piece_by_piece(books: Books) -> None:
    """March first, April once it is sealed; a month of Kathmandu ends within a UTC hour.

    Berlin's April begins in March's partition, so plain PostgreSQL keeps that one as well.
    """
    seal(books, MARCH)
    first = maintain(books.conn, LATER, DROP)
    assert "2025-04" in str(first.refused)
    assert (0 < count(books) < len(books.taken)) == backend(books.conn).timescale
    books.assert_complete()
    seal(books, APRIL)
    assert maintain(books.conn, LATER, DROP).refused is None
    assert count(books) == 0
    books.assert_complete()


def test_windows_that_are_not_what_is_stored_are_not_dropped(books: Books) -> None:
    seal(books, MARCH, APRIL)
    refresh(books.conn, LATER)
    books.conn.execute(
        "UPDATE usage_window SET qty[1] = qty[1] + 1 WHERE (server_id, window_start) ="
        " (SELECT server_id, window_start FROM usage_window ORDER BY 2 LIMIT 1)"
    )
    before = count(books)
    with pytest.raises(DifferenceError, match="do not sum to"):
        maintain(books.conn, LATER, DROP)
    assert count(books) == before
    assert marks(books.conn).dropped is None


def test_two_at_once_are_refused(ledger_url: str, books: Books) -> None:
    if "sslmode=disable" in ledger_url:
        pytest.skip("WebAssembly takes one connection at a time")
    with (
        connect(ledger_url, autocommit=True) as other,
        alone(other),
        pytest.raises(RefusedError, match="Another maintenance"),
    ):
        maintain(books.conn, LATER, KEEP)
