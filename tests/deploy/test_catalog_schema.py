"""The schemas beside the example files: current, right about the examples, strict about slips."""

import json
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from pipeline.catalog import CatalogError, load
from pipeline.catalog_charge import ADDON, FIELDS
from pipeline.catalog_schema import SCHEMAS, catalogue
from pipeline.contract import load_contract
from tests.pipeline.test_catalog_laws import altered, anything, paths

FOLDER = Path(__file__).parents[2] / "deploy" / "catalog"
FILES = {
    "catalogue": "schema.json",
    "contract": "contract.schema.json",
    "usage": "usage.schema.json",
}
EXAMPLES = [
    ("example.toml", "catalogue"),
    ("demo.toml", "catalogue"),
    ("contract.toml", "contract"),
    ("usage.toml", "usage"),
]


TEXTS = {kind: (FOLDER / name).read_text("utf-8") for name, kind in EXAMPLES[::-1]}
VALIDATORS = {kind: Draft7Validator(schema()) for kind, schema in SCHEMAS.items()}


def leaves(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value
    nested = isinstance(value, dict | list)
    return [value, *(leaf for one in inner for leaf in leaves(one))] if nested else [value]


WORDS = [word for kind in ("catalogue", "contract") for word in leaves(tomllib.loads(TEXTS[kind]))]


def read(kind: str, text: str) -> None:
    if kind == "catalogue":
        load(text, "prices.toml")
    else:
        load_contract(text, "contract.toml", TEXTS["catalogue"])


def written(value: Any) -> str:
    """A value as TOML, on one line."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(k)} = {written(v)}' for k, v in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    return (
        value.isoformat() if isinstance(value, date) else json.dumps("" if value is None else value)
    )


def plain(value: Any) -> Any:
    """TOML as an editor hands it to a schema: dates are texts."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value.isoformat() if isinstance(value, date) else value


def errors(kind: str, text: str) -> list[str]:
    found = VALIDATORS[kind].iter_errors(plain(tomllib.loads(text)))
    return [error.message for error in found]


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_files_are_what_the_readers_say(kind: str) -> None:
    """`rackmeter catalog schema KIND > deploy/catalog/FILE` makes them anew."""
    schema = SCHEMAS[kind]()
    Draft7Validator.check_schema(schema)
    assert json.loads((FOLDER / FILES[kind]).read_text("utf-8")) == schema


@pytest.mark.parametrize(("name", "kind"), EXAMPLES)
def test_every_example_is_right_and_says_its_schema(name: str, kind: str) -> None:
    text = (FOLDER / name).read_text("utf-8")
    assert errors(kind, text) == []
    assert text.startswith(f"#:schema ./{FILES[kind]}\n")


@pytest.mark.parametrize(
    ("kind", "name", "old", "new", "said"),
    [
        ("catalogue", "example.toml", "cap =", "cup =", "'cup' was unexpected"),
        ("catalogue", "example.toml", '"1.29 / TB"', "1.29", "1.29 is not of type 'string'"),
        ("catalogue", "example.toml", '"1.29 / TB"', '"1,29 / TB"', "does not match"),
        (
            "catalogue",
            "example.toml",
            'gap = "interpolate"',
            'gap = "guess"',
            "'guess' is not one of",
        ),
        ("catalogue", "example.toml", 'version = "2026-03"', "", "'version' is a required"),
        ("catalogue", "example.toml", "{ p95 =", "{ q95 =", "'q95' does not match any"),
        ("contract", "contract.toml", "50.00 / month", "50.00 / week", "does not match"),
        ("contract", "contract.toml", "percent =", "percents =", "'percents' was unexpected"),
        ("usage", "usage.toml", "period =", "periods =", "'periods' was unexpected"),
        ("usage", "usage.toml", "count = 2", "count = 0", "0 is less than the minimum of 1"),
    ],
)
def test_a_slip_is_seen_while_it_is_typed(
    kind: str, name: str, old: str, new: str, said: str
) -> None:
    text = (FOLDER / name).read_text("utf-8")
    assert old in text
    assert any(said in error for error in errors(kind, text.replace(old, new, 1)))


def test_rent_by_the_hour_may_say_when_it_is_told() -> None:
    told = '"0.0833 / hour", alert = ["5.00 EUR"]'
    text = TEXTS["catalogue"].replace('"0.0833 / hour"', told, 1)
    load(text, "prices.toml")
    assert errors("catalogue", text) == []


def test_the_schema_has_exactly_the_fields_that_the_readers_take() -> None:
    known = catalogue()["properties"]
    charge = known["plan"]["additionalProperties"]["additionalProperties"]["properties"]
    assert {*charge} == {field for fields in FIELDS.values() for field in fields}
    addon = known["addon"]["additionalProperties"]["properties"]
    assert {*addon} == {*ADDON, *FIELDS["month"]}


SLIPS = {
    "catalogue": """
        version = "2026-03" | version = "2026/03"
        effective = 2026-03-01 | effective = 2026-03-01T00:00:00
        existing = "keep" | existing = "Keep"
        entity = "rm-de" | entity = "rm de"
        currency = "EUR" | currency = "EURO"
        vat_id = "DE000000000" | vat_id = " "
        hosting = "19 %" | hosting = "190 %"
        hosting = "19 %" |
        GB = { | hour = {
        GB = { | 3GB = {
        is = 1_000_000_000, | is = 10_000_000_000_000_000_000,
        [plan.ax-hourly] | [plan."ax hourly"]
        rent = { price | volume = { price
        "0.0833 / hour", cap | "49.00 / month", cap
        "0.0833 / hour" | "0.0833 / hours"
        "0.0833 / hour" | "0.0833 / hour", package = "1 / 2 hour"
        "0.0833 / hour" | "0.0833 / hour", allow = { quantity = "1 TB / month" }
        "0.0833 / hour" | "0.0833 / hour", alert = ["5.00 EUR", "50 %"]
        "129.00 / month" | "129.00 / month", alert = ["5.00 EUR"]
        cap = "49.00 / month", tax = "hosting" | cap = "49.00 / month"
        cap = "49.00 / month" | bill = "advance"
        , gap = "interpolate" |
        gap = "interpolate" | gap = "zero"
        gap = "interpolate" | gap = "interpolate", take = "sum"
        ["net.tx_bytes"] | ["net.tx_bytes", "net.tx_bytes"]
        quantity = "20 TB / month", | quantity = "20 TB",
        quantity = "20 TB / month", |
        traffic.price = "1.29 / TB" |
        ["50 %", "80 %", "100 %", "forecast"] | ["50 %", "50 %"]
        setup = { price = "79.00 once" } | setup = { price = "79.00 once", bill = "advance" }
        , price = "0.60 / Mbps" |
        coverage = "90 %" | coverage = "101 %"
        1000 = "1.89 / GPU-hour" | 1000 = "1.89"
        0 = "2.19 / GPU-hour" | 500 = "2.19 / GPU-hour"
        1000 = "1.89 / GPU-hour" | 1_000 = "1.89 / GPU-hour"
        evidence = "gpu.busy_ms" | source = "agent"
        price = "18.00 / month" | price = "18.00 / hour"
        to = "traffic-eu" |
        expires = "3 months" | expires = "3"
    """,
    "contract": """
        contract = "acme-2026" | contract = "acme 2026"
        effective = 2026-04-01 | effective = 2026-04-01T00:00:00
        percent = "10 %" | percent = "110 %"
        percent = "10 %" | percent = "10 %"\\namount = "1.00 / month"
        percent = "10 %" |
        charges = ["rent"] | charges = ["rent", "rent"]
        rent.price = "0.0750 / hour" | rent = { price = "1 / hour", package = "1 / 2 hour" }
        rent.price = "0.0750 / hour" | rent = { price = "1 / hour", bill = "advance" }
        [discount.loyalty] | [discount."10 %"]
    """,
}


@pytest.mark.parametrize(
    ("kind", "slip"),
    [(kind, line.strip()) for kind, said in SLIPS.items() for line in said.strip().split("\n")],
)
def test_what_a_reader_refuses_a_schema_sees_where_it_can(kind: str, slip: str) -> None:
    old, new = (part.strip().replace("\\n", "\n") for part in f"{slip} ".split(" | "))
    text = TEXTS[kind].replace(old, new, 1)
    assert text != TEXTS[kind]
    with pytest.raises(CatalogError):
        read(kind, text)
    assert errors(kind, text)


@given(st.data())
@pytest.mark.parametrize("kind", ["catalogue", "contract"])
def test_a_schema_takes_whatever_the_reader_takes(kind: str, data: st.DataObject) -> None:
    """Values of one place at another, and left out: what is read nevertheless, an editor takes."""
    values = tomllib.loads(TEXTS[kind])
    path = data.draw(st.sampled_from(paths(values)))
    value = data.draw(st.one_of(st.none(), st.sampled_from(WORDS), anything))
    text = "".join(f"{key} = {written(one)}\n" for key, one in altered(values, path, value).items())
    try:
        read(kind, text)
    except CatalogError:
        return
    assert errors(kind, text) == [], (path, value)
