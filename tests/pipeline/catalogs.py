"""Price lists of one plan, for tests: the head that every list needs, and then what they are of."""

from pipeline.catalog import Catalog, load
from schemas.prices import Charge

NAME = "prices.toml"
HEAD = """version = "v1"
effective = 2026-01-01
seller = { entity = "t", name = "Test", address = ["Street 1"], vat_id = "DE0", timezone = "UTC", currency = "EUR" }
tax = { hosting = "19 %", ports = "7 %" }
[unit]
TB = { of = "net.bytes", is = 1_000_000_000_000, step = "0.001" }
Mbps = { of = "net.bytes", is = 125_000, per = "second", step = "0.01" }
GPU-hour = { of = "gpu.alloc_ms", is = 3_600_000, step = "0.01" }
[plan.p]
name = "A plan"
"""  # noqa: E501
LINE = HEAD.count("\n") + 1
"""Of the first line below the head."""
SUM = 'meter = { sum = ["net.tx_bytes"], source = "agent", gap = "interpolate" }'


def catalog_of(charge: str) -> Catalog:
    """The list whose one plan ``p`` has the charge ``c``: lines without the leading ``c.``."""
    return load(text_of(charge), NAME)


def charge_of(charge: str) -> Charge:
    return catalog_of(charge).plans["p"].charges["c"]


def text_of(charge: str) -> str:
    lines = [line.strip() for line in charge.strip().split("\n")]
    return HEAD + "".join(f"c.{line}\n" for line in lines)
