"""A resized item on its invoice: lines, headings, page and explanation say the plan of their time;
what an item is called is no difference.
"""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from invoicing.document import Document
from invoicing.documents.groups import groups
from invoicing.documents.words import LANGUAGES
from invoicing.explain import explain
from invoicing.export import load
from invoicing.rerate import rerate
from invoicing.verify import verify
from pipeline.catalog import load as load_catalog
from sinks import timelines
from sinks.alterations import add_addon, resize
from sinks.catalogs import apply
from sinks.database import Connection, connect
from tests.invoicing import ledger
from tests.invoicing.scenario import CLOSED, ENTERED, TEXT, close_month
from tests.invoicing.worlds import DAY, END, START, account

GPU = (
    TEXT
    + """
[plan.m]
name = "GPU M"
rent = { price = "10.00 / month", tax = "hosting" }
[plan.l]
name = "GPU L"
rent = { price = "30.00 / month", tax = "hosting" }
[plan.xl]
name = "GPU L2"
rent = { price = "90.00 / month", bill = "advance", tax = "hosting" }
[addon.ipv4]
name = "IPv4"
price = "2.80 / month"
tax = "hosting"
"""
)
CATALOG = load_catalog(GPU, "gpu.toml")


@pytest.fixture
def conn(billing_url: str) -> Iterator[Connection]:
    with connect(billing_url, autocommit=True) as conn:
        apply(conn, CATALOG, GPU, ENTERED)
        ledger.topic(conn, CLOSED)
        account(conn, "acme-0")
        yield conn


def rented(conn: Connection, title: str | None) -> None:
    """A GPU M with an address, resized to a GPU L on the 15th of February, the 14 days of 28."""
    timelines.rent(
        conn, item="gpu", title=title, plan="m", account="acme-0", server="srv", at=START,
        catalog=CATALOG, entered_at=ENTERED,
    )  # fmt: skip
    add_addon(conn, "gpu", addon="ipv4", at=START, catalog=CATALOG, entered_at=ENTERED)
    resized(conn, "l", 14)


def resized(conn: Connection, plan: str, days: int) -> None:
    resize(
        conn, "gpu", plan=plan, at=START + days * DAY, catalog=CATALOG, entered_at=ENTERED
    )  # fmt: skip


def closed(conn: Connection, url: str, folder: Path, month: str = "2026-02") -> Document:
    report = close_month(url, month, folder=folder)
    assert report.exit_code == 0, report
    outcome = report.outcomes[0]
    assert outcome.invoice_id is not None
    assert [verify(Path(file)) for file in outcome.files] == [[], []]
    return load(conn, outcome.invoice_id)[0]


def said(paper: Document) -> list[tuple[str, list[str]]]:
    """Heading and lines of each group of the page."""
    found = groups(paper, LANGUAGES["en"])
    return [(one["title"], [line["title"] for line in one["lines"]]) for one in found]


@pytest.mark.parametrize(
    ("title", "plans", "page"),
    [
        (None, 1, ("GPU M", ["Ipv4", "Rent"])),
        (None, 2, ("GPU M → GPU L", ["Ipv4", "GPU M: rent", "GPU L: rent"])),
        ("web-1", 2, ("web-1", ["Ipv4", "Rent", "Rent"])),
    ],
)
def test_lines_and_headings_say_the_plan_of_their_time(
    conn: Connection, billing_url: str, tmp_path: Path, title: str | None, plans: int,
    page: tuple[str, list[str]],
) -> None:  # fmt: skip
    rented(conn, title)
    if plans == 1:
        resized(conn, "m", 14)
    paper = closed(conn, billing_url, tmp_path)
    assert said(paper) == [page]
    names = page[0].split(" → ")
    assert [row.line.title for row in paper.lines] == [
        f"{names[-1]}: ipv4", *(f"{name}: rent" for name in (names * 2)[:plans])
    ]  # fmt: skip
    text = explain(conn, f"{paper.number}/2").to_text()
    assert f"{paper.number}/2 {names[0]}: rent" in text


def test_a_fee_in_advance_says_the_plan_of_the_month_that_it_is_for(
    conn: Connection, billing_url: str, tmp_path: Path
) -> None:
    """GPU L2 from March on is billed with February: its name begins like the heading's."""
    rented(conn, None)
    resized(conn, "l", 0)
    resized(conn, "xl", 28)
    paper = closed(conn, billing_url, tmp_path)
    assert said(paper) == [("GPU L", ["Ipv4", "Rent", "GPU L2: rent"])]


def test_a_title_is_no_difference(conn: Connection, billing_url: str, tmp_path: Path) -> None:
    """Sealed under the title that it was rented with; today nobody had given one."""
    rented(conn, "GPU M")
    assert said(closed(conn, billing_url, tmp_path)) == [("GPU M", ["Ipv4", "Rent", "Rent"])]
    conn.execute("UPDATE item SET title = ''")
    assert rerate(conn, "2026-02").lines == ()
    paper = closed(conn, billing_url, tmp_path, "2026-03")
    assert said(paper) == [("GPU L", ["Ipv4", "Rent"])]
    assert paper.adjusted == ()


def test_a_correction_is_called_as_the_line_that_it_corrects(
    conn: Connection, billing_url: str, tmp_path: Path
) -> None:
    """It ended on the 22nd: a quarter of the month less of a GPU L, and of the address."""
    rented(conn, "GPU M")
    closed(conn, billing_url, tmp_path)
    conn.execute("UPDATE item SET title = ''")
    timelines.end(conn, "gpu", START + 21 * DAY, CLOSED)
    assert [(one.title, one.difference) for one in rerate(conn, "2026-02").lines] == [
        ("GPU M: ipv4", Decimal("-0.70")), ("GPU M: rent", Decimal("-7.50")),
    ]  # fmt: skip
    ledger.reported(conn, END + 31 * DAY)
    note = closed(conn, billing_url, tmp_path, "2026-03")
    assert said(note) == [("GPU M → GPU L", ["GPU M: ipv4", "GPU M: rent"])]
