"""The signing keys of servers as they are read: all of them, kept fresh, or those of some servers.

Whoever meters waits while they are looked at. So what has not changed is not loaded again:
PostgreSQL makes a hash of each row, and one look compares a sum of all.
"""

from collections.abc import Iterable, Sequence
from functools import reduce
from operator import xor
from typing import Any, Final

from pipeline.keyring import Keyring
from schemas.envelope import Key
from sinks.database import Connection
from sinks.secrets import KEY_TABLE
from sinks.vault import Row, Vault

_HASH: Final = "hash_record_extended(k, 0)"
_LOOK: Final = f"SELECT count(*), coalesce(bit_xor({_HASH}), 0) FROM agent_key k"  # noqa: S608
_HASHES: Final = f"SELECT kid, {_HASH} FROM agent_key k"  # noqa: S608
_KEYS: Final = (
    f"SELECT {_HASH}, kid, server_id, secret, valid_from_ms, valid_to_ms FROM agent_key k"  # noqa: S608
)


class KnownKeys:
    """All keys of the ledger as of the last look."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._known: dict[str, tuple[int, Key]] = {}
        """By name: the hash of its row, and the key."""

    def refresh(self, conn: Connection) -> bool:
        """Look for what has changed; whether anything has."""
        known = reduce(xor, (found for found, _ in self._known.values()), 0)
        if conn.execute(_LOOK).fetchone() == (len(self._known), known):
            return False
        if not self._known:
            return self._take(conn.execute(_KEYS).fetchall())
        stored: dict[str, int] = dict(conn.execute(_HASHES).fetchall())
        gone = self._known.keys() - stored.keys()
        for kid in gone:
            del self._known[kid]
        others = [
            kid
            for kid, found in stored.items()
            if kid not in self._known or self._known[kid][0] != found
        ]
        return self._load(conn, others) or bool(gone)

    def look_up(self, conn: Connection, kids: Iterable[str]) -> bool:
        """Whether there are keys of these names that were not known; a name may be anything."""
        new = [kid for kid in kids if kid not in self._known and "\0" not in kid]
        return self._load(conn, new)

    def snapshot(self) -> tuple[Keyring, dict[str, int]]:
        """The keys, and for each server the start of its oldest one."""
        keys = [key for _, key in self._known.values()]
        registered: dict[str, int] = {}
        for key in keys:
            known = registered.get(key.server, key.valid_from_ms)
            registered[key.server] = min(known, key.valid_from_ms)
        return Keyring(keys), registered

    def _load(self, conn: Connection, kids: list[str]) -> bool:
        return self._take(conn.execute(f"{_KEYS} WHERE kid = ANY(%s)", (kids,)).fetchall())

    def _take(self, rows: Sequence[tuple[Any, ...]]) -> bool:
        for found, *row in rows:
            key = _decrypted(self._vault, row)
            self._known[key.kid] = found, key
        return bool(rows)


def load_keys(conn: Connection, vault: Vault) -> tuple[Keyring, dict[str, int]]:
    """All signing keys once, and for each server the start of its oldest one."""
    known = KnownKeys(vault)
    known.refresh(conn)
    return known.snapshot()


def load_keys_of(conn: Connection, vault: Vault, servers: Sequence[str], now_ms: int) -> list[Key]:
    """The newest key in force of each of these servers that has one."""
    rows = conn.execute(
        "SELECT DISTINCT ON (server_id) kid, server_id, secret, valid_from_ms, valid_to_ms"
        " FROM agent_key WHERE server_id = ANY(%s) AND valid_from_ms <= %s AND valid_to_ms > %s"
        " ORDER BY server_id, valid_from_ms DESC",
        (list(servers), now_ms, now_ms),
    ).fetchall()
    return [_decrypted(vault, row) for row in rows]


def row_of(kid: str, server: str) -> Row:
    """What the secret of a key is bound to."""
    return Row(KEY_TABLE, kid, server)


def _decrypted(vault: Vault, row: Sequence[Any]) -> Key:
    kid, server, stored, valid_from_ms, valid_to_ms = row
    secret = vault.decrypt(stored, row_of(kid, server))
    return Key(kid, server, secret, valid_from_ms, valid_to_ms)
