"""The schemas beside the example files: current, right about the examples, strict about slips."""

import json
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from pipeline.catalog_charge import ADDON, FIELDS
from pipeline.catalog_schema import SCHEMAS, catalogue

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


def plain(value: Any) -> Any:
    """TOML as an editor hands it to a schema: dates are texts."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value.isoformat() if isinstance(value, date) else value


def errors(kind: str, text: str) -> list[str]:
    found = Draft7Validator(SCHEMAS[kind]()).iter_errors(plain(tomllib.loads(text)))
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


def test_the_schema_has_exactly_the_fields_that_the_readers_take() -> None:
    known = catalogue()["properties"]
    charge = known["plan"]["additionalProperties"]["additionalProperties"]["properties"]
    assert {*charge} == {field for fields in FIELDS.values() for field in fields}
    addon = known["addon"]["additionalProperties"]["properties"]
    assert {*addon} == {*ADDON, *FIELDS["month"]}
