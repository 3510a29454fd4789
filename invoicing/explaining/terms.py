"""Lines that no price makes: discounts, true-ups, billed in advance, credit. Pure."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction

from invoicing.document import Document, Priced
from invoicing.explaining.quantity import span_text
from invoicing.explaining.tree import Node
from pipeline.money import exact_sum, exact_text, round_money
from pipeline.periods import closed, microseconds
from pipeline.rating.advance import begun, billed_key, of_scope
from pipeline.rating.commitment import counts as counts_towards
from pipeline.rating.credit import draw
from pipeline.rating.discount import amount_key, counts, prorated
from pipeline.rating.price import price
from pipeline.rating.taken import purse
from pipeline.rating.terms import terms
from schemas.billing import Billed, Line, LineKind, Span
from schemas.serial import instant_text
from schemas.terms import CreditKind

TERMS = frozenset({LineKind.DISCOUNT, LineKind.TRUE_UP})


def explained(entry: Priced, line: Line) -> Iterator[Node]:
    """What makes a discount, a true-up, or what takes back a fee in advance."""
    lines = price(entry.scope, entry.inputs, entry.as_of)
    match line.kind:
        case LineKind.DISCOUNT:
            yield from _discount(entry, line, lines)
        case LineKind.TRUE_UP:
            yield from _true_up(entry, line, lines)
        case LineKind.BILLED:
            yield from _billed(entry, line, lines)


def line_node(name: str, line: Line, currency: str) -> Node:
    return Node(name, f"{line.net} {currency}", (line.title, f"key {line.key}"))


def _discount(entry: Priced, line: Line, lines: Sequence[Line]) -> Iterator[Node]:
    currency, agreed = entry.scope.currency, entry.scope.discounts
    # A contract that was renewed may have another of that name.
    discount = next((one for one in agreed if line.key.endswith(f"/discount/{one.name}")
                     and counts(one, line)), None)  # fmt: skip
    if discount:
        name, key = discount.name, line.key.removesuffix(f"/discount/{discount.name}")
        mine = next(one for one in lines if one.key == key)
        earlier = [one for one in lines if one.key in {
            f"{key}/discount/{each.name}" for each in agreed if each.name < name}]  # fmt: skip
        base = exact_sum([mine.net, *(one.net for one in earlier)])
        exact = Fraction(base) * Fraction(discount.percent) / 100
        yield line_node("discounted", mine, currency)
        yield from (line_node("discounted before", one, currency) for one in earlier)
        yield Node("discount", f"{discount.percent} % of {base} = {exact_text(exact)} {currency}",
                   (f"{name}, valid {span_text(discount.valid)}",))  # fmt: skip
        yield Node("rounding of discount", f"{exact_text(exact)} → {-line.net}",
                   (f"to the minor unit of {currency}, half up away from zero",))  # fmt: skip
        return
    keys = [(amount_key(entry.scope, entry.inputs.period, one), one) for one in agreed]
    prefix, discount = next(both for both in keys if line.key.startswith(both[0]))
    taken = [one for one in lines if one.key.startswith(prefix)]
    yield from _part(discount.amount, line.service, entry)
    yield Node(
        "discount", f"{discount.amount} {currency} a period, at most what the lines come to",
        (f"{discount.name}, valid {span_text(discount.valid)}",
         "shared by tax category in proportion to the nets, in whole minor units"),
        (*(line_node("counts", one, currency) for one in lines
           if one.kind not in TERMS and counts(discount, one)
           and one.service.start < closed(entry.inputs.period)),
         *(Node("share", f"{one.net} {currency}", (f"tax category {one.tax}",)) for one in taken)),
    )  # fmt: skip


def _part(amount: Decimal, time: Span, entry: Priced) -> Iterator[Node]:
    """Of an amount a period what is due for a part of one."""
    period, currency = entry.inputs.period, entry.scope.currency
    if time != period:
        share = Fraction(microseconds(time.start, closed(time)),
                         microseconds(period.start, closed(period)))  # fmt: skip
        due = prorated(amount, time, period, currency)
        yield Node("rounding of discount", f"{exact_text(share * Fraction(amount))} → {due}",
                   (f"{exact_text(share)} of the period, {span_text(time)}",
                    "parts of a period add up to its amount"))  # fmt: skip


def _true_up(entry: Priced, line: Line, lines: Sequence[Line]) -> Iterator[Node]:
    scope, inputs, currency = entry.scope, entry.inputs, entry.scope.currency
    for commitment in scope.commitments:
        if commitment.name != line.charge:
            continue
        whole = next(whole for whole, term in terms(commitment, inputs.period, scope.timezone)
                     if term == line.service)  # fmt: skip
        share = Fraction(microseconds(line.service.start, closed(line.service)),
                         microseconds(whole.start, closed(whole)))  # fmt: skip
        exact = share * Fraction(commitment.amount)
        agreed = round_money(exact, currency)
        yield Node(
            "commitment",
            f"{commitment.amount} {currency} a {commitment.term.value}",
            (f"agreed {span_text(commitment.valid)}, settled {span_text(line.service)}",),
        )
        if share != 1:
            yield Node(
                "rounding of commitment",
                f"{exact_text(exact)} → {agreed}",
                (f"{exact_text(share)} of the {commitment.term.value} is committed",),
            )
        counted = [one for one in lines if one.kind is not LineKind.TRUE_UP
                   and counts_towards(commitment, one)
                   and line.service.holds(one.service.start)]  # fmt: skip
        running = line.service.start < inputs.period.start
        spent = exact_sum(one.net for one in inputs.spent
                          if running and one.commitment == commitment.name)  # fmt: skip
        total = exact_sum(one.net for one in counted)
        yield Node("this period", f"{total} {currency}", ("net lines after discounts",),
                   tuple(line_node("counts", one, currency) for one in counted))  # fmt: skip
        if running:
            yield Node("earlier periods", f"{spent} {currency}", ("of the same year, as invoiced",))
        yield Node("lacks", f"{agreed} − {spent} − {total} = {agreed - spent - total} {currency}")


def _billed(entry: Priced, line: Line, lines: Sequence[Line]) -> Iterator[Node]:
    scope, currency = entry.scope, entry.scope.currency
    own = (line.item, line.charge, line.tax)
    starts = [entry.inputs.period.start, *begun(scope, entry.inputs.period)]
    for paid in entry.inputs.billed:
        if billed_key(scope, entry.inputs.period, paid) == line.key:
            yield Node("billed in advance", f"{paid.net} {currency}", tuple(_ahead(paid, line)))
    for one in lines:
        mine = (one.item, one.charge, one.tax) == own and one.kind is not LineKind.BILLED
        if of_scope(scope, entry.inputs.period, one):
            continue
        part = max((at for at in starts if at <= one.service.start), default=None)
        if mine and part == line.service.start and one.service.start < closed(entry.inputs.period):
            yield line_node("came to", one, currency)


def _ahead(paid: Billed, line: Line) -> Iterator[str]:
    yield f"by {paid.invoice or 'the invoice before'}, for {span_text(line.service)}"
    if paid.rate is not None:
        yield f"taken off at the tax rate at which it was billed, {paid.rate} %"
    if paid.retaxed:
        yield "the period has another rate, that of the day on which the service ends"


def credit(document: Document, line: Line) -> Iterator[Node]:
    """A promotional credit: what the wallet held, what the lines came to, this line's share."""
    currency = document.currency
    if line.net > 0:
        yield from _given_back(document, line)
        return
    others = [row for row in document.lines
              if row.line.kind is not LineKind.CREDIT or row.line.net > 0]  # fmt: skip
    total = exact_sum(row.line.net for row in others)
    yield Node("lines", f"{total} {currency}", ("what credit can lower, before tax",))
    credits_ = purse(document.credits, document.taken)
    drawn = draw(credits_, CreditKind.PROMOTIONAL, max(Decimal(0), total),
                 document.issued_at)  # fmt: skip
    for one in drawn:
        held = next(known for known in credits_ if known.credit == one.credit)
        until = f", until {instant_text(held.expires_at)}" if held.expires_at else ""
        name = "credit" if line.key.startswith(f"{line.scope}/credit/{one.credit}/") else "before"
        yield Node(name, f"{one.amount} {currency} of {one.credit}",
                   ((f"{held.left} left, granted {instant_text(held.granted_at)}{until},"
                    f" priority {held.priority}"),))  # fmt: skip
    yield Node("share", f"{line.net} {currency}",
               ((f"of the lines with tax {line.tax}, in proportion to their nets, whole minor"
                " units"),))  # fmt: skip


def _given_back(document: Document, line: Line) -> Iterator[Node]:
    """Credit that goes home: what the corrected invoice had used of it, and used no more."""
    currency = document.currency
    for one in document.taken:
        for used in one.used:
            if line.key.endswith(
                f"/return/{one.invoice}/{used.credit}/{one.category}/{one.rate:f}"
            ):
                yield Node("used", f"{used.left} {currency} of {used.credit} by {one.invoice}",
                           (f"tax {one.category} {one.rate} %",
                            "less what was given back before"))  # fmt: skip
                yield Node("given back", f"{used.back} {currency}",
                           ("before anything is owed, what was drawn last first",))  # fmt: skip
