"""Enrolment: a token that is exchanged once for a server's signing key.

    token = public half (12 hex digits) "." secret half (256 random bits, base64url)

The ledger keeps the public half and the SHA-256 of the secret one, which is too random to be
guessed from it. Who may ask, from where and how often is decided by whoever calls. Times are
arguments. Connections commit by themselves.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from schemas.envelope import Key
from schemas.errors import RackmeterError, RefusedError
from sinks.audit import Act, record
from sinks.database import Connection, hold_schema
from sinks.keys import register, rotate
from sinks.vault import Vault

SECRET_BYTES: Final = 32
OVERLAP: Final = timedelta(hours=24)
"""How long a server's former key holds after it fetched another, as with `server rotate-key`."""
_TOKEN: Final = re.compile(r"([0-9a-f]{12})\.([A-Za-z0-9_-]{43})")
_NO_DIGEST: Final = bytes(32)


class UnknownTokenError(RackmeterError):
    """No such token: its public half, or its secret half, is not one we gave out."""


class SpentTokenError(RackmeterError):
    """The token was right, and is used, revoked or expired. Only its holder is told."""


def issue(
    conn: Connection, server: str, *, by: str, now: datetime, valid: timedelta, renew: bool
) -> str:
    """A new token for this server, once; one given before that is still open ends.

    Refuses a server that has a key, unless ``renew``.
    """
    public, secret = secrets.token_hex(6), secrets.token_bytes(SECRET_BYTES)
    with conn.transaction():
        if not renew and _registered(conn, server):
            raise RefusedError(
                f"Server {server} has a key already: --renew makes a token for another one, after"
                f" which the first holds for {OVERLAP.total_seconds() / 3600:.0f} h more."
            )
        revoke_open(conn, server, now)
        conn.execute(
            "INSERT INTO enrol_token"
            " (token_id, server_id, digest, renews, created_at, created_by, expires_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s)",
            (public, server, _digest(secret), renew, now, by, now + valid),
        )
        said = {"token": public, "renew": renew, "expires": now + valid}
        record(conn, Act("server.token", f"server/{server}", at=now, actor=by, after=said))
    return f"{public}.{base64.urlsafe_b64encode(secret).decode().rstrip('=')}"


def revoke_open(conn: Connection, server: str, now: datetime) -> int:
    """End the server's open token; how many there were."""
    with conn.transaction():
        ended = conn.execute(
            "UPDATE enrol_token SET revoked_at = %s"
            " WHERE server_id = %s AND used_at IS NULL AND revoked_at IS NULL",
            (now, server),
        ).rowcount
        if ended:
            record(conn, Act("server.revoke-token", f"server/{server}", at=now))
    return ended


def redeem(
    conn: Connection,
    vault: Vault,
    token: str,
    make_key: Callable[[str, int], Key],
    *,
    address: str,
    now: datetime,
) -> Key:
    """The new key of the token's server; ``make_key`` gets server and start.

    1. Lock the token, compare its secret half: of two that come at once, one gets a key.
    2. Enter the key and who fetched it, in the same transaction. A crash before its end leaves the
       token as it was; an answer that is lost afterwards has used it up.
    """
    public, digest = parse(token)
    with conn.transaction():
        hold_schema(conn)
        row = conn.execute(
            "SELECT digest, server_id, renews, used_at, used_from, revoked_at, expires_at"
            " FROM enrol_token WHERE token_id = %s FOR UPDATE",
            (public,),
        ).fetchone()
        # Compared also where there is none, so that both take the same time.
        if not hmac.compare_digest(bytes(row[0]) if row else _NO_DIGEST, digest) or row is None:
            raise UnknownTokenError(f"There is no such token as {public}.")
        _, server, renews, used_at, used_from, revoked_at, expires_at = row
        _check(used_at, used_from, revoked_at, expires_at, now)
        key = make_key(server, int(now.timestamp() * 1000))
        if renews and _registered(conn, server):
            rotate(conn, vault, key, int(OVERLAP.total_seconds() * 1000), again=True)
        else:
            register(conn, vault, [key])
        conn.execute(
            "UPDATE enrol_token SET used_at = %s, used_from = %s, kid = %s WHERE token_id = %s",
            (now, address, key.kid, public),
        )
        said = {"token": public, "key": key.kid, "from": address}
        record(conn, Act("server.enrol", f"server/{server}", at=now, actor=f"server/{server}",
                         after=said))  # fmt: skip
    return key


def parse(token: str) -> tuple[str, bytes]:
    """The public half, and the digest of the secret one."""
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise UnknownTokenError("That is no token.")
    return found[1], _digest(base64.urlsafe_b64decode(found[2] + "="))


def _digest(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()


def _check(
    used_at: datetime | None,
    used_from: str | None,
    revoked_at: datetime | None,
    expires_at: datetime,
    now: datetime,
) -> None:
    if used_at is not None:
        raise SpentTokenError(f"The token was used at {_at(used_at)} from {used_from}.")
    if revoked_at is not None:
        raise SpentTokenError(f"The token was revoked at {_at(revoked_at)}.")
    if expires_at <= now:
        raise SpentTokenError(f"The token expired at {_at(expires_at)}.")


def _registered(conn: Connection, server: str) -> bool:
    row = conn.execute(
        "SELECT EXISTS (SELECT FROM agent_key WHERE server_id = %s)", (server,)
    ).fetchone()
    return row is not None and bool(row[0])


def _at(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"
