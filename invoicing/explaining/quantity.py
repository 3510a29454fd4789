"""How a line of a charge came to its quantity: measured, included, billed. Pure."""

from collections.abc import Iterator
from datetime import timedelta
from fractions import Fraction
from typing import Final

from invoicing.explaining.made import Made
from invoicing.explaining.tree import Chart, Node
from pipeline.money import exact_text
from pipeline.periods import closed
from pipeline.rating.allowance import included, pots
from pipeline.rating.billable import time_share
from pipeline.rating.bookings import bookings
from pipeline.rating.cut import Segment, cut
from pipeline.rating.lots import available
from pipeline.rating.percentile import EPOCH, Pooled, Windows, pooled, pools
from schemas.billing import Inputs, Line, LineKind, PriceRow, Span
from schemas.prices import Allocation, Bill, Every, Fee, Hours, Missing, Percentile, Sum, Take
from schemas.serial import instant_text
from schemas.spans import WIDTH_MS

HIGHEST: Final = 5
"""How many of the windows that are passed over are shown one by one."""


def quantity(found: Made, inputs: Inputs, line: Line) -> Iterator[Node]:
    """Time or measurement, what is included, and what is billed of it."""
    if line.kind is LineKind.FLAT:
        return
    segment = found.amount.billable.segment
    match segment.charge.quantity:
        case Fee():
            yield _fee(found, line)
        case Hours():
            yield _rented(found, line)
            yield Node(
                "quantity", f"{line.quantity} hours started ({line.base_quantity} ms rented)",
                ("an hour counts where it starts, from the minute of hand-over",),
            )  # fmt: skip
        case Allocation(count=count):
            yield _rented(found, line)
            yield Node(
                "allocated", f"{segment.used} ms",
                (f"{count} at a time, by the timeline: a silent server is still allocated",),
            )  # fmt: skip
        case Percentile() as model:
            yield _percentile(found, inputs, model)
        case Sum():
            pass
    if not isinstance(segment.charge.quantity, Fee | Hours):
        yield from _included(found, inputs)
        yield _over(found, line)


def span_text(span: Span) -> str:
    end = "on" if span.end is None else instant_text(span.end)
    return f"{instant_text(span.start)} … {end}"


def _fee(found: Made, line: Line) -> Node:
    segment = found.amount.billable.segment
    fee, period = segment.charge.quantity, found.frame.period
    assert isinstance(fee, Fee)
    if fee.every is Every.ONCE:
        began, due = segment.item.valid.start, instant_text(segment.start)
        said = f"once, in the period in which {segment.title} began: {instant_text(began)}"
        free = f"once; {segment.title} began {instant_text(began)}: free until {due}"
        return Node("quantity", f"{line.quantity} fee", (said if began == segment.start else free,))
    if fee.every is Every.BOOKED:
        at = f"at {instant_text(segment.start)}"
        now = any(_is_of(one.row, segment) and one.at == segment.start
                  for one in bookings(found.frame.scope))  # fmt: skip
        said = at if now else f"before, in time that is free: due {at}, when that ends"
        return Node("quantity", f"{line.quantity} booked", (said,))
    notes = [f"{span_text(line.service)} of the period {span_text(period)}"]
    if not segment.charge.prorate:
        notes.append("whole, however much of the period it is: not prorated")
    elif line.service != period:
        notes.append("the share of the period that has passed, to the millionth: end less begin")
    if fee.count > 1:
        notes.append(f"{fee.count} of them")
    if found.advance:
        notes.append("in advance, for the period after this invoice's")
    elif fee.bill is Bill.ADVANCE:
        notes.append("due in advance; this is what the period came to")
    return Node("quantity", f"{line.quantity} {line.unit}", tuple(notes))


def _is_of(row: PriceRow, segment: Segment) -> bool:
    return (row.item, row.charge) == (segment.row.item, segment.row.charge)


def _rented(found: Made, line: Line) -> Node:
    segment = found.amount.billable.segment
    notes = [f"in this line {span_text(line.service)}"]
    free = [
        f"not charged in {one.kind.value}: {span_text(one.valid)}"
        for one in found.frame.scope.intervals
        if one.item == segment.item.item and one.kind in segment.charge.free
    ]
    title = f"{segment.title} rented from {instant_text(segment.item.valid.start)}"
    return Node("attribution", title, (*notes, *free))


def _included(found: Made, inputs: Inputs) -> Iterator[Node]:
    """The pot that the line draws on: what it holds, who drew before, what was left."""
    segment, groups = found.amount.billable.segment, found.groups
    for pot, places in pots(groups).items():
        members = [groups[g][s] for g, s in places]
        if not any(_same(member, segment) for member in members):
            continue
        lots = [lot for lot in available(found.frame.scope, inputs) if lot.pot == pot]
        own = included(found.frame.period, groups, places)
        if not own and not lots:
            return
        before = members[: next(n for n, m in enumerate(members) if _same(m, segment))]
        drew = [m for m in before if m.used and not isinstance(m.charge.quantity, Fee)]
        name = f"in pool {pot[1:]}" if pot.startswith("/") else "of this charge"
        yield Node(
            "included",
            f"{segment.included} left when this line begins",
            (f"{own} {name} in the period",),
            (
                *(_brought(member, found) for member in members if member.charge.allowance),
                *(Node("lot", f"{lot.left}", (f"{lot.name}, until {instant_text(lot.expires_at)}",))
                  for lot in lots),
                *(Node("used before", f"{m.used}", ((f"{m.title}: {m.row.charge}, "
                       f"{span_text(Span(m.start, m.end))}"),)) for m in drew),
            ),
        )  # fmt: skip


def _same(one: Segment, other: Segment) -> bool:
    return (one.row.item, one.row.charge, one.start) == (
        other.row.item, other.row.charge, other.start
    )  # fmt: skip


def _brought(member: Segment, found: Made) -> Node:
    terms = member.charge.allowance
    assert terms is not None
    share = Fraction(member.length, _length(found.frame.period))
    part = f" × {exact_text(share)} of the period" if terms.prorate and share != 1 else ""
    return Node("brought", f"{terms.quantity}{part}", ((f"by {member.title}: "
                f"{member.row.charge}, {span_text(Span(member.start, member.end))}"),))  # fmt: skip


def _length(period: Span) -> int:
    return (closed(period) - period.start) // timedelta(microseconds=1)


def _over(found: Made, line: Line) -> Node:
    segment = found.amount.billable.segment
    unit, share = segment.charge.unit, segment.charge.share
    over = max(0, segment.used - segment.included)
    notes = [f"÷ {unit.is_} base units a {unit.name}"]
    if share.taken != share.whole:
        notes.append(f"× {share.taken}/{share.whole}, the share that is rented")
    if isinstance(segment.charge.quantity, Percentile):
        time = time_share(found.frame.period, found.group, segment)
        if time != 1:
            notes.append(f"× {exact_text(time)}, its part of the period")
    billable = found.amount.billable
    notes[-1] += f" = {exact_text(billable.exact)} {unit.name}"
    if rest := billable.due - billable.exact:
        sign, way = ("+", "down") if rest > 0 else ("−", "up")
        notes.append(
            f"{sign} {exact_text(abs(rest))} by which the lines before in the period were rounded"
            f" {way} = {exact_text(billable.due)} {unit.name}"
        )
    return Node(
        "quantity",
        f"{segment.used} used − {segment.included} included = {over} over",
        tuple(notes),
    )


# --- percentiles ----------------------------------------------------------------------------------


def _percentile(found: Made, inputs: Inputs, model: Percentile) -> Node:
    segment, frame = found.amount.billable.segment, found.frame
    groups = [g for g in cut(frame.scope, frame.period)
              if isinstance(g[0].charge.quantity, Percentile)]  # fmt: skip
    members = next(
        many for many in pools(groups) if any(_is_of(one[0].row, segment) for one in many)
    )
    known = pooled(frame.scope, inputs.samples, members, frame.as_of)
    counted = list(_counted(model, known))
    notes = [
        f"{model.percent}th percentile, {model.take.value}",
        f"of n windows the floor({100 - model.percent} × n ÷ 100) highest are passed over",
        f"{int(known.coverage * 100)} % of {len(known.owned)} owned windows measured",
    ]
    if model.missing is Missing.ZERO:
        notes.append("windows without a reading count as 0")
    if model.pool:
        names = ", ".join(many[0].title for many in members)
        notes.append(f"pool {model.pool}, summed window by window: {names}")
    return Node(
        "rate", f"{segment.used} base units a window of {WIDTH_MS // 1000} s", tuple(notes),
        tuple(_ranked(model, known, *one) for one in counted), _chart(found, counted),
    )  # fmt: skip


def _counted(model: Percentile, known: Pooled) -> Iterator[tuple[str, Windows]]:
    if model.take is Take.MAX_OF_P95:
        yield from sorted(known.measured.items())
        return
    join = max if model.take is Take.P95_OF_MAX else sum
    numbers = {number for values in known.measured.values() for number in values}
    yield (
        " and ".join(sorted(known.measured)),
        {
            number: join(values[number] for values in known.measured.values() if number in values)
            for number in sorted(numbers)
        },
    )


def _ranked(model: Percentile, known: Pooled, name: str, values: Windows) -> Node:
    """One meter: how many windows are passed over, the highest of them, and the one that counts."""
    missing = len(known.owned) - len(values) if model.missing is Missing.ZERO else 0
    over = (100 - model.percent) * (len(values) + missing) // 100
    order = sorted(values.items(), key=lambda one: (-one[1], one[0]))
    shown = [Node(f"passed over {n}", f"{value} at {_at(number)}")
             for n, (number, value) in enumerate(order[: min(over, HIGHEST)], 1)]  # fmt: skip
    counts = order[over : over + 1]
    kept = [Node("counts", f"{value} at {_at(number)}") for number, value in counts]
    return Node("windows", f"{name}: {over} of {len(values) + missing} passed over", (),
                (*shown, *kept))  # fmt: skip


def _at(number: int) -> str:
    return instant_text(EPOCH + number * timedelta(milliseconds=WIDTH_MS))


def _chart(found: Made, counted: list[tuple[str, Windows]]) -> Chart:
    """The highest window of each hour."""
    segment, period = found.amount.billable.segment, found.frame.period
    hours = (closed(period) - period.start) // timedelta(hours=1)
    first = (period.start - EPOCH) // timedelta(milliseconds=WIDTH_MS)
    highest: list[int | None] = [None] * hours
    for _, values in counted:
        for number, value in values.items():
            at = (number - first) // 12
            if 0 <= at < hours:
                highest[at] = max(value, highest[at] or 0)
    model = segment.charge.quantity
    assert isinstance(model, Percentile)
    return Chart(
        "highest window of each hour, in base units", period.start, 3_600_000, tuple(highest),
        segment.used, f"{model.percent}th percentile", bars=True,
    )  # fmt: skip
