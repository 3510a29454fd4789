"""How a quantity of a charge became its net: price row, model, commit, cap, rounding. Pure."""

from collections.abc import Iterator
from decimal import Decimal

from invoicing.explaining.made import Made
from invoicing.explaining.quantity import span_text
from invoicing.explaining.tree import Node
from pipeline.money import exact_text
from pipeline.rating.commit import committed, total_in
from schemas.billing import Line, LineKind, PriceRow
from schemas.prices import Charge, Graduated, Package, PerUnit, Tier, Volume


def price(found: Made, line: Line, currency: str) -> Iterator[Node]:
    """From the price row to the net; the last node is the net itself."""
    segment = found.amount.billable.segment
    yield _row(segment.row, line, currency)
    yield from _commit(found, line, currency)
    for rounding in line.roundings:
        yield Node(f"rounding of {rounding.what}", f"{rounding.exact} → {rounding.rounded}",
                   (_rule(rounding.what, segment.charge, currency),))  # fmt: skip
    if line.capped:
        yield _cap(found, currency)


def net(line: Line, rate: Decimal, currency: str) -> Node:
    """Quantity × price, or the amount itself of lines that are one."""
    capped = " (capped)" if line.capped else ""
    return Node(
        "net",
        f"{line.quantity} × {line.unit_price} = {line.net} {currency}{capped}",
        (f"tax {line.tax} {rate} %, on the invoice's sum",),
    )


def _rule(what: str, charge: Charge, currency: str) -> str:
    if what == "quantity":
        return f"in steps of {charge.unit.step} {charge.unit.name}, half up, never below zero"
    return f"to the minor unit of {currency}, half up away from zero"


def _row(row: PriceRow, line: Line, currency: str) -> Node:
    until = f"valid from {span_text(row.valid)}".replace(" … on", " on").replace(" … ", " to ")
    notes = [f"catalogue {row.version}, {until}"]
    if row.reason:
        notes.append(row.reason)
    if row.price.cap is not None:
        notes.append(f"at most {row.price.cap} {currency} a month")
    return Node("price", f"{line.unit_price} {currency} a {line.unit}", tuple(notes),
                tuple(_model(row.price, line, currency)))  # fmt: skip


def _model(charge: Charge, line: Line, currency: str) -> Iterator[Node]:
    unit = charge.unit.name
    match charge.model:
        case PerUnit():
            return
        case Package(size=size, price=each):
            said = f"{each} {currency} for every {size} {unit} begun; none at zero"
            yield Node("package", said, (f"{line.quantity} begun",))
        case Graduated(tiers=tiers):
            yield Node("graduated", "each unit costs what its own tier says",
                       tuple(_above(line, unit)), tuple(_tiers(tiers, unit, currency)))  # fmt: skip
        case Volume(tiers=tiers):
            yield Node("volume", "all units cost what the tier of the last unit says", (),
                       tuple(_tiers(tiers, unit, currency)))  # fmt: skip


def _above(line: Line, unit: str) -> Iterator[str]:
    if line.kind is LineKind.CHARGE:
        yield f"this line begins above {exact_text(line.above)} {unit}"


def _tiers(tiers: tuple[Tier, ...], unit: str, currency: str) -> Iterator[Node]:
    floor = Decimal(0)
    for number, tier in enumerate(tiers, 1):
        upto = "and on" if tier.up_to is None else f"to {exact_text(tier.up_to)}"
        flat = f", {tier.flat} {currency} flat once it is reached" if tier.flat else ""
        yield Node(f"tier {number}", f"above {exact_text(floor)} {upto} {unit}:"
                   f" {tier.price} {currency}{flat}")  # fmt: skip
        floor = tier.up_to if tier.up_to is not None else floor


def _commit(found: Made, line: Line, currency: str) -> Iterator[Node]:
    terms = [part.charge.commit for part in found.group if part.charge.commit]
    if not terms:
        return
    named = [part.charge.unit.name for part in found.group if part.charge.commit][-1]
    own = found.amount.billable.segment.charge.unit
    agreed = total_in(own, found.group, committed(found.frame.period, found.group))
    used = {id(one.billable): one.billable for one in found.fellows}
    parts = tuple(one.segment for one in used.values())
    drawn, unit = total_in(own, parts, [one.quantity for one in used.values()]), own.name
    yield Node(
        "commit",
        f"{agreed} {unit} are paid, used or not",
        (
            f"agreed {terms[-1].quantity} {named} a month at {terms[-1].price} {currency}",
            f"used {drawn} {unit} in the period; the model prices what is above",
        ),
    )


def _cap(found: Made, currency: str) -> Node:
    amount = found.amount
    exact = Decimal(amount.part.quantity) * Decimal(amount.part.price)
    before = found.fellows[: found.fellows.index(amount)]
    notes = [(f"{found.amount.billable.segment.charge.cap} {currency} a month at most, never"
             " prorated; after a change of price the dearest cap of the month")]  # fmt: skip
    notes += [f"{one.part.quantity} × {one.part.price} = {exact_text(one.amount)} billed before"
              for one in before]  # fmt: skip
    return Node("cap", f"{exact_text(exact)} → {exact_text(amount.amount)} {currency}",
                tuple(notes))  # fmt: skip
