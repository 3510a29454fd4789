"""Mistakes in a price list: a person is told file, line, what was found and what to write."""

from pathlib import Path

import pytest

from pipeline.catalog import CatalogError, load
from pipeline.catalog_toml import line_numbers

NAME = "deploy/catalog/demo.toml"
DEMO = (Path(__file__).parents[2] / NAME).read_text("utf-8")

# What the demo's list says first, what stands there instead, and how the answer begins.
MISTAKES = """
    "1.29 / TB"
    "1,29 / TB"
    29: plan.ax-hourly.traffic.price: found "1,29 / TB"; write a decimal number and a unit, for
    example "1.29 / TB"

    "1.29 / TB"
    1.29
    29: plan.ax-hourly.traffic.price: found the number 1.29; amounts are written in quotes:
    write a decimal number and a unit, for example "1.29 / TB"

    "1.29 / TB"
    "1.29 / TiB"
    29: plan.ax-hourly.traffic.price: found "1.29 / TiB"; "TiB" is not in [unit]; known are MB,
    GB, TB

    "1.29 / TB"
    "-1.29 / TB"
    29: plan.ax-hourly.traffic.price: found "-1.29 / TB"; write

    "0.0833 / hour"
    1
    26: plan.ax-hourly.rent.price: found the number 1; amounts are written in quotes

    "0.0833 / hour"
    "49.00 / month"
    26: plan.ax-hourly.rent.cap: not a field; remove it. Known here: price, package, graduated,
    volume, tax, free, bill, prorate, count

    "0.0833 / hour"
    "49.00 / day"
    26: plan.ax-hourly.rent.price: found "49.00 / day"; a price by day needs a meter; write a
    decimal number by the hour: "0.0833 / hour", a month or "50.00 once"

    "49.00 / month"
    "49.00"
    26: plan.ax-hourly.rent.cap: found "49.00"; write

    "49.00 / month"
    "49.005 / month"
    26: plan.ax-hourly.rent.cap: found "49.005 / month"; EUR is paid in 2 decimals

    tax = "hosting" }
    tax = "hostin" }
    26: plan.ax-hourly.rent.tax: found "hostin"; write one of "hosting"

    , tax = "hosting" }
     }
    26: plan.ax-hourly.rent.tax: missing; write one of "hosting"

    cap =
    capp =
    26: plan.ax-hourly.rent.capp: not a field; did you mean "cap"? Known here: price, package,
    graduated, volume, tax, free, cap

    cap =
    zzz =
    26: plan.ax-hourly.rent.zzz: not a field; remove it. Known here: price, package,
    graduated, volume, tax, free, cap

    "20 TB / month"
    "20 TB"
    28: plan.ax-hourly.traffic.allow.quantity: found "20 TB"; write

    "20 TB / month"
    "0.0000000000001 TB / month"
    28: plan.ax-hourly.traffic.allow.quantity: found "0.0000000000001 TB / month"; it is not a

    prorate = "time"
    prorate = "day"
    28: plan.ax-hourly.traffic.allow.prorate: found "day"; write one of "time", "none"

    gap = "interpolate"
    gap = "zero"
    27: plan.ax-hourly.traffic.meter.gap: found "zero"; whoever stops the agent would pay

    source = "agent",
    (nothing)
    27: plan.ax-hourly.traffic.meter.source: missing; write one of

    net.tx_bytes
    net.tx_byte
    27: plan.ax-hourly.traffic.meter.sum: found ["net.tx_byte"]; the agent has no meter
    "net.tx_byte"; did you mean "net.tx_bytes"?

    net.tx_bytes
    gpu.busy_ms
    27: plan.ax-hourly.traffic.meter.sum: found ["gpu.busy_ms"]; "gpu.busy_ms" is not measured
    in TB, a unit of net.bytes

    ["net.tx_bytes"]
    []
    27: plan.ax-hourly.traffic.meter.sum: found []; write the meters

    ["50 %", "80 %", "100 %"]
    ["80 %", "50 %"]
    30: plan.ax-hourly.traffic.alert: found ["80 %", "50 %"]; write shares of the allowance

    ["50 %", "80 %", "100 %"]
    ["50.5 %"]
    30: plan.ax-hourly.traffic.alert: found

    ["50 %", "80 %", "100 %"]
    ["0 %"]
    30: plan.ax-hourly.traffic.alert: found

    ["50 %", "80 %", "100 %"]
    [50]
    30: plan.ax-hourly.traffic.alert: found [the number 50]

    traffic.allow = { quantity = "20 TB / month", prorate = "time" }
    (nothing)
    30: plan.ax-hourly.traffic.alert: found ["50 %", "80 %", "100 %"]; nothing is included

    name = "AX server, by the hour"
    (nothing)
    24: plan.ax-hourly.name: missing; write the name customers see

    name = "AX server, by the hour"
    name = { of = "a server" }
    25: plan.ax-hourly.name: found a table; write the name customers see

    name = "AX server, by the hour"
    nam = "AX server, by the hour"
    25: plan.ax-hourly.nam: found "AX server, by the hour"; write a charge

    [plan.ax-hourly]
    [plan."ax/hourly"]
    24: plan.ax/hourly: a name consists of letters

    "19 %"
    "19"
    17: tax.hosting: found "19"; write a percentage, for example "19 %"

    is = 1_000_000_000_000
    is = 1_099_511_627_776
    22: unit.TB.is: found the number 1099511627776; a TB is 1_000_000_000_000 bytes

    is = 1_000_000_000_000
    is = "10"
    22: unit.TB.is: found "10"; write how many base units

    is = 1_000_000_000_000
    is = true
    22: unit.TB.is: found true; write how many

    1_000_000_000_000, step = "0.001"
    1_000_000_000_000, step = 0.001
    22: unit.TB.step: found the number 0.001; amounts are written in quotes

    1_000_000_000_000, step = "0.001"
    1_000_000_000_000, step = "0.000"
    22: unit.TB.step: found "0.000"; write a step above zero

    "Europe/Berlin"
    "Berlin"
    13: seller.timezone: time zone "Berlin" is not known; write an IANA name

    "EUR"
    "Euro"
    14: seller.currency: currency "Euro" is not known; write a code of ISO

    vat_id = "DE000000000"
    (nothing)
    8: seller.vat_id: missing; write the VAT number

    effective = 2024-01-01
    effective = "2024-01-01"
    5: effective: found "2024-01-01"; write a date without quotes: effective = 2026-03-01

    effective = 2024-01-01
    effective = 2024-01-01T00:00:00Z
    5: effective: found 2024-01-01 00:00:00+00:00; write a date

    existing = "keep"
    existing = "never"
    6: existing: found "never"; write one of "keep", "at_renewal"

    version = "demo-1"
    version = 3
    4: version: found the number 3; write version

    version = "demo-1"
    versio = "3"
    4: versio: not a field; did you mean "version"?
"""
CASES = [block.strip().split("\n    ") for block in MISTAKES.split("\n\n")]


def mistakes(text: str) -> list[str]:
    with pytest.raises(CatalogError) as raised:
        load(text, NAME)
    assert raised.value.exit_code == 2
    return str(raised.value).split("\n")


def changed(*changes: tuple[str, str]) -> str:
    """The demo's price list with each first occurrence replaced."""
    text = DEMO
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return text


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case[2]))
def test_one_mistake_one_sentence(case: list[str]) -> None:
    old, new, *said = case
    found = mistakes(changed((old, "" if new == "(nothing)" else new)))
    answer = f"{NAME}:{' '.join(said)}"
    assert any(sentence.startswith(answer) for sentence in found), found
    others = [sentence for sentence in found if "missing" not in sentence]
    assert len(others) <= 1, "one mistake is told once"


def test_all_mistakes_at_once_by_line() -> None:
    text = changed(
        ('"keep"', '"kep"'), ('"19 %"', "19"), ("0.1875 /", "0,1875 /"), ("cap =", "cup =")
    )
    found = mistakes(text)
    assert [sentence.split(": ")[1] for sentence in found] == [
        "existing",
        "tax.hosting",
        "plan.ax-hourly.rent.cup",
        "plan.ax-large-hourly.rent.price",
    ]
    lines = [int(sentence.split(":")[1]) for sentence in found]
    assert lines == sorted(lines)


def test_a_comma_outside_quotes_is_not_toml() -> None:
    (found,) = mistakes(changed(('"1.29 / TB"', "1,29 / TB")))
    assert found.startswith(f"{NAME}:29: not TOML: Expected newline")
    assert "found `traffic.price = 1,29 / TB`; texts and prices are written in quotes" in found


def test_an_empty_file_says_what_belongs_in() -> None:
    fields = [sentence.split(": ")[1] for sentence in mistakes("")]
    assert fields == ["effective", "plan", "seller", "tax", "version"]


NOT_TOML = """
    # \\nversion = "1
    2: not TOML: Unterminated string, found `version = "1`

    address = [\\n"Street 1",\\nvat_id = "DE0"
    3: not TOML: Invalid value in what begins in line 1, found `vat_id = "DE0"`

    # \\naddress = [\\n"Street 1",\\nvat_id = "DE0"
    4: not TOML: Invalid value in what begins in line 2, found `vat_id = "DE0"`

    [plan.a]\\nrent = { price = "1 / hour" }\\nrent.cap = "5 / month"
    3: not TOML: Cannot mutate immutable namespace ('plan', 'a', 'rent'), found `rent.cap = "5 /

    [plan.a]\\nname = "A"\\n[plan.a]
    3: not TOML: Cannot declare ('plan', 'a') twice, found `[plan.a]`; it is written twice: keep one

    version = "1"\\nversion = "2"
    2: not TOML: Cannot overwrite a value, found `version = "2"`; it is written twice: keep one

    rent = { cap = "1", cap = "2" }
    1: not TOML: Duplicate inline table key 'cap', found

    rent = {\\n  price = "1 / hour"\\n}
    1: not TOML: Invalid initial character for a key part, found `rent = {`; what stands in

    unit.TB.is = 1{DIGITS}
    1: not TOML: a number has too many digits, found `unit.TB.is = 1000

    a = 1\\ndeep = {DEEP}
    2: not TOML: too many arrays and tables inside each other, found `deep = [[[

    effective = 2026-02-30
    1: not TOML: Invalid date or datetime, found `effective = 2026-02-30`
"""


@pytest.mark.parametrize("case", NOT_TOML.strip().split("\n\n"))
def test_what_is_not_toml_is_told_once_with_its_line(case: str) -> None:
    text, said = (line.strip() for line in case.strip().split("\n"))
    text = text.replace("\\n", "\n").replace("{DIGITS}", "0" * 5000).replace("{DEEP}", "[" * 5000)
    (found,) = mistakes(text)
    assert found.startswith(f"{NAME}:{said}"), found


@pytest.mark.parametrize("text", ["\ufeff" + DEMO, DEMO.replace("\n", "\r\n")])
def test_a_file_of_another_editor_is_the_same(text: str) -> None:
    assert load(text, NAME) == load(DEMO, NAME)


def test_what_is_long_or_of_many_lines_is_told_on_one() -> None:
    name = 'name = "AX server, by the hour"'
    (found,) = mistakes(changed((name, 'name = "AX\\nserver"')))
    assert found == (
        f'{NAME}:25: plan.ax-hourly.name: found "AX\\nserver"; write the name customers see:'
        ' name = "AX server, by the hour"'
    )
    (found,) = mistakes(changed(('"1.29 / TB"', f'"{"9" * 5000} / TB"')))
    assert f'found "{"9" * 99}…; a number has at most 18 digits' in found
    found = mistakes(changed(("is = 1_000_000_000_000", f"is = 0x{'f' * 5000}")))[0]
    assert "unit.TB.is: found a huge number; write how many base units" in found


def test_rents_and_fees_need_no_unit() -> None:
    """Without a meter nothing is measured; what names a unit says how it is written."""
    units = DEMO[DEMO.index("[unit]") : DEMO.index("[plan")]
    plan = '[plan.p]\nname = "P"\nrent = { price = "1 / hour", tax = "hosting" }\n'
    head = DEMO[: DEMO.index("[plan")].replace(units, "")
    assert load(head + plan, NAME).units == {}
    traffic = 'u.price = "1 / TB"\nu.tax = "hosting"\nu.meter = { allocation = "gpu" }\n'
    (found,) = mistakes(head + plan + traffic)
    assert ': plan.p.u.price: found "1 / TB"; "TB" is not in [unit]; write TB = {' in found


def test_without_rates_only_these_are_asked_for() -> None:
    (found,) = mistakes(changed(('[tax]\nhosting = "19 %"\n', "")))
    assert found.startswith(f"{NAME}:1: tax: missing; write [tax] with a rate for each category")


def test_what_is_allowed_and_its_price_measure_the_same() -> None:
    *_, found = mistakes(changed(('GB = { of = "net.bytes"', 'GB = { of = "disk.mib_s"')))
    assert found.endswith("MB is a unit of net.bytes, GB one of disk.mib_s, as the price is")


def test_a_plan_without_charges() -> None:
    (found,) = mistakes(DEMO + '[plan.empty]\nname = "Nothing"\n')
    assert ": plan.empty: nothing is charged; write a charge, for example {" in found


def test_lines_of_every_kind_of_statement() -> None:
    text = '''# a comment

a = 1
b.c = { d = 2, "e f" = [3] }   # d is here too
long = [
  "x",   # [not.a.header]
  { y = 1 },
]
text = """
[neither.this]
"""
[head]
[head.inner."quo.ted"]
z = 1
a = 2
[[many]]
first = 1
[[many]]
second = 2
'''
    assert line_numbers(text) == {
        ("a",): 3,
        ("b",): 4,
        ("b", "c"): 4,
        ("b", "c", "d"): 4,
        ("b", "c", "e f"): 4,
        ("long",): 5,
        ("long", "y"): 5,
        ("text",): 9,
        ("head",): 12,
        ("head", "inner"): 13,
        ("head", "inner", "quo.ted"): 13,
        ("head", "inner", "quo.ted", "z"): 14,
        ("head", "inner", "quo.ted", "a"): 15,
        ("many",): 16,
        ("many", "first"): 17,
        ("many", "second"): 19,
    }
