"""Secrets as the ledger keeps them: encrypted with master keys that are not in it. No SQL, no file.

A stored secret is

    version (1 byte) | fingerprint of the master key (4) | nonce (12) | ciphertext and tag

by AES-256-GCM. What stands before the nonce and the row that the secret belongs to are associated
data, so it decrypts only unchanged and only in its own row.
"""

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.errors import ConfigError, DifferenceError

KEY_BYTES: Final = 32
VERSION: Final = b"\x01"
FINGERPRINT_BYTES: Final = 4
"""Tells a handful of keys apart; Vault refuses two that look alike."""
NONCE_BYTES: Final = 12
"""Random, so one master key is good for 2³² secrets (NIST SP 800-38D, section 8.3)."""
_HEAD: Final = len(VERSION) + FINGERPRINT_BYTES
_BODY: Final = _HEAD + NONCE_BYTES
_HEX: Final = re.compile(rf"[0-9a-fA-F]{{{2 * KEY_BYTES}}}")


class Row(NamedTuple):
    """The row that a secret belongs to. PostgreSQL's text holds no NUL, which parts the three."""

    table: str
    name: str
    server: str = ""

    def __str__(self) -> str:
        return f"{self.table} {self.name}"


class Vault:
    """The master keys in force: the first encrypts, all decrypt."""

    __slots__ = ("_ciphers", "current")

    def __init__(self, keys: Sequence[bytes]) -> None:
        by_name = {fingerprint(key): key for key in keys}
        if len(by_name) < len(set(keys)):
            raise ConfigError("Two master keys have the same fingerprint: make one of them anew.")
        self.current = fingerprint(keys[0])
        self._ciphers = {name: AESGCM(key) for name, key in by_name.items()}

    def __repr__(self) -> str:
        return f"Vault({', '.join(self.fingerprints)})"

    @property
    def fingerprints(self) -> list[str]:
        """Of all keys, in their order."""
        return list(self._ciphers)

    def encrypt(self, secret: bytes, row: Row) -> bytes:
        """What to store in this row, different at each call."""
        head, nonce = VERSION + bytes.fromhex(self.current), os.urandom(NONCE_BYTES)
        return head + nonce + self._ciphers[self.current].encrypt(nonce, secret, _bound(head, row))

    def decrypt(self, stored: bytes, row: Row) -> bytes:
        """The secret of this row. Raises where its master key is missing, or it was tampered with.

        No error shows anything of the secret or of a key.
        """
        head, nonce = stored[:_HEAD], stored[_HEAD:_BODY]
        name = head[len(VERSION) :].hex()
        if head[: len(VERSION)] != VERSION:
            raise _tampered(row)
        if name not in self._ciphers:
            raise ConfigError(
                f"The secret of {row} is under master key {name or 'none'}, {self._given()}:"
                " add that key to RACKMETER_MASTER_KEY_FILE, below the first."
            )
        try:
            return self._ciphers[name].decrypt(nonce, stored[_BODY:], _bound(head, row))
        except (InvalidTag, ValueError):  # ValueError: too short to be one
            raise _tampered(row) from None

    def require(self, in_use: Sequence[str]) -> None:
        """Whoever writes can read what is there: else a stray master key would enter unnoticed."""
        missing = [name for name in in_use if name not in self._ciphers]
        if missing:
            raise ConfigError(
                f"The ledger has secrets under master key {', '.join(missing)}, {self._given()}:"
                " nothing is written with another; give that key too, or correct the one given."
            )

    def _given(self) -> str:
        names = self.fingerprints
        return f"and only {', '.join(names)} {'is' if len(names) == 1 else 'are'} given"


def fingerprint(key: bytes) -> str:
    """A master key's public name."""
    digest = hashlib.sha256(b"rackmeter master key\0" + key)
    return digest.digest()[:FINGERPRINT_BYTES].hex()


def fingerprint_of(stored: bytes) -> str:
    """The master key that a stored secret is under."""
    return stored[len(VERSION) : _HEAD].hex()


def new_master_key() -> str:
    """One line for a file of master keys."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()


def parse_master_keys(text: str, source: str) -> list[bytes]:
    """Base64 or hex, one a line; empty lines and those that begin with # are skipped."""
    keys = [
        _key(line.strip(), f"{source}, line {number}")
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.strip().startswith("#")
    ]
    if not keys:
        raise ConfigError(f"{source} holds no master key: `rackmeter master-key new` makes one.")
    return keys


def _key(text: str, source: str) -> bytes:
    try:
        key = bytes.fromhex(text) if _HEX.fullmatch(text) else base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigError(
            f"{source} is no master key: it must be {KEY_BYTES} random bytes in base64 or hex;"
            " `rackmeter master-key new` makes one."
        )
    return key


def _bound(head: bytes, row: Row) -> bytes:
    return head + "\0".join(row).encode()


def _tampered(row: Row) -> DifferenceError:
    return DifferenceError(
        f"The secret of {row} is not what was stored there: the row was changed or copied;"
        " restore it from a backup, or delete it and make a new secret."
    )
