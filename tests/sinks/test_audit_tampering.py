"""Whoever owns the database changes the audit trail behind its triggers: it is found, and named.

Each example tampers in a transaction of a real PostgreSQL that is rolled back afterwards.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sinks.audit import Act, everything, ledger_id, record, tip
from sinks.audit_chain import Finding, Mark, verify
from sinks.database import Connection, connect
from tests.fix_stack import MakeDatabase

ACTS = 9
NOW = datetime(2026, 11, 1, tzinfo=UTC)
COLUMNS = {
    "audit_act": [
        "act_id", "at", "action", "subject", "account_id", "actor", "login", "personal", "reason",
        "before", "after", "digest",
    ],
    "audit_link": ["number", "act_id", "act", "previous", "digest"],
    "audit_said": ["act_id", "account_id", "personal", "salt", "reason", "before", "after"],
}  # fmt: skip
OTHER = {
    "uuid": "gen_random_uuid()",
    "timestamp with time zone": "{0} + interval '1 microsecond'",
    "text": "{0} || 'x'",
    "boolean": "NOT {0}",
    "bigint": "{0} + 1000",
    "bytea": "set_byte({0}, 7, get_byte({0}, 7) # 1)",
    "jsonb": """'{{"to": ["b@evil.example"]}}'""",
}
"""Type → another value of it."""
REWRITE = """
    DO $$
    DECLARE
        row  audit_link;
        last audit_tip;
    BEGIN
        FOR row IN SELECT * FROM audit_link WHERE number >= {0} ORDER BY number LOOP
            SELECT coalesce(
                (SELECT digest FROM audit_link WHERE number = row.number - 1),
                encode(sha256(convert_to('rackmeter.audit/1 ' || ledger_id, 'UTF8')), 'hex')
            ) INTO row.previous FROM ledger_identity;
            SELECT digest INTO row.act FROM audit_act WHERE act_id = row.act_id;
            row.digest := encode(sha256(convert_to(
                format('{{"act":"%s","number":"%s","previous":"%s"}}',
                       row.act, row.number, row.previous), 'UTF8')), 'hex');
            UPDATE audit_link SET act = row.act, previous = row.previous, digest = row.digest
                WHERE number = row.number;
        END LOOP;
        UPDATE audit_tip SET (number, digest) =
            (SELECT number, digest FROM audit_link ORDER BY number DESC LIMIT 1);
    END $$
"""
"""What somebody does who knows how links are made: nothing in the database contradicts him."""

numbers = st.integers(1, ACTS)
tried = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def trail(make_database: MakeDatabase, billing_template: str) -> Iterator[Connection]:
    """Nine acts, every third of a person's."""
    with connect(make_database(billing_template), autocommit=True) as conn:
        for n in range(1, ACTS + 1):
            with conn.transaction():
                record(
                    conn,
                    Act(
                        "account.mail", f"account/a{n}", account=f"a{n}",
                        at=NOW + timedelta(hours=n), actor=f"op-{n}", reason=f"call {n}",
                        before={"to": []}, after={"to": [f"a{n}@example.com"]},
                        personal=n % 3 == 0,
                    ),
                )  # fmt: skip
        yield conn


@contextmanager
def tampering(conn: Connection) -> Iterator[None]:
    """Triggers and keys are out of the way; nothing of it stays."""
    with conn.transaction(force_rollback=True):
        conn.execute("SET LOCAL session_replication_role = replica")
        for table in (*COLUMNS, "audit_tip"):
            conn.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
        yield


def found(conn: Connection, marks: list[Mark] | None = None) -> list[Finding]:
    return verify(everything(conn), ledger_id(conn), marks or [], tip(conn)).findings


def named(findings: list[Finding], number: int, act_id: str) -> bool:
    return any(one.number == number or act_id in one.what for one in findings)


def id_of(conn: Connection, number: int) -> str:
    row = conn.execute("SELECT act_id FROM audit_link WHERE number = %s", (number,)).fetchone()
    assert row is not None
    return str(row[0])


def mark_at(conn: Connection, number: int) -> Mark:
    row = conn.execute("SELECT digest FROM audit_link WHERE number = %s", (number,)).fetchone()
    assert row is not None
    return Mark(number, row[0], NOW, "heads.jsonl, line 1")


def test_untouched_it_is_whole(trail: Connection) -> None:
    with tampering(trail):
        assert found(trail, [mark_at(trail, 4), mark_at(trail, ACTS)]) == []


@pytest.mark.parametrize(
    ("table", "column"), [(t, c) for t, names in COLUMNS.items() for c in names]
)
@given(number=numbers)
@settings(tried, max_examples=8)
def test_any_value_that_is_edited(trail: Connection, table: str, column: str, number: int) -> None:
    act_id = id_of(trail, number)
    kind = trail.execute(
        "SELECT format_type(atttypid, NULL) FROM pg_attribute"
        " WHERE attrelid = %s::regclass AND attname = %s",
        (table, column),
    ).fetchone()
    assert kind is not None
    value = OTHER[kind[0]].format(column)
    with tampering(trail):
        trail.execute(
            f"UPDATE {table} SET {column} = {value} WHERE act_id = %s".encode(), (act_id,)
        )
        assert named(found(trail), number, act_id)


@given(number=numbers, tables=st.sets(st.sampled_from([*COLUMNS]), min_size=1))
@tried
def test_any_row_that_is_dropped(trail: Connection, number: int, tables: set[str]) -> None:
    act_id = id_of(trail, number)
    with tampering(trail):
        for table in tables:
            trail.execute(f"DELETE FROM {table} WHERE act_id = %s", (act_id,))
        assert named(found(trail), number, act_id)


@given(
    two=st.lists(numbers, min_size=2, max_size=2, unique=True),
    what=st.sampled_from(["audit_act", "audit_link", "audit_said", "number"]),
)
@tried
def test_any_two_that_are_exchanged(trail: Connection, two: list[int], what: str) -> None:
    one, other = (id_of(trail, number) for number in two)
    table, column = ("audit_link", "number") if what == "number" else (what, "act_id")
    first, second = two if what == "number" else (one, other)
    spare = "0" if what == "number" else "gen_random_uuid()"
    with tampering(trail):
        statement = f"UPDATE {table} SET {column} = {spare} WHERE {column} = %s RETURNING {column}"
        row = trail.execute(statement.encode(), (first,)).fetchone()
        assert row is not None
        for new, old in ((first, second), (second, row[0])):
            trail.execute(
                f"UPDATE {table} SET {column} = %s WHERE {column} = %s".encode(), (new, old)
            )
        findings = found(trail)
        assert named(findings, two[0], one)
        assert named(findings, two[1], other)


@given(number=numbers, linked=st.sampled_from(["not", "end", "middle"]))
@tried
def test_any_row_that_is_put_in(trail: Connection, number: int, linked: str) -> None:
    """A copy of a real act: loose, at the end, or between two others with the later ones moved."""
    source, place = id_of(trail, number), ACTS + 1 if linked == "end" else number
    with tampering(trail):
        row = trail.execute(
            "INSERT INTO audit_act SELECT gen_random_uuid(), at, action, subject, account_id,"
            " actor, login, false, '', '', '', digest FROM audit_act WHERE act_id = %s"
            " RETURNING act_id",
            (source,),
        ).fetchone()
        assert row is not None
        if linked == "middle":
            trail.execute(
                "UPDATE audit_link SET number = -number - 1 WHERE number >= %s", (number,)
            )
            trail.execute("UPDATE audit_link SET number = -number WHERE number < 0")
        if linked != "not":
            trail.execute(
                "INSERT INTO audit_link SELECT %s, %s, act, previous, digest FROM audit_link"
                " WHERE act_id = %s",
                (place, row[0], source),
            )
        assert named(found(trail), place, str(row[0]))


@given(number=numbers)
@tried
def test_an_end_that_is_cut_off_is_known_by_its_head(trail: Connection, number: int) -> None:
    """Everything from there on goes, and the row of the chain's end says so: only heads know."""
    marks = [mark_at(trail, n) for n in {1, ACTS}]
    with tampering(trail):
        trail.execute(
            "WITH gone AS (DELETE FROM audit_link WHERE number >= %s RETURNING act_id),"
            " a AS (DELETE FROM audit_act USING gone g WHERE audit_act.act_id = g.act_id)"
            " DELETE FROM audit_said USING gone g WHERE audit_said.act_id = g.act_id",
            (number,),
        )
        if number > 1:
            trail.execute(
                "UPDATE audit_tip SET (number, digest) ="
                " (SELECT number, digest FROM audit_link ORDER BY number DESC LIMIT 1)"
            )
            assert found(trail) == [], "the database says nothing against it"
        first = found(trail, marks)[0]
    assert first.number == number
    assert f"{number} to {ACTS}" in first.what or number == ACTS
    assert "gone from the end" in first.what


@given(number=numbers, head=numbers)
@tried
def test_a_chain_that_is_written_anew_is_known_by_its_head(
    trail: Connection, number: int, head: int
) -> None:
    marks = [mark_at(trail, head), mark_at(trail, ACTS)]
    act_id = id_of(trail, number)
    with tampering(trail):
        trail.execute(
            "UPDATE audit_act SET digest = encode(sha256('forged'), 'hex') WHERE act_id = %s",
            (act_id,),
        )
        trail.execute(REWRITE.format(number).encode())
        without = [one for one in found(trail) if one.number != number]
        assert without == [], "only the act itself contradicts its row"
        findings = [one.what for one in found(trail, marks) if "rewritten" in one.what]
    low, high = (1, head) if number <= head else (head + 1, ACTS)
    said = f"the chain was rewritten between act {low} and act {high}: the head of"
    assert findings == [f"{said} 2026-11-01 00:00 UTC in heads.jsonl, line 1 has another digest"]


def test_a_chain_of_another_ledger_is_not_this_one(trail: Connection) -> None:
    with tampering(trail):
        trail.execute("UPDATE ledger_identity SET ledger_id = gen_random_uuid()")
        assert [one.number for one in found(trail)] == [1]
