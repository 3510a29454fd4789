"""Fixtures and words for billing tests: a migrated database, customers, windows, a receiver.

`billing` is a connection to a database of the test's own, copied from one that was migrated once.
`receiver` is a real HTTP server that checks every signature and answers as the test tells it.
"""

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict
from standardwebhooks.webhooks import Webhook

from pipeline.catalog import Catalog, load
from sinks.catalogs import apply
from sinks.changes import Answer
from sinks.database import Connection, connect, migrate
from sinks.deliver import Ways
from sinks.timelines import add_account, rent
from sinks.webhooks import set_webhook
from tests.fix_stack import MakeDatabase
from tests.vault import VAULT

SECRET = "whsec_" + "c2VjcmV0IG9mIGEgdGVzdCwgbm90IG9mIGFueW9uZSE="
WAYS = Ways(VAULT, allow_private=True)
"""Deliveries to receivers on this machine."""
WINDOW = timedelta(minutes=5)
START = datetime(2026, 3, 1, tzinfo=UTC)
TX = "net.tx_bytes"
CATALOG = """
version = "v1"
effective = 2026-01-01
existing = "keep"
[seller]
entity = "test"
name = "Test Hosting"
address = ["Street 1", "10115 Berlin"]
vat_id = "DE000000000"
timezone = "UTC"
currency = "EUR"
[tax]
hosting = "19 %"
[unit]
MB = { of = "net.bytes", is = 1_000_000, step = "0.001" }
[plan.small]
name = "Small server"
rent = { price = "0.10 / hour", cap = "40.00 / month", tax = "hosting" }
traffic.meter = { sum = ["net.tx_bytes"], source = "agent", gap = "interpolate" }
traffic.allow = { quantity = "100 MB / month", prorate = "none" }
traffic.price = "1.00 / MB"
traffic.alert = ["50 %", "80 %", "100 %"]
traffic.tax = "hosting"
"""


def a_catalog(**changes: str) -> tuple[Catalog, str]:
    """The catalogue above with texts replaced, and its text: a_catalog(v1="v2")."""
    text = CATALOG
    for old, new in changes.items():
        text = text.replace(old, new)
    return load(text, "test.toml"), text


@pytest.fixture(scope="session")
def billing_template(make_database: MakeDatabase) -> str:
    """The name of a migrated, empty database."""
    url = make_database()
    migrate(url)
    return str(conninfo_to_dict(url)["dbname"])


@pytest.fixture
def billing_url(make_database: MakeDatabase, billing_template: str) -> str:
    """A migrated database for this test alone."""
    return make_database(billing_template)


@pytest.fixture
def billing(billing_url: str) -> Iterator[Connection]:
    """An autocommit connection to it."""
    with connect(billing_url, autocommit=True) as conn:
        yield conn


@pytest.fixture
def customer(billing: Connection) -> Connection:
    """The catalogue is applied and there is an account, acme."""
    catalog, text = a_catalog()
    apply(billing, catalog, text, START)
    add_account(
        billing,
        account="acme",
        name="Acme GmbH",
        country="DE",
        currency="EUR",
        timezone="UTC",
    )
    set_webhook(billing, VAULT, "acme", "https://acme.example/hooks", SECRET)
    return billing


def rent_small(
    conn: Connection,
    item: str = "i-1",
    server: str = "s-1",
    at: datetime = START,
    account: str = "acme",
    scope: str | None = None,
) -> Answer:
    """The account rents a small server."""
    return rent(
        conn,
        item=item,
        title=f"Server {item}",
        plan="small",
        account=account,
        server=server,
        at=at,
        catalog=a_catalog()[0],
        entered_at=at,
        scope=scope,
    )


def meter_windows(
    conn: Connection,
    server: str,
    series: Mapping[tuple[str, str], Sequence[int]],
    start: datetime = START,
    covered_ms: int = 300_000,
) -> None:
    """Finished windows from `start` on: for each (meter, resource) one quantity a window."""
    set_id = series_set(conn, list(series))
    for number, quantities in enumerate(zip(*series.values(), strict=True)):
        conn.execute(
            "INSERT INTO usage_window VALUES (%s, %s, %s, %s, %s, 0, 0)",
            (server, start + number * WINDOW, set_id, list(quantities), covered_ms),
        )


def meter_late(
    conn: Connection, server: str, meter: str, resource: str, at: datetime, quantity: int
) -> None:
    """A late entry for the window that begins at `at`."""
    conn.execute(
        """
        INSERT INTO usage_late (server_id, window_start, set_id, qty, part, ckpt_offset, reason)
        VALUES (%s, %s, %s, %s, 0, 0, 'test')
        """,
        (server, at, series_set(conn, [(meter, resource)]), [quantity]),
    )


def meter_open(
    conn: Connection, server: str, meter: str, resource: str, at: datetime, quantity: int
) -> None:
    """The server's open window."""
    win_ms = int(at.timestamp()) * 1000
    conn.execute(
        """
        INSERT INTO server_state VALUES (0, %s, 'o', 0, 1, '', 0, 0, %s, %s, NULL, %s, %s, 1000)
        """,
        (server, series_set(conn, [(meter, resource)]), [quantity], win_ms, [quantity]),
    )


def series_set(conn: Connection, names: Sequence[tuple[str, str]]) -> int:
    """The id of these series, made when needed."""
    meters, resources = [meter for meter, _ in names], [resource for _, resource in names]
    digest = repr(names).encode()
    conn.execute(
        """
        INSERT INTO series_set (digest, meter, resource) VALUES (%s, %s, %s)
        ON CONFLICT DO NOTHING
        """,
        (digest, meters, resources),
    )
    row = conn.execute("SELECT set_id FROM series_set WHERE digest = %s", (digest,)).fetchone()
    assert row is not None
    return int(row[0])


@dataclass
class Receiver:
    """A customer's endpoint. `answers` are used up in order; after them it answers 204."""

    url: str = ""
    secrets: tuple[str, ...] = (SECRET,)
    answers: deque[int] = field(default_factory=deque)
    ids: list[str] = field(default_factory=list)
    """`webhook-id` of every request, as it came."""
    bodies: dict[str, Any] = field(default_factory=dict)
    """What a receiver that drops repetitions has: one body an id."""
    problems: list[str] = field(default_factory=list)


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # with the usual 5 a burst of connections waits a second


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A real HTTP server on the loopback."""
    state = Receiver()
    server = _Server(("127.0.0.1", 0), _handler(state))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/hooks?of=rackmeter"
    yield state
    server.shutdown()
    server.server_close()
    thread.join()
    assert state.problems == []


def _handler(state: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            state.ids.append(headers["webhook-id"])
            status = state.answers.popleft() if state.answers else 204
            try:
                found = [Webhook(secret).verify(raw, headers) for secret in state.secrets]
                if 200 <= status < 300:
                    state.bodies[headers["webhook-id"]] = found[0]
            except Exception as error:
                state.problems.append(repr(error))
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("location", state.url.replace("/hooks", "/elsewhere"))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    return Handler
