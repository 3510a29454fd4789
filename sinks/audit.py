"""The audit trail: one call in the transaction of each act on money, prices, customers, keys,
timelines, dead letters, restores and closes.

    with conn.transaction():
        ...                                            # the act
        record(conn, Act("wallet.grant", f"account/{account}", account=account, at=now,
                         before={"balance": old}, after={"balance": new}))

The row is linked to the one before it when the transaction commits (0013_audit.sql), so an act and
its row are both there or neither is. What is linked are digests; sinks.audit_chain verifies them.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

from psycopg.pq import TransactionStatus
from psycopg.types.json import Jsonb

from schemas.serial import to_json
from sinks.actor import AMBIENT
from sinks.audit_rows import SALT_BYTES, Entered, Link, Row, Said, entered_digest, keyed
from sinks.database import Connection

_INSERT: Final = """
    WITH act AS (
        SELECT * FROM unnest(
            %(act)s::uuid[], %(at)s::timestamptz[], %(action)s::text[], %(subject)s::text[],
            %(account)s::text[], %(actor)s::text[], %(login)s::text[], %(personal)s::boolean[],
            %(salt)s::bytea[], %(reason)s::text[], %(before)s::jsonb[], %(after)s::jsonb[],
            %(reason_digest)s::text[], %(before_digest)s::text[], %(after_digest)s::text[],
            %(digest)s::text[]) WITH ORDINALITY AS a (
            act, at, action, subject, account, actor, login, personal, salt, reason, before, after,
            reason_digest, before_digest, after_digest, digest, no)
    ), said AS (
        INSERT INTO audit_said (act_id, account_id, personal, salt, reason, before, after)
        SELECT act, account, personal, salt, reason, before, after FROM act
    )
    INSERT INTO audit_act
    SELECT act, at, action, subject, account, actor, login, personal,
           reason_digest, before_digest, after_digest, digest FROM act ORDER BY no
"""
_ROWS: Final = """
    SELECT l.number, act_id::text, l.act, l.previous, l.digest,
           a.at, a.action, a.subject, a.account_id, a.actor, a.login, a.personal, a.reason,
           a.before, a.after, a.digest,
           s.account_id, s.personal, s.salt, s.reason, s.before, s.after
    FROM audit_act a FULL JOIN audit_link l USING (act_id) FULL JOIN audit_said s USING (act_id)
"""


@dataclass(frozen=True, slots=True)
class Act:
    """What was done to what. States are plain data (`schemas.serial`), never a secret.

    ``action`` is noun.verb; ``subject`` kind/id, so `audit list --subject account/acme` finds it.
    """

    action: str
    subject: str
    account: str = ""
    """Whose, where it is somebody's: `account erase` takes what is ``personal`` of it."""
    at: datetime | None = None
    """Without it, the database's clock."""
    reason: str = ""
    actor: str = ""
    """Without it whoever acts in this process (sinks.actor), else the database's login."""
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    personal: bool = False
    """Reason or states hold a name, an address, a mail address: they may be erased one day."""


def record(conn: Connection, act: Act) -> None:
    """Enters the act in the open transaction, as the caller's last or first step: it locks nothing
    before the commit. Raises ValueError outside of a transaction: the act would not be one with it.
    """
    record_all(conn, [act])


def record_all(conn: Connection, acts: Sequence[Act]) -> None:
    """Many acts of one transaction, linked in their order."""
    if conn.autocommit and conn.info.transaction_status == TransactionStatus.IDLE:
        raise ValueError(f"{acts[0].action} is recorded outside the transaction of the act")
    row = conn.execute("SELECT clock_timestamp(), session_user::text").fetchone()
    assert row is not None
    rows = [_columns(act, *row) for act in acts]
    conn.execute(_INSERT, {name: [one[name] for one in rows] for name in rows[0]})


def _columns(act: Act, clock: datetime, login: str) -> dict[str, Any]:
    said = Said(
        act.account, act.personal, secrets.token_bytes(SALT_BYTES), act.reason or AMBIENT.reason,
        _plain(act.before), _plain(act.after),
    )  # fmt: skip
    name, at, reason, before, after = str(uuid4()), act.at or clock, *keyed(said)
    entered = Entered(
        name, at, act.action, act.subject, act.account, act.actor or AMBIENT.actor or login, login,
        act.personal, reason, before, after, "",
    )  # fmt: skip
    return {
        "act": name, "at": at, "action": act.action, "subject": act.subject,
        "account": act.account, "actor": entered.actor, "login": login,
        "personal": act.personal, "salt": said.salt, "reason": said.reason,
        "before": None if said.before is None else Jsonb(said.before),
        "after": None if said.after is None else Jsonb(said.after),
        "reason_digest": reason, "before_digest": before, "after_digest": after,
        "digest": entered_digest(entered),
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which acts; None is all. ``subject`` may be a kind alone: `account/`."""

    subject: str | None = None
    account: str | None = None
    action: str | None = None
    actor: str | None = None
    since: datetime | None = None
    before: int | None = None
    """Numbers below this one: the page after."""


def newest(conn: Connection, wanted: Wanted, limit: int) -> list[Row]:
    """The newest acts first, with what is left of what was said."""
    rows = conn.execute(
        f"{_ROWS} WHERE number IS NOT NULL AND act_id IS NOT NULL AND {_WHERE}"
        " ORDER BY number DESC LIMIT %(limit)s",
        {
            "subject": wanted.subject, "account": wanted.account, "action": wanted.action,
            "actor": wanted.actor, "since": wanted.since, "before": wanted.before, "limit": limit,
        },
    ).fetchall()  # fmt: skip
    return [_row(row) for row in rows]


_WHERE: Final = """
    (%(subject)s::text IS NULL OR starts_with(a.subject, %(subject)s))
    AND (%(account)s::text IS NULL OR a.account_id = %(account)s)
    AND (%(action)s::text IS NULL OR starts_with(a.action, %(action)s))
    AND (%(actor)s::text IS NULL OR a.actor = %(actor)s)
    AND (%(since)s::timestamptz IS NULL OR a.at >= %(since)s)
    AND (%(before)s::bigint IS NULL OR l.number < %(before)s)
"""


def everything(conn: Connection) -> Iterator[Row]:
    """All rows of the trail, linked or not, by number; read as they are asked for, in one
    transaction of the caller.
    """
    with conn.cursor(name="audit") as cursor:
        cursor.itersize = 5_000
        cursor.execute(f"{_ROWS} ORDER BY l.number NULLS LAST, a.at, act_id")
        for row in cursor:
            yield _row(row)


def tip(conn: Connection) -> tuple[int, str]:
    """Number and digest of the newest link; 0 and the ledger's own before the first."""
    row = conn.execute("SELECT number, digest FROM audit_tip").fetchone()
    assert row is not None, "0013_audit.sql enters it"
    return row[0], row[1]


def ledger_id(conn: Connection) -> str:
    """The name of the ledger, which its chain begins with."""
    row = conn.execute("SELECT ledger_id::text FROM ledger_identity").fetchone()
    assert row is not None, "0006_numbers.sql enters it"
    return str(row[0])


def _plain(state: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if state is None else to_json(dict(state))


def _row(row: tuple[Any, ...]) -> Row:
    number, act_id = row[:2]
    link = None if number is None else Link(number, act_id, *row[2:5])
    act = None if row[5] is None else Entered(act_id, *row[5:16])
    said = None if row[18] is None else Said(row[16], row[17], bytes(row[18]), *row[19:22])
    return Row(act_id, link, act, said)
