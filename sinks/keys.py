"""The signing keys of servers: registered, rotated, revoked. No key is ever deleted.

A key is valid in ``[valid_from_ms, valid_to_ms)``, judged when a report is appended. It stays after
its end, for as long as a topic holds reports that it signed a replay needs it. Secrets are
encrypted (sinks.vault); times are arguments.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from schemas.envelope import NEVER_MS, Key
from schemas.errors import RefusedError
from sinks.audit import Act, record
from sinks.database import Connection
from sinks.known_keys import row_of
from sinks.secrets import in_use, lock
from sinks.vault import Vault

REPEAT_MS: Final = 3_600_000
"""A rotation so soon after the last one is taken for a mistake, however short its overlap."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A key and its server, as the ledger knows them."""

    server: str
    kid: str
    state: str
    """``current``: the newest in force; ``valid``: in force too; ``future``; ``ended``."""
    valid_from_ms: int
    valid_to_ms: int | None
    last_report_ms: int | None
    item: str | None
    flagged: str


def register(conn: Connection, vault: Vault, keys: Sequence[Key]) -> None:
    """Enter the first keys of servers; refuses a server that has one."""
    with conn.transaction():
        lock(conn)
        row = conn.execute(
            "SELECT server_id FROM agent_key WHERE server_id = ANY(%s) ORDER BY 1 LIMIT 1",
            ([key.server for key in keys],),
        ).fetchone()
        if row:
            raise RefusedError(
                f"Server {row[0]} is registered already: `rackmeter server rotate-key {row[0]}`"
                " gives it a new key."
            )
        _enter(conn, vault, keys)
        subject = keys[0].server if len(keys) == 1 else "*"
        record(conn, Act("server.add", f"server/{subject}", after={"keys": [k.kid for k in keys]}))


def rotate(
    conn: Connection, vault: Vault, key: Key, overlap_ms: int, *, again: bool = False
) -> dict[str, int]:
    """Enter a server's next key; its keys without an end get one, ``overlap_ms`` after it begins.

    Returns the end of each other key that is in force then. An end that was set before stays as it
    is. A second rotation within the overlap of the first (an hour at least) is refused unless
    ``again``: the key of the first would get an end that nobody expects.
    """
    now_ms = key.valid_from_ms
    with conn.transaction():
        lock(conn)
        row = conn.execute(
            "SELECT max(valid_from_ms) FROM agent_key WHERE server_id = %s", (key.server,)
        ).fetchone()
        if row is None or row[0] is None:
            raise RefusedError(
                f"There is no server {key.server}: `rackmeter server add {key.server}`"
                " registers it."
            )
        if now_ms - row[0] < max(overlap_ms, REPEAT_MS) and not again:
            raise RefusedError(
                f"The newest key of server {key.server} is valid only from {_utc(row[0])}: nothing"
                " was changed; if that key is lost or known to others, repeat with --again."
            )
        conn.execute(
            "UPDATE agent_key SET valid_to_ms = %s WHERE server_id = %s AND valid_to_ms = %s",
            (now_ms + overlap_ms, key.server, NEVER_MS),
        )
        others = conn.execute(
            "SELECT kid, valid_to_ms FROM agent_key WHERE server_id = %s AND valid_to_ms > %s"
            " ORDER BY valid_from_ms, kid",
            (key.server, now_ms),
        ).fetchall()
        _enter(conn, vault, [key])
        ends: dict[str, int] = dict(others)
        record(conn, Act("server.rotate-key", f"server/{key.server}", before={"ends": ends},
                         after={"key": key.kid}))  # fmt: skip
    return ends


def revoke(conn: Connection, kid: str, now_ms: int) -> tuple[str, int, bool]:
    """End one key at once: its server, its end, and whether the server has another in force.

    A key that has ended before keeps its end.
    """
    with conn.transaction():
        row = conn.execute(
            "UPDATE agent_key SET valid_to_ms = least(valid_to_ms, %s) WHERE kid = %s"
            " RETURNING server_id, valid_to_ms",
            (now_ms, kid),
        ).fetchone()
        if row is None:
            raise RefusedError(f"There is no key {kid}: `rackmeter server list` shows them all.")
        server, valid_to_ms = row
        other = conn.execute(
            "SELECT EXISTS (SELECT FROM agent_key WHERE server_id = %s"
            " AND valid_from_ms <= %s AND valid_to_ms > %s)",
            (server, now_ms, now_ms),
        ).fetchone()
        record(conn, Act("server.revoke-key", f"server/{server}",
                         after={"key": kid, "ends": valid_to_ms}))  # fmt: skip
    return server, valid_to_ms, other is not None and bool(other[0])


def registered(conn: Connection, now_ms: int) -> list[Registered]:
    """All keys by server, oldest first."""
    rows = conn.execute(
        """
        SELECT k.server_id, k.kid,
               CASE WHEN valid_to_ms <= %(now)s THEN 'ended'
                    WHEN valid_from_ms > %(now)s THEN 'future'
                    WHEN row_number() OVER (
                        PARTITION BY k.server_id, valid_from_ms <= %(now)s AND %(now)s < valid_to_ms
                        ORDER BY valid_from_ms DESC, valid_to_ms DESC, kid) = 1 THEN 'current'
                    ELSE 'valid' END,
               k.valid_from_ms, nullif(k.valid_to_ms, %(never)s), s.at_ms, a.item_id,
               coalesce(s.flagged, '')
        FROM agent_key k
        LEFT JOIN LATERAL (
            SELECT at_ms, flagged FROM server_state s WHERE s.server_id = k.server_id
            ORDER BY at_ms DESC LIMIT 1) s ON true
        LEFT JOIN assignment a
            ON a.server_id = k.server_id AND a.valid @> to_timestamp(%(now)s::bigint / 1000.0)
        ORDER BY 1, 4, 2
        """,
        {"now": now_ms, "never": NEVER_MS},
    ).fetchall()
    return [Registered(*row) for row in rows]


def _enter(conn: Connection, vault: Vault, keys: Sequence[Key]) -> None:
    vault.require(list(in_use(conn)))
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO agent_key (kid, server_id, secret, valid_from_ms, valid_to_ms)"
            " VALUES (%s, %s, %s, %s, %s)",
            [
                (
                    key.kid, key.server, vault.encrypt(key.secret, row_of(key.kid, key.server)),
                    key.valid_from_ms, key.valid_to_ms,
                )
                for key in keys
            ],
        )  # fmt: skip


def _utc(epoch_ms: int) -> str:
    return f"{datetime.fromtimestamp(epoch_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
