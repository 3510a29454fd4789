"""Contracts: what differs from a catalogue, for how long, and what a person is told of mistakes."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from pipeline.catalog import CatalogError, load, price_rows
from pipeline.contract import Contract, base_of, is_contract, is_version, load_contract
from schemas.billing import Item, Span
from schemas.prices import Graduated, Hours, PerUnit, Tier
from schemas.terms import Commitment, Discount, Term

FOLDER = Path(__file__).parents[2] / "deploy" / "catalog"
TEXT = (FOLDER / "contract.toml").read_text("utf-8")
BASE = (FOLDER / "example.toml").read_text("utf-8")
NAME = "contract.toml"
EXAMPLE = load(BASE, "example.toml")
BEGIN, END = (datetime(year, 3, 31, 22, tzinfo=UTC) for year in (2026, 2027))


def read(*changes: tuple[str, str]) -> Contract:
    text = TEXT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return load_contract(text, NAME, BASE)


def test_only_what_differs_differs() -> None:
    contract = read()
    plan, base = contract.catalog.plans["ax-hourly"], EXAMPLE.plans["ax-hourly"]
    assert plan.title == base.title
    rent, traffic = plan.charges["rent"], plan.charges["traffic"]
    assert (rent.quantity, rent.model) == (Hours(), PerUnit(Decimal("0.0750")))
    assert rent.cap == base.charges["rent"].cap
    assert traffic.allowance == base.charges["traffic"].allowance
    assert traffic.model == Graduated(
        (Tier(Decimal(100), Decimal("1.19")), Tier(None, Decimal("0.99")))
    )
    assert contract.catalog.addons["ipv4"].each
    assert contract.catalog.plans["h100"] == EXAMPLE.plans["h100"]


def test_terms() -> None:
    contract = read()
    assert (contract.scope, contract.valid) == ("acme", Span(BEGIN, END))
    july, october = (datetime(2026, month, 30, 22, tzinfo=UTC) for month in (6, 9))
    assert contract.discounts == (
        Discount("loyalty", Span(BEGIN, END), percent=Decimal(10), charges=("rent",)),
        Discount("start", Span(BEGIN, july), amount=Decimal("50.00")),
    )
    assert contract.commitments == (
        Commitment("first-half", Span(BEGIN, october), Decimal("500.00"), Term.MONTH, "hosting"),
        Commitment("second-half", Span(october, END), Decimal("800.00"), Term.MONTH, "hosting"),
    )


def test_prices_go_back_to_the_base_when_it_ends() -> None:
    item = Item("web", "web", "ax-hourly", Span(datetime(2026, 5, 1, tzinfo=UTC)))
    rows = [(r.charge, r.version, r.reason, r.valid) for r in price_rows(read().catalog, item)]
    during, after = Span(item.valid.start, END), Span(END)
    assert rows == [
        ("rent", "acme-2026", "contract acme-2026", during),
        ("traffic", "acme-2026", "contract acme-2026", during),
        ("rent", "2026-03", "", after),
        ("traffic", "2026-03", "", after),
    ]


def test_an_open_contract_and_an_item_that_ended() -> None:
    contract = read(("until = 2027-04-01", ""))
    ended = Item("web", "web", "ax-hourly", Span(BEGIN, END))
    assert {row.valid for row in price_rows(contract.catalog, ended)} == {Span(BEGIN, END)}
    assert contract.catalog.existing == contract.valid.start == BEGIN


def test_its_days_are_those_of_the_customer() -> None:
    contract = load_contract(TEXT, NAME, BASE, "Asia/Tokyo")
    sooner = timedelta(hours=7)  # in summer Tokyo is so far ahead of Berlin
    valid = Span(BEGIN - sooner, END - sooner)
    assert (contract.valid, contract.catalog.effective) == (valid, valid.start)
    assert contract.discounts[0].valid.start == valid.start
    assert contract.commitments[-1].valid.end == valid.end
    assert contract.catalog.seller.timezone == "Europe/Berlin"


def test_what_a_file_says_it_is() -> None:
    assert is_contract(TEXT)
    assert not is_contract(BASE)
    assert is_contract('  "contract"="x"')
    assert is_contract('scope = "acme"\nbase = "2026-03"')
    assert not is_contract('[plan.p]\ncontract = { price = "1 / month" }')
    assert not is_contract('contract = "not TOML')
    assert is_version('version="2026-03"', "2026-03")
    assert not is_version(TEXT, "2026-03")
    assert base_of(TEXT, NAME) == "2026-03"


MISTAKES = """
    base = "2026-03"
    base = "2026-02"
    base: found "2026-02"; the catalogue given is version 2026-03

    scope = "acme"
    scope = 7
    scope: found the number 7; write the rating scope it holds for: scope = "acme"

    until = 2027-04-01
    until = 2026-04-01
    until: found 2026-04-01; it ends before it begins, on 2026-04-01

    [plan.ax-hourly]
    [plan.ax-hurly]
    plan.ax-hurly: 2026-03 has no plan of that name; did you mean "ax-hourly"?

    [addon.ipv4]
    [addon.dns]
    addon.dns: 2026-03 has no addon of that name; known are ssd-3840, ipv4, setup-raid, bw-10tb

    "0.0750 / hour"
    "0,0750 / hour"
    plan.ax-hourly.rent.price: found "0,0750 / hour"; write a decimal number by the hour

    "0.99 / TB"
    "0.99 / GiB-month"
    plan.ax-hourly.traffic.graduated.100: found a price by GiB-month; the tiers before are by TB

    percent = "10 %"
    percent = "110 %"
    discount.loyalty.percent: found "110 %"; nothing costs less than nothing: write at most 100 %

    percent = "10 %"
    amount = "10.001 / month"
    discount.loyalty.amount: found "10.001 / month"; EUR is paid in 2 decimals, so must amount

    percent = "10 %"
    percent = "10 %"\\ncharge = "rent"
    discount.loyalty.charge: not a field; did you mean "charges"?

    charges = ["rent"]
    charges = ["rental"]
    discount.loyalty.charges: found ["rental"]; no plan has a charge "rental"; known are bw-100tb,

    until = 2026-07-01
    until = 2026-01-01
    discount.start.until: found 2026-01-01; no day of the contract, which holds from 2026-04-01

    "500.00 / month"
    "500.00 / week"
    commitment.first-half.amount: found "500.00 / week"; write what is paid at least

    until = 2026-10-01
    tox = 1
    commitment.first-half.tox: not a field; did you mean "tax"?

    rent.price = "0.0750 / hour"
    rent.price = "39.00 / month"
    plan.ax-hourly.rent.cap: not a field; 2026-03 has it: write a plan or charge of another name.

    "0.0750 / hour"
    "1 / TB"
    plan.ax-hourly.rent.price: found "1 / TB"; a price by TB needs a meter; write a decimal

    until = 2027-04-01
    until = 2027-04-31
    not TOML: Invalid date or datetime, found `until = 2027-04-31

    charges = ["rent"]
    charges = ["rent", "rent"]
    discount.loyalty.charges: found ["rent", "rent"]; "rent" is named twice: keep one

    until = 2026-07-01
    until = "2026-07-01"
    discount.start.until: found "2026-07-01"; write a date without quotes

    contract = "acme-2026"
    contract = "acme 2026"
    contract: found "acme 2026"; write contract = "acme-2026", of letters, digits, ., - and _

    contract = "acme-2026"
    contract = ["acme"]
    contract: found ["acme"]; write contract = "acme-2026"

    contract = "acme-2026"
    contract = "acme-2026" # \\nseller = 1
    seller: not a field; remove it. Known here: contract, base, scope, effective, until, plan
"""


@pytest.mark.parametrize("case", MISTAKES.strip("\n").split("\n\n"))
def test_one_mistake(case: str) -> None:
    old, new, said = (line.strip() for line in case.strip().split("\n"))
    text = TEXT.replace(old, new.replace("\\n", "\n"), 1)
    with pytest.raises(CatalogError) as raised:
        load_contract(text, NAME, BASE)
    found = str(raised.value).split("\n")
    line = 1 + TEXT[: TEXT.index(old)].count("\n") + new.count("\\n")
    assert found[0].startswith(f"{NAME}:{line}: {said}"), found
    assert len(found) == 1, "one mistake is told once"


def test_a_discount_is_of_one_kind() -> None:
    with pytest.raises(CatalogError, match=r"discount.start: write one of percent"):
        read(('amount = "50.00 / month"', 'amount = "50.00 / month"\npercent = "1 %"'))


def test_mistakes_of_the_base_are_those_of_the_base() -> None:
    line = 1 + BASE[: BASE.index('"1.29 / TB"')].count("\n")
    said = rf"2026-03 \(base of contract.toml\):{line}: plan.ax-hourly"
    with pytest.raises(CatalogError, match=said):
        load_contract(TEXT, NAME, BASE.replace('"1.29 / TB"', "1.29", 1))
