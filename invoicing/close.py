"""Closes periods into invoices: idempotent, resumable at any step, safe for several at once.

0. Bring the database and the log of numbers together (invoicing.outside), and note what came for
   sealed periods (invoicing.due). A crash: the next close does.
1. Plan: which scopes make which invoice, and which invoices are made together (invoicing.plan),
   and enter the run (invoicing.runs). A crash: a run without an end.
2. Correct sealed periods of an account, as far as that makes documents of their own
   (invoicing.correct, with its own steps).

Then, of a batch of invoices:

3. Leave out what is sealed; it is reported with its invoice. A crash: nothing.
4. Gate: is everything in, and was nothing of it invoiced before the database was restored? If not
   the invoice waits. A crash: nothing.
5. Freeze in one snapshot: positions, timelines, inputs, and what is left to correct; price;
   reconcile line by line. A difference parks its invoice, not the night. A crash: nothing.
6. Seal: numbers, documents, digests, seals, corrections and positions in one transaction
   (invoicing.seal). A crash before its commit: nothing; after it: the invoices exist and step 3
   finds them.
7. Render the files from the stored documents. A crash: the next close writes them again, the
   same bytes.
8. Note the outcomes for whoever watches (close_outcome), at last those of the run. A crash: the
   next close notes them.

What fails in a batch is done in halves, until whoever is to blame is alone and parked: a batch is
all there or not at all, and one account is a batch of one.
"""

import random
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from time import monotonic
from typing import Final

import psycopg

from invoicing.batch import Closed
from invoicing.due import due, sweep
from invoicing.outside import number_log, settle_numbers
from invoicing.plan import Group, batches, plan
from invoicing.report import CloseReport
from invoicing.run import CREDIT_NOTE_MIN, Run
from invoicing.runs import begin, end
from invoicing.work import Work, session
from schemas.billing import Seller
from schemas.errors import DependencyError
from sinks.database import Connection, require_schema

BATCH_SCOPES: Final = 200
"""Enough for a statement to be worth its round trip, few enough for memory and for one failure."""
LOCK_KEY: Final = 0x7261_636B_636C_6F73  # "rackclos": of the first of several closes
DONE: Final = "done"
"""Last step of every invoice."""


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
    rates: tuple[tuple[date, dict[str, Decimal]], ...] = (),
    folder: Path | None = None,
    batch: int = BATCH_SCOPES,
    processes: int = 1,
    progress: Callable[[Progress], None] | None = None,
) -> CloseReport:
    """Closes one month (``2026-02``), or what is due as of an instant, for all or some accounts.

    ``batch`` is how many scopes are closed together, more only where one invoice has them,
    ``processes`` how many batches at a time.
    ``numbers`` is the log of invoice numbers, ``least`` what a credit note is written for at least,
    ``rates`` the seller's tax rates from when on; always those it has, if nothing is said.
    With ``folder`` each document is written there as JSON and PDF. Raises DependencyError when the
    database goes away or the log cannot be written: close again.
    """
    began = monotonic()
    try:
        with session(url) as conn:
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
            run_id = None if dry_run else begin(
                conn, groups, period_month, as_of, accounts, issued_at
            )  # fmt: skip
            places = {(group.account, group.period): n for n, group in enumerate(groups)}
            told = _Told(progress, len(groups))
            at = issued_at.replace(microsecond=0)
            run = Run(seller, grace_ms, at, dry_run, folder, log, told.step, least, rates)
            due_too = {one.account for one in dues}
            work = Work(url, run, due_too)
            closed: dict[int, Closed] = {}
            for together, done in work.done(
                conn, _in_turn(conn, batches(groups, batch, dry=dry_run, due=due_too)), processes
            ):
                for group, one in zip(together, done, strict=True):
                    closed[places[group.account, group.period]] = one
                told.finished(together)
            each = [closed[number] for number in sorted(closed)]
            if run_id is not None:
                end(conn, run_id, (outcome for one in each for outcome in one.outcomes))
    except psycopg.OperationalError as error:
        raise DependencyError(
            f"The database went away while closing: {str(error).strip()}. Nothing is half done;"
            " close again."
        ) from error
    return CloseReport(
        tuple(outcome for one in each for outcome in one.outcomes),
        dry_run,
        tuple(found for one in each for found in one.unbilled),
        monotonic() - began,
    )


def _in_turn(conn: Connection, wanted: Iterable[list[Group]]) -> list[list[Group]]:
    """The batches in order; where another close is under way, those of a period in any other, so
    that both rarely make the same one. Nothing rests on it: the lock ends with the connection.
    """
    found = list(wanted)
    row = conn.execute("SELECT pg_try_advisory_lock(%s)", (LOCK_KEY,)).fetchone()
    if row != (True,):
        random.shuffle(found)
    return sorted(found, key=lambda groups: groups[0].period.start)


class _Told:
    """Whoever watches is told which step of which account is about to be taken."""

    def __init__(self, progress: Callable[[Progress], None] | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def step(self, name: str, account: str) -> None:
        if self._progress is not None:
            self._progress(Progress(name, account, self._done, self._total))

    def finished(self, groups: Sequence[Group]) -> None:
        for group in groups:
            self._done += 1
            self.step(DONE, group.account)
