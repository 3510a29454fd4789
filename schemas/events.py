"""What leaves rackmeter: types of outgoing events, and the hint that a scope's usage has changed.

A hint carries no figures: it may be lost or repeated, the truth is the ledger.
"""

import json
from dataclasses import dataclass

HINT_VERSION = 1

THRESHOLD_CROSSED = "usage.threshold.crossed"
"""A customer's usage has reached a share of the allowance. Once per threshold, period and limit."""
THRESHOLD_CLEARED = "usage.threshold.cleared"
"""A correction has taken usage below a threshold that was announced before."""


@dataclass(frozen=True, slots=True)
class Changed:
    """Usage of a rating scope has changed: look at it again."""

    scope: str
    append_ms: int
    """When the newest report behind the change was appended to its topic."""
    at_ms: int
    """When that report was read on the server: the start of an alert's latency."""


def encode_changed(hint: Changed) -> tuple[bytes, bytes]:
    """Key and value: all hints of a scope go to one partition, so that a scope has one rater."""
    value = {
        "v": HINT_VERSION,
        "scope": hint.scope,
        "append_ms": hint.append_ms,
        "at_ms": hint.at_ms,
    }
    return hint.scope.encode(), json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def decode_changed(value: bytes) -> Changed | None:
    """The hint, or None when it is of no version we know: losing one costs a sweep's delay."""
    try:
        found = json.loads(value)
    except ValueError:
        return None
    if not isinstance(found, dict) or found.get("v") != HINT_VERSION:
        return None
    scope, append_ms, at_ms = found.get("scope"), found.get("append_ms"), found.get("at_ms")
    if not isinstance(scope, str) or type(append_ms) is not int or type(at_ms) is not int:
        return None
    return Changed(scope, append_ms, at_ms)
