"""The worked examples of docs/price.md, run: their catalogue, their usage, their lines.

``.venv/bin/python -m tests.pipeline.rating.test_price_doc`` writes the lines anew.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.catalog import load
from pipeline.contract import load_contract
from pipeline.periods import closed
from pipeline.quote_read import read_usage
from pipeline.rating.price import price
from pipeline.rating.settle import Settlement, settle
from schemas.billing import Line
from schemas.terms import Commitment, Discount

DOC = Path(__file__).parents[3] / "docs" / "price.md"
HEAD = "| line | quantity | price | net |\n|---|---|---|---|\n"
EXAMPLE = re.compile(
    r"### (?P<title>.+)\n\n```toml\n(?P<prices>[^`]+)```\n\n"
    r"(?:```toml\n(?P<terms>\[(?:discount|commitment)[^`]+)```\n\n)?```toml\n(?P<usage>[^`]+)```\n\n"
    r"(?P<text>[^|#`]+)\n\n(?P<lines>LINES|(?:\|.*\n)+)"
)
CATALOG = """
version = "example"
effective = 2026-01-01
existing = "keep"
[seller]
entity = "rm"
name = "Rackmeter Hosting GmbH"
address = ["Beispielstraße 1"]
vat_id = "DE000000000"
timezone = "UTC"
currency = "EUR"
[tax]
hosting = "19 %"
[unit]
GB = { of = "net.bytes", is = 1_000_000_000, step = "0.001" }
TB = { of = "net.bytes", is = 1_000_000_000_000, step = "0.001" }
Mbps = { of = "net.bytes", is = 125_000, per = "second", step = "0.01" }
GPU-hour = { of = "gpu.alloc_ms", is = 3_600_000, step = "0.01" }
GiB-month = { of = "volume.mib_s", is = 2_691_072_000, step = "0.001" }
[plan.it]
name = "It"
tax = "hosting"
"""


CONTRACT = """
contract = "agreed"
base = "example"
scope = "it"
effective = 2025-05-01
"""


def examples() -> Iterator[re.Match[str]]:
    return EXAMPLE.finditer(DOC.read_text())


def usage_of(example: re.Match[str]) -> str:
    """The example's usage file: April, and the plan of the catalogue."""
    return 'period = "2026-04"\n' + example["usage"].replace("[item.it]", '[item.it]\nplan = "it"')


def shown(example: re.Match[str]) -> str:
    """The lines as the page has them; with tax and credit where the usage speaks of them."""
    prices = CATALOG + example["prices"]
    catalog = load(prices, "prices.toml")
    terms: tuple[tuple[Discount, ...], tuple[Commitment, ...]] = (), ()
    if example["terms"]:
        contract = load_contract(CONTRACT + example["terms"], "contract.toml", prices)
        catalog, terms = contract.catalog, (contract.discounts, contract.commitments)
    usage = usage_of(example)
    request = read_usage(usage, "usage.toml", catalog, *terms)
    end = closed(request.inputs.period)
    lines = price(request.scope, request.inputs, end)
    if "tax =" not in usage and "[credit" not in usage:
        return HEAD + "".join(map(_row, lines))
    all_ = settle(lines, catalog.seller, "EUR", request.profile, request.credits, end)
    return HEAD + "".join(map(_row, all_.lines)) + "".join(_sums(all_))


def _sums(all_: Settlement) -> Iterator[str]:
    for one in all_.taxes:
        yield f"| tax {one.category}, {one.rate} % of {one.base} | | | {one.tax} |\n"
    yield f"| gross | | | {all_.gross} |\n"
    for draw in all_.paid:
        yield f"| {draw.credit} | | | -{draw.amount} |\n"
    yield f"| due | | | {all_.due} |\n"


def _row(line: Line) -> str:
    net = f"{line.net} (capped)" if line.capped else str(line.net)
    return f"| {line.title} | {line.quantity} {line.unit} | {line.unit_price} | {net} |\n"


@pytest.mark.parametrize("example", list(examples()), ids=lambda found: found["title"])
def test_an_example_is_what_pricing_says(example: re.Match[str]) -> None:
    assert example["lines"] == shown(example)


def test_no_example_is_overlooked() -> None:
    assert len(list(examples())) == DOC.read_text().count("\n### ") == 19


if __name__ == "__main__":
    text = EXAMPLE.sub(lambda found: found[0].replace(found["lines"], shown(found)),
                       DOC.read_text())  # fmt: skip
    DOC.write_text(text)
