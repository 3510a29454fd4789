"""Reports that their own server signed, and that break a contract all the same. Pure.

None of them may take the place of the true one: a conflict follows it, a fall needs a reading that
already arrived, and an impossible gain is impossible at any time.
"""

from collections.abc import Collection
from dataclasses import replace
from enum import StrEnum
from typing import Final

from schemas.meters import METERS
from schemas.report import VALUE_MAX, Report, content_hash, names_json


class Breach(StrEnum):
    """What is wrong with it."""

    OTHER_VALUE = "other_value"
    OTHER_TIME = "other_time"
    OTHER_SERIES = "other_series"
    FALL = "fall"
    LEAP = "leap"


def breached(breach: Breach, report: Report, before: Collection[Report]) -> Report | None:
    """The wrong report; None where it could be taken for a true one, after these."""
    arrived = any(_same(one, report) for one in before)
    match breach:
        case Breach.FALL:
            wrong = _fallen(report, before)
        case Breach.LEAP:
            wrong = _with_first(report, VALUE_MAX) if report.meter[0] in METERS else None
        case Breach.OTHER_VALUE:
            wrong = _with_first(report, report.value[0] + 1) if arrived else None
        case Breach.OTHER_TIME:
            wrong = replace(report, at_ms=report.at_ms + 1) if arrived else None
        case _:
            wrong = _narrowed(report) if arrived and len(report.value) > 1 else None
    # One in 65,535 contents has the same fingerprint as the true one: that is no conflict.
    return wrong if wrong and _fingerprint(wrong) != _fingerprint(report) else None


ALL: Final = tuple(Breach)


def _same(one: Report, other: Report) -> bool:
    return (one.origin, one.seq) == (other.origin, other.seq)


def _with_first(report: Report, value: int) -> Report:
    return replace(report, value=(value, *report.value[1:]))


def _narrowed(report: Report) -> Report:
    return replace(
        report, meter=report.meter[1:], resource=report.resource[1:], value=report.value[1:]
    )


def _fallen(report: Report, before: Collection[Report]) -> Report | None:
    """The first series at zero, where an earlier number that has arrived shows more."""
    first = (report.meter[0], report.resource[0])
    for one in before:
        if one.origin == report.origin and one.seq < report.seq:
            shown = dict(zip(zip(one.meter, one.resource, strict=True), one.value, strict=True))
            if shown.get(first, 0) > 0:
                return _with_first(report, 0)
    return None


def _fingerprint(report: Report) -> int:
    names = names_json(report.meter, report.resource).encode()
    digits = ",".join(map(str, report.value)).encode()
    return content_hash(report.at_ms, report.at_up_ms, names, digits)
