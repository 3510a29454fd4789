"""Every quantity, price model and term: what a person writes, and what is priced."""

from decimal import Decimal

import pytest

from pipeline.catalog import load
from pipeline.catalog_units import fits, same_family
from schemas.prices import (
    Allocation,
    Allowance,
    Bill,
    Charge,
    Commit,
    Every,
    Fee,
    Gap,
    Graduated,
    Hours,
    IntervalKind,
    Missing,
    Model,
    Package,
    Percentile,
    PerUnit,
    Quantity,
    Share,
    Source,
    Sum,
    Take,
    Tier,
    Unit,
    Volume,
)
from tests.pipeline.catalogs import HEAD, NAME, SUM, charge_of

TB = Unit("TB", "net.bytes", 10**12, Decimal("0.001"))
MBPS = Unit("Mbps", "net.bytes", 37_500_000, Decimal("0.01"))  # 125,000 B/s × 300 s
GPU_HOUR = Unit("GPU-hour", "gpu.alloc_ms", 3_600_000, Decimal("0.01"))
PORTS = ("port.rx_bytes", "port.tx_bytes")
P95 = 'meter = { p95 = ["port.rx_bytes", "port.tx_bytes"]'


def d(text: str) -> Decimal:
    return Decimal(text)


QUANTITIES: list[tuple[str, Quantity]] = [
    ('price = "0.1 / hour"', Hours()),
    ('price = "9 / month"', Fee()),
    ('price = "9 / month"\nbill = "advance"\ncount = 4', Fee(Every.MONTH, Bill.ADVANCE, 4)),
    ('price = "50.00 once"', Fee(Every.ONCE)),
    (f'{SUM}\nprice = "1 / TB"', Sum(("net.tx_bytes",), TB)),
    (
        'meter = { sum = ["port.tx_bytes"], source = "switch", gap = "zero" }\nprice = "1 / TB"',
        Sum(("port.tx_bytes",), TB, Source.SWITCH, Gap.ZERO),
    ),
    (f'{P95} }}\nprice = "1 / Mbps"', Percentile(PORTS, MBPS)),
    (
        (
            'meter = { p98 = ["port.rx_bytes"], take = "sum", pool = "e", missing = "zero" }\n'
            'price = "1 / Mbps"'
        ),
        Percentile(("port.rx_bytes",), MBPS, Take.SUM, 98, "e", Missing.ZERO),
    ),
    (
        (
            'meter = { allocation = "gpu", count = 8, evidence = "gpu.busy_ms" }\n'
            'price = "1 / GPU-hour"'
        ),
        Allocation(GPU_HOUR, 8, "gpu.busy_ms"),
    ),
]


@pytest.mark.parametrize(("text", "quantity"), QUANTITIES)
def test_quantities(text: str, quantity: Quantity) -> None:
    assert charge_of(f'{text}\ntax = "hosting"').quantity == quantity


MODELS: list[tuple[str, Model]] = [
    ('price = "1.29 / TB"', PerUnit(d("1.29"))),
    ('price = "0 / TB"', PerUnit(d("0"))),
    ('package = "5.00 / 100 TB"', Package(d("100"), d("5.00"))),
    ('package = "5.00 / 0.5 TB"', Package(d("0.5"), d("5.00"))),
    (
        'graduated = { 1000 = "1.89 / TB", 0 = "2.19 / TB" }',
        Graduated((Tier(d("1000"), d("2.19")), Tier(None, d("1.89")))),
    ),
    (
        'volume.0 = "5.00 flat"\nvolume."0.5" = "7.00 flat + 1.00 / TB"\nvolume.2 = "1.50/TB"',
        Volume(
            (
                Tier(d("0.5"), d("0"), d("5.00")),
                Tier(d("2"), d("1.00"), d("7.00")),
                Tier(None, d("1.50")),
            )
        ),
    ),
]


@pytest.mark.parametrize(("text", "model"), MODELS)
def test_models(text: str, model: Model) -> None:
    assert charge_of(f'{SUM}\n{text}\ntax = "hosting"').model == model


@pytest.mark.parametrize("text", ['graduated.0 = "1 / hour"', 'package = "1 / 24 hour"'])
def test_any_quantity_goes_with_any_model(text: str) -> None:
    assert charge_of(f'{text}\ntax = "hosting"').quantity == Hours()


def test_rent_is_told_by_net_amounts() -> None:
    charge = charge_of('price = "1 / hour"\nalert = ["5.00 EUR", "9.50 EUR"]\ntax = "hosting"')
    assert charge == Charge(Hours(), PerUnit(d("1")), "hosting", alert_nets=(d("5.00"), d("9.50")))


def test_terms_of_metered_use() -> None:
    charge = charge_of(
        f"""{SUM}
        price = "1.29 / TB"
        allow = {{ quantity = "0.5 TB / month", prorate = "none", pool = "eu" }}
        commit = {{ quantity = "2 TB", price = "1.00 / TB" }}
        share = "1/7"
        cap = "500.00 / month"
        prorate = "none"
        alert = ["80 %", "100 %"]
        free = ["suspension", "trial"]
        tax = "ports\""""
    )
    assert charge == Charge(
        quantity=Sum(("net.tx_bytes",), TB),
        model=PerUnit(d("1.29")),
        tax="ports",
        allowance=Allowance(5 * 10**11, prorate=False, pool="eu"),
        commit=Commit(d("2"), d("1.00")),
        cap=d("500.00"),
        share=Share(1, 7),
        prorate=False,
        free=(IntervalKind.TRIAL, IntervalKind.SUSPENSION),
        alerts=(80, 100),
    )


def test_a_plan_says_the_tax_of_charges_that_do_not() -> None:
    text = f'{HEAD}tax = "ports"\na.price = "1 / hour"\nb = {{ price = "1 once", tax = "hosting" }}'
    charges = load(text, NAME).plans["p"].charges
    assert (charges["a"].tax, charges["b"].tax) == ("ports", "hosting")


@pytest.mark.parametrize(
    ("of", "meter"),
    [
        ("net.tx_bytes", "net.tx_bytes"),
        ("net.bytes", "net.rx_bytes"),
        ("net.bytes", "port.tx_bytes"),
        ("bytes", "port.tx_bytes"),
        ("bytes", "volume.read_bytes"),
    ],
)
def test_units_fit_meters_that_count_alike(of: str, meter: str) -> None:
    assert fits(Unit("TB", of, 10**12, d("0.001")), meter)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("net.bytes", "net.bytes", True),
        ("net.bytes", "bytes", True),
        ("net.tx_bytes", "bytes", True),
        ("port.bytes", "net.bytes", True),
        ("net.bytes", "", True),
        ("net.bytes", "disk.mib_s", False),
        ("cpu.busy_ms", "gpu.busy_ms", False),
    ],
)
def test_quantities_of_a_family_can_be_added(one: str, other: str, same: bool) -> None:
    units = [Unit(of or "?", of, 1, d("1")) for of in (one, other)]
    assert same_family(*units) == same_family(*units[::-1]) == same
