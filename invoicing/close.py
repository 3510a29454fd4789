"""Closes periods into invoices: idempotent, resumable at any step, safe for several at once.

0. Bring the database and the log of numbers together (invoicing.outside), and note what came for
   sealed periods (invoicing.due). A crash: the next close does.
1. Plan: which scopes make which invoice. A crash: nothing has happened.
2. Correct sealed periods of the account, as far as that makes documents of their own
   (invoicing.correct, with its own steps).
3. Leave out what is sealed; it is reported with its invoice. A crash: nothing.
4. Gate: is everything in, and was nothing of it invoiced before the database was restored? If not
   the invoice waits. A crash: nothing.
5. Freeze in one snapshot: positions, timelines, inputs, and what is left to correct; price;
   reconcile line by line. A difference parks this invoice, not the night. A crash: nothing.
6. Seal: number, document, digest, seals, corrections and positions in one transaction
   (invoicing.seal). A crash before its commit: nothing; after it: the invoice exists and step 3
   finds it.
7. Render the files from the stored document. A crash: the next close writes them again, the
   same bytes.
8. Note the outcome for whoever watches (close_outcome). A crash: the next close notes it.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Final

import psycopg

from invoicing.correct import correct
from invoicing.due import due, sweep
from invoicing.export import export
from invoicing.freeze import Frozen, take
from invoicing.gate import gate
from invoicing.outcomes import made, note, outcome_of, parked, sealed_outcomes
from invoicing.outside import lost_numbers, number_log, settle_numbers
from invoicing.plan import Group, plan
from invoicing.report import CloseReport, Outcome, Status, Unbilled
from invoicing.run import ATTEMPTS, CREDIT_NOTE_MIN, RACES, Run, busy, guarded
from invoicing.seal import seal
from pipeline.rating.coverage import unmeasured
from schemas.billing import Seller
from schemas.errors import DependencyError, RackmeterError
from sinks.accruals import rate_scope
from sinks.database import Connection, connect, require_schema
from sinks.scopes import load_scopes

STATEMENT_TIMEOUT_MS: Final = 1_800_000
"""Half an hour: the conservation of a customer with thousands of servers is one statement."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A step of one invoice is about to be taken."""

    step: str
    account: str
    done: int
    total: int


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
    least: Decimal = CREDIT_NOTE_MIN,
    folder: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> CloseReport:
    """Closes one month (``2026-02``), or what is due as of an instant, for all or some accounts.

    ``numbers`` is the log of invoice numbers, ``least`` what a credit note is written for at least.
    With ``folder`` each document is written there as JSON and PDF. Raises DependencyError when the
    database goes away or the log cannot be written: close again.
    """
    outcomes: list[Outcome] = []
    unbilled: list[Unbilled] = []
    began = monotonic()
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
                sweep(conn)
            dues = due(conn, accounts, found_too=dry_run)
            correct_too = {(one.account, one.currency, one.timezone) for one in dues}
            groups = plan(
                conn, month_of=period_month, as_of=as_of, accounts=accounts, correct=correct_too
            )
            for done, group in enumerate(groups):

                def step(name: str, group: Group = group, done: int = done) -> None:
                    if progress is not None:
                        progress(Progress(name, group.account, done, len(groups)))

                at = issued_at.replace(microsecond=0)
                run = Run(seller, grace_ms, at, dry_run, folder, log, step, least)
                corrected = correct(conn, group, run)
                unbilled += corrected.unbilled
                outcomes += (_written(conn, outcome, run) for outcome in corrected.outcomes)
                for outcome in _close_group(conn, group, run):
                    outcomes.append(outcome)
                    if not dry_run:
                        note(conn, outcome, run.issued_at)
    except psycopg.OperationalError as error:
        raise DependencyError(
            f"The database went away while closing: {str(error).strip()}. Nothing is half done;"
            " close again."
        ) from error
    return CloseReport(tuple(outcomes), dry_run, tuple(unbilled), monotonic() - began)


def _close_group(conn: Connection, group: Group, run: Run) -> Iterator[Outcome]:
    """The invoices of a group: those that exist, and the one for the scopes that are open."""
    for _ in range(ATTEMPTS):
        existing, open_scopes = sealed_outcomes(conn, group)
        rest = replace(group, scopes=open_scopes)
        try:
            act = partial(_close_open, conn, rest, run)
            new = [guarded(rest, act)] if open_scopes else []
        except RACES:
            continue
        yield from (_written(conn, outcome, run) for outcome in [*existing, *new])
        return
    yield busy(group)


def _close_open(conn: Connection, group: Group, run: Run) -> Outcome:
    """Steps 4 to 6."""
    run.step("gate")
    if reasons := _reasons(conn, group, run):
        return outcome_of(group, Status.WAITING, reasons=reasons)
    run.step("freeze")
    frozen = _freeze(conn, group, run)
    if reasons := _unmeasured(frozen):
        return outcome_of(group, Status.PARKED, reasons=reasons)
    run.step("reconciled")
    found = frozen.reconciliation
    if found.differences:
        return parked(group, found)
    if run.dry_run:
        return made(group, Status.DRAFT, frozen.draft, found.checked)
    final = seal(conn, frozen, group.period.start, run.log, run.step)
    status = Status.ISSUED if final.number else Status.EMPTY
    return made(group, status, final.document, found.checked)


def _reasons(conn: Connection, group: Group, run: Run) -> tuple[str, ...]:
    if lost := lost_numbers(conn, group.scopes, group.period.start):
        was = f"{', '.join(lost)} was issued for this before the database was restored"
        return (f"{was}: enter it again with `rackmeter invoice reenter FILE`.",)
    gates = [
        gate(conn, scope, group.period, grace_ms=run.grace_ms, issued_at=run.issued_at)
        for _, scope in sorted(load_scopes(conn, group.scopes).items())
    ]
    return tuple(dict.fromkeys(reason for one in gates for reason in one.reasons))


def _unmeasured(frozen: Frozen) -> tuple[str, ...]:
    """Percentiles of which less was measured than agreed, where that parks the invoice."""
    return tuple(
        reason
        for one in frozen.draft.priced
        for reason in unmeasured(one.scope, one.inputs, one.as_of)
    )


def _freeze(conn: Connection, group: Group, run: Run) -> Frozen:
    """Step 5. The rater may be behind the ledger: its hints may be lost, so it is asked once."""
    frozen = take(conn, group, run.seller, run.issued_at, run.terms)
    if frozen.reconciliation.stale and not run.dry_run:
        for scope in frozen.reconciliation.stale:
            rate_scope(conn, scope, run.issued_at, run.issued_at, period=group.period)
        frozen = take(conn, group, run.seller, run.issued_at, run.terms)
    return frozen


def _written(conn: Connection, outcome: Outcome, run: Run) -> Outcome:
    """Step 7, also for invoices that existed: their files may be missing."""
    if run.folder is None or run.dry_run or outcome.invoice_id is None:
        return outcome
    run.step("render")
    try:
        files = export(conn, outcome.invoice_id, run.folder)
    except RackmeterError as error:  # the invoice stands; the others must not wait for a disk
        return replace(outcome, reasons=(str(error),))
    return replace(outcome, files=tuple(str(file) for file in files))
