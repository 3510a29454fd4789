"""Corrects what was billed for sealed periods of one account, in documents of their own.

1. Price everything that is due again, in one snapshot, and sort it: credit notes and other
   documents of their own; what goes to the next invoice is that one's affair (invoicing.freeze). A
   crash: nothing.
2. Reconcile each like an invoice. A difference parks it alone. A crash: nothing.
3. Seal each in a transaction of its own, as an invoice is: number, document, digest, and what it
   has taken into account, so that it happens once. A crash before its commit: nothing; after it:
   the document exists, and what it billed is no longer due.
4. Note where a look found nothing to bill, so that it is not priced again. A crash: it is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from invoicing.freeze import Frozen, positions, snapshot
from invoicing.heads import headers_of
from invoicing.held import lock_scopes
from invoicing.looks import keep_looks, refuse_looked_at
from invoicing.outcomes import corrected_outcomes, made, outcome_of, parked
from invoicing.outside import lost_of
from invoicing.papers import Paper, Papers, papers
from invoicing.plan import Group
from invoicing.recompute import Look, looks_of
from invoicing.reconcile import reconcile
from invoicing.report import Outcome, Status, Unbilled
from invoicing.run import ATTEMPTS, RACES, Run, busy, guarded
from invoicing.seal import rehearse, seal
from schemas.billing import Scope
from sinks.database import Connection, hold_schema

NEXT: Final = "next invoice"


@dataclass(frozen=True, slots=True)
class Corrected:
    """Documents of their own, and everything that differed when it was looked at."""

    outcomes: list[Outcome]
    unbilled: tuple[Unbilled, ...] = ()


@dataclass(frozen=True, slots=True)
class _Examined:
    """Step 1 and 2."""

    looks: Sequence[Look]
    found: Papers
    drafts: Sequence[Frozen | Outcome]


def correct(conn: Connection, group: Group, run: Run) -> Corrected:
    """The documents that the close of this group's period made before, and those it makes now."""
    [outcomes] = corrected_outcomes(conn, [group])
    for _ in range(ATTEMPTS):
        try:
            examined = guarded(group, partial(_examine, conn, group, run))
            if not isinstance(examined, _Examined):
                whole = [replace(examined, about="")] if examined else []
                return Corrected([*outcomes, *whole])
            for frozen in examined.drafts:  # a lost race leaves those before it issued, and said
                _issue(conn, group, run, frozen, outcomes)
            if run.rehearsed or not run.dry_run:
                _note_nothing(conn, examined, group, run)
            return Corrected(outcomes, tuple(_unbilled(examined)))
        except RACES:
            continue
    return Corrected([*outcomes, replace(busy(group), about="")])


def _examine(conn: Connection, group: Group, run: Run) -> _Examined | Outcome | None:
    """None where nothing is due; an outcome where it has to wait."""
    with snapshot(conn):
        looks = looks_of(conn, [group.account], found_too=run.terms.found_too)
        if not looks:
            return None
        if lost := lost_of(conn, [group.account]).get(group.account):
            said = (
                f"{', '.join(lost)} was issued before the database was restored, so what it"
                " corrected is not known: enter it again with `rackmeter invoice reenter FILE`."
            )
            return outcome_of(group, Status.WAITING, reasons=(said,))
        header = headers_of(conn, [group], run.seller_of(group), run.issued_at)(group)
        found = papers(conn, looks, header, run.terms)
        drafts = [_drafted(conn, group, paper) for paper in found.own]
        return _Examined(looks, found, drafts)


def _drafted(conn: Connection, group: Group, paper: Paper) -> Frozen | Outcome:
    """The document, or why there is none."""
    scopes = tuple(sorted({look.due.scope for look in paper.looks}))
    mine = replace(group, period=paper.header.period, scopes=scopes)
    made = guarded(mine, partial(_draft, conn, paper))
    if isinstance(made, Frozen):
        return made
    return replace(made, kind=paper.header.kind, about=paper.looks[0].adjusted.invoice)


def _draft(conn: Connection, paper: Paper) -> Frozen:
    """The document, reconciled."""
    document = paper.draft(positions(conn))
    scopes = {look.due.scope: look.scope for look in paper.looks}
    [found] = reconcile(conn, [document])
    return Frozen(document, scopes, found, looks=paper.looks)


def _issue(
    conn: Connection, group: Group, run: Run, frozen: Frozen | Outcome, outcomes: list[Outcome]
) -> None:
    if isinstance(frozen, Outcome):
        outcomes.append(frozen)
        return
    draft, found = frozen.draft, frozen.reconciliation
    mine = replace(group, period=draft.period, scopes=tuple(frozen.scopes))

    def issue() -> Outcome:
        if found.differences:
            return parked(mine, found)
        if run.rehearsed:
            rehearse(conn, [frozen], group.period.start)
        if run.dry_run:
            return made(mine, Status.DRAFT, draft, found.checked)
        [final] = seal(conn, [frozen], group.period.start, run.log, run.steps([group]))
        return made(mine, Status.ISSUED, final.document, found.checked)

    about = draft.adjusted[0].invoice
    outcomes.append(replace(guarded(mine, issue), kind=draft.kind, about=about))


def _note_nothing(conn: Connection, examined: _Examined, group: Group, run: Run) -> None:
    """Looks that came to what was billed; those that could not be made stay due, and those that are
    kept with the next invoice.
    """
    done = [one for one in examined.looks if one.same and one not in examined.found.along]
    if not done:
        return
    scopes: dict[str, Scope] = {look.due.scope: look.scope for look in done}
    with conn.transaction():
        hold_schema(conn)
        lock_scopes(conn, scopes)
        refuse_looked_at(conn, done)
        keep_looks(conn, done, run.issued_at, group.period.start)


def _unbilled(examined: _Examined) -> Iterator[Unbilled]:
    own = {id(look): paper for paper in examined.found.own for look in paper.looks}
    for look in examined.looks:
        if look.corrections or look.refused:
            paper = own.get(id(look))
            yield unbilled(look, look.refused or (paper.header.kind if paper else NEXT))


def unbilled(look: Look, goes: str) -> Unbilled:
    """The look as a close tells it."""
    due = look.due
    return Unbilled(
        due.account, due.currency, due.scope, due.period, look.adjusted.invoice, look.net,
        len(look.corrections), due.why, goes,
    )  # fmt: skip
