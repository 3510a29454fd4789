"""How fast open months are rated, together and one by one; a percentile's month; a close; alerts.

``python -m benchmarks.rating [--json] [--scopes N] [--days N] [--close N] [--no-alerts]``. Each
scope is an item on a server of 24 series, two of them charged, with every window of the month so
far. *Alerts* is ``benchmarks.latency`` at half of ``--sustained``, measured when not given.
"""

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final

from psycopg.types.json import Jsonb

from benchmarks import latency
from benchmarks.scene import Servers, enrol, started
from benchmarks.throughput import machine
from rackmeter.cli.terminate import interruptible
from rackmeter.rater import BATCH_SCOPES
from schemas.prices import Charge, Percentile, PerUnit, Unit
from schemas.serial import to_json
from sinks.accruals import rate_many, rate_open
from sinks.catalogs import apply
from sinks.database import Connection, connect, migrate
from sinks.timelines import add_account
from tests.fix_billing import START, TX, WINDOW, a_catalog, rent_small, series_set
from tests.fix_stack import make_given_database
from tests.invoicing.scenario import close_month
from tests.invoicing.worlds import month_of

SERIES: Final = 24
CHARGED: Final = 2
ALONE: Final = 50
"""Scopes rated one by one: enough for a median."""
ROUNDS: Final = 10
MBPS: Final = Unit("Mbps", "net.bytes", 37_500_000, Decimal("0.001"))


@dataclass(frozen=True, slots=True)
class AlertLatency:
    """From the reading that crossed to the customer's server."""

    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class Figures:
    """Windows are a server's; `alone` is the same work with a transaction a scope."""

    windows_rated_per_s: int
    windows_rated_per_s_alone: int
    scope_ms: float
    scope_ms_alone: float
    p95_scope_ms: float
    """A scope that is billed by the 95th percentile of these windows; the median of ten ratings."""
    close_scopes_per_s: float
    alert_latency_ms: AlertLatency | None


def measure(options: argparse.Namespace) -> Figures:
    """All of them, one after the other."""
    with started("embedded") as servers:
        url = enrol(servers, [])
        with connect(url, autocommit=True) as conn:
            windows = options.days * timedelta(days=1) // WINDOW
            scopes = _month(conn, options.scopes, windows)
            together_s = _timed(conn, scopes, windows, BATCH_SCOPES)
            alone_s = _alone(conn, scopes[:ALONE], windows)
            percentile_ms = _percentile(conn, scopes[0], windows)
        closed = _close(servers, options.close)
    alerts = _alerts(options) if options.alerts else None
    return Figures(
        round(windows / together_s), round(windows / alone_s), round(together_s * 1000, 2),
        round(alone_s * 1000, 2), round(percentile_ms, 1), round(closed, 1), alerts,
    )  # fmt: skip


def _month(conn: Connection, count: int, windows: int) -> list[str]:
    """Scopes of ten accounts; all rated once, so that accruals are there."""
    apply(conn, *a_catalog(), START)
    for number in range(10):
        add_account(
            conn, account=f"a-{number}", name="Benchmark", country="DE", currency="EUR",
            timezone="UTC",
        )  # fmt: skip
    for number in range(count):
        rent_small(conn, f"i-{number}", f"s-{number}", account=f"a-{number % 10}")
    charged = [(TX, f"eth{n}") for n in range(CHARGED)]
    others = [("gpu.busy_ms", f"gpu{n}") for n in range(SERIES - CHARGED)]
    conn.execute(
        """
        INSERT INTO usage_window (server_id, window_start, set_id, qty, covered_ms, part,
                                  ckpt_offset)
        SELECT 's-' || s, %s + w * %s, %s, array_fill(1000::bigint, ARRAY[%s]), 300000, 0, 0
        FROM generate_series(0, %s - 1) w, generate_series(0, %s - 1) s
        """,
        (START, WINDOW, series_set(conn, charged + others), SERIES, windows, count),
    )
    conn.execute("VACUUM ANALYZE usage_window")
    scopes = [f"i-{number}" for number in range(count)]
    _timed(conn, scopes, windows, BATCH_SCOPES)
    return scopes


def _timed(conn: Connection, scopes: Sequence[str], windows: int, batch: int) -> float:
    """Seconds a scope."""
    now, began = START + windows * WINDOW, time.perf_counter()
    for first in range(0, len(scopes), batch):
        found = rate_many(conn, dict.fromkeys(scopes[first : first + batch], now), now)
        assert not found.failed, found.failed
    return (time.perf_counter() - began) / len(scopes)


def _alone(conn: Connection, scopes: Sequence[str], windows: int) -> float:
    now, began = START + windows * WINDOW, time.perf_counter()
    for scope in scopes:
        rate_open(conn, scope, now, now)
    return (time.perf_counter() - began) / len(scopes)


def _percentile(conn: Connection, scope: str, windows: int) -> float:
    """Milliseconds."""
    price = Charge(Percentile((TX,), MBPS), PerUnit(Decimal("0.90")), "hosting")
    conn.execute(
        "UPDATE item_price SET price = %s WHERE item_id = %s AND charge = 'traffic'",
        (Jsonb(to_json(price)), scope),
    )
    return statistics.median(_alone(conn, [scope], windows) * 1000 for _ in range(ROUNDS))


def _close(servers: Servers, count: int) -> float:
    """Scopes a second, each an invoice of its own: gate, freeze, reconcile, seal, document."""
    url = make_given_database(servers.stack.database_url)
    migrate(url)
    with connect(url, autocommit=True) as conn:
        month_of(conn, count)
    report = close_month(url)
    issued = sum(1 for outcome in report.outcomes if outcome.number)
    assert issued == count, report
    return count / report.seconds


def _alerts(options: argparse.Namespace) -> AlertLatency:
    load = latency.options_of(["--shares", "0.5", "--seconds", "20", "--webhook-seconds", "10"])
    (figure,) = latency.measure(load, options.sustained or latency.sustained(load))
    return AlertLatency(figure.webhook.p50_ms, figure.webhook.p99_ms)


def table(figures: Figures) -> str:
    """For people."""
    one = figures
    both = (
        ("windows rated a second", one.windows_rated_per_s, one.windows_rated_per_s_alone),
        ("a scope, ms", one.scope_ms, one.scope_ms_alone),
    )
    rows = [f"{'':38}{'together':>12}{'one by one':>12}"]
    rows += [f"{name:38}{many:>12,}{alone:>12,}" for name, many, alone in both]
    rows.append(f"{'a scope by the 95th percentile, ms':38}{'':12}{one.p95_scope_ms:>12,}")
    rows.append(f"{'scopes closed a second':38}{'':12}{one.close_scopes_per_s:>12,}")
    if one.alert_latency_ms is not None:
        p50, p99 = one.alert_latency_ms.p50, one.alert_latency_ms.p99
        rows.append(f"reading to webhook, ms: p50 {p50:,.0f}, p99 {p99:,.0f}")
    return "\n".join(rows)


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--scopes", type=int, default=256)
    parser.add_argument("--days", type=int, default=28, help="of windows in each scope's month")
    parser.add_argument("--close", type=int, default=100, help="scopes to close")
    parser.add_argument("--no-alerts", dest="alerts", action="store_false")
    parser.add_argument("--sustained", type=float, help="reports a second; measured when not given")
    return parser.parse_args(arguments)


def main() -> None:
    options = options_of()
    figures = measure(options)
    if options.json:
        print(json.dumps({"machine": machine(), **asdict(figures)}, indent=1))
    else:
        print(f"{machine()}\n\n{table(figures)}")


if __name__ == "__main__":
    with interruptible():
        main()
