"""What a final document is in the books: receivable, revenue by month of service, fees in advance,
tax, credit. Pure but for :func:`book`, which enters it in the sealing transaction.

A line of a period to come is deferred until the period of its service closes; then all that is
deferred up to that month becomes revenue (``recognition``). Where prices include tax, a line's
revenue is what is left of it without; what rounding leaves goes to the largest of its tax group.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction

from invoicing.document import CREDIT_NOTE, Document, DocumentLine
from pipeline.money import EXACT, exact_sum, round_money
from pipeline.periods import closed, zone
from pipeline.rating.credit import Draw
from schemas.billing import LineKind, TaxLine
from schemas.terms import TaxMode
from sinks import wallet
from sinks.database import Connection
from sinks.journal import Entry, Kind, Posting, post_all
from sinks.receipts import recover

Place = tuple[str, date | None]
"""Ledger and month of service."""


def book(conn: Connection, documents: Sequence[Document]) -> None:
    """Everything of sealed periods, numbered or empty; in the caller's transaction."""
    numbered = [document for document in documents if document.number]
    for document in numbered:
        if taken := draws(document):
            wallet.draw(conn, document.number, taken, document.issued_at)
    post_all(conn, [entry for document in numbered for entry in entries(document)])
    if noted := [one for one in numbered if one.kind == CREDIT_NOTE]:
        numbers = [number for one in noted for number in owed(one)]
        recover(conn, numbers, max(one.issued_at for one in noted))
    _hold_deferred(conn, sorted({document.buyer.account for document in documents}))
    post_all(conn, _recognitions(conn, documents))


def _hold_deferred(conn: Connection, accounts: Sequence[str]) -> None:
    """An invoice and a credit note of one account, sealed at once: one of them recognises."""
    conn.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('rackmeter deferred ' || a, 0))"
        " FROM unnest(%s::text[]) AS a",
        (list(accounts),),
    )


def _recognitions(conn: Connection, documents: Sequence[Document]) -> Iterator[Entry]:
    wanted = [
        (one.buyer.account, one.currency, month_of(one, one.period.start)) for one in documents
    ]
    for document, recognised in zip(documents, deferred(conn, wanted), strict=True):
        if recognised:
            sides = [Posting("deferred", amount, service) for service, amount in recognised]
            sides += [Posting("revenue", -amount, service) for service, amount in recognised]
            yield _entry(Kind.RECOGNITION, document.invoice_id, document, sides)


def draws(document: Document) -> list[Draw]:
    """What the document takes from each credit, promotional and paid; below zero it gives back."""
    taken: dict[str, Decimal] = defaultdict(Decimal)
    for row in document.lines:
        if row.line.kind is LineKind.CREDIT:
            taken[row.line.title.removeprefix("credit ")] -= row.line.net
    return [*(Draw(credit, amount) for credit, amount in taken.items() if amount), *document.paid]


def owed(document: Document) -> dict[str, Decimal]:
    """What it changes of which invoice's receivable: an invoice its own, a credit note those of the
    invoices that it takes back of; all together its gross.
    """
    if document.kind != CREDIT_NOTE:
        return {document.number: document.totals.gross}
    found = {document.corrects: document.totals.gross}
    with_tax = document.profile.mode is TaxMode.INCLUSIVE
    for one in document.taken:
        back = one.back if with_tax else EXACT.add(one.back, one.back_tax)
        found[one.invoice] = EXACT.subtract(found.get(one.invoice, Decimal(0)), back)
        found[document.corrects] = EXACT.add(found[document.corrects], back)
    return found


def entries(document: Document) -> Iterator[Entry]:
    """The document itself, and the paid credit that settles it."""
    note = document.kind == CREDIT_NOTE
    sides = [
        *(Posting("receivable", amount, invoice=by) for by, amount in owed(document).items()),
        *(Posting(place, -amount, month) for (place, month), amount in earned(document)),
        Posting("tax", -document.totals.tax),
    ]
    yield _entry(Kind.CREDIT_NOTE if note else Kind.INVOICE, document.number, document, sides)
    if document.paid:
        paid = exact_sum(one.amount for one in document.paid)
        sides = [Posting("wallet", paid), Posting("receivable", -paid, invoice=document.number)]
        yield _entry(Kind.DRAW, document.number, document, sides)


def earned(document: Document) -> list[tuple[Place, Decimal]]:
    """The net of the document by ledger and month; all together it is the net of its totals."""
    found: dict[Place, Decimal] = defaultdict(Decimal)
    for tax in document.taxes:
        same = (tax.category, tax.rate)
        mine = [row for row in document.lines if (row.line.tax, row.rate) == same]
        for place, amount in _without_tax(document, tax, mine):
            found[place] = EXACT.add(found[place], amount)
    return sorted(found.items(), key=lambda one: (one[0][0], one[0][1] or date.min))


def _without_tax(
    document: Document, tax: TaxLine, rows: Sequence[DocumentLine]
) -> Iterator[tuple[Place, Decimal]]:
    sums: dict[Place, Decimal] = defaultdict(Decimal)
    for row in rows:
        place = _place(document, row)
        sums[place] = EXACT.add(sums[place], row.line.net)
    if document.profile.mode is not TaxMode.INCLUSIVE:
        yield from sums.items()
        return
    largest = max(sums, key=lambda place: abs(sums[place]))
    rest = tax.base
    for place, amount in sums.items():
        if place != largest:
            part = round_money(
                Fraction(amount) * 100 / (100 + Fraction(tax.rate)), document.currency
            )
            rest = EXACT.subtract(rest, part)
            yield place, part
    yield largest, rest


def _place(document: Document, row: DocumentLine) -> Place:
    if row.line.kind is LineKind.CREDIT:
        return "promotion", None
    start = row.line.service.start
    ahead = start >= closed(document.period)
    return "deferred" if ahead else "revenue", month_of(document, start)


def month_of(document: Document, instant: datetime) -> date:
    """The customer's month of an instant, by its first day."""
    return instant.astimezone(zone(document.timezone)).date().replace(day=1)


def deferred(
    conn: Connection, wanted: Sequence[tuple[str, str, date]]
) -> list[list[tuple[date, Decimal]]]:
    """Of each account and currency what is still to become revenue of months up to one; credit, so
    above zero.
    """
    accounts, currencies, until = zip(*wanted, strict=True)
    rows = conn.execute(
        """
        SELECT w.no, p.month, -sum(p.amount)
        FROM unnest(%s::text[], %s::text[], %s::date[])
             WITH ORDINALITY AS w (account_id, currency, until, no)
        JOIN journal_entry e USING (account_id, currency)
        JOIN journal_posting p ON p.entry_id = e.entry_id AND p.ledger = 'deferred'
                              AND p.month <= w.until
        GROUP BY 1, 2 HAVING sum(p.amount) <> 0 ORDER BY 1, 2
        """,
        (list(accounts), list(currencies), list(until)),
    )
    found: list[list[tuple[date, Decimal]]] = [[] for _ in wanted]
    for number, month, amount in rows:
        found[number - 1].append((month, amount))
    return found


def _entry(kind: Kind, reference: str, document: Document, sides: Sequence[Posting]) -> Entry:
    account, currency = document.buyer.account, document.currency
    return Entry(kind, reference, document.issued_at, account, currency, tuple(sides))
