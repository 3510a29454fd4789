"""Mistakes in charges and add-ons: each answer names line, field, what was found and the mend."""

import pytest

from pipeline.catalog import CatalogError, load
from tests.pipeline.catalogs import LINE, NAME, SUM, text_of

# A charge that is wrong, and how the answer about it begins. {SUM} measures traffic from the agent.
CHARGES = """
    price = "1 / month"; bill = "later"
    c.bill: found "later"; write one of "arrears", "advance"

    price = "1 once"; bill = "advance"
    c.bill: not a field; remove it. Known here: price, package, graduated, volume, tax, free, count

    price = "1 / month"; count = 0
    c.count: found the number 0; write how many, a whole number from 1 to 1_000_000, without quotes

    price = "1 / hour"; commit = { quantity = "1 hour", price = "1 / hour" }
    c.commit: a price by hour has none: remove it, or write what the meter measures

    price = "1 / hour"; allow = { quantity = "9 TB / month" }
    c.allow: a price by hour has none: remove it, or write what the meter measures

    price = "1 once"; share = "1/2"
    c.share: a price by once has none

    price = "1 / month"; alert = ["5.00 EUR"]
    c.alert: a price by month has none: remove it

    price = "1 / hour"; alert = ["50 %"]
    c.alert: found ["50 %"]; write net amounts, ascending: ["25.00 EUR"]

    price = "1 / hour"; alert = ["5.00 EUR", "9 hour"]
    c.alert: found ["5.00 EUR", "9 hour"]; write net amounts, ascending: ["25.00 EUR"]

    price = "1 / hour"; alert = ["5.00 EUR", "5.00 EUR"]
    c.alert: found ["5.00 EUR", "5.00 EUR"]; write shares of the allowance

    price = "1,0 / hour"; allow = { quantity = "9 TB / month" }
    c.price: found "1,0 / hour"; write a decimal number and a unit, for example "1.29 / TB"

    meter = { p95 = ["port.tx_bytes", "port.tx_bytes"] }; price = "1 / Mbps"
    c.meter.p95: found ["port.tx_bytes", "port.tx_bytes"]; "port.tx_bytes" is named twice: keep one

    meter = { sum = [" "], source = "switch", gap = "zero" }; price = "1 / TB"
    c.meter.sum: found [" "]; write the meters to add up

    {SUM}; price = "1.000000000000000000001 / TB"
    c.price: found "1.000000000000000000001 / TB"; a number has at most 18 digits, and 20 after its

    {SUM}; price = "1 / TB"; alert = ["1001 %"]; allow = { quantity = "1 TB / month" }
    c.alert: found ["1001 %"]; write shares of the allowance

    graduated = { 0 = "+ 5.00 / TB" }; {SUM}
    c.graduated.0: found "+ 5.00 / TB"; write a price, a flat fee or both

    price = "1 / hour"; package = "1 / 2 hour"
    c.package: a charge has one of price, package, graduated, volume: keep price or this

    package = "5.00 / 0 TB"; {SUM}
    c.package: found "5.00 / 0 TB"; write a price for every so many units begun, for example

    package = "5.00 / TB"; {SUM}
    c.package: found "5.00 / TB"; write a price for every so many units begun

    graduated = "5.00 / TB"; {SUM}
    c.graduated: found "5.00 / TB"; write where each tier begins and what a unit costs there

    graduated = {}; {SUM}
    c.graduated: there is no tier; write where each tier begins

    graduated = { 1 = "5.00 / TB" }; {SUM}
    c.graduated.1: the first tier begins at 0: write one that does

    graduated = { 0 = "5.00 / TB", 9 = "4.00 / TB", "09.0" = "3.00 / TB" }; {SUM}
    c.graduated.09.0: it begins where 9 does: keep one

    {SUM}; price = "1 / TB"; alert = ["0 TB"]
    c.alert: found ["0 TB"]; nothing is above zero from the beginning: write more than 0

    {SUM}; price = "1 / TB"; alert = ["0.00 EUR"]
    c.alert: found ["0.00 EUR"]; nothing is above zero

    {SUM}; price = "1 / TB"; allow = { quantity = "9 Mbps / month" }
    c.allow.quantity: found "9 Mbps / month"; Mbps is by the second, TB is not, as the price is

    meter = { p95 = ["port.tx_bytes"] }; price = "1 / Mbps"; commit = {COMMIT}
    c.commit.quantity: found "250"; write what is paid in any case: "250 Mbps"

    graduated = { 0 = "5.00 / TB", 1.5 = "4.00 / TB" }; {SUM}
    c.graduated.1: found a table; a number with a point is written in quotes: "1.5" = "1.29 / TB"

    graduated = { zero = "5.00 / TB" }; {SUM}
    c.graduated.zero: a tier begins at a number of units; write where

    graduated = { 0 = "5.00" }; {SUM}
    c.graduated.0: found "5.00"; write a price, a flat fee or both: "10.00 flat + 1.29 / TB"

    graduated = { 0 = "" }; {SUM}
    c.graduated.0: found ""; write a price, a flat fee or both

    volume = { 0 = "5.00 flat" }; {SUM}
    c.volume: at least one tier names the unit: write "5.00 flat + 0 / GB"

    volume = { 0 = "5.00 / TB", 1 = "1 / Mbps" }; {SUM}
    c.volume.1: found a price by Mbps; the tiers before are by TB

    price = "1 / TB"; commit = { quantity = "1 TB", price = "1 / TB" }
    c.meter: missing; write { sum = ["net.tx_bytes"], source = "agent", gap = "interpolate" }

    meter = {}; price = "1 / TB"
    c.meter: nothing is measured: write one of sum, a percentile (p10 to p99) or allocation

    meter = { source = "agent" }; price = "1 / TB"
    c.meter: nothing is measured by source: write one of sum, a percentile (p10 to p99) or

    meter = { p95 = ["port.tx_bytes"], sum = ["port.tx_bytes"] }; price = "1 / Mbps"
    c.meter.sum: a charge measures one of sum, a percentile (p10 to p99) or allocation: keep p95

    meter = { p95 = ["port.tx_bytes"] }; price = "1 / TB"
    c.meter.p95: TB does not fit it: its unit is by the second: write per = "second" in [unit]

    {SUM}; price = "1 / Mbps"
    c.meter.sum: Mbps does not fit it: its unit is no rate

    meter = { p95 = ["port.tx_bytes"], take = "p95" }; price = "1 / Mbps"
    c.meter.take: found "p95"; write one of "max of p95", "p95 of max", "sum"

    meter = { p95 = ["net.tx_bytes"], source = "agent", missing = "zero" }; price = "1 / Mbps"
    c.meter.missing: found "zero"; whoever stops the agent would pay less: write "skip"

    meter = { p95 = ["port.tx_bytes"], pool = "" }; price = "1 / Mbps"
    c.meter.pool: found ""; write the name of a pool

    meter = { allocation = "cpu" }; price = "1 / GPU-hour"
    c.meter.allocation: found "cpu"; GPU-hour is a unit of gpu.alloc_ms, not of cpu.alloc_ms

    meter = { allocation = "gpu", evidence = "gpu.busy" }; price = "1 / GPU-hour"
    c.meter.evidence: found "gpu.busy"; the agent has no meter "gpu.busy"; did you mean

    meter = { allocation = "gpu", count = true }; price = "1 / GPU-hour"
    c.meter.count: found true; write how many

    {SUM}; price = "1 / TB"; commit = { quantity = "1 Mbps", price = "1 / TB" }
    c.commit.quantity: found "1 Mbps"; the charge is by TB, so must be its commit

    {SUM}; price = "1 / TB"; commit = { quantity = "1 TB" }
    c.commit.price: missing; write what a unit of it costs

    {SUM}; price = "1 / TB"; share = "8/7"
    c.share: found "8/7"; it is more than the whole; write parts of a whole, for example "1/7"

    {SUM}; price = "1 / TB"; share = "0.14"
    c.share: found "0.14"; write parts of a whole

    {SUM}; price = "1 / TB"; free = ["sunday"]
    c.free: found ["sunday"]; write in which intervals nothing is charged, of trial, suspension

    {SUM}; price = "1 / TB"; prorate = "none"
    c.prorate: found "none"; there is no commit that it could be about; allow has its own

    {SUM}; price = "1 / TB"; allow = { quantity = "1 TB / month", pool = 1 }
    c.allow.pool: found the number 1; write the name of a pool

    {SUM}; price = "1 / TB"; allow = { quantity = "1 TB / month", rollover = "1 TB" }
    c.allow.rollover: found "1 TB"; write { most = "20 TB", expires = "1 month" }

    {SUM}; price = "1 / TB"; allow = { quantity = "1 TB / month", rollover = { most = "1 TB" } }
    c.allow.rollover.expires: missing; write in how many following months it can be used

    {SUM}; price = "1 / TB"; allow = {LEFT}
    c.allow.rollover.most: found "1 GPU-hour"; GPU-hour is a unit of gpu.alloc_ms, TB one of

    meter = { p95 = ["port.tx_bytes"], coverage = "0.9" }; price = "1 / Mbps"
    c.meter.coverage: found "0.9"; write which share of the windows has to be measured: "90 %"

    meter = { p95 = ["port.tx_bytes"], coverage = "101 %" }; price = "1 / Mbps"
    c.meter.coverage: found "101 %"; there are no more than all; write which share

    meter = { p95 = ["port.tx_bytes"], below = "park" }; price = "1 / Mbps"
    c.meter.below: found "park"; there is no coverage to be below of: write coverage = "90 %"

    meter = { p95 = ["port.tx_bytes"], coverage = "90 %", below = "guess" }; price = "1 / Mbps"
    c.meter.below: found "guess"; write one of "note", "park"

    {SUM}; price = "1 / TB"; alert = ["forecast"]
    c.alert: found ["forecast"]; nothing is included that could be used up: write allow too

    {SUM}; price = "1 / TB"; alert = ["5.001 EUR"]
    c.alert: found ["5.001 EUR"]; EUR is paid in 2 decimals, so must alert

    {SUM}; price = "1 / TB"; alert = ["9 TB", "5 TB"]
    c.alert: found ["9 TB", "5 TB"]; write shares of the allowance, quantities, net amounts or a

    {SUM}; price = "1 / TB"; alert = ["9 GPU-hour"]
    c.alert: found ["9 GPU-hour"]; GPU-hour is a unit of gpu.alloc_ms, TB one of net.byte

    meter = { p95 = ["port.tx_bytes"] }; price = "1 / Mbps"; allow = { quantity = "1 Mbps / month" }
    c.allow: not a field; remove it. Known here: price, package
"""
COMMIT = '{ quantity = "250", price = "1 / Mbps" }'
LEFT = '{ quantity = "1 TB / month", rollover = { most = "1 GPU-hour", expires = "1 month" } }'
CHARGE_CASES = [block.strip().split("\n    ") for block in CHARGES.split("\n\n")]


@pytest.mark.parametrize("case", CHARGE_CASES, ids=lambda case: str(case[0]))
def test_in_a_charge(case: list[str]) -> None:
    lines = (
        case[0]
        .replace("{SUM}", SUM)
        .replace("{LEFT}", LEFT)
        .replace("{COMMIT}", COMMIT)
        .split("; ")
    )
    place, _, said = case[1].partition(": ")
    key = place.split(".")[1]
    text = text_of("\n".join([*lines, 'tax = "hosting"']))
    line = LINE + next((n for n, one in enumerate(lines) if one.startswith(key)), 0)
    with pytest.raises(CatalogError) as raised:
        load(text, NAME)
    (found,) = str(raised.value).split("\n")
    assert found.startswith(f"{NAME}:{line}: plan.p.{place}: {said}"), found


ADDONS = """
    price = "1 / hour"
    an-addon: an add-on is a fee: write price = "1.70 / month" or "50.00 once"

    price = "1 / month"; each = 4
    an-addon.each: found the number 4; write true where it is booked by number, else leave it out

    price = "1 / month"; adds = "1 TB"; to = "us"
    an-addon.to: found "us"; no allow of a plan has that pool; known are eu

    price = "1 / month"; adds = "1 GPU-hour"; to = "eu"
    an-addon.adds: found "1 GPU-hour"; GPU-hour is a unit of gpu.alloc_ms, TB one of net.byte

    price = "1 / month"; adds = "1 Mbps"; to = "eu"
    an-addon.adds: found "1 Mbps"; Mbps is by the second, TB is not, as the pool is

    price = "1 / month"; adds = "1"; to = "eu"
    an-addon.adds: found "1"; write what it adds, for example "10 TB"

    price = "1 once"; adds = "1 TB"; to = "eu"
    an-addon.expires: missing; write in how many months it can be used, with that of booking: "3

    price = "1 once"; adds = "1 TB"; to = "eu"; expires = "90 days"
    an-addon.expires: found "90 days"; write in how many months it can be used

    price = "1 / month"; adds = "1 TB"; to = "eu"; expires = "2 months"
    an-addon.expires: found "2 months"; what comes each month lasts a month: write price = "79.00

    price = "1 / month"; count = 2; eech = true
    an-addon.eech: not a field; did you mean "each"?
"""
ADDON_CASES = [block.strip().split("\n    ") for block in ADDONS.split("\n\n")]


@pytest.mark.parametrize("case", ADDON_CASES, ids=lambda case: str(case[0]))
def test_in_an_addon(case: list[str]) -> None:
    pool = f'{SUM}\nprice = "1 / TB"\nallow = {{ quantity = "1 TB / month", pool = "eu" }}'
    lines = [*case[0].split("; "), 'name = "It"', 'tax = "hosting"']
    text = text_of(f'{pool}\ntax = "hosting"') + "\n".join(["[addon.an-addon]", *lines])
    with pytest.raises(CatalogError) as raised:
        load(text, NAME)
    (found,) = str(raised.value).split("\n")
    assert f": addon.{case[1]}" in found


AROUND = """
    [unit]
    [unit] hour = { of = "bytes", is = 1, step = "1" }
    unit.hour: hour is known already: give the unit another name

    [unit]
    [unit] 3TB = { of = "bytes", is = 1, step = "1" }
    unit.3TB: the name of a unit begins with a letter

    is = 125_000,
    is = 1_000_000,
    unit.Mbps.is: found the number 1000000; a Mbps is 125_000 bytes a second: write that

    per = "second"
    per = "minute"
    unit.Mbps.per: found "minute"; write one of "second"

    name = "A plan"
    tax = "none"
    plan.p.tax: found "none"; write one of "hosting", "ports"

    name = "A plan"
    volume = {}
    plan.p.volume: a charge cannot be called like a price model: give it another name
"""


@pytest.mark.parametrize("case", AROUND.strip().split("\n\n"))
def test_around_a_charge(case: str) -> None:
    old, new, said = (line.strip() for line in case.strip().split("\n"))
    text = text_of('price = "1 / hour"\ntax = "hosting"')
    with pytest.raises(CatalogError) as raised:
        load(text.replace(old, new.replace("] ", "]\n"), 1), NAME)
    assert said in str(raised.value)


def test_a_contract_is_not_a_catalogue() -> None:
    with pytest.raises(CatalogError, match="1: contract: this is a contract, which is read with"):
        load('contract = "acme"', NAME)


def test_a_pool_holds_one_kind_of_quantity() -> None:
    allow = 'allow = {{ quantity = "1 {} / month", pool = "eu" }}\ntax = "hosting"'
    gpu = [
        'd.meter = { sum = ["gpu.alloc_ms"], source = "agent", gap = "interpolate" }',
        'd.price = "1 / GPU-hour"',
        *(f"d.{line}" for line in allow.format("GPU-hour").split("\n")),
    ]
    text = text_of(f'{SUM}\nprice = "1 / TB"\n{allow.format("TB")}') + "\n".join(gpu)
    with pytest.raises(CatalogError) as raised:
        load(text, NAME)
    assert str(raised.value) == (
        f'{NAME}:{LINE + 6}: plan.p.d.allow.pool: found "eu"; the pool holds net.bytes,'
        " which GPU-hour is no unit of"
    )
