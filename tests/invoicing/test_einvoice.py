"""Factur-X: schema and rules of EN 16931 hold for every document, and its totals are ours."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import facturx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from invoicing.digest import sealed, text
from invoicing.document import CREDIT_NOTE, INVOICE, Document, DocumentLine
from invoicing.documents.declare import declared
from invoicing.documents.einvoice import NAME, einvoice, told
from invoicing.documents.render import pdf
from invoicing.lines import Header, draft
from invoicing.verify import verify
from pipeline.money import from_minor, minor_units, round_money
from schemas.billing import Line, LineKind, Span
from schemas.terms import Credit, CreditKind, TaxMode, TaxProfile, TaxRounding
from tests.invoicing.en16931 import broken, metadata, said
from tests.invoicing.papers import BUYER, PERIOD, SELLER, paper, priced_paper
from tests.invoicing.test_verify_money import PAPER, adjusted
from tests.invoicing.test_verify_money import PROFILE as ROUNDS_DOWN

ISSUED = datetime(2026, 3, 2, 4, tzinfo=UTC)
TAXES = {"hosting": Decimal(19), "low": Decimal(7), "same": Decimal(19), "none": Decimal(0)}
PROFILE = replace(ROUNDS_DOWN, rounding=TaxRounding.HALF_UP)
REVERSE = replace(PROFILE, mode=TaxMode.REVERSE_CHARGE)
BANK = replace(SELLER, tax=TAXES, iban="DE89370400440532013000", bic="COBADEFFXXX")


def made(
    lines: list[Line], profile: TaxProfile = PROFILE, currency: str = "EUR",
    kind: str = INVOICE, purse: tuple[Credit, ...] = (),
) -> Document:  # fmt: skip
    header = Header(
        kind, ISSUED, "Europe/Berlin", currency, PERIOD, BANK, BUYER, profile,
        "RM-2025-000007" if kind == CREDIT_NOTE else "",
    )  # fmt: skip
    rows = [DocumentLine(line, Decimal(0), (), None) for line in lines]
    return replace(draft(header, (), rows, (), purse), number="RM-2026-000009")


def line(
    net: str, quantity: str = "1", price: str | None = None, tax: str = "hosting",
    kind: LineKind = LineKind.CHARGE, unit: str = "month", *, capped: bool = False, at: int = 0,
) -> Line:  # fmt: skip
    return Line(
        f"s/i/c/{at}", "s", "i", "c", "AX server: rent", PERIOD, Decimal(quantity), unit,
        Decimal(net if price is None else price), Decimal(net), tax, "v", kind=kind, capped=capped,
    )  # fmt: skip


def credit_note() -> Document:
    whole = priced_paper(2)
    one = adjusted(whole)
    dearer = tuple(replace(line, net=line.net + 20) for line in one.billed)
    header = Header(
        CREDIT_NOTE, ISSUED, whole.timezone, "EUR", PERIOD, SELLER, BUYER, PROFILE, "RM-2025-000007"
    )
    document = draft(header, (), (), whole.cut, (), (replace(one, billed=dearer),))
    return replace(document, number="RM-CN-2026-000001")


TOTALS = (
    "//ram:LineTotalAmount[parent::ram:SpecifiedTradeSettlementHeaderMonetarySummation]",
    "//ram:AllowanceTotalAmount", "//ram:TaxBasisTotalAmount", "//ram:TaxTotalAmount",
    "//ram:GrandTotalAmount", "//ram:TotalPrepaidAmount", "//ram:DuePayableAmount",
)  # fmt: skip
STANDARD, LOW = line("100.00"), line("10.00", tax="low")
PAID = Credit("prepaid", CreditKind.PAID, Decimal("9.99"), ISSUED)
GIFT = Credit("welcome", CreditKind.PROMOTIONAL, Decimal("5.00"), ISSUED)
DISCOUNT = line("-10.00", kind=LineKind.DISCOUNT, unit="discount")
CASES: dict[str, tuple[Callable[[], Document], list[list[str]], list[str]]] = {
    # document, its totals in the order above, categories of the breakdown
    "standard": (
        lambda: made([STANDARD]),
        [["100.00"], [], ["100.00"], ["19.00"], ["119.00"], [], ["119.00"]], ["S"],
    ),
    "two rates": (
        lambda: made([STANDARD, LOW]),
        [["110.00"], [], ["110.00"], ["19.70"], ["129.70"], [], ["129.70"]], ["S", "S"],
    ),
    "two categories of one rate are one": (
        lambda: made([line("0.03"), line("0.03", tax="same")]),
        [["0.06"], [], ["0.06"], ["0.02"], ["0.08"], [], ["0.08"]], ["S"],
    ),
    "zero": (
        lambda: made([line("100.00", tax="none")]),
        [["100.00"], [], ["100.00"], ["0.00"], ["100.00"], [], ["100.00"]], ["Z"],
    ),
    "reverse charge": (
        lambda: made([STANDARD, LOW], REVERSE),
        [["110.00"], [], ["110.00"], ["0.00"], ["110.00"], [], ["110.00"]], ["AE"],
    ),
    "inclusive": (
        lambda: made([line("10.00"), line("10.00", at=1), line("10.00", at=2)],
                     replace(PROFILE, mode=TaxMode.INCLUSIVE)),
        [["25.21"], [], ["25.21"], ["4.79"], ["30.00"], [], ["30.00"]], ["S"],
    ),
    "discount": (
        lambda: made([STANDARD, DISCOUNT]),
        [["100.00"], ["10.00"], ["90.00"], ["17.10"], ["107.10"], [], ["107.10"]], ["S"],
    ),
    "promotional and paid credit": (
        lambda: made([STANDARD], purse=(PAID, GIFT)),
        [["100.00"], ["5.00"], ["95.00"], ["18.05"], ["113.05"], ["9.99"], ["103.06"]], ["S"],
    ),
    "capped": (
        lambda: made([line("49.00", "672", "0.0833", capped=True)]),
        [["49.00"], ["6.98"], ["49.00"], ["9.31"], ["58.31"], [], ["58.31"]], ["S"],
    ),
    "tax rounded down": (
        lambda: made([line("0.99")], replace(PROFILE, rounding=TaxRounding.DOWN)),
        [["0.99"], [], ["0.99"], ["0.18"], ["1.17"], [], ["1.17"]], ["S"],
    ),
    "yen": (
        lambda: made([line("1234")], currency="JPY"),
        [["1234"], [], ["1234"], ["234"], ["1468"], [], ["1468"]], ["S"],
    ),
    "adjustments of an old period": (
        lambda: PAPER,
        [["49.52"], ["5.00"], ["44.52"], ["8.48"], ["53.00"], ["9.99"], ["43.01"]], ["S", "S"],
    ),
    "a credit note counts upwards": (
        credit_note,
        [["41.00"], [], ["41.00"], ["6.56"], ["47.56"], [], ["47.56"]], ["S"],
    ),
    "a whole month": (lambda: priced_paper(3), [], ["S"]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_case_of_tax(case: str) -> None:
    make, totals, categories = CASES[case]
    xml = einvoice(make())
    assert xml is not None
    assert broken(xml) == []
    assert said(xml, "//ram:ApplicableTradeTax[ram:BasisAmount]/ram:CategoryCode") == categories
    if totals:
        line_off = said(xml, "//ram:IncludedSupplyChainTradeLineItem//ram:ActualAmount")
        expected = [part for part in totals if part != line_off]
        assert [one for path in TOTALS for one in said(xml, path)] == [
            one for part in expected for one in part
        ]


def test_what_a_credit_note_says() -> None:
    xml = einvoice(credit_note()) or b""
    assert said(xml, "//rsm:ExchangedDocument/ram:TypeCode") == ["381"]
    assert said(xml, "//ram:InvoiceReferencedDocument/ram:IssuerAssignedID") == ["RM-2025-000007"]
    assert said(xml, "//ram:DueDateDateTime/udt:DateTimeString") == []
    assert said(xml, "//ram:IBANID") == []


def test_what_an_invoice_says() -> None:
    xml = einvoice(made([line("-3.00", "2", "-1.50", unit="GiB"), STANDARD], REVERSE)) or b""
    assert said(xml, "//rsm:ExchangedDocument/ram:TypeCode") == ["380"]
    assert said(xml, "//ram:ExemptionReasonCode") == ["VATEX-EU-AE"]
    assert said(xml, "//ram:ExemptionReason") == ["Reverse charge"]
    assert said(xml, "//ram:IBANID") == ["DE89370400440532013000"]
    assert said(xml, "//ram:DueDateDateTime/udt:DateTimeString") == ["20260316"]
    assert said(xml, "//ram:PostcodeCode") == ["20095", "75011"]
    assert said(xml, "//ram:BilledQuantity") == ["-2", "1"]
    assert said(xml, "//ram:NetPriceProductTradePrice/ram:ChargeAmount") == ["1.50", "100.00"]
    assert said(xml, "//ram:SpecifiedTradeProduct/ram:Description") == ["Unit: GiB"]


@pytest.mark.parametrize(
    "document",
    [
        replace(paper(1), currency="KWD"),
        replace(paper(1), seller=replace(SELLER, vat_id="12345")),
    ],
)
def test_what_the_standard_cannot_say_has_no_xml(document: Document) -> None:
    assert einvoice(document) is None
    carried = pdf(document, text(document), "ab" * 32)
    assert b"factur-x" not in carried
    assert b"urn:factur-x" not in metadata(carried)


UNITS = st.integers(-50_000, 50_000)
LINES = st.lists(
    st.tuples(
        UNITS, st.sampled_from(sorted(TAXES)), st.sampled_from([*LineKind]),
        st.decimals("-9999.999", "9999.999", places=3), st.decimals("-99", "99", places=4),
        st.text(max_size=12),
    ),
    min_size=1, max_size=6,
)  # fmt: skip
PURSE = st.lists(st.tuples(st.sampled_from(CreditKind), st.integers(1, 40_000)), max_size=3)
PROFILES = st.builds(
    TaxProfile, st.sampled_from(TaxMode), st.sampled_from(TaxRounding), st.just("FR"),
    st.just("FR40303265045"), st.just("VIES 1"), st.just(ISSUED),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(LINES, PURSE, PROFILES, st.sampled_from(["EUR", "JPY"]), st.booleans())
def test_any_document_has_a_valid_xml_with_its_totals(
    drawn: list[tuple[int, str, LineKind, Decimal, Decimal, str]],
    purse: list[tuple[CreditKind, int]], profile: TaxProfile, currency: str, back: bool,
) -> None:  # fmt: skip
    lines = [
        replace(
            line(str(from_minor(units, currency)), str(quantity), str(price), tax, kind, at=at),
            title=title,
        )
        for at, (units, tax, kind, quantity, price, title) in enumerate(drawn)
        if kind is not LineKind.ADJUSTMENT
    ] or [STANDARD if currency == "EUR" else line("100")]
    wallet = tuple(
        Credit(f"c{at}", kind, from_minor(left, currency), ISSUED)
        for at, (kind, left) in enumerate(purse)
    )
    document = made(lines, profile, currency, CREDIT_NOTE if back else INVOICE, wallet)
    xml, sign = einvoice(document), -1 if back else 1
    if xml is None:  # two categories of one rate, in whole units
        assert currency == "JPY"
        return
    assert broken(xml) == []
    gross, due = (
        Decimal(said(xml, f"//ram:{name}")[0]) for name in ("GrandTotalAmount", "DuePayableAmount")
    )
    assert (sign * gross, sign * due) == (document.totals.gross, document.totals.due)
    for one in etree.fromstring(xml).iterfind(".//{*}IncludedSupplyChainTradeLineItem"):
        quantity, price, net = (
            Decimal(one.findtext(f".//{{*}}{name}"))
            for name in ("BilledQuantity", "ChargeAmount", "LineTotalAmount")
        )
        extra = Decimal(0)
        for node in one.iterfind(".//{*}SpecifiedTradeAllowanceCharge"):
            amount = Decimal(node.findtext("{*}ActualAmount"))
            extra += amount if node.findtext(".//{*}Indicator") == "true" else -amount
        assert round_money(quantity * price, currency) + extra == net
        assert price >= 0
        assert -int(net.as_tuple().exponent) <= minor_units(currency)


def test_the_pdf_is_factur_x(tmp_path: Path) -> None:
    carried = pdf(PAPER, text(PAPER), str(sealed(PAPER)["digest"]), "de")
    name, xml = facturx.get_xml_from_pdf(carried)
    assert (name, facturx.get_level(etree.fromstring(xml))) == (NAME, "en16931")
    packet = metadata(carried)
    for property_ in (
        b"<fx:DocumentType>INVOICE<", b"<fx:DocumentFileName>factur-x.xml<",
        b"<fx:Version>1.0<", b"<fx:ConformanceLevel>EN 16931<", b"<pdfaid:part>3<",
        b"<pdfaSchema:prefix>fx<",
    ):  # fmt: skip
        assert property_ in packet
    etree.fromstring(packet[packet.index(b"<x:xmpmeta") : packet.index(b"<?xpacket end")])
    (tmp_path / "de.pdf").write_bytes(carried)
    assert verify(tmp_path / "de.pdf") == []


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        (">43.01<", ">40.01<", "DuePayableAmount: says '40.01', the document '43.01'"),
        (">DE123456789<", ">DE123456780<", "SellerTradeParty/SpecifiedTaxRegistration/ID"),
        ('unitCode="HUR"', 'unitCode="DAY"', "BilledQuantity: says '672 DAY'"),
        ("</rsm:CrossIndustryInvoice>", " </rsm:CrossIndustryInvoice>", "is not the one"),
        ("<rsm:CrossIndustryInvoice", "<!DOCTYPE a><rsm:CrossIndustryInvoice", "document type"),
    ],
)
def test_verify_names_the_field_of_a_forged_xml(
    old: str, new: str, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    xml = (einvoice(PAPER) or b"").decode()
    assert old in xml
    forged = xml.replace(old, new).encode()
    with monkeypatch.context() as patched:
        patched.setattr("invoicing.documents.render.einvoice", lambda _: forged)
        (tmp_path / "a.pdf").write_bytes(pdf(PAPER, text(PAPER), str(sealed(PAPER)["digest"])))
    found = [str(one) for one in verify(tmp_path / "a.pdf")]
    assert any(where in one for one in found), found


def test_verify_misses_an_xml_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("invoicing.documents.render.einvoice", lambda _: None)
        (tmp_path / "a.pdf").write_bytes(pdf(PAPER, text(PAPER), str(sealed(PAPER)["digest"])))
    found = [str(one) for one in verify(tmp_path / "a.pdf")]
    assert f"{NAME}: there are 0 of it, and the document gives 1" in found


def test_metadata_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="typst writes its PDFs in another way"):
        declared(b"%PDF-1.7\n")


def test_paths_of_fields_are_told_apart() -> None:
    assert told(b"<a><b>1</b><b c='2'>3</b></a>") == {"/b": "1", "/b[2]": "3 2"}


def test_a_span_of_nothing_is_a_day() -> None:
    moment = replace(STANDARD, service=Span(ISSUED, ISSUED))
    xml = einvoice(made([moment])) or b""
    assert said(xml, "//ram:IncludedSupplyChainTradeLineItem//udt:DateTimeString") == [
        "20260302", "20260302",
    ]  # fmt: skip
