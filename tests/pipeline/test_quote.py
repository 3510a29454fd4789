"""Quotations: what a usage file says, what it costs, and what a person is told about mistakes."""

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from pipeline.catalog import Catalog, CatalogError, load
from pipeline.contract import load_contract
from pipeline.quote import Quote, quote
from pipeline.quote_read import Request, read_usage
from schemas.billing import Span

FOLDER = Path(__file__).parents[2] / "deploy" / "catalog"
EXAMPLE = load((FOLDER / "example.toml").read_text("utf-8"), "example.toml")
USAGE = (FOLDER / "usage.toml").read_text("utf-8")
NAME = "usage.toml"
BEGIN, END = datetime(2026, 9, 30, 22, tzinfo=UTC), datetime(2026, 10, 31, 23, tzinfo=UTC)


def read(text: str, catalog: Catalog = EXAMPLE) -> Request:
    return read_usage(f'period = "2026-10"\n{text}', NAME, catalog)


def priced(text: str, catalog: Catalog = EXAMPLE) -> Quote:
    return quote(read(text, catalog), catalog.seller)


def nets(quoted: Quote) -> dict[str, Decimal]:
    return {f"{line.item}/{line.charge}": line.net for line in quoted.lines}


def test_the_example_line_by_line() -> None:
    """October of Berlin has 745 hours; the pool holds 2 × 20 TB, 10 and 20 for 26.4 days."""
    quoted = quote(read_usage(USAGE, NAME, EXAMPLE), EXAMPLE.seller)
    assert [
        (x.item, x.charge, str(x.quantity), x.unit, str(x.price), str(x.net)) for x in quoted.lines
    ] == [
        ("edge", "port", "62.50", "Mbps", "0.90", "56.25"),
        ("edge", "port", "250.00", "Mbps", "0.60", "150.00"),
        ("gpu", "gpu", "673.00", "GPU-hour", "2.19", "1473.87"),
        ("shop", "bw-10tb", "0.851678", "month", "9.00", "7.67"),
        ("shop", "rent", "0.851678", "month", "129.00", "109.87"),
        ("shop", "rent", "1.000000", "month", "129.00", "129.00"),
        ("shop", "setup", "1", "fee", "79.00", "79.00"),
        ("shop", "traffic", "1.750", "TB", "1.29", "2.26"),
        ("web-1", "ipv4", "4.000000", "month", "1.70", "6.80"),
        ("web-1", "rent", "745", "hour", "0.0833", "49.00"),
        ("web-1", "traffic", "0.000", "TB", "1.29", "0.00"),
        ("web-2", "ipv4", "4.000000", "month", "1.70", "6.80"),
        ("web-2", "rent", "745", "hour", "0.0833", "49.00"),
        ("web-2", "traffic", "24.450", "TB", "1.29", "31.54"),
    ]
    totals = quoted.totals
    assert (totals.net, totals.tax, totals.gross) == (
        Decimal("2151.06"), Decimal("408.70"), Decimal("2559.76"),
    )  # fmt: skip
    assert quoted.period == Span(BEGIN, END)


EXPLAINED = [
    ('plan = "ax-hourly"', "web/rent", "745 hour × 0.0833 = 62.0585, capped to 49.00"),
    (
        'plan = "ax-hourly"\nusage = { "net.tx_bytes" = "21.5 TB" }',
        "web/traffic",
        "21.5 TB used − 20 TB included; 1.500 TB × 1.29 = 1.935, rounded to 1.94",
    ),
    (
        'plan = "h100-slice"',
        "web/gpu",
        "745 GPU-hour allocated × 1/7; 106.43 GPU-hour × 2.19 = 233.0817, rounded to 233.08",
    ),
    (
        'plan = "edge-10g"\nusage = { "port.tx_bytes" = "300 Mbps" }',
        "web/port",
        "95th percentile 300 Mbps; 50.00 Mbps × 0.90 = 45",
    ),
    (
        'plan = "storage"\nusage = { "port.rx_bytes" = "101 GB" }',
        "web/copies",
        "101 GB used; 2 package of 100 GB × 5.00 = 10",
    ),
]


@pytest.mark.parametrize(("item", "charge", "said"), EXPLAINED)
def test_every_line_says_why(item: str, charge: str, said: str) -> None:
    quoted = priced(f"[item.web]\n{item}")
    found = {f"{x.item}/{x.charge}": x.explain for x in reversed(quoted.lines)}
    assert found[charge] == said


def test_a_discount_stands_beside_its_line() -> None:
    text = (FOLDER / "contract.toml").read_text("utf-8")
    base = (FOLDER / "example.toml").read_text("utf-8")
    contract = load_contract(text, "contract.toml", base)
    request = read_usage(
        'period = "2026-05"\n[item.web]\nplan = "ax-hourly"\n', NAME,
        contract.catalog, contract.discounts, contract.commitments,
    )  # fmt: skip
    quoted = quote(request, contract.catalog.seller)
    rent = next(line for line in quoted.lines if line.charge == "rent")
    assert (rent.gross, rent.discount, rent.net) == (
        Decimal("49.00"), Decimal("4.90"), Decimal("44.10"),
    )  # fmt: skip
    assert rent.explain.endswith("capped to 49.00; loyalty 10 % off")
    # 44.10 less 44.10 of the 50.00 a month leaves nothing, so all of the minimum is lacking.
    assert quoted.totals.net == Decimal("500.00")
    assert sum(line.net for line in quoted.lines) == quoted.totals.net


def test_what_is_of_the_whole_invoice_is_no_charge_of_an_item() -> None:
    """An amount off, a minimum and promotional credit follow after all items, by their names."""
    base = (FOLDER / "example.toml").read_text("utf-8")
    text = (FOLDER / "contract.toml").read_text("utf-8")
    some = 'amount = "50.00 / month"\ncharges = ["rent", "traffic"]'
    contract = load_contract(text.replace('amount = "50.00 / month"', some), "contract.toml", base)
    request = read_usage(
        'period = "2026-05"\n[item.web]\nplan = "ax-hourly"\naddons = { ipv4 = 1 }\n'
        '[credit.welcome]\nkind = "promotional"\namount = "20.00"\n', NAME,
        contract.catalog, contract.discounts, contract.commitments,
    )  # fmt: skip
    quoted = quote(request, contract.catalog.seller)
    assert [(x.kind.value, x.item, x.charge, x.name, x.explain) for x in quoted.lines[-3:]] == [
        ("discount", "", "", "start", "50.00 a month off rent, traffic"),
        ("true-up", "", "", "first-half", "first-half: true-up to 500.00 a month"),
        ("credit", "", "", "welcome", "credit welcome"),
    ]
    assert {(x.kind.value, x.item, x.name) for x in quoted.lines[:-3]} == {("charge", "web", "")}
    assert sum(line.net for line in quoted.lines) == quoted.totals.net == Decimal("480.00")


def test_json_says_the_same() -> None:
    item = {"plan": "ax-hourly", "from": "2026-10-05T14:30:00", "usage": {"net.tx_bytes": "1 TB"}}
    text = json.dumps({"period": "2026-10", "item": {"web": item}})
    toml = '[item.web]\nplan = "ax-hourly"\nfrom = 2026-10-05T14:30:00\n'
    same = read(toml + 'usage = { "net.tx_bytes" = "1 TB" }')
    assert read_usage(text, "usage.json", EXAMPLE) == same


def test_windows_and_their_holes() -> None:
    """Five of 8,940 windows are measured; of five none is discarded, the highest is 600 Mbps."""
    mbps = 37_500_000
    item = {"plan": "edge-10g", "windows": {
        "port.rx_bytes": [0, 0, 0], "port.tx_bytes": [mbps, 600 * mbps, None, mbps, mbps, mbps],
    }}  # fmt: skip
    text = json.dumps({"period": "2026-10", "item": {"edge": item}})
    quoted = quote(read_usage(text, "usage.json", EXAMPLE), EXAMPLE.seller)
    assert str(quoted.lines[0].quantity) == "350.00"


def test_a_resize_changes_prices_and_goes_on_with_the_rest() -> None:
    """Ten days by the hour, 20 by the month: 480 of 745 hours, the hour of the clocks included."""
    quoted = priced(
        '[item.web]\nplan = "ax-hourly"\nresize = [{ plan = "dx-monthly", at = 2026-10-11 }]'
    )
    found = {(x.charge, f"{x.quantity} {x.unit}") for x in quoted.lines if x.charge == "rent"}
    assert found == {
        ("rent", "240 hour"), ("rent", "0.677852 month"), ("rent", "1.000000 month"),
    }  # fmt: skip
    first = next(x for x in quoted.lines if x.unit == "hour")
    assert first.explain == "240 hour × 0.0833 = 19.992, rounded to 19.99"


def test_a_line_says_what_rounding_took_before() -> None:
    """A day, a day of fault, and 697 hours: 721 ÷ 7 = 103 hours, of which 3.43 are billed."""
    quoted = priced(
        '[item.web]\nplan = "h100-slice"\n'
        "intervals = { exclusion = { from = 2026-10-02, until = 2026-10-03 } }"
    )
    assert [x.explain for x in quoted.lines] == [
        "24 GPU-hour allocated × 1/7; 3.43 GPU-hour × 2.19 = 7.5117, rounded to 7.51",
        (
            "697 GPU-hour allocated × 1/7 − ≈0.001429 GPU-hour rounded up before;"
            " 99.57 GPU-hour × 2.19 = 218.0583, rounded to 218.06"
        ),
    ]


def test_what_earlier_months_left() -> None:
    quoted = priced(
        '[item.web]\nplan = "ax-hourly"\nusage = { "net.tx_bytes" = "26 TB" }\n'
        '[earlier]\nleft = { traffic-eu = "5 TB" }'
    )
    (traffic,) = (line for line in quoted.lines if line.charge == "traffic")
    assert str(traffic.quantity) == "1.000"


@pytest.mark.parametrize(
    ("left", "billed"),
    [
        ("", "5.000"),  # 20 TB included, the pack of 10 TB whole
        ('[earlier]\nleft = { traffic-eu = "3 TB" }', "12.000"),  # 3 of the pack's 10 are left
        ('[earlier]\nleft = { traffic-eu = "0 TB" }', "15.000"),
    ],
)
def test_what_is_left_of_a_pool_holds_its_packs(left: str, billed: str) -> None:
    """docs/price.md, Quotations: "what packs and rollovers have left". Booked in September."""
    text = (FOLDER / "example.toml").read_text("utf-8") + (
        '[addon.ten]\nname = "Ten"\nprice = "9.00 once"\ntax = "hosting"\n'
        'adds = "10 TB"\nto = "traffic-eu"\nexpires = "2 months"\n'
    )
    quoted = priced(
        '[item.web]\nplan = "ax-hourly"\nfrom = 2026-09-05T00:00:00\naddons = { ten = 1 }\n'
        f'usage = {{ "net.tx_bytes" = "35 TB" }}\n{left}', load(text, "packs.toml"),
    )  # fmt: skip
    (traffic,) = (line for line in quoted.lines if line.charge == "traffic")
    assert str(traffic.quantity) == billed


@pytest.mark.parametrize("month", ["2026-04", "2027-03", "2026-03", "2027-04"])
def test_a_contract_is_quoted_for_its_own_months(month: str) -> None:
    """docs/price.md, Contracts: "for one rating scope and a time"."""
    base = (FOLDER / "example.toml").read_text("utf-8")
    contract = load_contract((FOLDER / "contract.toml").read_text("utf-8"), "contract.toml", base)
    usage = f'period = "{month}"\n[item.web]\nplan = "ax-hourly"\n'
    if month in ("2026-04", "2027-03"):
        assert read_usage(usage, NAME, contract.catalog).scope.prices
        return
    said = (
        f'{NAME}:1: period: found "{month}"; the contract holds from 2026-04-01 until 2027-04-01:'
        " write a month that is all in it, or quote its base"
    )
    with pytest.raises(CatalogError, match=re.escape(said)):
        read_usage(usage, NAME, contract.catalog)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'left = { eu = "5 TB" }',
            "5: earlier.left.eu: not a field; remove it. Known here: traffic",
        ),
        ('left = { traffic-eu = "5 XB" }', '5: earlier.left.traffic-eu: found "5 XB"; "XB" is not'),
        (
            "left = { traffic-eu = 5 }",
            "5: earlier.left.traffic-eu: found the number 5; amounts",
        ),
        (
            'spent = { year = "1.00" }',
            "5: earlier.spent.year: not a field; remove it. Known here: ",
        ),
    ],
)
def test_mistakes_about_earlier_months(text: str, said: str) -> None:
    with pytest.raises(CatalogError) as raised:
        read(f'[item.web]\nplan = "ax-hourly"\n[earlier]\n{text}')
    assert f"{NAME}:{said}" in str(raised.value)


def test_a_rate_is_a_total_too_where_both_are_charged() -> None:
    """30 days of windows begin from 2 October on: 8,640 + 12 for the hour that clocks go back."""
    text = (FOLDER / "example.toml").read_text("utf-8") + (
        '[plan.both]\nname = "Both"\ntax = "hosting"\nrate.price = "1 / Mbps"\n'
        'rate.meter = { p95 = ["port.tx_bytes"] }\nall.price = "1 / TB"\n'
        'all.meter = { sum = ["port.tx_bytes"], source = "switch", gap = "zero" }\n'
    )
    both = load(text, "both.toml")
    quoted = priced(
        '[item.b]\nplan = "both"\nfrom = 2026-10-02\nusage = { "port.tx_bytes" = "8 Mbps" }', both
    )
    # 8 Mbps are 1 MB a second: 8,652 windows of 300 MB.
    assert {x.charge: str(x.quantity) for x in quoted.lines} == {"all": "2.596", "rate": "7.74"}


def test_what_is_not_said_counts_as_none_and_is_told() -> None:
    request = read('[item.edge]\nplan = "edge-10g"\nusage = { "port.tx_bytes" = "300 Mbps" }')
    assert request.silent == ("edge port.rx_bytes",)


def test_credit_and_tax_included() -> None:
    quoted = priced(
        'tax = "inclusive"\n[item.web]\nplan = "ax-hourly"\n'
        '[credit.gift]\nkind = "paid"\namount = "20.00"\n'
    )
    totals = quoted.totals
    assert (totals.net, totals.tax, totals.gross) == (
        Decimal("41.18"), Decimal("7.82"), Decimal("49.00"),
    )  # fmt: skip
    assert totals.due == Decimal("29.00")


MISTAKES = """
    plan = "ax-hurly"
    plan: found "ax-hurly"; write one of "ax-hourly", "dx-monthly", "edge-10g"

    cuont = 2
    cuont: not a field; did you mean "count"? Known here: plan, count, from

    count = 0
    count: found the number 0; write how many, a whole number from 1 to 10_000, without quotes

    usage = { "net.tx_bytes" = "21.5 TG" }
    usage.net.tx_bytes: found "21.5 TG"; "TG" is not in [unit]; known are GB, TB

    usage = { "net.tx_bytes" = 21.5 }
    usage.net.tx_bytes: found the number 21.5; amounts are written in quotes: write a quantity

    usage = { "net.tx_bytes" = "0.0000000000001 TB" }
    usage.net.tx_bytes: found "0.0000000000001 TB"; it is not a whole number of base units

    usage = { "net.rx_bytes" = "1 TB" }
    usage.net.rx_bytes: no charge of plan "ax-hourly" measures it; measured are net.tx_bytes

    windows = { "net.tx_bytes" = [1.5] }
    windows.net.tx_bytes: write whole numbers, one for each of at most 8940 windows of 300 s

    addons = { ipv5 = 1 }
    addons.ipv5: catalogue 2026-03 has no add-on "ipv5"; its add-ons are bw-100tb, bw-10tb

    addons = { ssd-3840 = 2 }
    addons.ssd-3840: add-on "ssd-3840" is booked once, not 2 times

    from = 2026-11-01
    from: found 2026-11-01; it begins after the period

    until = 2026-10-01
    until: found 2026-10-01; it ends before the period, or before it begins

    from = 0001-01-01
    from: found 0001-01-01; write a day or a time: 2026-10-05 or 2026-10-05T14:30:00

    usage = { "net.tx_bytes" = 9223372036854775808 }
    usage.net.tx_bytes: found the number 9223372036854775808; amounts are written in quotes

    count = 10_001
    count: found the number 10001; write how many, a whole number from 1 to 10_000

    until = "tomorrow"
    until: found "tomorrow"; write a day or a time: 2026-10-05 or 2026-10-05T14:30:00

    resize = "ax-large"
    resize: found "ax-large"; write [{ plan = "ax-large", at = 2026-10-15 }], in the order of time

    resize = [{ plan = "ax-large", at = 2026-10-09 }]
    resize.plan: found "ax-large"; write one of "ax-hourly", "dx-monthly", "edge-10g"

    resize = [{ plan = "dx-monthly" }]
    resize.at: missing; write a day or a time: 2026-10-05 or 2026-10-05T14:30:00

    resize = [{ plan = "dx-monthly", at = 2026-10-01 }]
    resize.at: found 2026-10-01; it is not rented then, or was resized later: write [{ plan

    intervals = { holiday = { from = 2026-10-01, until = 2026-10-02 } }
    intervals.holiday: no kind of interval; write one of trial, suspension, exclusion

    intervals = { trial = { from = 2026-10-02, until = 2026-10-02 } }
    intervals.trial.until: found 2026-10-02; it ends before it begins
"""


@pytest.mark.parametrize("case", MISTAKES.strip("\n").split("\n\n"))
def test_one_mistake_of_an_item(case: str) -> None:
    line, said = (part.strip() for part in case.strip().split("\n"))
    plan = "" if line.startswith("plan") else 'plan = "ax-hourly"'
    with pytest.raises(CatalogError) as raised:
        read(f"[item.web]\n{line}\n{plan}\n")
    assert str(raised.value).startswith(f"{NAME}:3: item.web.{said}"), raised.value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('timezone = "Mars"\n[item.web]\nplan = "h100"', '2: timezone: time zone "Mars" is not'),
        ('tax = "none"\n[item.web]\nplan = "h100"', '2: tax: found "none"; write one of'),
        ("item = 3", "2: item: found the number 3; write [item.NAME] with plan"),
        (
            '[item.e]\nplan = "edge-10g"\nusage = { "port.tx_bytes" = "1 TB" }',
            '4: item.e.usage.port.tx_bytes: found "1 TB"; it is charged by percentile: write a',
        ),
        (
            '[item.e]\nplan = "edge-10g"\nusage = { "port.tx_bytes" = 7 }',
            "4: item.e.usage.port.tx_bytes: found the number 7; it is charged by percentile",
        ),
        (
            '[item.w]\nplan = "h100"\n[credit.c]\nkind = "free"\namount = "1.00"',
            '5: credit.c.kind: found "free"; write one of "promotional", "paid"',
        ),
        (
            '[item.w]\nplan = "h100"\n[credit.c]\nkind = "paid"\namount = "1.001"',
            '6: credit.c.amount: found "1.001"; EUR is paid in 2 decimals',
        ),
    ],
)
def test_mistakes_around_items(text: str, said: str) -> None:
    with pytest.raises(CatalogError) as raised:
        read(text)
    assert f"{NAME}:{said}" in str(raised.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 5000, "usage.json:1: not JSON that can be read: too many digits, or things inside"),
        ("9" * 5000, "usage.json:1: not JSON that can be read: too many digits, or things inside"),
        ("{", "usage.json:1: not JSON: Expecting property name"),
        ("[]", "usage.json:1: not an object: write period and item"),
        ('{"period": "2026-13", "item": {}}', 'usage.json: period: found "2026-13"; write a month'),
    ],
)
def test_mistakes_of_json(text: str, said: str) -> None:
    with pytest.raises(CatalogError) as raised:
        read_usage(text, "usage.json", EXAMPLE)
    assert said in str(raised.value)
