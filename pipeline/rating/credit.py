"""Steps 12 and 14, wallet credit: promotional lowers the tax base, paid credit pays. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from math import ceil
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
        part = min(credit.left, amount)
        if credit.kind is kind and holds(credit, at) and part > 0:
            drawn.append(Draw(credit.credit, part))
            amount -= part
    return tuple(drawn)


def holds(credit: Credit, at: datetime) -> bool:
    """It may be drawn then."""
    return credit.granted_at <= at and (credit.expires_at is None or at < credit.expires_at)


def promotional_lines(
    rated: Sequence[tuple[Line, Decimal]], credits_: Iterable[Credit], currency: str, at: datetime
) -> list[tuple[Line, Decimal]]:
    """Promotional credit as negative lines, each draw shared by the nets of (category, rate).

    Where one of those is below zero, the others keep what that comes to with its tax: no credit
    makes an invoice less than nothing.
    """
    groups = sorted({(line.tax, rate) for line, rate in rated})
    mine = [[line for line, rate in rated if (line.tax, rate) == group] for group in groups]
    bases = [to_minor(nets(lines), currency) for lines in mine]
    found: list[tuple[Line, Decimal]] = []
    total = from_minor(max(0, sum(bases) - _taxed(groups, bases)), currency)
    bases = [max(0, base) for base in bases]
    for one in draw(credits_, CreditKind.PROMOTIONAL, total, at):
        shares = apportion(to_minor(one.amount, currency), bases)
        for number, ((tax, rate), share) in enumerate(zip(groups, shares, strict=True)):
            if share:
                like, net = mine[number][0], -from_minor(share, currency)
                key = f"{like.scope}/credit/{one.credit}/{tax}/{rate:f}"
                line = extra(LineKind.CREDIT, key, f"credit {one.credit}", net, like)
                found.append((line, rate))
            bases[number] -= share
    return found


def _taxed(groups: Sequence[tuple[str, Decimal]], bases: Sequence[int]) -> int:
    """The most by which the tax of what is below zero can be more than that of the rest: by the
    highest rate, and a minor unit for each rounding."""
    below = [-base for base in bases if base < 0]
    most = max((rate for _, rate in groups), default=Decimal(0))
    return ceil(sum(below) * Fraction(most) / 100) + len(below)


def _turn(credit: Credit) -> tuple[object, ...]:
    return credit.priority, credit.expires_at or NEVER, credit.granted_at, credit.credit
