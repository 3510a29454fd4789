"""What became of a report: exactly one verdict each, so the counts always add up."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Verdict(StrEnum):
    """``ACCEPTED`` changed a head; ``DUPLICATE`` and ``LATE`` are harmless; the rest are dead-
    lettered.
    """

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    LATE = "late"
    OVERSIZED = "oversized"
    MALFORMED = "malformed"
    UNKNOWN_VERSION = "unknown_version"
    FOREIGN = "foreign"
    UNSIGNED = "unsigned"
    UNKNOWN_KEY = "unknown_key"
    FORGED = "forged"
    CONFLICT = "conflict"
    REGRESSION = "regression"
    IMPLAUSIBLE = "implausible"
    EXCESSIVE = "excessive"
    QUARANTINED = "quarantined"

    @property
    def refused(self) -> bool:
        return self not in (Verdict.ACCEPTED, Verdict.DUPLICATE, Verdict.LATE)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A refused message, whole, with its position and one sentence that says what to mend."""

    offset: int
    reason: Verdict
    detail: str
    key: bytes | None
    payload: bytes
    headers: tuple[tuple[str, bytes], ...]
    append_ms: int
    by_broker: bool = False
    """``append_ms`` is the broker's own time, not the producer's."""


RETRYABLE: Final = frozenset(
    {
        Verdict.UNKNOWN_VERSION,
        Verdict.UNKNOWN_KEY,
        Verdict.IMPLAUSIBLE,
        Verdict.EXCESSIVE,
        Verdict.QUARANTINED,
    }
)
"""Reasons that may be gone later: after an upgrade, a registration, an hour. The others lie in the
message itself, which never changes.
"""
