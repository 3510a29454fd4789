"""Act three: the fleet's month and this machine's rental become invoices; every file is checked."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

from invoicing.close import Progress as Step
from invoicing.close import close
from invoicing.report import CloseReport, Status
from invoicing.verify import verify
from rackmeter.demo.customers import OWNER
from rackmeter.demo.result import Invoices, Reconciliation, ThisMachine
from schemas.billing import Seller
from sinks.database import Connection

GRACE_MS: Final = 1_000
"""The servers here have no clocks that could be off, and the broker no backlog."""
WAIT_SECONDS: Final = 20.0

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Books:
    """What act three came to."""

    invoices: Invoices
    reconciliation: Reconciliation
    own: CloseReport
    """Of this machine."""


def close_books(
    url: str, seller: Seller, month: str, accounts: Sequence[str], folder: Path, progress: Progress
) -> Books:
    """The fleet's month, this machine's rental, and every file of both."""
    report = close_month(url, seller, month, accounts, folder, progress)
    own = close_here(url, seller, folder)
    found = invoices(month, len(accounts), report)
    return Books(found, reconciled(report, own), own)


def close_month(
    url: str, seller: Seller, month: str, accounts: Sequence[str], folder: Path, progress: Progress
) -> CloseReport:
    """The fleet's month, for all its customers."""

    def step(at: Step) -> None:
        progress(at.done, at.total)

    return close(
        url,
        seller=seller,
        issued_at=datetime.now(UTC),
        grace_ms=GRACE_MS,
        numbers=_numbers(folder),
        period_month=month,
        accounts=accounts,
        folder=folder,
        progress=step,
    )


def close_here(url: str, seller: Seller, folder: Path) -> CloseReport:
    """This machine's final invoice, as soon as every partition is metered past its end."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        now = datetime.now(UTC)
        report = close(
            url,
            seller=seller,
            issued_at=now,
            grace_ms=GRACE_MS,
            numbers=_numbers(folder),
            as_of=now,
            accounts=[OWNER.account],
            folder=folder,
        )
        if not report.having(Status.WAITING) or time.monotonic() > deadline:
            return report
        time.sleep(0.25)


def _numbers(folder: Path) -> Path:
    """The number log of the demo's own ledger, where `invoice close --data-dir` looks for it."""
    return folder.parent / "numbers.log"


def invoices(month: str, expected: int, report: CloseReport) -> Invoices:
    """What was issued, and whether the files are what they say."""
    issued = report.having(Status.ISSUED)
    currency, total = next(iter(report.totals().items()), ("", Decimal(0)))
    files = [Path(file) for outcome in issued for file in outcome.files]
    altered = sum(1 for file in files if verify(file))
    pdfs = sorted(file for file in files if file.suffix == ".pdf")
    return Invoices(
        month=month,
        count=len(issued),
        expected=expected,
        total=total,
        currency=currency,
        pdf=str(pdfs[0]) if pdfs else "",
        verified=len(files) - altered,
        altered=altered,
        reasons=tuple(reason for outcome in report.outcomes for reason in outcome.reasons),
    )


def with_invoice(machine: ThisMachine, report: CloseReport) -> ThisMachine:
    """This machine with its final invoice."""
    for outcome in report.having(Status.ISSUED):
        return replace(
            machine, invoice=outcome.number, total=outcome.gross, currency=outcome.currency
        )
    return machine


def reconciled(*reports: CloseReport) -> Reconciliation:
    """All comparisons that were made before the seals."""
    return Reconciliation(
        sum(report.checked for report in reports),
        sum(len(report.differences) for report in reports),
    )


def dearest_line(conn: Connection, month_start: datetime) -> str | None:
    """The line of the month with the largest amount that was metered: the one to explain."""
    row = conn.execute(
        """
        SELECT number || '/' || position FROM invoice_line l JOIN invoice USING (invoice_id)
        WHERE period_start = %s AND line_key LIKE '%%/traffic/%%' ORDER BY l.net DESC, 1
        """,
        (month_start,),
    ).fetchone()
    return None if row is None else str(row[0])
