"""The wire, version 1: one message is one report of one server. Standard library only.

A report carries cumulative integer counters. Every counter of an origin is zero at ``since_ms``, so
a chain (series × origin) has used exactly its highest reading, whatever was lost, repeated or re-
ordered. Timestamps ending in ``_ms`` are Unix epoch milliseconds (UTC); those ending in ``_up_ms``
are milliseconds of the machine's boot-time clock (``CLOCK_BOOTTIME``, which counts suspend).
"""

import json
import zlib
from dataclasses import dataclass

VERSION = 1
NAME_CHARS_MAX = 256
"""Longest server, origin, meter or resource name, in characters."""
VALUE_MAX = 2**63 - 17
"""Largest counter value. DCGM's blank values start at 2**63 - 16 and must never be billed."""
MESSAGE_BYTES_MAX = 1_000_000
MIX_AT, MIX_UP = 0x9E37_79B9_7F4A_7C15, 0xC2B2_AE3D_27D4_EB4F
SERIES_MAX = 4096
"""Most series in one report: a DGX with 8 GPUs × 7 MIG slices and a hundred veths stays under
1,000.
"""


@dataclass(frozen=True, slots=True)
class Report:
    """One reading of every counter of one server. Parallel arrays: ``meter[i], resource[i],
    value[i]``.
    """

    server: str
    origin: str
    since_ms: int
    seq: int
    at_ms: int
    at_up_ms: int
    sent_up_ms: int
    meter: tuple[str, ...]
    resource: tuple[str, ...]
    value: tuple[int, ...]

    @property
    def id(self) -> str:
        """The report's identity and CloudEvents id. The last two parts never hold a slash."""
        return report_id(self.server, self.origin, self.seq)


def report_id(server: str, origin: str, seq: int) -> str:
    return f"{server}/{origin}/{seq}"


def names_json(meter: tuple[str, ...], resource: tuple[str, ...]) -> str:
    """The part of the body that hardly ever changes; readers cache what it means by its bytes."""
    return f'"meter":{_dumps(meter)},"resource":{_dumps(resource)}'


def encode(report: Report) -> bytes:
    """The canonical body: fixed key order, no white space, ASCII, ``value`` last."""
    return (
        f'{{"v":{VERSION},"server":{_dumps(report.server)},"origin":{_dumps(report.origin)},'
        f'"since_ms":{report.since_ms},"seq":{report.seq},"at_ms":{report.at_ms},'
        f'"at_up_ms":{report.at_up_ms},"sent_up_ms":{report.sent_up_ms},'
        f"{names_json(report.meter, report.resource)},"
        f'"value":[{",".join(map(str, report.value))}]}}'
    ).encode()


def content_hash(at_ms: int, at_up_ms: int, names: bytes, values: bytes) -> int:
    """What makes two reports with one identity the same report: 16 bits, never 0.

    ``names`` and ``values`` are the canonical bytes (``names_json`` and the digits between the
    brackets). The sending stamp is left out: a retried report is stamped anew. 16 bits suffice: a
    collision makes a conflicting report count as a duplicate, and neither touches a total.
    """
    clocks = (at_ms * MIX_AT + at_up_ms * MIX_UP) & 0xFFFF_FFFF_FFFF_FFFF
    mixed = zlib.crc32(values, zlib.crc32(names)) ^ clocks >> 32
    return (mixed ^ mixed >> 16) & 0xFFFF or 1


def _dumps(value: str | tuple[str, ...]) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True)
