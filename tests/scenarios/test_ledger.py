"""The golden month in a real ledger: rented by the commands, metered, closed to the same cents.

Its windows come two ways: written as a clerk would spread the usage, and metered by a worker's lane
from the reports of agents. Both have to be the same windows and the same invoice.
"""

from collections.abc import Collection
from decimal import Decimal
from pathlib import Path

from invoicing.close import close
from invoicing.document import Document
from invoicing.export import load as load_document
from invoicing.report import Status
from invoicing.verify import verify
from pipeline.catalog import Catalog
from pipeline.lanes import Taken
from pipeline.records import Chunk
from schemas.billing import Line, LineKind
from sinks.checkpoint import Checkpointer
from sinks.database import Connection, connect
from tests.fix_billing import series_set
from tests.invoicing import ledger
from tests.invoicing.scenario import GRACE_MS
from tests.scenarios import reports
from tests.scenarios.october import CLOSED, FOLDER, USED, Used, october
from tests.scenarios.table import WHOLE, rows, single, sums

CHUNK = 4000
"""Messages of a checkpoint."""


def written(conn: Connection, used: Used) -> None:
    """The windows of a usage, and the readings that say the same at both ends."""
    set_id, units = series_set(conn, [(m, "1") for m in used.totals]), list(used.totals.values())
    conn.execute(
        """
        INSERT INTO usage_window
        SELECT %(server)s, %(low)s + k * interval '5 minutes', %(set)s,
               (SELECT array_agg((div((k + 1) * total, %(n)s) - div(k * total, %(n)s))::bigint
                                 ORDER BY no)
                FROM unnest(%(units)s::numeric[]) WITH ORDINALITY AS t (total, no)),
               300000, 0, 1000
        FROM generate_series(0, %(n)s - 1) AS k
        """,
        {"server": used.server, "low": used.start, "set": set_id, "units": units,
         "n": used.windows},
    )  # fmt: skip
    since, at = (int(instant.timestamp() * 1000) for instant in (used.start, used.end))
    conn.execute(
        "INSERT INTO reading_anchor VALUES (%s, %s, %s, 'opening', 1, %s, %s, %s, 0, 1)",
        (used.server, ledger.ORIGIN, used.start, set_id, [0] * len(units), ledger.TOPIC),
    )
    conn.execute(
        "INSERT INTO server_state"
        " VALUES (0, %s, %s, %s, 2, '', %s, %s, %s, %s, NULL, %s, %s, 0, '')",
        (used.server, ledger.ORIGIN, since, at + 60_000, at + 60_000 - since, set_id, units,
         at, [0] * len(units)),
    )  # fmt: skip


def metered(url: str) -> dict[str, int]:
    """The reports of all agents into the ledger, as a worker takes them; verdict → reports."""
    worker, counts = Checkpointer(url), dict[str, int]()
    known, now_ms = reports.intake(USED), int(CLOSED.timestamp() * 1000)
    for part, log in reports.topic(USED).items():
        lane = worker.claim(ledger.TOPIC, part)
        for first in range(0, len(log), CHUNK):
            chunk = Chunk(reports.TOPIC, part, log[first : first + CHUNK])
            assert lane.take(chunk, known, now_ms) is Taken.METERED
            worker.flush(lane)
        for verdict, count in lane.counts.items():
            counts[verdict] = counts.get(verdict, 0) + count
    worker.close()
    return counts


def windows(conn: Connection) -> set[tuple[object, ...]]:
    """What was used in each window, and how much of it was observed; nothing that used nothing."""
    found = conn.execute(
        "SELECT w.server_id, w.window_start, s.meter, s.resource, w.qty, w.covered_ms"
        " FROM usage_window w JOIN series_set s USING (set_id)"
    ).fetchall()
    return {
        (server, start, meter, resource, quantity, covered)
        for server, start, meters, resources, quantities, covered in found
        for meter, resource, quantity in zip(meters, resources, quantities, strict=True)
        if quantity
    }


def told(line: Line, whole: Collection[str]) -> tuple[str, str, Decimal]:
    """As the clerk tells it: what is of the whole invoice stands on some item's line there."""
    name = line.charge if line.kind is LineKind.TRUE_UP else line.title.removeprefix("credit ")
    return (WHOLE, name, line.net) if name in whole else (line.item, line.charge, line.net)


def closed(url: str, conn: Connection, prices: Catalog, folder: Path) -> None:
    """October is closed, and what is sealed is what the clerk wrote."""
    report = close(
        url, seller=prices.seller, issued_at=CLOSED, grace_ms=GRACE_MS,
        numbers=folder / "numbers", period_month="2026-10", accounts=["acme"],
        folder=folder / "out",
    )  # fmt: skip
    assert [one.status for one in report.outcomes] == [Status.ISSUED], report
    document = invoice(conn, "acme")
    expected = single(rows(FOLDER))
    whole = {name for item, name, _ in expected if item == WHOLE}
    assert sorted(told(one.line, whole) for one in document.lines) == expected
    totals = document.totals
    assert {
        "net": str(totals.net), "tax": str(totals.tax), "gross": str(totals.gross),
        "due": str(totals.due),
    } == sums(FOLDER)  # fmt: skip
    (file,) = (folder / "out").rglob("*.json")
    assert verify(file) == []


def invoice(conn: Connection, account: str) -> Document:
    row = conn.execute(
        "SELECT invoice_id FROM invoice WHERE account_id = %s", (account,)
    ).fetchone()
    assert row is not None
    return load_document(conn, str(row[0]))[0]


def test_the_close_is_what_the_clerk_wrote(billing_url: str, tmp_path: Path) -> None:
    with connect(billing_url, autocommit=True) as conn:
        prices = october(conn)
        for used in USED:
            written(conn, used)
        closed(billing_url, conn, prices, tmp_path)


def test_the_reports_of_agents_come_to_the_same(billing_url: str, tmp_path: Path) -> None:
    with connect(billing_url, autocommit=True) as conn:
        prices = october(conn)
        with conn.transaction(force_rollback=True):
            for used in USED:
                written(conn, used)
            by_hand = windows(conn)
        counts = metered(billing_url)
        sent = sum(used.windows + 2 for used in USED)
        again = sum((used.windows + 2) // reports.AGAIN_EVERY for used in USED)
        assert counts == {"accepted": sent, "duplicate": again}
        assert windows(conn) ^ by_hand == set()
        closed(billing_url, conn, prices, tmp_path)
