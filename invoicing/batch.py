"""Steps 2 to 8 of a close (invoicing.close) for many invoices of one period and time zone."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby

from invoicing.correct import correct
from invoicing.due import note_found
from invoicing.export import export
from invoicing.freeze import Frozen, freeze, snapshot
from invoicing.gate import gates
from invoicing.heads import Headed, heads
from invoicing.held import hold_accounts
from invoicing.outcomes import corrected_outcomes, made, note, outcome_of, parked, sealed_outcomes
from invoicing.outside import lost_numbers
from invoicing.plan import Group
from invoicing.report import Outcome, Status, Unbilled
from invoicing.run import ATTEMPTS, FATAL, RACES, Run, busy, failed
from invoicing.seal import Sealed, rehearse, seal
from pipeline.rating.coverage import unmeasured
from schemas.billing import Scope
from schemas.errors import RackmeterError
from sinks.accruals import rate_scope
from sinks.database import Connection
from sinks.scopes import load_scopes

Fate = Frozen | Outcome
"""Priced and reconciled, or why not."""


@dataclass(frozen=True, slots=True)
class Closed:
    """What became of a group."""

    outcomes: tuple[Outcome, ...]
    unbilled: tuple[Unbilled, ...]


def closed(
    conn: Connection, groups: Sequence[Group], run: Run, due_: Collection[str]
) -> list[Closed]:
    """Steps 2 to 8 of a batch."""
    if run.dry_run and (
        len({group.period for group in groups}) > 1
        or any(group.account in due_ for group in groups)
    ):
        return rehearsed(conn, groups, run, due_)
    return list(close_together(conn, groups, run, due_))


def rehearsed(
    conn: Connection, groups: Sequence[Group], run: Run, due_: Collection[str]
) -> list[Closed]:
    """A dry run of all that concerns accounts, corrections first and the oldest period first: what
    each would write is there when the next is priced, and is rolled back. Meanwhile whoever would
    change the accounts waits.
    """
    accounts = sorted({group.account for group in groups})
    again = replace(run, rehearsed=True)
    with _trial(conn, run):
        hold_accounts(conn, accounts)
        if mine := [account for account in accounts if account in due_]:
            note_found(conn, mine)
        return [
            one
            for _, same in groupby(groups, key=lambda group: (group.period, group.timezone))
            for one in close_together(conn, list(same), again, due_)
        ]


@contextmanager
def _trial(conn: Connection, run: Run) -> Iterator[None]:
    """A dry run writes in one transaction, which is rolled back; any other as it comes."""
    if run.rehearsed or not run.dry_run:
        yield
        return
    with conn.transaction(force_rollback=True):
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield


def close_together(
    conn: Connection, groups: Sequence[Group], run: Run, due_: Collection[str]
) -> Iterator[Closed]:
    """Steps 2 to 8 of groups of one period. Corrections are rare, made account by account."""
    before = corrected_outcomes(conn, groups)
    corrected = [correct(conn, one, run) if one.account in due_ else None for one in groups]
    made = close_batch(conn, groups, run)
    noted: list[Outcome] = []
    for known, found, new in zip(before, corrected, made, strict=True):
        own = found.outcomes if found else known
        outcomes = [_written(conn, outcome, run) for outcome in [*own, *new]]
        noted += outcomes
        yield Closed(tuple(outcomes), found.unbilled if found else ())
    if not run.dry_run:
        note(conn, groups, noted, run.issued_at)


def _written(conn: Connection, outcome: Outcome, run: Run) -> Outcome:
    """Step 7, also for invoices that existed: their files may be missing."""
    if run.folder is None or run.dry_run or outcome.invoice_id is None:
        return outcome
    run.step("render", outcome.account)
    try:
        files = export(conn, outcome.invoice_id, run.folder)
    except RackmeterError as error:  # the invoice stands; the others must not wait for a disk
        return replace(outcome, reasons=(str(error),))
    return replace(outcome, files=tuple(str(file) for file in files))


def close_batch(conn: Connection, groups: Sequence[Group], run: Run) -> list[list[Outcome]]:
    """Of each group the invoices that exist, and the one for its scopes that are open."""
    alone = len(groups) == 1
    for _ in range(ATTEMPTS if alone else 1):
        found = sealed_outcomes(conn, groups)
        rest = [
            replace(group, scopes=names)
            for group, (_, names) in zip(groups, found, strict=True)
            if names
        ]
        try:
            new = iter(_close_open(conn, rest, run) if rest else ())
        except RACES:
            continue
        except FATAL:
            raise
        except Exception as error:  # one failing scope must not stop the others
            if not alone:
                break
            new = iter([failed(rest[0], error)])
        return [[*sealed, next(new)] if names else sealed for sealed, names in found]
    if alone:
        return [[busy(groups[0])]]
    half = len(groups) // 2
    return [*close_batch(conn, groups[:half], run), *close_batch(conn, groups[half:], run)]


def _close_open(conn: Connection, groups: Sequence[Group], run: Run) -> list[Outcome]:
    """Steps 4 to 6, of scopes that are not sealed."""
    fates = _frozen(conn, groups, run)
    run.steps(groups)("reconciled")
    ready = [
        (group, one)
        for group, one in zip(groups, fates, strict=True)
        if isinstance(one, Frozen) and not run.dry_run
    ]
    finals: list[Sealed] = []
    if run.rehearsed:
        drafts = [one for one in fates if isinstance(one, Frozen)]
        rehearse(conn, drafts, groups[0].period.start)
    if ready:
        which = run.steps([group for group, _ in ready])
        drafts = [one for _, one in ready]
        finals = seal(conn, drafts, groups[0].period.start, run.log, which)
    sealed = iter(finals)
    outcomes: list[Outcome] = []
    for group, one in zip(groups, fates, strict=True):
        if isinstance(one, Outcome):
            outcomes.append(one)
            continue
        checked = one.reconciliation.checked
        if run.dry_run:
            outcomes.append(made(group, Status.DRAFT, one.draft, checked))
            continue
        final = next(sealed)
        status = Status.ISSUED if final.number else Status.EMPTY
        outcomes.append(made(group, status, final.document, checked))
    return outcomes


def _frozen(conn: Connection, groups: Sequence[Group], run: Run) -> list[Fate]:
    """Step 4 and 5. The rater may be behind the ledger: its hints may be lost, so it is asked once,
    and what it has changed is read again.
    """
    fates = dict(zip(groups, _taken(conn, groups, run), strict=True))
    again = [
        group
        for group, one in fates.items()
        if isinstance(one, Frozen) and one.reconciliation.stale
    ]
    if again:
        with _trial(conn, run):
            for group in again:
                one = fates[group]
                assert isinstance(one, Frozen)
                for scope in one.reconciliation.stale:
                    rate_scope(conn, scope, run.issued_at, run.issued_at, period=group.period)
            fates |= zip(again, _taken(conn, again, run), strict=True)
    return [_judged(group, one) for group, one in fates.items()]


def _judged(group: Group, one: Fate) -> Fate:
    """Parked where figures differ, or where less was measured than agreed."""
    if isinstance(one, Outcome):
        return one
    reasons = tuple(
        reason
        for priced in one.draft.priced
        for reason in unmeasured(priced.scope, priced.inputs, priced.as_of)
    )
    if reasons:
        return outcome_of(group, Status.PARKED, reasons=reasons)
    return parked(group, one.reconciliation) if one.reconciliation.differences else one


def _taken(conn: Connection, groups: Sequence[Group], run: Run) -> list[Fate]:
    """One snapshot of the ledger, from the gate to the reconciliation."""
    run.steps(groups)("gate")
    with snapshot(conn):
        scopes = load_scopes(conn, [name for group in groups for name in group.scopes])
        reasons = _reasons(conn, groups, scopes, run)
        open_ = [group for group in groups if not reasons[group]]
        run.steps(open_)("freeze")
        seller = run.seller_of(groups[0])
        headed = heads(conn, open_, seller, run.issued_at, run.terms) if open_ else []
        fit = [one for one in headed if isinstance(one, Headed)]
        frozen = iter(freeze(conn, fit, scopes))
    made_of = iter([next(frozen) if isinstance(one, Headed) else one for one in headed])
    fates: list[Fate] = []
    for group in groups:
        if reasons[group]:
            fates.append(outcome_of(group, Status.WAITING, reasons=reasons[group]))
            continue
        one = next(made_of)
        fates.append(failed(group, one) if isinstance(one, Exception) else one)
    return fates


def _reasons(
    conn: Connection, groups: Sequence[Group], scopes: dict[str, Scope], run: Run
) -> dict[Group, tuple[str, ...]]:
    """Why each group has to wait; nothing where it need not."""
    period = groups[0].period
    lost = lost_numbers(conn, scopes, period.start)
    wanted = [scopes[name] for name in sorted(scopes)]
    found = gates(conn, wanted, period, grace_ms=run.grace_ms, issued_at=run.issued_at)
    said = {one.scope: one.reasons for one in found}
    reasons: dict[Group, tuple[str, ...]] = {}
    for group in groups:
        numbers = {number for name in group.scopes for number in lost.get(name, ())}
        if numbers:
            was = (
                f"{', '.join(sorted(numbers))} was issued for this before the database was restored"
            )
            reasons[group] = (f"{was}: enter it again with `rackmeter invoice reenter FILE`.",)
        else:
            names = sorted(group.scopes)
            reasons[group] = tuple(dict.fromkeys(why for name in names for why in said[name]))
    return reasons
