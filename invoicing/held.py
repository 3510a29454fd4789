"""Holds what drafts rest on until the transaction ends, and refuses what is no longer so: scopes,
their timelines, seals, looks, wallets, tax profiles, what was taken back of invoices.
"""

from collections.abc import Sequence

from invoicing.charged import charged, stands
from invoicing.document import INVOICE, Document, below_zero
from invoicing.freeze import Frozen
from invoicing.lines import drawable, taxed_at
from invoicing.looks import refuse_looked_at
from schemas.billing import Scope
from schemas.errors import RefusedError
from schemas.terms import Credit, TaxProfile
from sinks.database import Connection
from sinks.scopes import load_scopes
from sinks.tax_profiles import profiles_at
from sinks.wallet import hold, purses


class AlreadySealedError(Exception):
    """Somebody else has closed one of the scopes meanwhile."""


class TimelineChangedError(Exception):
    """What was priced is no longer what timelines, wallet and tax profile say."""


def hold_all(conn: Connection, frozen: Sequence[Frozen]) -> None:
    """Refuses to go on when anything that the drafts rest on is no longer so."""
    lock_scopes(conn, {name: scope for one in frozen for name, scope in one.scopes.items()})
    closing = [(one.draft, priced) for one in frozen for priced in one.draft.priced]
    found = conn.execute(
        "SELECT 1 FROM scope_seal JOIN unnest(%s::text[], %s::timestamptz[])"
        " AS w (scope_id, period_start) USING (scope_id, period_start) LIMIT 1",
        (
            [priced.scope.scope for _, priced in closing],
            [draft.period.start for draft, _ in closing],
        ),
    ).fetchone()
    if found:
        raise AlreadySealedError
    for one in frozen:
        refuse_looked_at(conn, one.looks)
    _refuse_taken(conn, [one.draft for one in frozen])
    # What only corrects rests on wallet and taxes of the corrected invoice.
    drafts = [one.draft for one in frozen if one.draft.priced]
    if drafts and _money(conn, drafts) != [(one.credits, one.profile) for one in drafts]:
        raise TimelineChangedError


def _refuse_taken(conn: Connection, drafts: Sequence[Document]) -> None:
    """What is taken back of invoices was not taken by somebody else since; nobody does until the
    end of the transaction. And no invoice is below zero.
    """
    for draft in drafts:
        if draft.kind == INVOICE and below_zero(draft):
            raise RefusedError(
                f"The invoice of {draft.buyer.account} comes to {draft.totals.gross}"
                f" {draft.currency}: less than nothing is a credit note."
            )
    taking = [draft for draft in drafts if draft.taken]
    if not taking:
        return
    accounts = sorted({draft.buyer.account for draft in taking})
    conn.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('rackmeter taken ' || a, 0))"
        " FROM unnest(%s::text[]) AS a",
        (accounts,),
    )
    known = charged(conn, accounts)
    for draft in taking:
        if not all(stands(known[draft.buyer.account], one) for one in draft.taken):
            raise TimelineChangedError


def lock_scopes(conn: Connection, scopes: dict[str, Scope]) -> None:
    """Scopes first, then their items, whose rows are the locks of every change to a timeline."""
    names = sorted(scopes)
    conn.execute(
        "SELECT 1 FROM rating_scope WHERE scope_id = ANY(%s) ORDER BY scope_id FOR NO KEY UPDATE",
        (names,),
    )
    conn.execute("SELECT 1 FROM item WHERE scope_id = ANY(%s) ORDER BY item_id FOR SHARE", (names,))
    if load_scopes(conn, names) != scopes:
        raise TimelineChangedError


def hold_accounts(conn: Connection, accounts: Sequence[str]) -> None:
    """Nobody else seals, or says anything about, these until the transaction ends."""
    conn.execute(
        "SELECT FROM rating_scope WHERE account_id = ANY(%s) ORDER BY scope_id FOR NO KEY UPDATE",
        (accounts,),
    )


def _money(
    conn: Connection, drafts: Sequence[Document]
) -> list[tuple[tuple[Credit, ...], TaxProfile]]:
    """Wallet and tax profile of each account now; of one period and currency."""
    first, accounts = drafts[0], [draft.buyer.account for draft in drafts]
    hold(conn, accounts)
    wallets = purses(conn, accounts, first.currency, first.issued_at)
    profiles = profiles_at(conn, accounts, taxed_at(first.period))
    return [
        (drawable(wallets[account], draft.taken), profiles[account])
        for draft, account in zip(drafts, accounts, strict=True)
    ]
