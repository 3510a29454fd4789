"""How far the use of what is included has come, live. Pure; steps 1 to 5 of ``price``."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pipeline.rating.allowance import Place, included, pots
from pipeline.rating.charge import Frame
from pipeline.rating.cut import Group, Segment, cut
from pipeline.rating.gate import gate
from pipeline.rating.lots import available, packs_of, total
from pipeline.rating.price import measured
from schemas.billing import Inputs, Scope
from schemas.prices import Allocation, Charge, Fee, Percentile, Sum, Unit


@dataclass(frozen=True, slots=True)
class Progress:
    """Use of one charge of one item, or of a pool, in the period so far."""

    item: str
    """Empty for a pool."""
    charge: str
    """The charge, or the pool."""
    used: int
    """Base units."""
    allowance: int
    """Base units included in this period, prorated, and what packs and rollovers hold."""
    percent: int
    """Whole percent of the allowance, rounded down; 0 when nothing is included."""
    unit: Unit
    """The billing unit, for display."""
    charged: Charge
    """The newest price that draws: it says at what the customer is told."""
    limit_version: str
    """Changes when the agreed limit does, and not when proration moves the figure."""
    version: str
    """Of the newest price."""


def progress(scope: Scope, inputs: Inputs, as_of: datetime) -> tuple[Progress, ...]:
    """One entry for each metered charge or pool that has begun by ``as_of``, by item and charge."""
    frame = Frame(scope, gate(scope, inputs), as_of)
    return progress_of(frame, inputs, measured(frame, inputs, cut(scope, frame.period)))


def progress_of(
    frame: Frame, inputs: Inputs, measured_groups: Iterable[Group]
) -> tuple[Progress, ...]:
    """The same of groups that are measured."""
    groups = [group for group in measured_groups if not is_rate(group)]
    lots = available(frame.scope, inputs)
    bought = tuple(packs_of(frame.scope, frame.period))
    found = (
        entry
        for pot, places in pots(groups).items()
        for entry in _progress(frame, groups, pot, places, (total(lots, pot), total(bought, pot)))
    )
    return tuple(sorted(found, key=lambda entry: (entry.item, entry.charge)))


def is_rate(group: Group) -> bool:
    return isinstance(group[0].charge.quantity, Percentile)


def _progress(
    frame: Frame, groups: Sequence[Group], pot: str, places: Sequence[Place], lots: tuple[int, int]
) -> Iterator[Progress]:
    """``lots``: base units of packs and rollovers that are left, and of packs as bought."""
    begun = [groups[g][s] for g, s in places if groups[g][s].start < frame.as_of]
    drawing = [
        segment for segment in begun if isinstance(segment.charge.quantity, Sum | Allocation)
    ]
    if not drawing:
        return
    newest = drawing[-1]
    pool = pot.removeprefix("/") if pot.startswith("/") else ""
    limit = included(frame.period, groups, places) + lots[0]
    used = sum(segment.used for segment in begun if not isinstance(segment.charge.quantity, Fee))
    yield Progress(
        item="" if pool else newest.row.item,
        charge=pool or newest.row.charge,
        used=used,
        allowance=limit,
        percent=used * 100 // limit if limit else 0,
        unit=newest.charge.unit,
        charged=newest.charge,
        limit_version=f"{newest.row.version}/{_agreed(begun) + lots[1]}",
        version=newest.row.version,
    )


def _agreed(begun: Sequence[Segment]) -> int:
    """The limit as it is written: of a charge its newest, of a pool the sum of its members'."""
    newest: dict[tuple[str, str], int] = {}
    for segment in begun:
        terms = segment.charge.allowance
        newest[segment.row.item, segment.row.charge] = terms.quantity if terms else 0
    return sum(newest.values())
