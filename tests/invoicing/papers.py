"""Documents made by hand for tests of the page: no database, no pricing."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from invoicing.document import (
    FORMAT,
    Buyer,
    Document,
    DocumentLine,
    Position,
    Priced,
    Reading,
    Series,
    Totals,
)
from invoicing.lines import Header, document_lines, draft
from pipeline.rating.price import price
from schemas.billing import (
    Assignment,
    Inputs,
    Item,
    Line,
    PriceRow,
    Scope,
    Seller,
    Span,
    TaxLine,
    Usage,
)
from schemas.prices import Allowance, Charge, Hours, PerUnit, Sum, Unit
from schemas.terms import TaxProfile

TB = Unit("TB", "net.bytes", 10**12, Decimal("0.001"))
START = datetime(2026, 1, 31, 23, tzinfo=UTC)
END = datetime(2026, 2, 28, 23, tzinfo=UTC)
PERIOD = Span(START, END)
SELLER = Seller(
    "rm-de",
    "Rackmeter Hosting GmbH",
    ("Serverstraße 1", "20095 Hamburg", "Germany"),
    "DE123456789",
    "Europe/Berlin",
    "EUR",
    {"hosting": Decimal("19")},
)
BUYER = Buyer(
    "acme", "Acme Rendering SAS", ("12 rue des Machines", "75011 Paris"), "FR", "FR40303265045"
)


def paper(
    servers: int = 5, *, buyer: Buyer = BUYER, title: str = "AX server, by the hour"
) -> Document:
    """An invoice for that many servers, two lines each; figures are plausible and add up."""
    rng = random.Random(7)  # the same paper every time
    priced, lines = [], []
    for number in range(1, servers + 1):
        scope, inputs, mine = _server(f"srv-{number:02d}", f"{title} {number:02d}", rng)
        priced.append(Priced(scope, inputs, END))
        lines += mine
    net = sum((row.line.net for row in lines), Decimal(0))
    tax = (net * Decimal("0.19")).quantize(Decimal("0.01"))
    return Document(
        format=FORMAT,
        number="RM-2026-000001",
        kind="invoice",
        corrects="",
        invoice_id="00000000-0000-0000-0000-000000000001",
        issued_at=datetime(2026, 3, 2, 4, tzinfo=UTC),
        due_at=datetime(2026, 3, 16, 4, tzinfo=UTC),
        currency="EUR",
        timezone="Europe/Berlin",
        period=PERIOD,
        seller=SELLER,
        buyer=buyer,
        profile=TaxProfile(country=buyer.country, vat_id=buyer.vat_id),
        lines=tuple(lines),
        taxes=(TaxLine("hosting", Decimal("19"), net, tax),),
        totals=Totals(net, tax, net + tax, net + tax),
        credits=(),
        paid=(),
        priced=tuple(priced),
        adjusted=(),
        cut=(Position("00000000-0000-0000-0000-00000000000a", 0, 1234),),
    )


def _server(
    server: str, title: str, rng: random.Random
) -> tuple[Scope, Inputs, list[DocumentLine]]:
    item = f"item-{server}"
    rate, per_tb, included = Decimal("0.0833"), Decimal("1.29"), 20 * 10**12
    rent = Charge(Hours(), PerUnit(rate), "hosting", cap=Decimal("49.00"))
    traffic = Charge(Sum(("net.tx_bytes",), TB), PerUnit(per_tb), "hosting", Allowance(included))
    scope = Scope(
        item,
        "acme",
        "EUR",
        "Europe/Berlin",
        (Item(item, title, "ax-hourly", Span(START)),),
        (Assignment(server, item, Span(START)),),
        (
            PriceRow(item, "rent", Span(START), rent, "2026-02"),
            PriceRow(item, "traffic", Span(START), traffic, "2026-02"),
        ),
    )
    level = rng.choice((2, 5, 8, 9)) * 10**11
    days = tuple(int(level * (0.5 + rng.random())) for _ in range(28))
    used = sum(days)
    over = Decimal(max(0, used - included)) / TB.is_
    step = over.quantize(TB.step)
    first, last = START, END - timedelta(minutes=5)
    readings = (
        Reading("boot-1", START + timedelta(minutes=1), "daily", 1, 10**13, "t", 0, 17),
        Reading("boot-1", END - timedelta(days=1), "daily", 8000, 10**13 + used, "t", 0, 99017),
    )
    series = Series(
        server, "net.tx_bytes", "eth0", used, 8064, first, last, 8064 * 300_000, days, readings
    )
    inputs = Inputs(
        PERIOD, (Usage(server, "net.tx_bytes", "eth0", START, END, used, 8064 * 300_000),)
    )

    def line(
        charge: str, quantity: Decimal, unit: str, rate: Decimal, net: Decimal, capped: bool
    ) -> Line:
        key = f"{item}/{item}/{charge}/2026-01-31T23:00:00Z/1"
        name = {"rent": "rent", "traffic": "traffic above the allowance"}[charge]
        base, allowance = (used, included) if charge == "traffic" else (28 * 86_400_000, 0)
        return Line(
            key, item, item, charge, f"{title}: {name}", PERIOD, quantity, unit, rate, net,
            "hosting", "2026-02", base, allowance, capped,
        )  # fmt: skip

    capped = rng.random() < 0.7
    hours = Decimal(672 if capped else 311)
    rent_net = Decimal("49.00") if capped else (hours * rate).quantize(Decimal("0.01"))
    over_net = (step * per_tb).quantize(Decimal("0.01"))
    tax = Decimal("19")
    return scope, inputs, [
        DocumentLine(line("rent", hours, "h", rate, rent_net, capped), tax, (), None),
        DocumentLine(
            line("traffic", step, "TB", per_tb, over_net, False),
            tax, (series,), Decimal("99.93"),
        ),
    ]  # fmt: skip


def priced_paper(servers: int) -> Document:
    """The same with lines that pricing really made, so that all of it verifies."""
    rough = paper(servers)
    header = Header(
        rough.kind, rough.issued_at, rough.timezone, rough.currency, rough.period, SELLER, BUYER
    )
    rows: list[DocumentLine] = []
    for priced in rough.priced:
        lines = price(priced.scope, priced.inputs, priced.as_of)
        known = [row.evidence for row in rough.lines if row.line.scope == priced.scope.scope]
        rows += document_lines(priced.scope, lines, known)
    return replace(draft(header, rough.priced, rows, rough.cut), number=rough.number)
