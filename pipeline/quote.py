"""What a request costs: priced by the one pricing function, told line by line. Pure.

No broker and no database: the same lines as an invoice's of the same use, with a sentence for each.
A percentage off a line stands beside it. What belongs to no item (an amount off, a minimum, credit)
follows after all items, under its own name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final

from pipeline.money import exact_sum, exact_text
from pipeline.periods import closed
from pipeline.quote_read import Request
from pipeline.rating.price import price
from pipeline.rating.settle import Settlement, settle
from schemas.billing import Line, LineKind, PriceRow, Scope, Seller, Span
from schemas.prices import Allocation, Charge, Fee, Hours, Percentile, Sum

_WHOLE: Final = (LineKind.DISCOUNT, LineKind.TRUE_UP, LineKind.CREDIT)


@dataclass(frozen=True, slots=True)
class QuoteLine:
    """One line; ``gross`` is before discounts, both are without tax."""

    kind: LineKind
    item: str
    """Empty, as ``charge``, where it is of the whole invoice."""
    charge: str
    name: str
    """Of the discount, commitment or credit that a line of the whole invoice is for."""
    service_period: Span
    quantity: Decimal
    unit: str
    price: Decimal
    gross: Decimal
    discount: Decimal
    net: Decimal
    tax_group: str
    explain: str


@dataclass(frozen=True, slots=True)
class Quote:
    """All lines and what they come to."""

    period: Span
    timezone: str
    currency: str
    lines: tuple[QuoteLine, ...]
    totals: Settlement


def quote(request: Request, seller: Seller) -> Quote:
    """The whole month of the request, with tax and credits."""
    scope, period = request.scope, request.inputs.period
    end = closed(period)
    lines = price(scope, request.inputs, end)
    totals = settle(lines, seller, scope.currency, request.profile, request.credits, end)
    beside = {line.key for line in lines if _beside(line, lines)}
    return Quote(
        period,
        scope.timezone,
        scope.currency,
        tuple(
            _quoted(line, [x for x in lines if x.key in beside and _is_of(x, line)], scope)
            for line in sorted(totals.lines, key=_turn)
            if line.key not in beside
        ),
        totals,
    )


def _beside(line: Line, lines: Sequence[Line]) -> bool:
    return line.kind is LineKind.DISCOUNT and any(_is_of(line, other) for other in lines)


def _is_of(discount: Line, line: Line) -> bool:
    """A discount's key begins with that of its line."""
    return discount.key.startswith(f"{line.key}/discount/")


def _whole(line: Line) -> bool:
    """The line is of the whole invoice, whichever item and charge carry it there."""
    return line.kind in _WHOLE


def _turn(line: Line) -> int:
    return _WHOLE.index(line.kind) + 1 if _whole(line) else 0


def _quoted(line: Line, discounts: Sequence[Line], scope: Scope) -> QuoteLine:
    off = -exact_sum(one.net for one in discounts)
    charge = _charge(line, scope.prices) if line.kind is LineKind.CHARGE else None
    said = _off(line, scope) if line.kind is LineKind.DISCOUNT else explained(line, charge)
    return QuoteLine(
        kind=line.kind,
        item="" if _whole(line) else line.item,
        charge="" if _whole(line) else line.charge,
        name=_name(line),
        service_period=line.service,
        quantity=line.quantity,
        unit=line.unit,
        price=line.unit_price,
        gross=line.net,
        discount=off,
        net=line.net - off,
        tax_group=line.tax,
        explain=said + "".join(f"; {one.title.rpartition(', ')[2]} off" for one in discounts),
    )


def _name(line: Line) -> str:
    match line.kind:
        case LineKind.DISCOUNT:
            return line.title
        case LineKind.TRUE_UP:
            return line.charge
        case LineKind.CREDIT:
            return line.title.removeprefix("credit ")
        case _:
            return ""


def _off(line: Line, scope: Scope) -> str:
    """What an amount is taken off."""
    mine = (one for one in scope.discounts if one.name == line.title and one.amount)
    one = next(mine)
    return f"{one.amount} a month off {', '.join(one.charges) or 'all charges'}"


def _charge(line: Line, prices: Sequence[PriceRow]) -> Charge | None:
    """What it was priced by."""
    mine = (row for row in prices if (row.item, row.charge) == (line.item, line.charge))
    return next((row.price for row in mine if row.valid.holds(line.service.start)), None)


def explained(line: Line, charge: Charge | None) -> str:
    """Where the figures of a line come from, in one sentence."""
    if charge is None:
        return line.title
    exact = Fraction(line.quantity) * Fraction(line.unit_price)
    product = f"{line.quantity:f} {line.unit} × {line.unit_price:f} = {exact_text(exact)}"
    if line.capped:
        product += f", capped to {line.net}"
    elif Fraction(line.net) != exact:
        product += f", rounded to {line.net}"
    return f"{_measured(line, charge)}{product}"


def _measured(line: Line, charge: Charge) -> str:
    """What was used, less what is included; nothing for fees, hours and later tiers."""
    unit, used = charge.unit, Fraction(line.base_quantity, charge.unit.is_)
    shown = f"{_short(used)} {unit.name}"
    left = _short(Fraction(line.allowance, unit.is_))
    included = f" − {left} {unit.name} included" if line.allowance else ""
    share = charge.share
    part = f" × {share.taken}/{share.whole}" if share.taken != share.whole else ""
    match charge.quantity:
        case _ if line.tier > 0:
            return ""
        case Sum():
            return f"{shown} used{included}{part}{_carried(line, charge)}; "
        case Percentile(percent=percent):
            return f"{percent}th percentile {shown}; "
        case Allocation():
            return f"{shown} allocated{included}{part}{_carried(line, charge)}; "
        case Fee() | Hours():
            return ""


def _carried(line: Line, charge: Charge) -> str:
    """What rounding left of the lines before; nothing where it left none."""
    unit, share = charge.unit, charge.share
    over = max(0, line.base_quantity - line.allowance)
    due = next(Fraction(one.exact) for one in line.roundings if one.what == "quantity")
    rest = due - Fraction(over * share.taken, unit.is_ * share.whole)
    sign, way = (" + ", "down") if rest > 0 else (" − ", "up")
    return f"{sign}{_short(abs(rest))} {unit.name} rounded {way} before" if rest else ""


def _short(value: Fraction) -> str:
    """Exact where it ends within six decimals, else a rounded one, marked."""
    rounded = round(value, 6)
    text = exact_text(rounded)
    return text if rounded == value else f"≈{text}"
