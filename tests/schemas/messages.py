"""Messages as a Kafka consumer hands them over, well made unless a test says otherwise."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.partition import partition_of
from pipeline.records import Chunk
from schemas.envelope import Headers, Key, headers
from schemas.report import Report, encode

ENVIRONMENT = "production"
TOPIC = "usage.reports"
PARTITIONS = 12
APPENDED_MS = 1_764_590_400_250

REPORT = Report(
    server="fra-1042",
    origin="0f5c1e6a-77",
    since_ms=1_764_000_000_000,
    seq=41,
    at_ms=1_764_590_400_000,
    at_up_ms=590_400_000,
    sent_up_ms=590_400_180,
    meter=("net.tx_bytes", "gpu.busy_ms"),
    resource=("eth0", "GPU-5d1c"),
    value=(8_123_456_789, 360_000),
)
KEY = Key(kid="k-2025", server="fra-1042", secret=b"a secret of fra-1042")
PART = partition_of(b"fra-1042", PARTITIONS)


@dataclass(frozen=True)
class Message:
    """The used part of aiokafka's ``ConsumerRecord``."""

    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    key: bytes | None = b"fra-1042"
    offset: int = 7
    timestamp: int = APPENDED_MS
    timestamp_type: int | None = 1


def fields(**changes: Any) -> dict[str, Any]:
    """The fields of ``REPORT`` as JSON knows them; a change to ``...`` leaves the field out."""
    whole: dict[str, Any] = {**json.loads(encode(REPORT)), **changes}
    return {name: value for name, value in whole.items() if value is not ...}


def spelled(**changes: Any) -> bytes:
    """``REPORT`` in a spelling no agent uses: legal JSON with white space."""
    return json.dumps(fields(**changes)).encode()


def signed(
    report: Report = REPORT,
    *,
    key: Key = KEY,
    body: bytes | None = None,
    environment: str = ENVIRONMENT,
    topic: str = TOPIC,
    **changes: Any,
) -> Message:
    """A report with its headers; ``changes`` are made to the message afterwards."""
    body = encode(report) if body is None else body
    # ce_time cannot name a year past 9999, a report can.
    dated = replace(report, at_ms=min(report.at_ms, APPENDED_MS))
    signed_by: Headers = headers(dated, body, key, environment, topic)
    message = Message(body, signed_by, key=report.server.encode())
    return replace(message, **changes)


def chunk(*messages: Message, part: int = PART) -> Chunk:
    return Chunk(TOPIC, part, messages)
