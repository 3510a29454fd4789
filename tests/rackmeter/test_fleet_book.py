"""The simulator's own words for the rules say what the clerk's tables say, case by case."""

import pytest

from pipeline.heads import Reading
from rackmeter.fleet.book import TOLERANCE_MS, Book
from rackmeter.fleet.windows import shares
from schemas.report import Report
from schemas.verdict import Verdict
from tests.pipeline import clerk
from tests.pipeline.cases import CASES
from tests.pipeline.clerk import SHORT, Case

FAR_MS = 2**52
KNOWS_NO_BOUND = {"a window may not exceed 64 bits", "a window filled to its last unit"}
"""What a ledger can hold is no rule of metering."""


def said(reading: Reading) -> Report:
    return Report(
        reading.server, reading.origin, reading.since_ms, reading.seq, reading.at_ms,
        reading.up_ms, reading.up_ms, reading.names.meter, reading.names.resource,
        tuple(reading.value.tolist()),
    )  # fmt: skip


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.name not in KNOWS_NO_BOUND], ids=lambda case: case.name
)
def test_case(case: Case) -> None:
    registered = {reading.server: reading.registered_ms for reading in case.readings}
    book = Book(registered, by_broker=False)
    verdicts = [book.enter(said(reading), FAR_MS) for reading in case.readings]
    assert verdicts == case.verdicts, case.why
    found = {
        (clerk.at(start_ms), SHORT[meter, resource]): units
        for (_, meter, resource, start_ms), units in book.windows.items()
        if units
    }
    assert found == clerk.windows(case.windows), case.why


# --- clocks ---------------------------------------------------------------------------------------

APPEND_MS = 10**12
LATER_MS = 7_000
"""Between reading and sending, by the boot clock."""


@pytest.mark.parametrize(
    ("by_broker", "off_ms", "at_ms"),
    [
        (True, TOLERANCE_MS, APPEND_MS - LATER_MS + TOLERANCE_MS),
        (True, TOLERANCE_MS + 1, APPEND_MS - LATER_MS),
        (True, -TOLERANCE_MS, APPEND_MS - LATER_MS - TOLERANCE_MS),
        (True, -TOLERANCE_MS - 1, APPEND_MS - LATER_MS),
        (True, -40 * 86_400_000, APPEND_MS - LATER_MS),
        (False, -40 * 86_400_000, APPEND_MS - LATER_MS - 40 * 86_400_000),
        (False, TOLERANCE_MS + LATER_MS, APPEND_MS + TOLERANCE_MS),
        (False, TOLERANCE_MS + LATER_MS + 1, APPEND_MS),
    ],
)
def test_when_a_report_was_read(by_broker: bool, off_ms: int, at_ms: int) -> None:
    """A broker's stamp proves the time; a sender's own only bounds it. (Registered after it all,
    so that everything is in the reading's own window.)
    """
    shown_ms = APPEND_MS - LATER_MS + off_ms
    report = Report(
        "s", "o", shown_ms, 1, shown_ms, 0, LATER_MS, ("net.tx_bytes",), ("eth0",), (5,)
    )
    book = Book({"s": FAR_MS}, by_broker=by_broker)
    assert book.enter(report, APPEND_MS) is Verdict.ACCEPTED
    assert book.corrected == (shown_ms != at_ms)
    ((_, _, _, start_ms),) = (key for key, units in book.windows.items() if units)
    assert start_ms <= at_ms - 1 < start_ms + 300_000


@pytest.mark.parametrize(
    ("quantity", "since_ms", "at_ms", "expected"),
    [
        (7, 0, 600_000, [(0, 3), (300_000, 4)]),
        (7, 300_000, 300_000, [(0, 7)]),
        (7, 900_000, 300_001, [(300_000, 7)]),
        (10, 299_999, 300_001, [(0, 5), (300_000, 5)]),
        (2**63 - 17, 0, 600_000, [(0, 2**62 - 9), (300_000, 2**62 - 8)]),
    ],
)
def test_shares(quantity: int, since_ms: int, at_ms: int, expected: list[tuple[int, int]]) -> None:
    assert list(shares(quantity, since_ms, at_ms)) == expected
