"""Every kind of line is explained from the document alone, and the page is one safe file."""

import re
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import pytest

from invoicing.digest import text
from invoicing.document import Document, Priced
from invoicing.explain import explain_document, explain_file
from invoicing.explaining.chart import short, svg
from invoicing.explaining.page import page
from invoicing.explaining.quantity import span_text
from invoicing.explaining.tree import Chart, Node
from invoicing.lines import Header, document_lines, draft
from pipeline.rating.price import price
from schemas.billing import (
    Assignment,
    Billed,
    Inputs,
    Item,
    LineKind,
    Lot,
    PriceRow,
    Scope,
    Span,
    Usage,
)
from schemas.errors import DifferenceError, RefusedError
from schemas.prices import Allowance, Charge, Fee, PerUnit, Sum, Tier, Volume
from schemas.terms import Commitment, Discount, Term
from tests.invoicing.papers import BUYER, END, PERIOD, SELLER, START, TB, priced_paper
from tests.invoicing.test_verify_money import PAPER

OPEN = Span(START)
RENT = Charge(Fee(), PerUnit(Decimal("10.00")), "hosting")
TRAFFIC = Charge(
    Sum(("net.tx_bytes",), TB),
    Volume((Tier(Decimal(5), Decimal("2.00")), Tier(None, Decimal("1.00")))),
    "hosting",
    Allowance(10**12),
)


def scope() -> Scope:
    return Scope(
        "it", "acme", "EUR", "Europe/Berlin", (Item("it", "It", "plan", OPEN),),
        (Assignment("srv", "it", OPEN),),
        (PriceRow("it", "rent", OPEN, RENT, "v1"), PriceRow("it", "traffic", OPEN, TRAFFIC, "v1")),
        discounts=(
            Discount("partner", OPEN, percent=Decimal("7.5"), charges=("traffic",)),
            Discount("welcome", OPEN, amount=Decimal("2.00")),
        ),
        commitments=(Commitment("floor", OPEN, Decimal("100.00"), Term.MONTH, "hosting"),),
    )  # fmt: skip


AHEAD = Billed("it", "rent", "hosting", Decimal("12.00"))


def paper(known: Scope | None = None, *billed: Billed) -> Document:
    """Volume tiers, a lot, both kinds of discount, a true-up and what was billed in advance."""
    inputs = Inputs(
        PERIOD,
        (Usage("srv", "net.tx_bytes", "eth0", START, END, 9 * 10**12),),
        billed=billed or (AHEAD,),
        lots=(Lot("rollover/it/traffic/x", "it/traffic/Sum net.bytes", 10**12, END),),
    )
    entry = Priced(known or scope(), inputs, END)
    lines = price(entry.scope, inputs, END)
    header = Header("invoice", END, "Europe/Berlin", "EUR", PERIOD, SELLER, BUYER)
    rows = document_lines(entry.scope, lines, [()] * len(lines))
    return replace(draft(header, (entry,), rows, ()), number="RM-1")


def texts(document: Document, kind: LineKind) -> list[str]:
    return [
        explain_document(document, at).to_text()
        for at, row in enumerate(document.lines, 1)
        if row.line.kind is kind
    ]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (LineKind.CHARGE, "volume: all units cost what the tier of the last unit says"),
        (LineKind.CHARGE, "tier 2: above 5 and on TB: 1.00 EUR"),
        (LineKind.DISCOUNT, "discount: 7.5 % of "),
        (LineKind.DISCOUNT, "discount: 2.00 EUR a period, at most what the lines come to"),
        (LineKind.TRUE_UP, "commitment: 100.00 EUR a month"),
        (LineKind.TRUE_UP, "lacks: 100.00 − 0 − "),
        (LineKind.BILLED, "billed in advance: 12.00 EUR"),
        (LineKind.BILLED, "came to: 10.00 EUR"),
    ],
)
def test_each_kind_says_its_reason(kind: LineKind, said: str) -> None:
    assert any(said in one for one in texts(paper(), kind)), texts(paper(), kind)


def test_what_was_billed_for_a_part_of_the_month_came_to_what_that_part_did() -> None:
    """The year of a commitment begins in the middle: 5.00 before it, 5.00 in it."""
    middle = START + (END - START) / 2
    year = Commitment("year", Span(middle), Decimal("120.00"), Term.YEAR, "hosting")
    known = replace(scope(), discounts=(), commitments=(year,))
    both = replace(AHEAD, net=Decimal("4.00")), replace(AHEAD, net=Decimal("6.00"), since=middle)
    document = paper(known, *both)
    found = texts(document, LineKind.BILLED)
    said = ("in advance: 4.00", "in advance: 6.00", "came to: 5.00")
    assert [tuple(one.count(text) for text in said) for one in found] == [(1, 0, 1), (0, 1, 1)]


def test_a_discount_that_a_renewed_contract_keeps_is_explained_as_that_of_its_time() -> None:
    middle = START + (END - START) / 2
    spans, rates = (Span(START, middle), Span(middle)), ("7.5", "10")
    renewed = replace(
        scope(),
        prices=tuple(PriceRow("it", "rent", span, RENT, span_text(span)) for span in spans),
        discounts=tuple(
            Discount("partner", span, percent=Decimal(rate), amount=Decimal(rate))
            for span, rate in zip(spans, rates, strict=True)
        ),
        commitments=(),
    )
    inputs = Inputs(PERIOD)
    rows = document_lines(renewed, lines := price(renewed, inputs, END), [()] * len(lines))
    header = Header("invoice", END, "Europe/Berlin", "EUR", PERIOD, SELLER, BUYER)
    document = replace(draft(header, (Priced(renewed, inputs, END),), rows, ()), number="RM-1")
    said = texts(document, LineKind.DISCOUNT)
    assert len(said) == 4
    for rate, span in zip(rates, spans, strict=True):
        of_its_time = [one for one in said if f"valid {span_text(span)}" in one]
        assert [f"discount: {rate} % of " in one for one in of_its_time].count(True) == 1
        assert [f"discount: {rate} EUR a period" in one for one in of_its_time].count(True) == 1
        half = f"rounding of discount: {Decimal(rate) / 2} → {Decimal(rate) / 2:.2f}\n"
        assert [half in one and "0.5 of the period" in one for one in of_its_time].count(True) == 1


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (LineKind.CREDIT, "credit: 5.00 EUR of welcome"),
        (LineKind.ADJUSTMENT, "by RM-2025-000007"),
        (LineKind.ADJUSTMENT, "difference: "),
        (LineKind.ADJUSTMENT, "rounding of net: "),
    ],
)
def test_credit_and_corrections_say_theirs(kind: LineKind, said: str) -> None:
    assert any(said in one for one in texts(PAPER, kind))


def test_every_line_ends_in_its_net_and_agrees() -> None:
    for document in (paper(), PAPER, priced_paper(3)):
        for at, row in enumerate(document.lines, 1):
            found = explain_document(document, at)
            assert found.differences == ()
            assert f"= {row.line.net} EUR" in found.tree.children[-1].value


def test_the_whole_adds_up_and_names_each_rounding() -> None:
    said = explain_document(PAPER).to_text()
    totals = PAPER.totals
    for one in (
        f"net: {totals.net} EUR", f"gross: {totals.net} + {totals.tax} = {totals.gross} EUR",
        f"due: {totals.gross} − 9.99 = {totals.due} EUR", "rounded once, towards zero: ",
        "paid: 9.99 EUR with credit prepaid", "coverage: 100.00 % observed at least",
    ):  # fmt: skip
        assert one in said
    assert explain_document(PAPER).differences == ()


def test_a_line_that_its_inputs_do_not_make_is_told() -> None:
    document = paper()
    first = document.lines[0]
    forged = replace(first, line=replace(first.line, net=first.line.net + 1))
    found = explain_document(replace(document, lines=(forged, *document.lines[1:])), 1)
    assert "the pricing inputs do not make a line" in found.differences[0]


def test_a_file_is_explained_only_when_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(text(PAPER))
    assert explain_file(file, "0").tree.name == PAPER.number
    assert explain_file(file, f"{PAPER.number}/1").position == 1
    with pytest.raises(RefusedError, match="has 4 lines, no 9"):
        explain_file(file, "9")
    with pytest.raises(RefusedError, match="write its position"):
        explain_file(file, "nonsense")
    file.write_bytes(text(PAPER).replace(b'"9.99"', b'"9.98"', 1))
    with pytest.raises(DifferenceError, match="was altered"):
        explain_file(file, "0")


class Reader(HTMLParser):
    """Tags and attributes of a page; every tag that opens is closed."""

    VOID = frozenset({"meta", "path"})

    def __init__(self, body: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(body)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing() -> None:
    for at in range(len(PAPER.lines) + 1):
        body = page(explain_document(PAPER, at))
        read = Reader(body)
        assert read.open == []
        assert not read.seen & {"script", "link", "img", "iframe", "object"}
        assert not {one for one in read.attributes if one.startswith("on")}
        assert not re.search(r"(\bsrc=|href|url\(|@import)", body)
        assert "prefers-color-scheme: dark" in body
        assert "@media print" in body


def test_what_a_customer_is_called_is_text_and_no_markup() -> None:
    found = explain_document(paper(), 1)
    evil = Node("<script>alert(1)</script>", "a & b", ("<b>", '"'), (Node("<i>", "</i>"),))
    body = page(replace(found, tree=evil))
    assert not Reader(body).seen & {"script", "i"}
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in body


@pytest.mark.parametrize(
    ("value", "said"), [(0, "0"), (999, "999"), (1500, "1.5k"), (21_482 * 10**9, "21.5T")]
)
def test_figures_of_a_chart_are_short(value: int, said: str) -> None:
    assert short(value) == said


def test_a_chart_shows_line_and_what_was_not_measured() -> None:
    chart = Chart("c & d", START, 86_400_000, (1, None, 3), 2, "included", bars=True)
    drawn = svg(chart)
    assert "included 2" in drawn
    assert 'class="unmeasured"' in drawn
    assert "c &amp; d" in drawn
    assert 'class="unmeasured"' not in svg(replace(chart, values=(1, 2, 3)))
