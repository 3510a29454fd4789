"""What invoices charged, by tax category and rate, and what was taken back of them until now: what
credit notes may still take. Reads only.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from invoicing.document import INVOICE, Document
from pipeline.money import EXACT
from pipeline.rating.taken import after, room
from schemas.billing import Taken, TaxLine, Used
from schemas.serial import from_json
from schemas.terms import TaxMode, TaxProfile
from sinks.database import Connection

Group = tuple[str, str, Decimal]
"""Invoice, tax category and rate."""


@dataclass(frozen=True, slots=True)
class Charged:
    """An invoice as it stands."""

    number: str
    entity: str
    currency: str
    mode: str
    rounding: str
    period_start: datetime
    about: frozenset[str]
    """Invoices that it corrects, by their numbers."""
    groups: tuple[Taken, ...]


def charged(conn: Connection, accounts: Sequence[str]) -> dict[str, list[Charged]]:
    """The invoices of each account, in the order of their issue."""
    found: dict[str, list[Charged]] = {account: [] for account in accounts}
    rows = conn.execute(_CHARGED, (list(accounts),)).fetchall()
    back = _taken_before(rows)
    for account, number, kind, *terms, start, taxes, credits_, corrected, _, _ in rows:
        if kind == INVOICE:
            entity, currency, mode, rounding = terms
            inclusive = mode == TaxMode.INCLUSIVE
            made = [_group(number, one, inclusive, credits_, back) for one in _taxes(taxes)]
            about = frozenset(corrected)
            one = Charged(number, entity, currency, mode, rounding, start, about, tuple(made))
            found[account].append(one)
    return found


_CHARGED = """
    SELECT account_id, number, kind, entity, currency, document->'profile'->>'mode',
           document->'profile'->>'rounding', period_start, document->'taxes',
           jsonb_path_query_array(document, '$.lines[*] ? (@.line.kind == "credit")'),
           jsonb_path_query_array(document, '$.adjusted[*].invoice'), document->'taken', corrects
    FROM invoice WHERE account_id = ANY(%s) ORDER BY issued_at, number
"""


def _taxes(body: Any) -> tuple[TaxLine, ...]:
    return from_json(tuple[TaxLine, ...], body)


def _group(
    number: str, one: TaxLine, inclusive: bool, credits_: Any, back: dict[Group, list[Taken]]
) -> Taken:
    used: dict[str, Decimal] = defaultdict(Decimal)
    for row in credits_:
        line, rate, net = row["line"], Decimal(row["rate"]), Decimal(row["line"]["net"])
        if (line["tax"], rate) == (one.category, one.rate) and net < 0:
            used[line["title"].removeprefix("credit ")] -= net
    before = back.get((number, one.category, one.rate), ())
    for taken in before:
        for credit in taken.used:
            used[credit.credit] -= credit.back
    return Taken(
        number, one.category, one.rate,
        EXACT.add(one.base, one.tax) if inclusive else one.base, one.tax,
        sum((taken.back for taken in before), Decimal(0)),
        sum((taken.back_tax for taken in before), Decimal(0)),
        tuple(Used(credit, left) for credit, left in used.items()),
    )  # fmt: skip


def _taken_before(rows: Iterable[Sequence[Any]]) -> dict[Group, list[Taken]]:
    """By invoice, what any document took back of it; credit notes from before ``taken`` was said
    took all of theirs from the one invoice that they name.
    """
    found: dict[Group, list[Taken]] = defaultdict(list)
    for row in rows:
        mode, taxes, said, corrects = row[5], row[8], row[11], row[12]
        taken = list(from_json(tuple[Taken, ...], said or []))
        if said is None and corrects:
            with_tax = mode == TaxMode.INCLUSIVE
            taken = [_as_taken(corrects, one, with_tax) for one in _taxes(taxes)]
        for one in taken:
            found[one.invoice, one.category, one.rate].append(one)
    return found


def _as_taken(invoice: str, one: TaxLine, with_tax: bool) -> Taken:
    amount = EXACT.add(one.base, one.tax) if with_tax else one.base
    zero = Decimal(0)
    return Taken(
        invoice, one.category, one.rate, zero, zero, zero, zero, (), -amount, -one.tax
    )  # fmt: skip


def takeable(
    known: Sequence[Charged], profile: TaxProfile, currency: str, entity: str,
    first: Iterable[str] = (),
) -> list[Taken]:  # fmt: skip
    """What can be taken back under this tax treatment, in the order in which it is: of the invoices
    ``first``, of those that name one of them or that one of them names, then the newest period's.
    """
    named = list(dict.fromkeys(first))
    terms = (entity, currency, profile.mode.value, profile.rounding.value)
    same = [one for one in known if (one.entity, one.currency, one.mode, one.rounding) == terms]
    linked = {n for one in same if one.number in named for n in one.about}

    def turn(one: Charged) -> tuple[object, ...]:
        if one.number in named:
            return 0, named.index(one.number)
        near = one.number in linked or bool(one.about & set(named))
        return (1, one.period_start.timestamp()) if near else (2, -one.period_start.timestamp())

    return [
        group for one in sorted(same, key=turn) for group in one.groups if room(group) > 0
    ]  # fmt: skip


def moved(known: Sequence[Charged], document: Document) -> list[Charged]:
    """As they stand after a document."""
    taken = {(one.invoice, one.category, one.rate): after(one) for one in document.taken}
    return [
        Charged(
            one.number, one.entity, one.currency, one.mode, one.rounding, one.period_start,
            one.about,
            tuple(taken.get((g.invoice, g.category, g.rate), g) for g in one.groups),
        )
        for one in known
    ]  # fmt: skip


def stands(known: Sequence[Charged], one: Taken) -> bool:
    """An invoice is still as the document says that it stood."""
    groups = {(g.invoice, g.category, g.rate): g for of in known for g in of.groups}
    now = groups.get((one.invoice, one.category, one.rate))
    return now is not None and (now.charged, now.tax, now.before, now.before_tax, _left(now)) == (
        one.charged, one.tax, one.before, one.before_tax, _left(one),
    )  # fmt: skip


def _left(one: Taken) -> dict[str, Decimal]:
    return {credit.credit: credit.left for credit in one.used}
