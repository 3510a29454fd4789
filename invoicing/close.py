"""Closes periods into invoices: idempotent, resumable at any step, safe for several at once.

0. Bring the database and the log of numbers together (invoicing.outside). A crash: the next close
   does.
1. Plan: which scopes make which invoice. A crash: nothing has happened.
2. Leave out what is sealed; it is reported with its invoice. A crash: nothing.
3. Gate: is everything in, and was nothing of it invoiced before the database was restored? If not
   the invoice waits. A crash: nothing.
4. Freeze in one snapshot: positions, timelines, inputs; price; reconcile line by line. A
   difference parks this invoice, not the night. A crash: nothing.
5. Seal: number, document, digest, seals and positions in one transaction (invoicing.seal). A
   crash before its commit: nothing; after it: the invoice exists and step 2 finds it.
6. Render the files from the stored document. A crash: the next close writes them again, the
   same bytes.
7. Note the outcome for whoever watches (close_outcome). A crash: the next close notes it.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import psycopg
from psycopg import errors

from invoicing.document import Document
from invoicing.export import export
from invoicing.freeze import Frozen, take
from invoicing.gate import gate
from invoicing.number_log import NumberLog
from invoicing.outcomes import note, outcome_of, sealed_outcomes
from invoicing.outside import lost_numbers, number_log, settle_numbers
from invoicing.plan import Group, plan
from invoicing.report import CloseReport, Outcome, Status
from invoicing.seal import AlreadySealedError, TimelineChangedError, seal
from schemas.billing import Seller
from schemas.errors import DependencyError, RackmeterError
from sinks.accruals import rate_scope
from sinks.database import Connection, NewerSchemaError, connect, require_schema
from sinks.scopes import load_scopes

RACES: Final = (
    AlreadySealedError,
    TimelineChangedError,
    errors.SerializationFailure,
    errors.DeadlockDetected,
)
"""Somebody else was quicker: look again."""
STATEMENT_TIMEOUT_MS: Final = 1_800_000
"""Half an hour: the conservation of a customer with thousands of servers is one statement."""
ATTEMPTS: Final = 5
"""Each lost race means that somebody else went on; five in a row mean that something is wrong."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A step of one invoice is about to be taken."""

    step: str
    account: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class _Run:
    """What all invoices of one close share."""

    seller: Seller
    grace_ms: int
    issued_at: datetime
    dry_run: bool
    folder: Path | None
    log: NumberLog
    step: Callable[[str], None]


def close(
    url: str,
    *,
    seller: Seller,
    issued_at: datetime,
    grace_ms: int,
    numbers: Path,
    period_month: str | None = None,
    as_of: datetime | None = None,
    accounts: Collection[str] | None = None,
    dry_run: bool = False,
    folder: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> CloseReport:
    """Closes one month (``2026-02``), or what is due as of an instant, for all or some accounts.

    ``numbers`` is the log of invoice numbers. With ``folder`` each invoice is written there as JSON
    and PDF. Raises DependencyError when the database goes away or the log cannot be written: close
    again.
    """
    outcomes: list[Outcome] = []
    try:
        with connect(
            url,
            autocommit=True,
            application_name="rackmeter close",
            statement_timeout_ms=STATEMENT_TIMEOUT_MS,
        ) as conn:
            require_schema(conn)
            log = number_log(conn, numbers)
            if not dry_run:
                settle_numbers(conn, log)
            groups = plan(conn, month_of=period_month, as_of=as_of, accounts=accounts)
            for done, group in enumerate(groups):

                def step(name: str, group: Group = group, done: int = done) -> None:
                    if progress is not None:
                        progress(Progress(name, group.account, done, len(groups)))

                at = issued_at.replace(microsecond=0)
                run = _Run(seller, grace_ms, at, dry_run, folder, log, step)
                for outcome in _close_group(conn, group, run):
                    outcomes.append(outcome)
                    if not dry_run:
                        note(conn, outcome, run.issued_at)
    except psycopg.OperationalError as error:
        raise DependencyError(
            f"The database went away while closing: {str(error).strip()}. Nothing is half done;"
            " close again."
        ) from error
    return CloseReport(tuple(outcomes), dry_run)


def _close_group(conn: Connection, group: Group, run: _Run) -> Iterator[Outcome]:
    """The invoices of a group: those that exist, and the one for the scopes that are open."""
    for _ in range(ATTEMPTS):
        existing, open_scopes = sealed_outcomes(conn, group)
        rest = replace(group, scopes=open_scopes)
        try:
            made = [_close_open(conn, rest, run)] if open_scopes else []
        except RACES:
            continue
        yield from (_written(conn, outcome, run) for outcome in [*existing, *made])
        return
    busy = f"The timelines of {group.account} changed {ATTEMPTS} times meanwhile: close again."
    yield outcome_of(group, Status.WAITING, reasons=(busy,))


def _close_open(conn: Connection, group: Group, run: _Run) -> Outcome:
    """Steps 3 to 5. What fails in one invoice parks it; a lost database is not of one invoice."""
    try:
        run.step("gate")
        if reasons := _reasons(conn, group, run):
            return outcome_of(group, Status.WAITING, reasons=reasons)
        run.step("freeze")
        frozen = _freeze(conn, group, run)
        run.step("reconciled")
        if frozen.reconciliation.differences:
            return _parked(group, frozen)
        if run.dry_run:
            return _made(group, Status.DRAFT, frozen.draft, frozen)
        final = seal(conn, frozen.draft, frozen.scopes, run.log, run.step)
        status = Status.ISSUED if final.number else Status.EMPTY
        return _made(group, status, final.document, frozen)
    except (psycopg.OperationalError, NewerSchemaError, *RACES):
        raise
    except Exception as error:  # one failing scope must not stop the others
        known = isinstance(error, RackmeterError)
        reason = str(error) if known else f"{type(error).__name__}: {error}"
        return outcome_of(group, Status.PARKED, reasons=(reason,))


def _reasons(conn: Connection, group: Group, run: _Run) -> tuple[str, ...]:
    if lost := lost_numbers(conn, group.scopes, group.period.start):
        was = f"{', '.join(lost)} was issued for this before the database was restored"
        return (f"{was}: enter it again with `rackmeter invoice reenter FILE`.",)
    gates = [
        gate(conn, scope, group.period, grace_ms=run.grace_ms, issued_at=run.issued_at)
        for _, scope in sorted(load_scopes(conn, group.scopes).items())
    ]
    return tuple(dict.fromkeys(reason for one in gates for reason in one.reasons))


def _freeze(conn: Connection, group: Group, run: _Run) -> Frozen:
    """Step 4. The rater may be behind the ledger: its hints may be lost, so it is asked once."""
    frozen = take(conn, group, run.seller, run.issued_at)
    if frozen.reconciliation.stale and not run.dry_run:
        for scope in frozen.reconciliation.stale:
            rate_scope(conn, scope, run.issued_at, run.issued_at, period=group.period)
        frozen = take(conn, group, run.seller, run.issued_at)
    return frozen


def _written(conn: Connection, outcome: Outcome, run: _Run) -> Outcome:
    """Step 6, also for invoices that existed: their files may be missing."""
    if run.folder is None or run.dry_run or outcome.invoice_id is None:
        return outcome
    run.step("render")
    try:
        files = export(conn, outcome.invoice_id, run.folder)
    except RackmeterError as error:  # the invoice stands; the others must not wait for a disk
        return replace(outcome, reasons=(str(error),))
    return replace(outcome, files=tuple(str(file) for file in files))


def _parked(group: Group, frozen: Frozen) -> Outcome:
    found = frozen.reconciliation
    return outcome_of(
        group,
        Status.PARKED,
        checked=found.checked,
        differences=found.differences,
        reasons=tuple(str(difference) for difference in found.differences),
    )


def _made(group: Group, status: Status, document: Document, frozen: Frozen) -> Outcome:
    billed = bool(document.lines)
    return outcome_of(
        group,
        status,
        invoice_id=document.invoice_id if billed and document.number else None,
        number=document.number or None,
        net=document.totals.net,
        tax=document.totals.tax,
        gross=document.totals.gross,
        lines=len(document.lines),
        checked=frozen.reconciliation.checked,
    )
