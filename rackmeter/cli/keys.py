"""Signing keys of servers: made here, handed out once, as a file or on the screen."""

import secrets
from pathlib import Path

from rackmeter.key_files import write_new
from schemas.envelope import Key

SECRET_BYTES = 32
"""As long as the digest of HMAC-SHA256; more adds nothing (RFC 2104, section 3)."""


def new_key(server: str, valid_from_ms: int) -> Key:
    """A key that nobody can guess; the same server may have several."""
    kid = f"{server}.{secrets.token_hex(4)}"
    return Key(kid, server, secrets.token_bytes(SECRET_BYTES), valid_from_ms)


def write_key(key: Key, path: Path) -> None:
    """The file that the agent reads."""
    write_new(path, f'server = "{key.server}"\nkid = "{key.kid}"\nsecret = "{key.secret.hex()}"\n')
