"""The PDF: it opens, carries the document, says the total, and is the same bytes every time."""

import io
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from pypdf import PdfReader

from invoicing.digest import sealed, text
from invoicing.document import Document
from invoicing.documents import figures
from invoicing.documents.einvoice import einvoice
from invoicing.documents.render import pdf
from invoicing.documents.view import view
from schemas.billing import Span
from schemas.prices import Unit
from tests.invoicing.papers import BUYER, END, START, TB, paper

PROOF = "ab" * 32


def made(document: Document) -> PdfReader:
    return PdfReader(io.BytesIO(pdf(document, text(document), PROOF)))


def words(reader: PdfReader) -> str:
    return "\n".join(page.extract_text() for page in reader.pages)


def test_it_opens_and_says_what_is_to_be_paid() -> None:
    document = paper(5)
    reader = made(document)
    said = words(reader)
    assert len(reader.pages) == 2
    for expected in (
        "RM-2026-000001", "Acme Rendering SAS", "75011 Paris", "France", "1 – 28 February 2026",
        f"€{document.totals.gross}", f"Please pay €{document.totals.gross} by 16 March 2026",
        "AX server, by the hour 01", "capped at 49.00 a month", "99.93% observed", PROOF,
        "rackmeter invoice verify RM-2026-000001.pdf", "Page 1 of 2",
    ):  # fmt: skip
        assert expected in said


def test_the_attachments_are_the_document_and_its_einvoice() -> None:
    document = paper(2)
    attachments = made(document).attachments
    assert {name: bodies[0] for name, bodies in attachments.items()} == {
        "RM-2026-000001.json": text(document),
        "factur-x.xml": einvoice(document),
    }


def test_it_is_pdf_a_3b() -> None:
    metadata = made(paper(1)).xmp_metadata
    assert metadata is not None
    assert b"<pdfaid:part>3</pdfaid:part>" in metadata.stream.get_data()


def test_the_same_document_gives_the_same_bytes_in_another_process() -> None:
    code = (
        "import hashlib; from tests.invoicing.papers import paper;"
        "from tests.invoicing.test_page import PROOF, pdf, text;"
        "print(hashlib.sha256(pdf(paper(3), text(paper(3)), PROOF)).hexdigest())"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1]


def test_a_hundred_lines_are_all_there() -> None:
    document = paper(50)
    reader = made(document)
    said = words(reader)
    assert len(document.lines) == 100
    assert all(f"AX server, by the hour {number:02d}" in said for number in range(1, 51))
    assert f"€{document.totals.gross:,}" in said
    assert len(reader.pages) <= 10


@pytest.mark.parametrize(
    "name",
    [
        "#panic() [*x*] $y$ \\ @a <b>", '"; #read("/etc/passwd")', '\\"); #panic("', "\\\\",
        "\\u{41}", "Ünïcödé Ж", "a" * 300,
    ],
)  # fmt: skip
def test_names_are_data_and_never_markup(name: str) -> None:
    said = words(made(paper(1, buyer=replace(BUYER, name=name)))).replace("\n", "")
    assert name.replace(" ", "") in said.replace(" ", "")


def test_characters_without_a_glyph_do_not_stop_an_invoice() -> None:
    said = words(made(paper(1, buyer=replace(BUYER, name="株式会社 Berlin 😀"))))
    assert "???? Berlin ?" in said


def test_what_is_rented_stays_on_one_page_with_its_lines() -> None:
    pages = [page.extract_text() for page in made(paper(50)).pages]
    for number in range(1, 51):
        title = f"AX server, by the hour {number:02d} srv"
        (page,) = [" ".join(page.split()) for page in pages if title in " ".join(page.split())]
        after = page.partition(title)[2].partition("AX server")[0]
        assert "Rent" in after
        assert "Traffic above the allowance" in after


def test_an_invoice_of_nothing_asks_for_nothing() -> None:
    document = paper(1)
    free = replace(document, totals=replace(document.totals, due=Decimal("0.00")))
    assert view(free, PROOF)["payment"] == ["Nothing is payable."]


def test_digests_do_not_depend_on_the_order_of_names() -> None:
    body = sealed(paper(1))
    assert text(paper(1)).startswith(b'{\n  "format": "rackmeter.invoice/2"')
    assert len(str(body["digest"])) == 64


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        (START, END, "1 – 28 February 2026"),
        ("2026-02-10T08:20Z", "2026-02-12T23:00Z", "10 Feb 2026, 09:20 – 13 Feb 2026, 00:00"),
        ("2026-02-09T23:00Z", "2026-02-10T23:00Z", "10 February 2026"),
        ("2026-01-09T23:00Z", "2026-02-10T23:00Z", "10 January 2026 – 10 February 2026"),
        ("2026-02-09T23:00Z", None, "10 Feb 2026, 00:00 –"),
    ],
)
def test_spans(start: datetime | str, end: datetime | str | None, said: str) -> None:
    def at(edge: datetime | str) -> datetime:
        return datetime.fromisoformat(edge) if isinstance(edge, str) else edge

    span = Span(at(start), None if end is None else at(end))
    assert figures.span(span, ZoneInfo("Europe/Berlin"), "en_GB") == said


@pytest.mark.parametrize(
    ("value", "said"),
    [("1234.50", "1,234.50"), ("0.0833", "0.0833"), ("672", "672"), ("-0.40", "-0.40")],
)
def test_amounts_keep_all_their_digits(value: str, said: str) -> None:
    assert figures.amount(Decimal(value), "en_GB") == said


@pytest.mark.parametrize(
    ("amount", "currency", "said"),
    [
        ("1234.50", "EUR", "€1,234.50"),
        ("1234", "JPY", "JP¥1,234"),
        ("1234.500", "KWD", "KWD\u00a01,234.500"),
        ("-0.40", "CHF", "-CHF\u00a00.40"),
    ],
)
def test_money_names_its_currency(amount: str, currency: str, said: str) -> None:
    assert figures.money(Decimal(amount), currency, "en_GB") == said


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (21_482_000_000_000, TB, "21.482 TB"),
        (3_512_345, TB, "3.512 MB"),
        (999, TB, "999 B"),
        (0, TB, "0 TB"),
        (2**30, Unit("TiB", "net.bytes", 2**40, Decimal("0.001")), "1 GiB"),
        (5_400_000, Unit("GPU-hour", "gpu.alloc_ms", 3_600_000, Decimal("0.01")), "1.5 GPU-hour"),
    ],
)
def test_small_quantities_are_readable(value: int, unit: Unit, said: str) -> None:
    assert figures.base_as(value, unit, "en_GB") == said.replace(" ", "\xa0")
