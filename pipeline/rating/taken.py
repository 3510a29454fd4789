"""What corrections take back of earlier invoices, and the tax of that. Pure.

What an invoice used of promotional credit in a tax category and rate is given back first, the
credit that was drawn last before others; only what is more was owed, and is taken back with its
tax. Tax is cumulative: of all that was taken back of an invoice by now, less the taxes of the
credit notes before. So those of many notes never come to more than the invoice's, and all of it
taken back is its tax to the minor unit (EN 16931 leaves a credit note the difference: BR-CO-17 is
about base × rate of one document, in the rules that come with it within one unit).
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from pipeline.money import EXACT, exact_sum
from pipeline.rating.extra import extra
from pipeline.rating.tax import tax_line
from schemas.billing import Line, LineKind, Taken, TaxLine, Used
from schemas.terms import Credit, TaxMode, TaxProfile

Group = tuple[str, Decimal]
"""Tax category and rate."""
ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class Taking:
    """What may be taken back, and by what."""

    earlier: tuple[Taken, ...] = ()
    """Of earlier invoices, as they stand, in the order in which they are taken from."""
    corrects: Mapping[str, str] = field(default_factory=dict)
    """Key of an adjustment, or of a line of a fee that was billed in advance → number of the
    invoice that it corrects, or that billed the fee.
    """
    note: bool = False
    """A credit note takes back what was owed too; on an invoice that makes it cheaper."""


NOTHING: Final = Taking()


def taken_back(
    rated: Sequence[tuple[Line, Decimal]], taking: Taking, currency: str, profile: TaxProfile,
    again: Collection[str] = (),
) -> tuple[Taken, ...]:  # fmt: skip
    """What these lines take back: a credit note by what each category and rate comes to below zero,
    first of the invoices that its lines correct, of each what they come to; an invoice by what its
    lines correct of each earlier invoice together, and of credit alone.

    What goes on at another rate is no money where credit had paid it: no tax was charged on it. So
    an invoice gives that back too, of credit that may be drawn ``again`` at the new rate.
    """
    lacks: dict[object, Decimal] = defaultdict(Decimal)
    own: dict[tuple[str, Group], Decimal] = defaultdict(Decimal)
    for line, rate in rated:
        group, about = (line.tax, rate), taking.corrects.get(line.key, "")
        own[about, group] = EXACT.subtract(own[about, group], line.net)
        whole = group if taking.note else about
        lacks[whole] = EXACT.subtract(lacks[whole], line.net)
    mine = [own[one.invoice, (one.category, one.rate)] for one in taking.earlier]
    amounts = _amounts(taking, mine, lacks, again)
    return tuple(
        take(one, amount, currency, profile)
        for one, amount in zip(taking.earlier, amounts, strict=True)
        if amount > 0
    )


def _amounts(
    taking: Taking, own: Sequence[Decimal], lacks: dict[object, Decimal], again: Collection[str]
) -> list[Decimal]:
    """How much is taken of each: up to its own, in order, then by a credit note what is left."""
    amounts = [ZERO] * len(own)
    rooms = [room(one) if taking.note else room_of_credit(one) for one in taking.earlier]
    for limits in (own, rooms) if taking.note else (own,):
        for number, (one, limit) in enumerate(zip(taking.earlier, limits, strict=True)):
            whole = (one.category, one.rate) if taking.note else one.invoice
            free = EXACT.subtract(rooms[number], amounts[number])
            part = max(ZERO, min(limit, free, lacks[whole]))
            if not taking.note:
                part = max(part, min(EXACT.subtract(limit, owed(one)), room_of_credit(one, again)))
            amounts[number] = EXACT.add(amounts[number], part)
            lacks[whole] = EXACT.subtract(lacks[whole], part)
    return amounts


def take(one: Taken, amount: Decimal, currency: str, profile: TaxProfile) -> Taken:
    """``amount`` of the invoice, or as much as there is: credit first, the last drawn before."""
    used: list[Used] = []
    for credit in reversed(one.used):
        part = min(credit.left, amount)
        used.insert(0, replace(credit, back=part))
        amount = EXACT.subtract(amount, part)
    back = min(amount, owed(one))
    total = EXACT.add(one.before, back)
    tax = EXACT.subtract(tax_until(one, total, currency, profile), one.before_tax)
    return replace(one, used=tuple(used), back=back, back_tax=tax if back else ZERO)


def tax_until(one: Taken, total: Decimal, currency: str, profile: TaxProfile) -> Decimal:
    """The tax of all that was taken back of an invoice; of the whole exactly what it charged."""
    if total == one.charged:
        return one.tax
    return tax_line(one.category, total, one.rate, currency, profile).tax


def room(one: Taken) -> Decimal:
    """The most that can be taken back."""
    return EXACT.add(owed(one), room_of_credit(one))


def owed(one: Taken) -> Decimal:
    """What it charged beyond credit, and credit notes have not taken back."""
    return max(ZERO, EXACT.subtract(one.charged, one.before))


def room_of_credit(one: Taken, among: Collection[str] | None = None) -> Decimal:
    return exact_sum(u.left for u in one.used if among is None or u.credit in among)


def given(one: Taken) -> Decimal:
    """The credit that it gives back."""
    return exact_sum(credit.back for credit in one.used)


def home(taken: Iterable[Taken]) -> dict[str, Decimal]:
    """What is given back to each credit."""
    found: dict[str, Decimal] = defaultdict(Decimal)
    for one in taken:
        for credit in one.used:
            if credit.back:
                found[credit.credit] = EXACT.add(found[credit.credit], credit.back)
    return dict(found)


def purse(credits_: Iterable[Credit], taken: Iterable[Taken]) -> tuple[Credit, ...]:
    """What there is to draw once credit is given back."""
    back = home(taken)
    return tuple(
        replace(one, left=EXACT.add(one.left, back.get(one.credit, ZERO))) for one in credits_
    )


def untaken(one: Taken) -> Taken:
    """As it stood before the document."""
    used = tuple(replace(credit, back=ZERO) for credit in one.used)
    return replace(one, used=used, back=ZERO, back_tax=ZERO)


def after(one: Taken) -> Taken:
    """As it stands after the document."""
    used = tuple(Used(u.credit, EXACT.subtract(u.left, u.back)) for u in one.used)
    before = EXACT.add(one.before, one.back)
    before_tax = EXACT.add(one.before_tax, one.back_tax)
    return replace(untaken(one), before=before, before_tax=before_tax, used=used)


def given_lines(
    rated: Sequence[tuple[Line, Decimal]], taken: Iterable[Taken]
) -> Iterator[tuple[Line, Decimal]]:
    """A line for each credit that is given back: above zero, taxed as what it had lowered."""
    for one in taken:
        like = next(line for line, rate in rated if (line.tax, rate) == (one.category, one.rate))
        for credit in one.used:
            if credit.back:
                name = f"return/{one.invoice}/{credit.credit}/{one.category}/{one.rate:f}"
                title = f"credit {credit.credit}"
                key = f"{like.scope}/{name}"
                yield extra(LineKind.CREDIT, key, title, credit.back, like), one.rate


def note_taxes(
    taxes: Iterable[TaxLine], taken: Sequence[Taken], currency: str, profile: TaxProfile
) -> tuple[TaxLine, ...]:
    """Those of a credit note: cumulative, as far as it takes back what invoices charged."""
    return tuple(_note_tax(one, taken, currency, profile) for one in taxes)


def _note_tax(one: TaxLine, taken: Sequence[Taken], currency: str, profile: TaxProfile) -> TaxLine:
    mine = [t for t in taken if (t.category, t.rate) == (one.category, one.rate) and t.back]
    if not mine:
        return one
    inclusive = profile.mode is TaxMode.INCLUSIVE
    amount = EXACT.add(one.base, one.tax) if inclusive else one.base
    rest = EXACT.add(amount, exact_sum(t.back for t in mine))
    plain = tax_line(one.category, rest, one.rate, currency, profile)
    tax = EXACT.subtract(plain.tax, exact_sum(t.back_tax for t in mine))
    return replace(one, base=EXACT.subtract(amount, tax) if inclusive else amount, tax=tax)


def beyond(taxes: Iterable[TaxLine], taken: Sequence[Taken], profile: TaxProfile) -> bool:
    """The credit note comes to less, in a category and rate, than it takes back of invoices."""
    inclusive = profile.mode is TaxMode.INCLUSIVE
    left: dict[Group, Decimal] = defaultdict(Decimal)
    for tax in taxes:
        amount = EXACT.add(tax.base, tax.tax) if inclusive else tax.base
        left[tax.category, tax.rate] = EXACT.add(left[tax.category, tax.rate], amount)
    for one in taken:
        left[one.category, one.rate] = EXACT.add(left[one.category, one.rate], one.back)
    return any(amount < 0 for amount in left.values())
