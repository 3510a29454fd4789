"""Message headers of a report: CloudEvents 1.0 in binary mode, and who signed it.

Standard library only. ``kid`` names the key; ``sig`` is hex HMAC-SHA256 over
``environment ␀ topic ␀ id ␀ body``: a message copied from staging, from another topic or under
another identity does not verify. Source: CloudEvents 1.0.2, Kafka protocol binding, section 3.2.
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime

from schemas.report import Report

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
    prefix = f"{environment}\0{topic}\0{report_id}\0".encode()
    return hmac.digest(secret, prefix + body, hashlib.sha256).hex().encode()


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
