"""Signing keys of servers: made here, kept in the ledger, handed out once as a file."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from rackmeter.errors import ConfigError, DependencyError
from schemas.envelope import Key
from sinks.database import Connection

SECRET_BYTES = 32
"""As long as the digest of HMAC-SHA256; more adds nothing (RFC 2104, section 3)."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A server and a key of it, as the ledger knows them."""

    server: str
    kid: str
    valid_from_ms: int
    last_report_ms: int | None
    item: str | None
    flagged: str


def new_key(server: str, valid_from_ms: int) -> Key:
    """A key that nobody can guess; the same server may have several."""
    kid = f"{server}.{secrets.token_hex(4)}"
    return Key(kid, server, secrets.token_bytes(SECRET_BYTES), valid_from_ms)


def register(conn: Connection, keys: list[Key]) -> None:
    """Enter keys; workers look an unknown one up at once."""
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO agent_key (kid, server_id, secret, valid_from_ms, valid_to_ms)"
            " VALUES (%s, %s, %s, %s, %s)",
            [(k.kid, k.server, k.secret, k.valid_from_ms, k.valid_to_ms) for k in keys],
        )


def write_key(key: Key, path: Path) -> None:
    """The file that the agent reads; only its owner may, and an existing one is never lost."""
    text = f'server = "{key.server}"\nkid = "{key.kid}"\nsecret = "{key.secret.hex()}"\n'
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(
            f"{path} exists; a key is never overwritten: name another file."
        ) from None
    except OSError as error:
        raise DependencyError(f"{path} cannot be written: {error.strerror}.") from error


def registered(conn: Connection) -> list[Registered]:
    """All keys, by server."""
    rows = conn.execute(
        """
        SELECT k.server_id, k.kid, k.valid_from_ms, s.at_ms, a.item_id, coalesce(s.flagged, '')
        FROM agent_key k
        LEFT JOIN LATERAL (
            SELECT at_ms, flagged FROM server_state s WHERE s.server_id = k.server_id
            ORDER BY at_ms DESC LIMIT 1) s ON true
        LEFT JOIN assignment a ON a.server_id = k.server_id AND a.valid @> now()
        ORDER BY 1, 3, 2
        """
    ).fetchall()
    return [Registered(*row) for row in rows]
