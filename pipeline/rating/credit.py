"""Steps 12 and 14, wallet credit: promotional lowers the tax base, paid credit pays. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from pipeline.attribute import apportion
from pipeline.money import from_minor, to_minor
from pipeline.rating.extra import extra, nets
from schemas.billing import Line, LineKind
from schemas.terms import Credit, CreditKind

NEVER: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Draw:
    """How much of a credit an invoice uses."""

    credit: str
    amount: Decimal


def draw(
    credits_: Iterable[Credit], kind: CreditKind, amount: Decimal, at: datetime
) -> tuple[Draw, ...]:
    """What the credits of a kind pay of ``amount`` at the instant ``at``; never more than it.

    By priority, then earliest expiry, then oldest; ties by name. Expiry is half-open.
    """
    drawn: list[Draw] = []
    for credit in sorted(credits_, key=_turn):
        valid = credit.granted_at <= at and (credit.expires_at is None or at < credit.expires_at)
        part = min(credit.left, amount)
        if credit.kind is kind and valid and part > 0:
            drawn.append(Draw(credit.credit, part))
            amount -= part
    return tuple(drawn)


def promotional_lines(
    lines: Sequence[Line], credits_: Iterable[Credit], currency: str, at: datetime
) -> list[Line]:
    """Promotional credit as negative lines, each draw shared among tax categories by their nets."""
    by_tax = {tax: [x for x in lines if x.tax == tax] for tax in sorted({x.tax for x in lines})}
    bases = [max(0, to_minor(nets(mine), currency)) for mine in by_tax.values()]
    found: list[Line] = []
    total = min(max(Decimal(0), nets(lines)), from_minor(sum(bases), currency))
    for one in draw(credits_, CreditKind.PROMOTIONAL, total, at):
        shares = apportion(to_minor(one.amount, currency), bases)
        for number, (tax, share) in enumerate(zip(by_tax, shares, strict=True)):
            if share:
                like, net = by_tax[tax][0], -from_minor(share, currency)
                key = f"{like.scope}/credit/{one.credit}/{tax}"
                found.append(extra(LineKind.CREDIT, key, f"credit {one.credit}", net, like))
            bases[number] -= share
    return found


def _turn(credit: Credit) -> tuple[object, ...]:
    return credit.priority, credit.expires_at or NEVER, credit.granted_at, credit.credit
