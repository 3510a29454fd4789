"""Signed heads of the audit trail: what its end was, day by day, in a file outside the database.

    {"ledger":…,"number":"4711","digest":…,"at":…,"recovered":"","key":…,"signature":…,
     "format":"rackmeter.audit-head/1"}

Ed25519 over the RFC 8785 form of everything but the signature; key and signature are base64. Lines
are appended only. A line with ``recovered`` says why the database went back: what earlier lines say
of acts after its number is of a history that was lost.
"""

import base64
import binascii
import errno
import fcntl
import json
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from schemas.errors import ConfigError, DependencyError
from schemas.serial import SerialError, canonical, from_json, to_json
from sinks.audit_chain import Finding, Mark
from sinks.database import Connection
from sinks.disk import sync

FORMAT: Final = "rackmeter.audit-head/1"
KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Head:
    """One line."""

    ledger: str
    number: int
    digest: str
    at: datetime
    recovered: str = ""
    key: str = ""
    signature: str = ""
    format: str = FORMAT


class Signer:
    """Private keys in force: the first signs, the public halves of all are believed."""

    def __init__(self, seeds: Sequence[bytes]) -> None:
        self._keys = [Ed25519PrivateKey.from_private_bytes(seed) for seed in seeds]

    @property
    def public(self) -> list[str]:
        """Public halves, in their order; what a verifier has to know."""
        return [_text(key.public_key().public_bytes_raw()) for key in self._keys]

    def sign(self, head: Head) -> Head:
        named = replace(head, key=self.public[0])
        return replace(named, signature=_text(self._keys[0].sign(_signed(named))))


def new_key() -> str:
    """One line for a file of audit keys."""
    return _text(Ed25519PrivateKey.generate().private_bytes_raw())


def parse_keys(text: str, source: str) -> list[bytes]:
    """Base64, one a line; empty lines and those that begin with # are skipped."""
    lines = [line.strip() for line in text.splitlines()]
    seeds = [_bytes(line) for line in lines if line and not line.startswith("#")]
    if not seeds or any(len(seed) != KEY_BYTES for seed in seeds):
        raise ConfigError(f"{source} is no audit key: `rackmeter audit key --to FILE` makes one.")
    return seeds


def line(head: Head) -> str:
    """As it stands in the file and in the database."""
    return json.dumps(to_json(head), ensure_ascii=False, separators=(",", ":"))


def marks(
    lines: Iterable[str], ledger: str, believed: Collection[str], source: str
) -> tuple[list[Mark], list[Finding]]:
    """What the lines say of the chain, and those that are not believed; ``believed`` are public
    keys, none of them: each line's own.
    """
    found: list[Mark] = []
    findings: list[Finding] = []
    for place, text in enumerate(lines, 1):
        where = f"{source}, line {place}"
        head = _head(text)
        if head is None or not _holds(head):
            findings.append(Finding(None, f"{where}: its signature does not hold"))
        elif head.ledger != ledger:
            findings.append(Finding(None, f"{where}: it is of ledger {head.ledger}"))
        elif believed and head.key not in believed:
            findings.append(Finding(None, f"{where}: signed by {head.key}, which is not ours"))
        else:
            if head.recovered:
                found = [mark for mark in found if mark.number <= head.number]
            found.append(Mark(head.number, head.digest, head.at, where))
    return found, findings


def recoveries(lines: Iterable[str]) -> list[Head]:
    """Heads that say why the database went back."""
    return [head for text in lines if (head := _head(text)) is not None and head.recovered]


def keys_of(lines: Iterable[str]) -> list[str]:
    """Public keys that the lines name, each once."""
    return list(dict.fromkeys(head.key for text in lines if (head := _head(text)) is not None))


def stored(conn: Connection) -> list[str]:
    """The lines that the database has, in order."""
    return [row[0] for row in conn.execute("SELECT line FROM audit_head ORDER BY head_id")]


def store(conn: Connection, text: str) -> None:
    """Enters a line; the caller commits."""
    conn.execute("INSERT INTO audit_head (line) VALUES (%s)", (text,))


def read(path: Path) -> list[str]:
    """The lines of a file of heads; none where there is no file. A last line that is torn was never
    said to be written.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise ConfigError(f"The heads {path} cannot be read: {error}.") from error
    return text[: text.rfind("\n") + 1].splitlines()


def append(path: Path, text: str) -> None:
    """On the disk when this returns; a torn line before it is cut off."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o640)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            content = os.pread(file, os.fstat(file).st_size, 0)
            os.ftruncate(file, content.rfind(b"\n") + 1)
            body = text.encode() + b"\n"
            if os.write(file, body) < len(body):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file)
        finally:
            os.close(file)
        sync(path.parent)
    except OSError as error:
        raise DependencyError(
            f"The heads {path} cannot be written: {error.strerror}; set RACKMETER_AUDIT_HEADS to a"
            " file that outlives the database."
        ) from error


def _head(text: str) -> Head | None:
    try:
        return from_json(Head, json.loads(text))
    except (ValueError, KeyError, TypeError, SerialError):
        return None


def _holds(head: Head) -> bool:
    try:
        key = Ed25519PublicKey.from_public_bytes(_bytes(head.key))
        key.verify(_bytes(head.signature), _signed(head))
    except (InvalidSignature, ValueError):
        return False
    return head.format == FORMAT


def _signed(head: Head) -> bytes:
    body = to_json(head)
    del body["signature"]
    return canonical(body)


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
