"""Whatever stands in a file, a person is answered in sentences; what is read is kept exactly."""

import json
import tomllib
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.catalog import CatalogError, load, read
from pipeline.catalog_text import Mistakes, Table
from pipeline.quote_read import read_usage
from schemas.prices import Charge
from schemas.serial import from_json, to_json

FOLDER = Path(__file__).parents[2] / "deploy" / "catalog"
TEXT = (FOLDER / "example.toml").read_text("utf-8")
EXAMPLE = load(TEXT, "example.toml")
VALUES = tomllib.loads(TEXT)
USAGE = json.loads(
    json.dumps(tomllib.loads((FOLDER / "usage.toml").read_text("utf-8")), default=str)
)
Path_ = tuple[str, ...]

scalars = st.one_of(
    st.integers(-(10**18), 10**18), st.booleans(), st.none(), st.text(max_size=8),
    st.sampled_from(["1 / TB", "1 / hour", "5 flat", "1/7", "50 %", "p95", "sum", "0", "month"]),
)  # fmt: skip
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner)
)


def paths(values: object, path: Path_ = ()) -> list[Path_]:
    found = [path] if path else []
    if isinstance(values, dict):
        for key, value in values.items():
            found += paths(value, (*path, key))
    return found


def altered(values: dict[str, Any], path: Path_, value: object) -> dict[str, Any]:
    """A copy with another value at the path; without the field where the value is None."""
    copy = deepcopy(values)
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return copy


@given(st.sampled_from(paths(VALUES)), anything)
def test_any_value_at_any_place_of_a_catalogue_is_read_or_noted(path: Path_, value: Any) -> None:
    file = Table(altered(VALUES, path, value), (), Mistakes("x.toml", {}))
    read(file)
    assert all(said for _, said in file.mistakes.found)


@given(st.sampled_from(paths(USAGE)), anything)
def test_any_value_at_any_place_of_a_usage_file_is_read_or_refused(path: Path_, value: Any) -> None:
    text = json.dumps(altered(USAGE, path, value))
    try:
        said = str(read_usage(text, "usage.json", EXAMPLE).scope.currency)
    except CatalogError as error:
        said = str(error)
    assert said == "EUR" or said.startswith("usage.json: ")


@pytest.mark.parametrize("plan", EXAMPLE.plans.values(), ids=lambda plan: str(plan.name))
def test_what_is_read_is_stored_and_read_back_exactly(plan: Any) -> None:
    for charge in plan.charges.values():
        assert from_json(Charge, json.loads(json.dumps(to_json(charge)))) == charge
