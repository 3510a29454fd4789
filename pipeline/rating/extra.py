"""Lines that no price row makes: discounts, true-ups, credit. Pure."""

from collections.abc import Iterable
from decimal import Decimal

from pipeline.money import exact_sum
from schemas.billing import Line, LineKind, Span


def extra(
    kind: LineKind, key: str, title: str, net: Decimal, like: Line, service: Span | None = None
) -> Line:
    """One line of a fixed amount, with the item, charge, tax and time of ``like``."""
    return Line(
        key=key,
        scope=like.scope,
        item=like.item,
        charge=like.charge,
        title=title,
        service=service or like.service,
        quantity=Decimal(1),
        unit=kind.value,
        unit_price=net,
        net=net,
        tax=like.tax,
        version=like.version,
        kind=kind,
        tier=like.tier + 1,
    )


def nets(lines: Iterable[Line]) -> Decimal:
    return exact_sum(line.net for line in lines)
