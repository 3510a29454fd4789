"""Message headers of a report: CloudEvents 1.0 in binary mode, and who signed it.

Standard library only. ``kid`` names the key; ``sig`` is hex HMAC-SHA256 over
``environment ␀ topic ␀ id ␀ body``: a message copied from staging, from another topic or under
another identity does not verify. Source: CloudEvents 1.0.2, Kafka protocol binding, section 3.2.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

from schemas.report import Report

_INNER, _OUTER = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))
EVENT_TYPE = "dev.rackmeter.usage.report.v1"
NEVER_MS = 2**62
"""The end of a key that has none."""
Headers = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Key:
    """A server's signing key; valid in ``[valid_from_ms, valid_to_ms)``, judged at append time."""

    kid: str
    server: str
    secret: bytes = field(repr=False)
    valid_from_ms: int = 0
    valid_to_ms: int = NEVER_MS


def signature(secret: bytes, environment: str, topic: str, report_id: str, body: bytes) -> bytes:
    return mac(secret, scope(environment, topic), report_id.encode(), body)


def scope(environment: str, topic: str) -> bytes:
    """What a signature covers first: the same for all reports of a topic."""
    return f"{environment}\0{topic}\0".encode()


def mac(secret: bytes, within: bytes, report_id: bytes, body: bytes) -> bytes:
    """``signature`` of a report within a ``scope``. HMAC written out (RFC 2104): with the padded
    keys at hand it takes half as long as ``hmac.digest``, which looks its algorithm up each time.
    """
    inner, outer = _pads(secret)
    digest = hashlib.sha256(b"%b%b%b\0" % (inner, within, report_id))
    digest.update(body)
    return hashlib.sha256(outer + digest.digest()).hexdigest().encode()


@lru_cache(maxsize=200_000)
def _pads(secret: bytes) -> tuple[bytes, bytes]:
    key = secret if len(secret) <= 64 else hashlib.sha256(secret).digest()
    return key.translate(_INNER).ljust(64, b"\x36"), key.translate(_OUTER).ljust(64, b"\x5c")


def headers(report: Report, body: bytes, key: Key, environment: str, topic: str) -> Headers:
    """All headers of one report, ready for a Kafka producer."""
    at = datetime.fromtimestamp(report.at_ms / 1000, UTC)
    return [
        ("ce_specversion", b"1.0"),
        ("ce_type", EVENT_TYPE.encode()),
        ("ce_source", f"/servers/{report.server}".encode()),
        ("ce_id", report.id.encode()),
        ("ce_time", at.isoformat(timespec="milliseconds").replace("+00:00", "Z").encode()),
        ("content-type", b"application/json"),
        ("kid", key.kid.encode()),
        ("sig", signature(key.secret, environment, topic, report.id, body)),
    ]
