"""Step 10: what a sealed period comes to by now, less what was billed for it, line by line. Pure.

Both sides are told apart by the stable keys of lines and their tax category. A line that is new is
compared with nothing, one that has vanished comes to nothing. Where both agree there is no
adjustment. Fees in advance for the period after are that period's affair: it settles them when it
closes, so they are never added here; those that were billed and are never to be settled stand in
``billed`` and vanish.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from pipeline.money import EXACT, exact_sum
from pipeline.rating.commitment import counts, running
from schemas.billing import BilledLine, Inputs, Line, LineKind, Scope

NONE: Final[Mapping[str, Decimal]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Correction:
    """One difference as a line."""

    line: Line
    rate: Decimal | None
    """Tax rate that it was billed at; None: today's."""
    kind: LineKind
    """Of the line that it corrects."""


def adjustments(
    now: Iterable[Line], billed: Sequence[BilledLine], number: int, end: datetime,
    rates: Mapping[str, Decimal] = NONE, usual: Mapping[str, Decimal] = NONE,
) -> list[Correction]:  # fmt: skip
    """Each difference, in the order of ``now``, vanished last.

    ``number`` says which correction of the period it is, from 1; ``end`` is the period's. A new
    line has the rate that ``rates`` gives its key, else that of its tax category among those
    billed, else in ``usual``, None where that has none; one that was billed has its own. Where the
    category of a line has changed, the old one is taken back and the new one charged.
    """
    own = [line for line in now if line.service.start < end]
    before = {(one.key, one.tax): one for one in billed}
    mine = {one.tax: one.rate for one in reversed(billed) if one.kind is not LineKind.BILLED}
    usual = {**usual, **mine}
    taxes: dict[str, set[str]] = defaultdict(set)
    for key, tax in [*before, *((line.key, line.tax) for line in own)]:
        taxes[key].add(tax)
    compared = [(_as_billed(line), before.pop((line.key, line.tax), None)) for line in own]
    compared += [(replace(one, net=Decimal(0)), one) for one in before.values()]
    found: list[Correction] = []
    for one, old in compared:
        net = EXACT.subtract(one.net, old.net) if old else one.net
        rate = old.rate if old else rates.get(one.key, usual.get(one.tax))
        name = one.key if len(taxes[one.key]) == 1 else f"{one.key}/{one.tax}"
        if net:
            found.append(Correction(_line(one, net, f"adjust/{number}/{name}"), rate, one.kind))
    return found


def merged(lines: Iterable[BilledLine]) -> tuple[BilledLine, ...]:
    """One for each key and tax category, in the order of the first: an invoice's line and all that
    corrected it since.
    """
    found: dict[tuple[str, str], list[BilledLine]] = defaultdict(list)
    for line in lines:
        found[line.key, line.tax].append(line)
    return tuple(
        replace(same[0], net=exact_sum(one.net for one in same)) for same in found.values()
    )


def carried(scope: Scope, inputs: Inputs, earlier: Sequence[Correction]) -> Inputs:
    """The inputs of a later period once these corrections of earlier ones are billed: what a
    yearly commitment has come to changes with them.
    """
    spent = {one.commitment: one for one in inputs.spent}
    for commitment, year in running(scope, inputs.period):
        more = exact_sum(
            one.line.net
            for one in earlier
            if one.line.scope == scope.scope
            and one.kind is not LineKind.TRUE_UP
            and year.start <= one.line.service.start < inputs.period.start
            and counts(commitment, one.line)
        )
        if more and (known := spent.get(commitment.name)):
            spent[commitment.name] = replace(known, net=EXACT.add(known.net, more))
    return replace(inputs, spent=tuple(spent.values()))


def _as_billed(line: Line) -> BilledLine:
    """A line as it would have been billed."""
    return BilledLine(
        line.key, line.net, line.tax, Decimal(0), line.title, line.service, line.scope, line.item,
        line.charge, line.version, line.kind,
    )  # fmt: skip


def _line(like: BilledLine, net: Decimal, key: str) -> Line:
    return Line(
        key=key,
        scope=like.scope,
        item=like.item,
        charge=like.charge,
        title=like.title,
        service=like.service,
        quantity=Decimal(1),
        unit=LineKind.ADJUSTMENT.value,
        unit_price=net,
        net=net,
        tax=like.tax,
        version=like.version,
        kind=LineKind.ADJUSTMENT,
        tier=1,
        corrects=like.key,
    )
