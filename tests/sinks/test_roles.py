"""Each process does all of its work with the rights of its role, and nothing else."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import errors
from psycopg.conninfo import make_conninfo

from invoicing.explain import explain
from invoicing.report import Status
from rackmeter.stack import Stack
from schemas.envelope import Key
from schemas.errors import RefusedError
from sinks import enrolment, letters
from sinks.accruals import due_scopes, rate_open
from sinks.checkpoint import Checkpointer
from sinks.database import Connection, connect, migrate, require_schema
from sinks.deadletters import mark_published, unpublished
from sinks.deliver import Outcome, deliver_due
from sinks.known_keys import KnownKeys, load_keys
from sinks.positions import positions
from sinks.roles import ROLES, differences, missing_roles, roles, script
from sinks.roles.logins import make_login
from sinks.timelines import end
from tests.fix_billing import START, TX, WAYS, Receiver, meter_open, meter_windows, rent_small
from tests.fix_stack import NOT_DURABLE, MakeDatabase
from tests.invoicing import ledger
from tests.invoicing.scenario import close_month, numbers_of
from tests.invoicing.worlds import END, month_of
from tests.invoicing.worlds import START as FEBRUARY
from tests.sinks.metering import (
    TOPIC_ID,
    chunks,
    in_memory,
    play,
    register,
    usage_in_ledger,
    usage_in_memory,
)
from tests.sinks.roles import login_of
from tests.vault import VAULT


@pytest.fixture
def owner(billing_url: str) -> Iterator[Connection]:
    """The one who migrated; a copied database lacks what a database itself grants."""
    migrate(billing_url)
    with connect(billing_url, autocommit=True) as conn:
        yield conn


# -- what each is for ------------------------------------------------------------------------------


def test_the_writer_meters(owner: Connection, billing_url: str) -> None:
    """Windows, late entries, former origins, anchors and dead letters, over two claims."""
    register(owner)
    owner.execute("UPDATE store_mark SET closing = '2100-01-01Z'")  # hours are stored, and change
    log = chunks()
    first = Checkpointer(login_of(billing_url, "writer"))
    second = Checkpointer(login_of(billing_url, "writer"))
    try:
        play(first, log[: len(log) // 2])
        lane = play(second, log)
        second.mark_idle(lane, lane.append_ms + 1)
    finally:
        first.close()
        second.close()
    assert usage_in_ledger(owner) == usage_in_memory(in_memory(log))
    assert owner.execute("SELECT * FROM conservation_violation").fetchall() == []


def test_the_writer_ends_the_session_that_holds_a_partition(
    owner: Connection, billing_url: str
) -> None:
    """Workers share a login: nobody may end another's sessions."""
    register(owner)
    url = login_of(billing_url, "writer")
    stopped, next_one = Checkpointer(url), Checkpointer(url)
    try:
        stopped.claim(TOPIC_ID, 0)
        held = stopped.connection()
        held.execute("UPDATE ingest_offset SET epoch = epoch + 1")
        assert next_one.claim(TOPIC_ID, 0).base == 0
        with pytest.raises(psycopg.OperationalError):
            held.execute("SELECT 1")
    finally:
        stopped.close()
        next_one.close()


def test_the_writer_registers_topics_rates_and_delivers(
    customer: Connection, owner: Connection, billing_url: str, receiver: Receiver
) -> None:
    now = datetime.now(UTC)
    at = now - timedelta(minutes=30)
    rent_small(customer, at=max(START, at))
    window = at.replace(minute=at.minute - at.minute % 5, second=0, microsecond=0)
    meter_windows(customer, "s-1", {(TX, "eth0"): [90_000_000]}, window + timedelta(minutes=5))
    meter_open(customer, "s-1", TX, "eth0", now - timedelta(minutes=5), 1)
    customer.execute("UPDATE account SET webhook_url = %s", (receiver.url,))
    with connect(login_of(billing_url, "writer"), autocommit=True) as conn:
        require_schema(conn)
        register(conn)
        assert positions(conn)[0].part == 0
        assert due_scopes(conn, now, 10) == ["i-1"]
        rated = rate_open(conn, "i-1", now, now)
        assert sum(len(one.entered) for one in rated) == 2
        sent = deliver_due(conn, WAYS, lambda: datetime.now(UTC))
        assert [one.outcome for one in sent] == [Outcome.DELIVERED] * 2
        receiver.answers += [500, 410]
        conn.execute("UPDATE alert_outbox SET delivered_at = NULL, next_try_at = %s", (now,))
        sent = deliver_due(conn, WAYS, lambda: datetime.now(UTC))
        assert {one.outcome for one in sent} == {Outcome.GIVEN_UP, Outcome.RETRY}
        assert load_keys(conn, VAULT)[1] == {}
        assert not KnownKeys(VAULT).look_up(conn, {"k"})


def test_the_writer_relays_and_releases_letters(owner: Connection, billing_url: str) -> None:
    register(owner)
    url = login_of(billing_url, "writer")
    worker = Checkpointer(url)
    play(worker, chunks())
    worker.close()
    with connect(url) as conn:
        waiting = unpublished(conn)
        assert waiting
        mark_published(conn, waiting)
        assert unpublished(conn) == []
        some = letters.newest(conn, letters.Wanted(), 2)
        letters.release(conn, some, 1)


def test_the_writer_hands_out_keys(owner: Connection, billing_url: str) -> None:
    """As the API: for the first time, and once more."""
    now = datetime.now(UTC)
    with connect(login_of(billing_url, "writer"), autocommit=True) as conn:
        for kid, renew in (("k-1", False), ("k-2", True)):
            token = enrolment.issue(
                owner, "s9", by="op@host", now=now, valid=timedelta(hours=1), renew=renew
            )
            key = Key(kid, "s9", b"x" * 32)
            made = enrolment.redeem(
                conn, VAULT, token, lambda *_, key=key: key, address="192.0.2.1", now=now
            )
            assert made == key
        with pytest.raises(errors.InsufficientPrivilege):
            enrolment.issue(conn, "s8", by="x", now=now, valid=timedelta(hours=1), renew=False)


def test_the_invoicer_corrects_what_came_late(owner: Connection, billing_url: str) -> None:
    """A credit note, a line on the next invoice, and a look that finds nothing."""
    month_of(owner, 3)
    url = login_of(billing_url, "invoicer")
    close_month(url)
    ledger.late(owner, "srv-0", 10**12, FEBRUARY)
    ledger.late(owner, "srv-2", 1, FEBRUARY)
    end(owner, "item-1", FEBRUARY + timedelta(days=10))
    ledger.reported(owner, END + timedelta(days=31))
    report = close_month(url, "2026-03")
    assert report.exit_code == 0
    assert [one.kind for one in report.outcomes] == ["invoice", "credit-note", "invoice"]
    looks = owner.execute("SELECT scope_id, invoice_id IS NULL FROM adjustment ORDER BY 1")
    assert looks.fetchall() == [("item-0", False), ("item-1", False), ("item-2", True)]


def test_the_invoicer_closes_and_explains(
    owner: Connection, billing_url: str, tmp_path: Path
) -> None:
    """Also what the rater has not rated yet."""
    month_of(owner, 2)
    owner.execute("DELETE FROM accrual")
    url = login_of(billing_url, "invoicer")
    assert [one.status for one in close_month(url, folder=tmp_path).outcomes] == [Status.ISSUED] * 2
    numbers_of(billing_url).unlink()  # on another machine
    assert [one.status for one in close_month(url, folder=tmp_path).outcomes] == [Status.EXISTS] * 2
    assert len(list(tmp_path.iterdir())) == 4
    with connect(url) as conn:
        row = conn.execute("SELECT line_key FROM invoice_line LIMIT 1").fetchone()
        assert row is not None
        assert explain(conn, row[0]).number.startswith("RM-")
    owner.execute("SET session_replication_role = replica")
    owner.execute("DELETE FROM invoice; DELETE FROM scope_seal; DELETE FROM invoice_line")
    lost = close_month(url).outcomes
    assert [one.status for one in lost] == [Status.WAITING] * 2, "their numbers are issued"


def test_the_reader_reads_all_but_secrets(
    customer: Connection, owner: Connection, billing_url: str
) -> None:
    rent_small(customer)
    meter_windows(customer, "s-1", {(TX, "eth0"): [1, 2]})
    with connect(login_of(billing_url, "reader"), autocommit=True) as conn:
        assert conn.execute("SELECT sum(quantity) FROM usage_hour").fetchone() == (3,)
        assert conn.execute("SELECT account_id FROM account").fetchall() == [("acme",)]
        readable = {row[0] for row in conn.execute(_READABLE).fetchall()}
        every = {row[0] for row in conn.execute(_EVERY).fetchall()}
        assert every - readable == {"account", "agent_key", "audit_said", "enrol_token"}
        for secret in ("webhook_secret FROM account", "secret FROM agent_key"):
            with pytest.raises(errors.InsufficientPrivilege):
                conn.execute(f"SELECT {secret}")


_EVERY = """
    SELECT relname FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'v', 'm', 'p')
"""
_READABLE = _EVERY + " AND has_table_privilege(oid, 'SELECT')"


def test_a_table_to_come_is_readable(owner: Connection, billing_url: str) -> None:
    owner.execute("CREATE TABLE to_come AS SELECT 1 AS one")
    with connect(login_of(billing_url, "reader")) as conn:
        assert conn.execute("SELECT * FROM to_come").fetchall() == [(1,)]


# -- and nothing else ------------------------------------------------------------------------------

FORBIDDEN = {
    "writer": (
        "DELETE FROM usage_window", "UPDATE usage_window SET qty = '{0}'",
        "UPDATE usage_late SET qty = '{0}'", "TRUNCATE usage_window", "DELETE FROM dead_letter",
        "UPDATE dead_letter SET payload = ''", "SELECT * FROM invoice", "DELETE FROM scope_seal",
        "UPDATE account SET webhook_url = 'https://x'", "UPDATE item_price SET price = '{}'",
        "INSERT INTO account SELECT * FROM account", "DELETE FROM agent_key",
        "SELECT * FROM customer.key", "INSERT INTO customer.login VALUES ('me', 'acme')",
        "UPDATE alembic_version SET version_num = 'x'", "UPDATE item SET title = 'x'",
        "CREATE TABLE mine (a integer)", "CREATE SCHEMA mine", "DROP TABLE usage_late",
        "ALTER TABLE usage_late ADD a integer", "SET ROLE rackmeter_invoicer",
        "ALTER TABLE item DISABLE ROW LEVEL SECURITY",
    ),
    "invoicer": (
        "UPDATE item SET title = 'x'", "UPDATE rating_scope SET account_id = account_id",
        "UPDATE invoice SET net = 0", "DELETE FROM invoice", "DELETE FROM invoice_number",
        "UPDATE invoice_number SET entity = 'x'", "DELETE FROM scope_seal",
        "UPDATE ingest_offset SET next_offset = 0", "SELECT secret FROM agent_key",
        "INSERT INTO usage_late DEFAULT VALUES", "UPDATE item_price SET price = '{}'",
        "CREATE TEMPORARY TABLE mine (a integer)", "CREATE TABLE mine (a integer)",
        "SELECT customer.ticket('acme')", "SELECT * FROM customer.key",
    ),
    "reader": (
        "UPDATE item SET title = 'x'", "INSERT INTO account DEFAULT VALUES",
        "DELETE FROM invoice", "SELECT customer.ticket('acme')", "SELECT * FROM customer.key",
        "SELECT digest FROM enrol_token", "CREATE TEMPORARY TABLE mine (a integer)",
        "CREATE TABLE mine (a integer)", "SELECT * FROM item FOR UPDATE",
    ),
}  # fmt: skip


@pytest.mark.parametrize("short", FORBIDDEN)
def test_what_a_role_may_not(
    customer: Connection, owner: Connection, billing_url: str, short: str
) -> None:
    rent_small(customer)
    with connect(login_of(billing_url, short), autocommit=True) as conn:
        conn.execute("SET default_transaction_read_only = off")
        for statement in FORBIDDEN[short]:
            with pytest.raises(errors.InsufficientPrivilege):
                conn.execute(statement)


def test_no_role_owns_anything_or_logs_in(owner: Connection) -> None:
    owned = owner.execute(
        "SELECT count(*) FROM pg_shdepend JOIN pg_roles r ON r.oid = refobjid"
        " WHERE deptype = 'o' AND rolname = ANY(%s)",
        (list(ROLES),),
    ).fetchone()
    can = owner.execute(
        "SELECT count(*) FROM pg_roles WHERE rolname = ANY(%s)"
        " AND (rolcanlogin OR rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls)",
        (list(ROLES),),
    ).fetchone()
    assert (owned, can) == ((0,), (0,))


# -- making them -----------------------------------------------------------------------------------


def test_grants_that_differ_are_named_and_mended(owner: Connection, billing_url: str) -> None:
    assert differences(owner) == ([], [])
    owner.execute("REVOKE INSERT ON usage_late FROM rackmeter_writer")
    owner.execute("GRANT DELETE ON invoice TO rackmeter_invoicer")
    expected = (
        [("rackmeter_writer", "usage_late", "INSERT")],
        [("rackmeter_invoicer", "invoice", "DELETE")],
    )
    assert differences(owner) == expected
    assert differences(owner) == expected, "looking changes nothing"
    migrate(billing_url)
    assert differences(owner) == ([], [])


def test_migrating_again_locks_no_table(owner: Connection, billing_url: str) -> None:
    """Policies are made once: workers go on while grants are given anew."""
    with connect(billing_url) as worker:
        worker.execute("SELECT * FROM invoice, item, account, alert_outbox FOR KEY SHARE")
        assert migrate(billing_url) == []


def test_a_login_is_listed_and_made_once(owner: Connection, billing_url: str) -> None:
    name = psycopg.conninfo.conninfo_to_dict(login_of(billing_url, "reader"))["user"]
    found = {role.name: role for role in roles(owner)}
    assert name in found["rackmeter_reader"].logins
    assert name not in found["rackmeter_writer"].logins
    with pytest.raises(RefusedError, match="already"):
        make_login(owner, str(name), "rackmeter_reader", "x", None)
    with pytest.raises(RefusedError, match="no account"):
        make_login(owner, "somebody", "rackmeter_customer", "x", "nobody")
    kept = owner.execute("SELECT count(*) FROM pg_roles WHERE rolname = 'somebody'").fetchone()
    assert kept == (0,), "all or nothing"


@pytest.fixture(scope="module")
def without_roles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A server of its own: roles belong to the whole server."""
    folder = tmp_path_factory.mktemp("bare")
    with Stack.start(folder, broker=False, postgres_settings=NOT_DURABLE) as running:
        yield running


def test_an_owner_who_may_make_no_roles(without_roles: Stack) -> None:
    """As on managed servers: everything works for the owner, and migrating again does the rest."""
    admin = without_roles.database_url
    with connect(admin, autocommit=True) as conn:
        conn.execute("CREATE ROLE landlord LOGIN")
        conn.execute("CREATE DATABASE managed OWNER landlord")
    url = make_conninfo(admin, dbname="managed", user="landlord")
    applied = migrate(url)
    with connect(url, autocommit=True) as conn:
        assert missing_roles(conn) == sorted(ROLES)
        require_schema(conn)
        month_of(conn, 1)
    assert close_month(url).exit_code == 0
    with connect(make_conninfo(admin, dbname="managed"), autocommit=True) as conn:
        for statement in script():
            conn.execute(statement.encode())
    assert applied
    assert migrate(url) == []
    with connect(url, autocommit=True) as conn:
        assert missing_roles(conn) == []
        assert differences(conn) == ([], [])
        with pytest.raises(RefusedError, match="administrator"):
            make_login(conn, "grafana", "rackmeter_reader", "x", None)


def test_databases_of_one_server_share_roles(
    make_database: MakeDatabase, owner: Connection
) -> None:
    other = make_database()
    migrate(other)
    with connect(other, autocommit=True) as conn:
        assert differences(conn) == ([], [])
    assert differences(owner) == ([], [])
