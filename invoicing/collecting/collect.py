"""Has due invoices paid: resumable at any step, safe for several at once, never twice.

1. Finish what is under way: each attempt that has not ended is asked for at its gateway, by its
   reference or by its metadata, and goes on from where it is. Refunds, events and fees that wait
   for an answer likewise. A crash: the next run asks again.
2. Have balances in a customer's favour pay his open invoices (invoicing.collecting.balances), a
   transaction each account. A crash: the next run does the rest.
3. Plan, from the journal: due invoices with something open, nothing under way and a saved method
   whose time has come. What no payment can move is carried to the account. A crash: nothing.
4. Commit the attempt's row. A crash: step 1 looks it up and finds nothing made.
5. Open the payment at the gateway, with the attempt's id as key; commit its reference. It moves no
   money. A crash before the commit: step 1 finds it by its metadata.
6. Confirm that one payment, which can be paid once; commit its outcome with its entry in the
   books. A crash or an answer that is lost: step 1 asks for it by its reference.
7. Cancel what was declined, so that it cannot be paid beside the next attempt. A crash: step 1
   does.
8. See how each account stands, and tell it (invoicing.collecting.standing), a transaction each.

An invoice's steps are taken under a lock of the session, which ends with its process.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, ParamSpec

import psycopg

from invoicing.collecting.attempt import APPLIED, INTENDED, Till, advance
from invoicing.collecting.balances import apply_balances
from invoicing.collecting.dunning import Policy
from invoicing.collecting.entries import carry
from invoicing.collecting.events import handle
from invoicing.collecting.plan import Chosen, Past, next_try, payable
from invoicing.collecting.refund import finish_refunds
from invoicing.collecting.report import Collected, CollectReport
from invoicing.collecting.standing import see_accounts
from invoicing.gateways.protocol import Gateway, GatewayBusyError, GatewayUnknownError
from schemas.errors import DependencyError, DifferenceError, RefusedError
from sinks.database import Connection, connect, require_schema
from sinks.journal import Kind, hold_account, numbered, post
from sinks.payment_events import waiting_events
from sinks.payment_methods import SavedMethod, method_in_force
from sinks.payments import Attempt, attempts_of, intend, under_way, without_fee
from sinks.payments_due import Due, due_invoices, due_of, to_carry

P = ParamSpec("P")

FEES_FOR: Final = timedelta(days=14)
"""A gateway that has not said its fee after so long says it in its pay-outs only."""


@dataclass(frozen=True, slots=True)
class _Run:
    conn: Connection
    tills: Mapping[str, Till]
    policy: Policy
    clock: Callable[[], datetime]
    report: CollectReport
    step: Callable[[str], None]


def now() -> datetime:
    """The clock in force."""
    return datetime.now(UTC)


def collect(
    url: str,
    gateways: Callable[[Connection], list[Gateway]],
    policy: Policy,
    *,
    clock: Callable[[], datetime] = now,
    sleep: Callable[[float], None] = time.sleep,
    step: Callable[[str], None] = lambda _name: None,
    dry_run: bool = False,
) -> CollectReport:
    """One run over everything. Raises DependencyError when the database goes away: run again."""
    report = CollectReport(dry_run)
    try:
        with connect(url, autocommit=True, application_name="rackmeter collect") as conn:
            require_schema(conn)
            tills = {one.name: Till(conn, one, clock, sleep, step) for one in gateways(conn)}
            run = _Run(conn, tills, policy, clock, report, step)
            if dry_run:
                with conn.transaction(force_rollback=True):
                    report.applied += apply_balances(conn, clock())
                    report.collected += [_would(due, what) for due, what in _planned(run)]
                return report
            _finish(run)
            _apply(run)
            for due, what in _planned(run):
                if isinstance(what, _Charge):
                    _try(run, due.number, _charge, run, due, what)
                elif what == _CARRIED:
                    _try(run, due.number, _carry, run, due)
            report.moved += see_accounts(conn, policy, clock())
    except GatewayBusyError as error:
        report.unknown.append(f"A gateway is busy, the rest waits for the next run: {error}")
    except psycopg.OperationalError as error:
        raise DependencyError(
            f"The database went away while collecting: {str(error).strip()}. Nothing is lost;"
            " collect again."
        ) from error
    return report


# -- step 1 ----------------------------------------------------------------------------------------


def _finish(run: _Run) -> None:
    for attempt in under_way(run.conn):
        if till := run.tills.get(attempt.gateway):
            _try(run, attempt.invoice, _resume, run, till, attempt)
    for till in run.tills.values():
        _try(run, "refunds", finish_refunds, till)
        for told in waiting_events(run.conn, till.gateway.name):
            _try(run, f"event {told.event}", handle, till, told)
    for attempt in without_fee(run.conn, run.clock() - FEES_FOR):
        if till := run.tills.get(attempt.gateway):
            _try(run, attempt.invoice, _fee, till, attempt)


def _resume(run: _Run, till: Till, attempt: Attempt) -> None:
    with _held(run.conn, attempt.invoice) as mine:
        if mine:
            after = advance(till, attempt)
            if (after.state, after.reason) != (attempt.state, attempt.reason):
                run.report.collected.append(_collected(after))


def _fee(till: Till, attempt: Attempt) -> None:
    reference = attempt.reference
    assert reference is not None, "it was paid"
    till.keep(attempt, till.ask(lambda: till.gateway.payment(reference)))


def _apply(run: _Run) -> None:
    for one in apply_balances(run.conn, run.clock()):
        run.report.applied.append(one)
        run.step(APPLIED)


def _try(run: _Run, what: str, act: Callable[P, object], *args: P.args, **rest: P.kwargs) -> None:
    """A call without an answer, or what the books refuse, is of one invoice; the others go on."""
    try:
        act(*args, **rest)
    except (GatewayUnknownError, RefusedError, DifferenceError) as error:
        run.report.unknown.append(f"{what}: {error}")


# -- steps 3 to 7 ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Charge:
    till: Till
    method: SavedMethod


_CARRIED: Final = "carried: too little for a payment"


def _planned(run: _Run) -> Iterator[tuple[Due, _Charge | str]]:
    """Each due invoice, and what is done about it now or why nothing is."""
    early = [name for name, till in run.tills.items() if till.gateway.early]
    for due in due_invoices(run.conn, run.clock(), early):
        method = method_in_force(run.conn, due.account)
        till = run.tills.get(method.gateway) if method else None
        if due.due_at > run.clock() and not (till and till.gateway.early):
            continue  # of several methods the one in force waits
        if method is None or till is None:
            gateway = f"gateway {method.gateway} is not set up" if method else "no saved method"
            yield due, f"waits: {gateway}"
            continue
        amount = payable(due.asked, _carried(run, due), till.gateway.step(due.currency))
        past = [
            Past(one.token, one.reason, one.final, one.ended_at)
            for one in attempts_of(run.conn, due.invoice_id)
            if one.state == "canceled" and one.ended_at is not None
        ]
        chosen = Chosen(method.token, method.added_at)
        first = min(due.due_at, run.clock())
        at = next_try(first, past, chosen, run.policy.retry_days)
        if amount < till.gateway.least(due.currency):
            yield due, _CARRIED
        elif at is None:
            yield due, f"waits for another method: {past[-1].reason}"
        elif at > run.clock():
            yield due, f"tried again {at:%Y-%m-%d}: {past[-1].reason}"
        else:
            yield due, _Charge(till, method)


def _charge(run: _Run, planned: Due, what: _Charge) -> None:
    with _held(run.conn, planned.number) as mine:
        if not mine:
            return  # somebody else is at it
        with run.conn.transaction():  # no other payment asks for what is carried
            hold_account(run.conn, planned.account)
            due = due_of(run.conn, planned.number)
            if due is None or due.asked != planned.asked:
                return
            amount = payable(due.asked, _carried(run, due), what.till.gateway.step(due.currency))
            attempt = intend(
                run.conn, invoice_id=due.invoice_id, gateway=what.method.gateway,
                token=what.method.token, amount=amount, owed=due.asked, at=run.clock(),
            )  # fmt: skip
        if attempt is None:
            return
        run.step(INTENDED)
        run.report.collected.append(_collected(advance(what.till, attempt, fresh=True)))


def _carry(run: _Run, due: Due) -> None:
    with run.conn.transaction():
        hold_account(run.conn, due.account)
        now_due = due_of(run.conn, due.number)
        if now_due is None or now_due.asked != due.asked:
            return  # it was paid meanwhile, or carried
        number = numbered(run.conn, Kind.CARRY, due.number)
        post(run.conn, carry(due, number, run.clock()))
    run.report.collected.append(_would(due, _CARRIED))


def _carried(run: _Run, due: Due) -> Decimal:
    return to_carry(run.conn, due.account, due.currency)


@contextmanager
def _held(conn: Connection, invoice: str) -> Iterator[bool]:
    """The invoice is ours until the end of the block, or of this process; False: another's."""
    row = conn.execute(
        "SELECT pg_try_advisory_lock(hashtext('payment'), hashtext(%s))", (invoice,)
    ).fetchone()
    mine = row is not None and bool(row[0])
    try:
        yield mine
    finally:
        if mine and not conn.closed:
            conn.execute("SELECT pg_advisory_unlock(hashtext('payment'), hashtext(%s))", (invoice,))


def _collected(attempt: Attempt) -> Collected:
    return Collected(
        attempt.invoice, attempt.account, f"{attempt.amount}", attempt.currency, attempt.state,
        attempt.reason or attempt.link,
    )  # fmt: skip


def _would(due: Due, what: _Charge | str) -> Collected:
    state, why = ("due", what.method.label) if isinstance(what, _Charge) else ("open", what)
    return Collected(due.number, due.account, f"{due.asked}", due.currency, state, why)
