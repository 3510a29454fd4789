"""The audit trail on a real PostgreSQL: acts and their rows are one, the chain has no gap, nobody
changes it.
"""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg import sql

from sinks.actor import AMBIENT
from sinks.audit import Act, Wanted, everything, ledger_id, newest, record, tip
from sinks.audit_chain import verify
from sinks.audit_rows import genesis, link_digest
from sinks.database import Connection, connect, migrate
from tests.sinks.roles import login_of

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
TABLES = ("audit_act", "audit_link", "audit_said", "audit_tip", "audit_head")


@pytest.fixture
def owner(billing_url: str) -> Iterator[Connection]:
    """A copied database lacks what a database itself grants."""
    migrate(billing_url)
    with connect(billing_url, autocommit=True) as conn:
        yield conn


def act(number: int = 1, *, personal: bool = False) -> Act:
    return Act(
        "account.mail", "account/acme", account="acme", at=NOW, reason=f"asked, {number}",
        before={"to": []}, after={"to": [f"a{number}@acme.example"], "copies": number},
        personal=personal,
    )  # fmt: skip


def enter(conn: Connection, *acts: Act) -> None:
    with conn.transaction():
        for one in acts:
            record(conn, one)


def findings(conn: Connection) -> list[str]:
    with conn.transaction():
        found = verify(everything(conn), ledger_id(conn), tip=tip(conn))
    return [finding.what for finding in found.findings]


def test_acts_are_linked_in_order(billing: Connection) -> None:
    enter(billing, act(1), act(2))
    enter(billing, act(3, personal=True))
    with billing.transaction():
        rows = list(everything(billing))
    assert [row.link.number for row in rows if row.link] == [1, 2, 3]
    assert [row.said.reason for row in rows if row.said] == ["asked, 1", "asked, 2", "asked, 3"]
    previous = genesis(ledger_id(billing))
    for row in rows:
        assert row.link is not None
        assert row.act is not None
        assert row.link.previous == previous
        previous = link_digest(row.link.number, row.act.digest, previous)
        assert row.link.digest == previous
    assert tip(billing) == (3, previous)
    assert findings(billing) == []


def test_who_acts(billing: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever the act names, else whoever the process acts for, else the database's login."""
    monkeypatch.setattr(AMBIENT, "actor", "")
    enter(billing, act())
    monkeypatch.setattr(AMBIENT, "actor", "ann@desk")
    monkeypatch.setattr(AMBIENT, "reason", "spring")
    enter(billing, Act("catalog.apply", "catalog/v1"))
    enter(billing, Act("server.enrol", "server/s-1", actor="server/s-1", reason="token"))
    rows = newest(billing, Wanted(), 10)
    login = billing.info.user
    assert [(r.act.actor, r.act.login, r.said.reason) for r in rows if r.act and r.said] == [
        ("server/s-1", login, "token"), ("ann@desk", login, "spring"), (login, login, "asked, 1"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (Wanted(), [3, 2, 1]),
        (Wanted(subject="account/"), [3, 1]),
        (Wanted(subject="catalog/v1"), [2]),
        (Wanted(account="acme"), [3, 1]),
        (Wanted(action="account.mail"), [3, 1]),
        (Wanted(actor="ann"), [2]),
        (Wanted(since=NOW), [3, 1]),
        (Wanted(before=3), [2, 1]),
    ],
)
def test_listing(billing: Connection, wanted: Wanted, numbers: list[int]) -> None:
    early = datetime(2026, 1, 1, tzinfo=UTC)
    enter(billing, act(1), Act("catalog.apply", "catalog/v1", actor="ann", at=early), act(3))
    assert [row.link.number for row in newest(billing, wanted, 10) if row.link] == numbers


def test_an_act_that_is_rolled_back_leaves_no_row_and_no_gap(billing: Connection) -> None:
    enter(billing, act(1))
    with billing.transaction(force_rollback=True):
        record(billing, act(2))
        billing.execute("SET CONSTRAINTS ALL IMMEDIATE")  # linked already
    with pytest.raises(psycopg.errors.CheckViolation):
        enter(billing, act(3), Act("Not.An act", "x"))
    enter(billing, act(4))
    assert tip(billing)[0] == 2
    assert findings(billing) == []


def test_whoever_dies_before_the_commit_leaves_neither_act_nor_row(
    billing: Connection, billing_url: str
) -> None:
    """The session is ended with everything done but the commit, and then in it."""
    billing.execute("CREATE TABLE done (x integer)")
    with connect(billing_url) as victim:
        victim.execute("INSERT INTO done VALUES (1)")
        record(victim, act(1))
        victim.execute("SET CONSTRAINTS ALL IMMEDIATE")
        billing.execute("SELECT pg_terminate_backend(%s)", (victim.info.backend_pid,))
        with pytest.raises(psycopg.OperationalError):
            victim.commit()
    assert billing.execute("SELECT count(*) FROM done").fetchone() == (0,)
    assert tip(billing)[0] == 0
    enter(billing, act(2))
    assert findings(billing) == []


def test_outside_a_transaction_it_is_refused(billing: Connection) -> None:
    with pytest.raises(ValueError, match="outside the transaction"):
        record(billing, act())
    assert tip(billing)[0] == 0


def test_five_writers_at_once(billing: Connection, billing_url: str) -> None:
    """Each records first and then holds a lock that the others want: no two wait for each other."""
    billing.execute("CREATE TABLE work (id integer PRIMARY KEY, done integer NOT NULL DEFAULT 0)")
    billing.execute("INSERT INTO work SELECT generate_series(0, 4)")
    errors: list[BaseException] = []

    def write(writer: int) -> None:
        try:
            with connect(billing_url, autocommit=True) as conn:
                for turn in range(20):
                    with conn.transaction():
                        record(conn, act(writer * 100 + turn, personal=turn % 2 == 0))
                        conn.execute("UPDATE work SET done = done + 1 WHERE id = %s", (turn % 5,))
                        record(conn, act(writer * 100 + turn))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(5)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert time.monotonic() - began < 30
    assert billing.execute("SELECT sum(done) FROM work").fetchone() == (100,)
    assert tip(billing)[0] == 200
    assert findings(billing) == []


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("what", ["UPDATE", "DELETE", "TRUNCATE"])
def test_nobody_changes_it(billing: Connection, table: str, what: str) -> None:
    """A superuser neither, and not as a replica; the tip's row alone moves, by the trigger."""
    enter(billing, act(1), act(2, personal=True))
    billing.execute("""INSERT INTO audit_head (line) VALUES ('{}')""")
    columns = billing.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum = 2", (table,)
    ).fetchone()
    assert columns is not None
    name, column = sql.Identifier(table), sql.Identifier(columns[0])
    statement = {
        "UPDATE": sql.SQL("UPDATE {0} SET {1} = {1}").format(name, column),
        "DELETE": sql.SQL("DELETE FROM {}").format(name),
        "TRUNCATE": sql.SQL("TRUNCATE {}").format(name),
    }[what]
    for role in ("origin", "replica"):
        with billing.transaction():
            billing.execute(sql.SQL("SET LOCAL session_replication_role = {}").format(role))
            if (table, what) == ("audit_tip", "UPDATE"):
                continue
            with (
                pytest.raises(psycopg.errors.RaiseException, match="refused"),
                billing.transaction(),
            ):
                billing.execute(statement)
    assert findings(billing) == []


def test_an_act_is_of_its_own_session(billing: Connection) -> None:
    with pytest.raises(psycopg.errors.RaiseException, match="act of root refused"):
        billing.execute(
            "INSERT INTO audit_act VALUES (gen_random_uuid(), now(), 'a.b', 's', '', 'x', 'root',"
            " false, '', '', '', '')"
        )


@pytest.mark.parametrize("role", ["writer", "invoicer"])
def test_roles_add_and_nothing_else(owner: Connection, billing_url: str, role: str) -> None:
    with connect(login_of(billing_url, role), autocommit=True) as conn:
        login = conn.info.user
        enter(conn, act())
        for statement in (
            "INSERT INTO audit_link VALUES (9, gen_random_uuid(), '', '', '')",
            "UPDATE audit_tip SET number = 9",
            "INSERT INTO audit_head (line) VALUES ('')",
            "DELETE FROM audit_said",
            "SELECT * FROM audit_said",
            "UPDATE audit_act SET actor = 'nobody'",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(statement)
    assert findings(owner) == []
    assert [row.act.login for row in newest(owner, Wanted(), 1) if row.act] == [login]


def test_what_was_said_is_not_for_the_reader(owner: Connection, billing_url: str) -> None:
    with connect(login_of(billing_url, "reader"), autocommit=True) as conn:
        conn.execute("SELECT * FROM audit_act JOIN audit_link USING (act_id)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("SELECT * FROM audit_said")
