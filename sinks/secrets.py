"""Every secret in the ledger, whatever it is for: which master keys they are under, and moving them
to another. The tables are `agent_key` (sinks.keys) and `account` (sinks.webhooks).
"""

from sinks.audit import Act, record
from sinks.database import Connection
from sinks.vault import FINGERPRINT_BYTES, VERSION, Row, Vault, fingerprint_of

KEY_TABLE, WEBHOOK_TABLE = "agent_key", "account"

_ALL = f"""
    SELECT '{KEY_TABLE}' AS tab, kid AS name, server_id AS server, secret FROM agent_key
    UNION ALL
    SELECT '{WEBHOOK_TABLE}', account_id, '', webhook_secret FROM account
    WHERE webhook_secret IS NOT NULL
"""  # noqa: S608 - constants
_REPLACE = {
    KEY_TABLE: "UPDATE agent_key SET secret = %s WHERE kid = %s",
    WEBHOOK_TABLE: "UPDATE account SET webhook_secret = %s WHERE account_id = %s",
}


def in_use(conn: Connection) -> dict[str, int]:
    """Fingerprint of a master key → secrets under it."""
    rows = conn.execute(
        f"SELECT substr(secret, %s, %s) AS under, count(*) FROM ({_ALL}) s"  # noqa: S608
        " GROUP BY under ORDER BY under",
        (len(VERSION) + 1, FINGERPRINT_BYTES),
    ).fetchall()
    return {under.hex(): int(count) for under, count in rows}


def verify(conn: Connection, vault: Vault) -> int:
    """How many secrets there are; raises at the first that does not decrypt."""
    return len(_opened(conn, vault))


def rewrap(conn: Connection, vault: Vault) -> tuple[int, int]:
    """Put every secret under the first master key: how many were moved, how many there are.

    One transaction: all or none. Those under the first key already are decrypted all the same, so
    that afterwards each is known to be good.
    """
    with conn.transaction():
        lock(conn)
        conn.execute("LOCK TABLE account IN SHARE ROW EXCLUSIVE MODE")
        opened = _opened(conn, vault)
        moved = [
            (row, vault.encrypt(secret, row))
            for row, stored, secret in opened
            if fingerprint_of(stored) != vault.current
        ]
        for table, statement in _REPLACE.items():
            with conn.cursor() as cursor:
                cursor.executemany(
                    statement, [(stored, row.name) for row, stored in moved if row.table == table]
                )
        record(conn, Act("secrets.rewrap", f"master-key/{vault.current}",
                         after={"moved": len(moved), "secrets": len(opened)}))  # fmt: skip
    return len(moved), len(opened)


def lock(conn: Connection) -> None:
    """One writer of keys at a time, until its transaction ends; readers are not held up."""
    conn.execute("LOCK TABLE agent_key IN SHARE ROW EXCLUSIVE MODE")


def _opened(conn: Connection, vault: Vault) -> list[tuple[Row, bytes, bytes]]:
    """Each secret as it is stored, and as it is."""
    found = [(Row(*row[:3]), row[3]) for row in conn.execute(_ALL).fetchall()]
    return [(row, stored, vault.decrypt(stored, row)) for row, stored in found]
