"""The page in both languages: legal words, corrections, credit, gaps; whatever names hold."""

import io
from dataclasses import fields, replace
from datetime import timedelta
from decimal import Decimal
from string import Formatter

import pytest
from pypdf import PdfReader

from invoicing.digest import text
from invoicing.document import Document
from invoicing.documents.charts import charts
from invoicing.documents.render import pdf
from invoicing.documents.view import view
from invoicing.documents.words import ENGLISH, GERMAN, LANGUAGES, Words
from pipeline.rating.credit import Draw
from schemas.terms import TaxMode
from tests.invoicing.papers import BUYER, END, SELLER, START, paper
from tests.invoicing.test_einvoice import REVERSE, credit_note, line, made
from tests.invoicing.test_verify_money import PAPER, PROFILE

PROOF = "ab" * 32


def shown(document: Document, language: str = "en") -> str:
    reader = PdfReader(io.BytesIO(pdf(document, text(document), PROOF, language)))
    said = " ".join(page.extract_text() for page in reader.pages)
    return " ".join(said.split())


@pytest.mark.parametrize("words", LANGUAGES.values(), ids=list(LANGUAGES))
def test_a_language_is_complete_and_fills_in_the_same(words: Words) -> None:
    def filled(said: object) -> set[str | None]:
        return {name for _, name, _, _ in Formatter().parse(str(said)) if name}

    for field in fields(Words):
        value, english = getattr(words, field.name), getattr(ENGLISH, field.name)
        assert value, field.name
        if isinstance(value, str):
            assert filled(value) == filled(english), field.name
    assert len(words.columns) == len(ENGLISH.columns)


EVERYTHING = replace(PAPER, seller=replace(SELLER, iban="DE89370400440532013000", bic="COBADEFF"))
PAGES = {
    "german": (EVERYTHING, "de", (
        "Rechnung RM-2026-000001", "Ausstellungsdatum 2. März 2026",
        "Leistungszeitraum 1. – 28. Februar 2026", "Frankreich", "Ihre USt-IdNr. FR40303265045",
        "Zahlbar bis 16. März 2026", "16 % USt. auf -1,00 €", "Nettobetrag 44,52 €",
        "korrigiert Rechnung RM-2025-000007, 1. – 28. Februar 2026", "Guthaben",
        "Bezahlt aus Guthaben prepaid -9,99 €", "Zu zahlen 43,01 €",
        "Bitte zahlen Sie 43,01 € bis zum 16. März 2026 unter Angabe von RM-2026-000001",
        "IBAN DE89 3704 0044 0532 0130 00, BIC COBADEFF", "höchstens 49,00 im Monat",
    )),
    "english": (EVERYTHING, "en", (
        "corrects invoice RM-2025-000007, 1 – 28 February 2026", "Credit", "welcome",
        "Paid with credit prepaid -€9.99", "To pay €43.01", "16% tax on -€1.00",
    )),
    "german credit note": (credit_note(), "de", (
        "Rechnungskorrektur RM-CN-2026-000001", "Korrigiert Rechnung RM-2025-000007",
        "Korrektur der Rechnung RM-2025-000007 für Leistungen im Zeitraum 1. – 28. Februar 2026",
        "47,56 € zu Ihren Gunsten",
    )),
    "english credit note": (credit_note(), "en", (
        "Credit note RM-CN-2026-000001", "Corrects invoice RM-2025-000007",
        "€47.56 is in your favour",
    )),
    "reverse charge in german": (replace(paper(1), profile=REVERSE, lines=tuple(
        replace(row, rate=Decimal(0)) for row in paper(1).lines)), "de",
        ("Steuerschuldnerschaft des Leistungsempfängers", "Ihre USt-IdNr. FR40303265045")),
    "reverse charge": (replace(paper(1), profile=REVERSE, lines=tuple(
        replace(row, rate=Decimal(0)) for row in paper(1).lines)), "en", ("Reverse charge:",)),
    "inclusive": (replace(paper(1), profile=replace(PROFILE, mode=TaxMode.INCLUSIVE)), "en",
                  ("Amounts of the lines include tax.",)),
}  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_says(page: str) -> None:
    document, language, expected = PAGES[page]
    said = shown(document, language)
    for words in expected:
        assert " ".join(words.split()) in said, words


def test_what_a_credit_note_does_not_say() -> None:
    said = shown(credit_note(), "de")
    for words in (GERMAN.due, "Bitte zahlen", GERMAN.verify_note[:20] + "x", GERMAN.usage):
        assert words not in said


def test_a_correction_or_credit_has_no_quantity() -> None:
    rows = [row for group in view(PAPER, PROOF)["groups"] for row in group["lines"]]
    assert [(row["quantity"] != "", row["unit_price"] != "") for row in rows] == [
        (True, True), (True, True), (False, False), (False, False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("covered", "first", "last", "said"),
    [
        ("100", START, END, "100% observed"),
        ("99.93", START, END, "99.93% observed · not observed: short gaps in between"),
        (
            "50", START + timedelta(days=2), END,
            "50% observed · not observed: before 3 Feb 2026, 00:00",
        ),
        (
            "50", START + timedelta(hours=1), END - timedelta(hours=1),
            "50% observed · not observed: before 1 Feb 2026, 01:00, after 28 Feb 2026, 23:00",
        ),
    ],
)  # fmt: skip
def test_gaps_are_said_with_their_times(
    covered: str, first: object, last: object, said: str
) -> None:
    document = paper(1)
    row = document.lines[1]
    assert row.evidence
    series = replace(
        row.evidence[0], first=first, last=last - timedelta(minutes=5)  # type: ignore[arg-type,operator]
    )  # fmt: skip
    row = replace(row, coverage=Decimal(covered), evidence=(series,))
    (chart,) = charts(replace(document, lines=(document.lines[0], row)), ENGLISH)
    readings = (
        "srv-01 eth0: 10,000,000,000,000 (1 Feb 2026, 00:01) →"
        " 31,180,759,309,866 (28 Feb 2026, 00:00)"
    )
    assert chart["notes"] == [said, readings]


@pytest.mark.parametrize(
    "name",
    [
        "שרת ענן בע״מ", "خادم سحابي", "株式会社レンダリング", "Рендер ООО", "👩‍🚀 GmbH 🚀",
        "A" * 200, "Donaudampfschifffahrtsgesellschaft " * 6, "a\u202eb\u200fc", "\u0007tab\t",
    ],
)  # fmt: skip
def test_no_name_breaks_a_page(name: str) -> None:
    document = paper(2, buyer=replace(BUYER, name=name), title=name)
    reader = PdfReader(io.BytesIO(pdf(document, text(document), PROOF)))
    assert 1 <= len(reader.pages) <= 3
    assert "RM-2026-000001" in reader.pages[0].extract_text()


@pytest.mark.parametrize(
    ("currency", "net", "said"),
    [("JPY", "12345", "JP¥14,691"), ("KWD", "12.345", "KWD 14.691"), ("EUR", "12.34", "€14.68")],
)
def test_currencies_of_no_two_or_three_decimals(currency: str, net: str, said: str) -> None:
    document = made([line(net)], currency=currency)
    (priced,) = paper(1).priced
    item = replace(priced.scope.items[0], item="i")
    price = replace(priced.scope.prices[0], item="i", charge="c")
    scope = replace(priced.scope, scope="s", items=(item,), prices=(price,))
    document = replace(document, priced=(replace(priced, scope=scope),))
    assert said in shown(document)


@pytest.mark.slow
def test_a_thousand_lines() -> None:
    document = paper(500)
    reader = PdfReader(io.BytesIO(pdf(document, text(document), PROOF, "de")))
    pages = len(reader.pages)
    assert 30 <= pages <= 100
    assert f"Seite {pages} von {pages}" in reader.pages[-1].extract_text()


def test_a_credit_of_an_odd_name_stays_one_line() -> None:
    odd = replace(PAPER, paid=(Draw("x" * 80, Decimal("9.99")),))
    assert "-€9.99" in shown(odd)
