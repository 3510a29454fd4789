"""What store tests do to a ledger, and what its views must say then, window by window."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from sinks.database import Connection

WINDOW = timedelta(minutes=5)
HOUR = timedelta(hours=1)
START = datetime(2025, 3, 30, tzinfo=UTC)
"""Clocks change in Europe at 01:00 UTC; a year in which nobody has partitions."""
SETS = (("net.tx_bytes", "eth0"), ("net.rx_bytes", "eth0")), (("net.tx_bytes", "eth1"),)
SERVERS = ("s-1", "s-2", "s-3")
BERLIN, NEPAL = "Europe/Berlin", "Asia/Kathmandu"
RENTED: dict[str, list[tuple[str, datetime, datetime | None]]] = {
    "s-1": [("berlin", START - HOUR * 200, None)],
    "s-2": [
        ("berlin", START - HOUR * 200, START + timedelta(hours=5, minutes=23)),
        ("nepal", START + timedelta(hours=5, minutes=23), None),
    ],
    "s-3": [("nepal", START + timedelta(hours=1), START + timedelta(days=2))],
}
ZONES = {"berlin": ZoneInfo(BERLIN), "nepal": ZoneInfo(NEPAL)}
Key = tuple[object, ...]


@dataclass
class Books:
    """Everything that was written, kept a second time."""

    conn: Connection
    entries: list[tuple[str, datetime, int, list[int], int]] = field(default_factory=list)
    """Server, window, set, quantities, observed time; late entries too."""
    taken: set[tuple[str, datetime]] = field(default_factory=set)
    sets: list[int] = field(default_factory=list)

    def open(self) -> None:
        """Series, customers of two zones, servers that change hands, an open window each."""
        for number, names in enumerate(SETS):
            row = self.conn.execute(
                "INSERT INTO series_set (digest, meter, resource) VALUES (%s, %s, %s)"
                " RETURNING set_id",
                (bytes([number]), [meter for meter, _ in names], [r for _, r in names]),
            ).fetchone()
            assert row is not None
            self.sets.append(row[0])
        for name, zone in ZONES.items():
            self.conn.execute(
                "INSERT INTO account (account_id, name, country, currency, timezone)"
                " VALUES (%(name)s, %(name)s, 'DE', 'EUR', %(zone)s)",
                {"name": name, "zone": zone.key},
            )
        for server, spans in RENTED.items():
            for account, low, high in spans:
                self._rent(server, account, low, high)

    def _rent(self, server: str, account: str, low: datetime, high: datetime | None) -> None:
        what = {"item": f"{account}-{server}", "account": account, "low": low, "high": high}
        self.conn.execute("INSERT INTO rating_scope VALUES (%(item)s, %(account)s)", what)
        self.conn.execute(
            "INSERT INTO item VALUES (%(item)s, %(item)s, 'x', 'x', tstzrange(%(low)s, %(high)s))",
            what,
        )
        self.conn.execute(
            "INSERT INTO assignment VALUES"
            " (%(server)s, %(item)s, tstzrange(%(low)s, %(high)s), %(low)s)",
            {**what, "server": server},
        )

    def windows(self, rows: Iterable[tuple[str, datetime, int, int]]) -> None:
        """Finished windows as a checkpoint writes them: server, start, which set, quantity."""
        fresh = [row for row in rows if row[:2] not in self.taken]
        with self.conn.transaction():
            self.conn.execute("SELECT store_closing()")
            self.conn.execute(
                "SELECT store_touched(%s, %s)",
                ([row[0] for row in fresh], [row[1] for row in fresh]),
            )
            for server, at, number, quantity in fresh:
                qty = [quantity + ix for ix in range(len(SETS[number]))]
                self.conn.execute(
                    "INSERT INTO usage_window VALUES (%s, %s, %s, %s::bigint[], 300000, 0, 0)",
                    (server, at, self.sets[number], qty),
                )
                self.entries.append((server, at, number, qty, 300_000))
                self.taken.add((server, at))

    def late(self, server: str, at: datetime, number: int, quantity: int) -> None:
        qty = [quantity] * len(SETS[number])
        self.conn.execute(
            "INSERT INTO usage_late (server_id, window_start, set_id, qty, part, ckpt_offset,"
            " reason) VALUES (%s, %s, %s, %s::bigint[], 0, 0, 'test')",
            (server, at, self.sets[number], qty),
        )
        self.entries.append((server, at, number, qty, 0))

    def open_window(self, server: str, at: datetime, quantity: int) -> None:
        self.conn.execute(
            "INSERT INTO server_state VALUES"
            " (0, %s, 'o', 0, 1, '', 0, 0, %s, '{0,0}', NULL, %s, %s::bigint[], 1000)",
            (server, self.sets[0], int(at.timestamp()) * 1000, [quantity, 0]),
        )
        self.entries.append((server, at, 0, [quantity, 0], 1000))

    # -- what must be true ------------------------------------------------------------------------

    def assert_complete(self) -> None:
        """Hours, days and months hold exactly what was written."""
        for view, column, width in (
            ("usage_hour", "hour", HOUR),
            ("usage_day", "day", timedelta(days=1)),
        ):
            found = {
                (server, meter, resource, at): (int(quantity), covered)
                for server, meter, resource, at, quantity, covered in self.conn.execute(
                    f"SELECT server_id, meter, resource, {column}, quantity, covered_ms FROM {view}"
                )
            }
            assert found == self._buckets(width), view
        months = {
            (account, month, meter): int(quantity)
            for account, month, meter, quantity in self.conn.execute(
                "SELECT account_id, month, meter, quantity FROM account_usage_month"
            )
        }
        assert months == self._months()

    def _buckets(self, width: timedelta) -> dict[Key, tuple[int, int]]:
        sums: Counter[Key] = Counter()
        covered: Counter[Key] = Counter()
        for server, at, number, qty, covered_ms in self.entries:
            bucket = at - (at - START) % width
            covered[server, bucket] += covered_ms
            for (meter, resource), quantity in zip(SETS[number], qty, strict=True):
                sums[server, meter, resource, bucket] += quantity
        return {key: (total, covered[key[0], key[3]]) for key, total in sums.items()}

    def _months(self) -> dict[Key, int]:
        sums: dict[Key, int] = defaultdict(int)
        for server, at, number, qty, _ in self.entries:
            for account, low, high in RENTED[server]:
                if low <= at and (high is None or at < high):
                    local = at.astimezone(ZONES[account])
                    for (meter, _), quantity in zip(SETS[number], qty, strict=True):
                        sums[account, date(local.year, local.month, 1), meter] += quantity
        return dict(sums)


def some_windows(
    rng: random.Random, days: tuple[float, float], count: int
) -> list[tuple[str, datetime, int, int]]:
    """Distinct windows between two days after START, in any order."""
    low, high = (int(day * 288) for day in days)
    slots = rng.sample([(s, k) for s in SERVERS for k in range(low, high)], count)
    return [
        (server, START + k * WINDOW, rng.randrange(len(SETS)), rng.randrange(1 << 62))
        for server, k in slots
    ]
