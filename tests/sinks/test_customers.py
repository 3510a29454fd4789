"""A customer sees one account only, however he asks. Two accounts, acme and bolt; acme tries."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import psycopg
import pytest
from psycopg import errors, sql
from psycopg.errors import Diagnostic

from sinks.catalogs import apply
from sinks.database import Connection, connect, migrate
from sinks.journal import Entry, Kind, Posting, post
from sinks.outbox import Alert, enqueue
from sinks.timelines import add_account, end, rent
from tests.fix_billing import TX, a_catalog, meter_late, meter_open, meter_windows, rent_small
from tests.fix_stack import MakeDatabase
from tests.sinks.roles import login_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HANDOVER = NOON + timedelta(hours=2, minutes=10)
"""The server s-shared is acme's until then, and bolt's afterwards."""
MINUTE = timedelta(minutes=1)
SHARED_ACME, SHARED_BOLT = 26, 1000
"""Windows of acme's time hold 1 each, those of bolt's 1000."""
VIEWS = (
    "account", "alert", "charge", "invoice", "invoice_line", "invoice_status", "item", "statement",
    "usage_day", "usage_hour", "usage_month",
)  # fmt: skip
SECRETS = ("bolt", "Bolt", "b-1", "b-shared", "7700077")
"""What belongs to bolt: names, items, and an amount of money."""


@pytest.fixture(scope="module")
def url(make_database: MakeDatabase) -> str:
    """Two customers with everything that a customer may see."""
    made = make_database()
    migrate(made)
    with connect(made, autocommit=True) as conn:
        _customer(conn, "acme", "Acme", "a-1", 111)
        _customer(conn, "bolt", "Bolt", "b-1", 7700077)
        _shared_server(conn)
        conn.execute("ANALYZE")
    return made


def _customer(conn: Connection, account: str, name: str, item: str, net: int) -> None:
    add_account(conn, account=account, name=name, country="DE", currency="EUR", timezone="UTC")
    apply(conn, *a_catalog(), NOON)
    rent_small(conn, item, f"s-{item}", NOON, account)
    meter_windows(conn, f"s-{item}", {(TX, "eth0"): [net] * 30}, NOON)
    meter_late(conn, f"s-{item}", TX, "eth0", NOON, net)
    meter_open(conn, f"s-{item}", TX, "eth0", NOON + timedelta(hours=3), net)
    period = (datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))
    invoice = uuid4()
    conn.execute(
        "INSERT INTO invoice VALUES (%s, %s, 'invoice', 'rm', %s, %s, %s, 'EUR', %s, 0, %s, now(),"
        " jsonb_build_object('for', %s::text), 'd')",
        (invoice, f"RM-{account}", account, *period, net, net, account),
    )
    conn.execute("INSERT INTO invoice_line VALUES (%s, 1, %s, %s)", (invoice, item, net))
    conn.execute(
        "INSERT INTO accrual (scope_id, period_start, period_end, as_of, inputs, figures)"
        " VALUES (%s, %s, %s, %s, '{}', jsonb_build_array(jsonb_build_object('item', %s::text,"
        " 'charge', 'traffic', 'net', %s::numeric)))",
        (item, *period, NOON, item, net),
    )
    sides = (
        Posting("receivable", Decimal(net), invoice=f"RM-{account}"),
        Posting("revenue", Decimal(-net)),
    )
    post(conn, Entry(Kind.INVOICE, f"RM-{account}", NOON, account, "EUR", sides))
    told = {"of": account}
    enqueue(conn, Alert(account, item, NOON, f"{item}/50%", "v1", "crossed", told, NOON), NOON)


def _shared_server(conn: Connection) -> None:
    catalog = a_catalog()[0]
    for account, item, at in (("acme", "a-shared", NOON), ("bolt", "b-shared", HANDOVER)):
        rent(
            conn, item=item, title=item, plan="small", account=account, server="s-shared", at=at,
            catalog=catalog, entered_at=NOON,
        )  # fmt: skip
        if account == "acme":
            end(conn, item, HANDOVER)
    meter_windows(conn, "s-shared", {(TX, "eth0"): [1] * SHARED_ACME + [SHARED_BOLT] * 30}, NOON)


@pytest.fixture(scope="module")
def owner(url: str) -> Iterator[Connection]:
    with connect(url, autocommit=True) as conn:
        yield conn


@pytest.fixture(scope="module")
def portal_url(url: str) -> str:
    """A login for all customers: it sees an account by its ticket."""
    return login_of(url, "customer")


@pytest.fixture
def portal(portal_url: str) -> Iterator[Connection]:
    with connect(portal_url, autocommit=True) as conn:
        yield conn


@pytest.fixture
def ticket(owner: Connection) -> str:
    return a_ticket(owner, "acme")


@pytest.fixture
def acme(portal: Connection, ticket: str) -> Connection:
    """A session that shows acme's ticket for as long as it lasts."""
    show(portal, ticket)
    return portal


@pytest.fixture(scope="module")
def direct_url(url: str) -> str:
    return login_of(url, "customer", "acme")


@pytest.fixture
def direct(direct_url: str) -> Iterator[Connection]:
    """Acme's own login, without any ticket."""
    with connect(direct_url, autocommit=True) as conn:
        yield conn


def a_ticket(conn: Connection, account: str, valid: str = "5 minutes") -> str:
    row = conn.execute("SELECT customer.ticket(%s, %s::interval)", (account, valid)).fetchone()
    assert row is not None
    return str(row[0])


def show(conn: Connection, value: str) -> None:
    conn.execute("SELECT set_config('rackmeter.account', %s, false)", (value,))


def text(conn: Connection, query: str) -> str:
    return repr(conn.execute(query.encode()).fetchall())


def all_of_it(conn: Connection) -> str:
    return "".join(text(conn, f"SELECT * FROM customer.{view}") for view in VIEWS)


def nothing_of_bolt(said: str) -> None:
    assert not [secret for secret in SECRETS if secret in said]


# -- what one sees ---------------------------------------------------------------------------------


@pytest.mark.parametrize("view", VIEWS)
def test_each_view_shows_one_account(owner: Connection, portal: Connection, view: str) -> None:
    shown = {}
    for account in ("acme", "bolt"):
        show(portal, a_ticket(owner, account))
        shown[account] = text(portal, f"SELECT * FROM customer.{view}")
    nothing_of_bolt(shown["acme"])
    assert shown["acme"] != "[]"
    assert "[]" != shown["bolt"] != shown["acme"]


def test_a_login_of_its_own_sees_the_same(acme: Connection, direct: Connection) -> None:
    assert all_of_it(direct) == all_of_it(acme)


def test_hours_days_and_months_agree_with_the_windows(acme: Connection) -> None:
    for view in ("usage_hour", "usage_day", "usage_month"):
        total = acme.execute(f"SELECT sum(quantity) FROM customer.{view}").fetchone()
        assert total == (32 * 111 + SHARED_ACME,), view
    hours = acme.execute(
        "SELECT hour, quantity, covered_ms FROM customer.usage_hour WHERE item_id = 'a-shared'"
        " ORDER BY hour"
    ).fetchall()
    hour = timedelta(hours=1)
    assert hours == [
        (NOON, 12, 3_600_000),
        (NOON + hour, 12, 3_600_000),
        (NOON + 2 * hour, 2, 600_000),
    ]


# -- whose session it is ---------------------------------------------------------------------------

FORGERIES: dict[str, Callable[[str], str]] = {
    "nothing": lambda ticket: "",
    "another's name": lambda ticket: "bolt",
    "another's name in the ticket": lambda ticket: ticket.replace("acme", "bolt"),
    "a later end": lambda ticket: ticket[:65] + "9" + ticket[65:],
    "no end": lambda ticket: ticket[:65] + "acme",
    "another signature": lambda ticket: "0" * 64 + ticket[64:],
    "half a ticket": lambda ticket: ticket[:78],
    "its own and more": lambda ticket: ticket + "',bolt",
    "a lie about the end": lambda ticket: ticket[:65] + "x.acme",
    "a long one": lambda ticket: ticket * 1000,
}


@pytest.mark.parametrize("how", FORGERIES)
def test_a_ticket_cannot_be_made_or_changed(portal: Connection, ticket: str, how: str) -> None:
    show(portal, FORGERIES[how](ticket))
    assert all_of_it(portal) == "[]" * len(VIEWS)


def test_without_a_ticket_there_is_nothing(portal: Connection) -> None:
    assert all_of_it(portal) == "[]" * len(VIEWS)


def test_a_ticket_ends(owner: Connection, portal: Connection) -> None:
    show(portal, a_ticket(owner, "acme", "-1 second"))
    assert all_of_it(portal) == "[]" * len(VIEWS)
    longest = a_ticket(owner, "acme", "10 years").split(".")[1]
    assert int(longest) <= datetime.now(UTC).timestamp() + 3602


def test_a_ticket_of_another_database_is_none(
    portal: Connection, make_database: MakeDatabase
) -> None:
    other = make_database()
    migrate(other)
    with connect(other) as conn:
        show(portal, a_ticket(conn, "acme"))
    assert all_of_it(portal) == "[]" * len(VIEWS)


def test_a_transaction_leaves_no_ticket_behind(portal: Connection, ticket: str) -> None:
    """A connection from a pool is somebody else's the next moment."""
    with portal.transaction():
        portal.execute("SELECT set_config('rackmeter.account', %s, true)", (ticket,))
        assert all_of_it(portal) != "[]" * len(VIEWS)
    assert all_of_it(portal) == "[]" * len(VIEWS)


@pytest.mark.parametrize("how", ["RESET rackmeter.account", "RESET ALL", "DISCARD ALL"])
def test_forgetting_shows_nothing(acme: Connection, how: str) -> None:
    acme.execute(how.encode())
    assert all_of_it(acme) == "[]" * len(VIEWS)


def test_a_login_of_one_customer_keeps_to_it(owner: Connection, direct: Connection) -> None:
    show(direct, a_ticket(owner, "bolt"))
    assert "bolt" in a_ticket(owner, "bolt")
    nothing_of_bolt(all_of_it(direct))


def test_a_prepared_statement_asks_again_who_asks(owner: Connection, acme: Connection) -> None:
    acme.execute("PREPARE mine AS SELECT number FROM customer.invoice")
    acme.execute("PREPARE own AS SELECT number FROM invoice")
    for account, expected in (("acme", "RM-acme"), ("bolt", "RM-bolt")) * 4:
        show(acme, a_ticket(owner, account))
        for name in ("mine", "own"):
            assert acme.execute(f"EXECUTE {name}").fetchall() == [(expected,)]
    show(acme, "")
    assert acme.execute("EXECUTE mine").fetchall() == []


# -- around the views ------------------------------------------------------------------------------

CLOSED = (
    "SELECT customer.ticket('bolt')", "SELECT customer.signature('1.bolt')",
    "SELECT * FROM customer.key", "SELECT * FROM customer.login",
    "SELECT * FROM customer.usage_piece",
    "INSERT INTO customer.login VALUES (session_user, 'bolt')", "SELECT * FROM usage_window",
    "SELECT * FROM usage_hour", "SELECT * FROM accrual", "SELECT * FROM account",
    "SELECT webhook_secret FROM account", "SELECT document FROM invoice FOR UPDATE",
    "UPDATE customer.account SET name = 'x'", "UPDATE item SET title = 'x'",
    "DELETE FROM customer.alert", "INSERT INTO customer.account VALUES ('x')",
    "CREATE TEMPORARY TABLE invoice (number text)", "CREATE TABLE invoice (number text)",
    "CREATE SCHEMA mine", "CREATE VIEW customer.mine AS SELECT 1",
    "CREATE FUNCTION pg_temp.leak(text) RETURNS boolean LANGUAGE sql AS 'SELECT true'",
    "SET ROLE rackmeter_reader", "SET ROLE rackmeter_writer", "SET ROLE postgres",
    "SET SESSION AUTHORIZATION postgres", "ALTER TABLE invoice DISABLE ROW LEVEL SECURITY",
    "DROP POLICY customer ON invoice", "ALTER ROLE CURRENT_USER BYPASSRLS",
    "COPY (SELECT 1) TO '/tmp/x'", "COPY usage_window TO STDOUT",
    "SELECT setval('ledger_snapshot_snapshot_id_seq', 1)", "SELECT pg_read_file('PG_VERSION')",
    "ALTER VIEW customer.invoice RESET (security_barrier)",
)  # fmt: skip


@pytest.mark.parametrize("statement", CLOSED)
def test_closed(acme: Connection, statement: str) -> None:
    acme.execute("SET default_transaction_read_only = off")
    with pytest.raises(errors.InsufficientPrivilege):
        acme.execute(statement.encode())


def test_row_security_cannot_be_switched_off(acme: Connection) -> None:
    acme.execute("SET row_security = off")
    with pytest.raises(errors.InsufficientPrivilege, match="row-level security"):
        acme.execute("SELECT * FROM customer.invoice")


def test_every_table_view_and_sequence_of_the_database(owner: Connection, acme: Connection) -> None:
    """Those to come too: refused, or without a word of the other account."""
    read = []
    for schema, name, columns in owner.execute(_RELATIONS).fetchall():
        allowed = [
            column
            for column in columns
            if acme.execute(
                "SELECT has_column_privilege(%s, %s, 'SELECT')", (f'"{schema}"."{name}"', column)
            ).fetchone()
            == (True,)
        ]
        if not allowed:
            with pytest.raises(errors.InsufficientPrivilege):
                acme.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(schema, name)))
            continue
        read.append(f"{schema}.{name}")
        query = sql.SQL("SELECT {} FROM {}").format(
            sql.SQL(", ").join(map(sql.Identifier, allowed)), sql.Identifier(schema, name)
        )
        nothing_of_bolt(repr(acme.execute(query).fetchall()))
    ours = [name for name in read if name.startswith(("customer.", "public."))]
    tables = [
        "account", "alert_outbox", "invoice", "invoice_line", "item", "rating_scope",
    ]  # fmt: skip
    assert sorted(ours) == sorted(
        [f"customer.{view}" for view in VIEWS] + [f"public.{table}" for table in tables]
    )
    assert not [name for name in read if "_hyper_" in name], "chunks hold what words do not show"


_RELATIONS = """
    SELECT n.nspname, c.relname, array_agg(a.attname::text)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT attisdropped
    WHERE c.relkind IN ('r', 'v', 'm', 'p', 'S', 'f') AND n.nspname !~ '^(pg_|information_schema)'
    GROUP BY 1, 2 ORDER BY 1, 2
"""


def test_no_function_lends_its_owners_rights(owner: Connection) -> None:
    """Of those that customers may run, one runs as its owner: the one that says who they are."""
    rows = owner.execute(
        """
        SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
        WHERE prosecdef AND nspname !~ '^(pg_|information_schema)'
          AND has_function_privilege('rackmeter_customer', p.oid, 'EXECUTE')
        """
    ).fetchall()
    assert rows == [("customer.current_account()",)]


def test_names_put_in_front_change_nothing(owner: Connection, acme: Connection) -> None:
    """Somebody else lets customers make tables and functions: ours still mean ours."""
    user = acme.info.user
    owner.execute(f'CREATE SCHEMA trap AUTHORIZATION "{user}"')
    try:
        acme.execute("SET default_transaction_read_only = off")
        acme.execute(
            "CREATE TABLE trap.login AS SELECT session_user::text AS login, 'bolt' AS account_id"
        )
        acme.execute(
            "CREATE TABLE trap.rating_scope AS SELECT 'b-1' AS scope_id, 'acme' AS account_id"
        )
        acme.execute("CREATE FUNCTION trap.sha256(bytea) RETURNS bytea LANGUAGE sql AS 'SELECT $1'")
        acme.execute(
            "CREATE FUNCTION trap.current_account() RETURNS text LANGUAGE sql AS $$SELECT 'bolt'$$"
        )
        acme.execute("SET search_path = trap, customer, pg_catalog, public")
        nothing_of_bolt(all_of_it(acme))
    finally:
        owner.execute("DROP SCHEMA trap CASCADE")


# -- through the views -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def leak(owner: Connection) -> Iterator[str]:
    """The classic attack: a predicate so cheap that a planner would like to run it first."""
    owner.execute(
        """
        CREATE FUNCTION leak(anyelement) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS
        $$ BEGIN RAISE NOTICE 'seen %', $1; RETURN true; END $$
        """
    )
    yield "leak"
    owner.execute("DROP FUNCTION leak CASCADE")


def noticed(conn: Connection, query: str) -> str:
    said: list[str] = []

    def handler(notice: Diagnostic) -> None:
        said.append(notice.message_primary or "")

    conn.add_notice_handler(handler)
    conn.execute(query.encode())
    conn.remove_notice_handler(handler)
    return " ".join(said)


LEAKY = {
    "account": "name", "alert": "body", "charge": "net", "invoice": "document",
    "invoice_line": "line_key", "invoice_status": "number", "item": "item_id",
    "statement": "reference", "usage_day": "item_id", "usage_hour": "quantity",
    "usage_month": "quantity",
}  # fmt: skip


@pytest.mark.usefixtures("leak")
@pytest.mark.parametrize("view", VIEWS)
def test_no_predicate_sees_rows_before_the_view_does(acme: Connection, view: str) -> None:
    said = noticed(acme, f"SELECT * FROM customer.{view} WHERE leak({LEAKY[view]})")
    assert "seen" in said
    nothing_of_bolt(said)


@pytest.mark.usefixtures("leak")
def test_a_view_without_a_barrier_would_leak(owner: Connection, acme: Connection) -> None:
    """The same attack on the same rows, so that the tests above could fail."""
    owner.execute(
        """
        CREATE VIEW unsafe AS SELECT number FROM invoice
        WHERE account_id = (SELECT customer.current_account());
        GRANT SELECT ON unsafe TO rackmeter_customer
        """
    )
    try:
        said = noticed(acme, "SELECT * FROM unsafe WHERE leak(number)")
        assert "RM-bolt" in said
    finally:
        owner.execute("DROP VIEW unsafe")


@pytest.mark.usefixtures("leak")
@pytest.mark.parametrize("table", ["invoice", "item", "rating_scope", "invoice_line"])
def test_no_predicate_sees_rows_before_a_policy_does(acme: Connection, table: str) -> None:
    column = {"invoice": "number", "item": "title", "invoice_line": "line_key"}
    name = column.get(table, "scope_id")
    said = noticed(acme, f"SELECT 1 FROM {table} WHERE leak({name})")
    assert "seen" in said
    nothing_of_bolt(said)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 FROM customer.invoice WHERE 1 / (net - 7700077) < 9",
        "SELECT 1 FROM customer.invoice_line WHERE 1 / (net - 7700077) < 9",
        "SELECT 1 FROM customer.charge WHERE 1 / (net - 7700077) < 9",
        "SELECT 1 FROM customer.usage_hour WHERE 1 / (quantity - 7700077) < 9",
        "SELECT 1 FROM invoice WHERE 1 / (net - 7700077) < 9",
    ],
)
def test_no_error_tells_of_a_row_that_is_hidden(acme: Connection, query: str) -> None:
    """Division by zero happens on bolt's row alone."""
    acme.execute(query.encode())
    with pytest.raises(errors.DivisionByZero):
        acme.execute(
            query.replace("7700077", "111").replace("quantity", "quantity - quantity + 111")
        )


@pytest.mark.parametrize("view", VIEWS)
def test_a_cast_that_fails_quotes_own_values_only(acme: Connection, view: str) -> None:
    with pytest.raises(psycopg.Error) as caught:
        acme.execute(f"SELECT {LEAKY[view]}::text::date FROM customer.{view}".encode())
    nothing_of_bolt(str(caught.value))


@pytest.mark.parametrize("view", VIEWS)
def test_no_plan_shows_values(acme: Connection, view: str) -> None:
    plan = text(acme, f"EXPLAIN (ANALYZE, VERBOSE) SELECT * FROM customer.{view}")
    assert "Plan" in plan
    nothing_of_bolt(plan)


def test_no_statistics_show_values(owner: Connection, acme: Connection) -> None:
    query = "SELECT most_common_vals::text, histogram_bounds::text FROM pg_stats"
    assert "RM-bolt" in text(owner, query)
    nothing_of_bolt(text(acme, query))


def test_no_session_shows_what_others_ask(owner: Connection, acme: Connection) -> None:
    owner.execute("SELECT 'bolt'")
    nothing_of_bolt(text(acme, "SELECT query FROM pg_stat_activity"))
