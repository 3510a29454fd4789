"""What two versions differ in, in words."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from pipeline.catalog import load
from pipeline.catalog_diff import Change, differences, words
from schemas.prices import Charge

FOLDER = Path(__file__).parents[2] / "deploy" / "catalog"
TEXT = (FOLDER / "example.toml").read_text("utf-8")
OLD = load(TEXT, "old.toml")

CHANGES = """
    "1.29 / TB" | "1.19 / TB"
    plan.ax-hourly.traffic | price | 1.29 / TB | 1.19 / TB

    cap = "49.00 / month", | 
    plan.ax-hourly.rent | cap | 49.00 / month |

    rent = { price = "0.0833 / hour" | rent = { graduated = { 0 = "9.00 flat", 9 = "1 / hour" }
    plan.ax-hourly.rent | price | 0.0833 / hour |
    plan.ax-hourly.rent | graduated | | above 0: 9.00 flat, above 9: 1 / hour

    "20 TB / month", prorate = "time" | "25 TB / month", prorate = "none"
    plan.ax-hourly.traffic | includes | 20 TB in pool traffic-eu | 25 TB, not prorated in pool traffic-eu

    hosting = "19 %" | hosting = "20 %"
    tax | hosting | 19 % | 20 %

    name = "DX server, by the month" | name = "DX"
    plan.dx-monthly | name | DX server, by the month | DX

    bill = "advance", prorate = "time" | prorate = "none"
    plan.dx-monthly.rent | measures | a fee each month, in advance | a fee each month, in arrears
    plan.dx-monthly.rent | prorate | | none

    "79.00 once" } | "79.00 once", count = 2 }
    plan.dx-monthly.setup | count | | 2

    take = "max of p95", pool = "edge" | take = "sum"
    plan.edge-10g.port | measures | 95th percentile of port.rx_bytes, port.tx_bytes from the switch, max of p95, missing windows skip | 95th percentile of port.rx_bytes, port.tx_bytes from the switch, sum, missing windows skip
    plan.edge-10g.port | pool | edge |

    "250 Mbps", price = "0.60 / Mbps" | "200 Mbps", price = "0.60 / Mbps"
    plan.edge-10g.port | commit | 250 Mbps at 0.60 | 200 Mbps at 0.60

    "1/7" | "2/7"
    plan.h100-slice.gpu | share | 1/7 | 2/7

    "5.00 / 100 GB" | "5.00 / 50 GB"
    plan.storage.copies | package | 5.00 / 100 GB | 5.00 / 50 GB

    ["50 %", "80 %", "100 %", "forecast"] | ["90 %"]
    plan.ax-hourly.traffic | alert | 50 %, 80 %, 100 %, forecast | 90 %

    ["50 %", "80 %", "100 %", "forecast"] | ["50 %", "25 TB", "100.00 EUR"]
    plan.ax-hourly.traffic | alert | 50 %, 80 %, 100 %, forecast | 50 %, 25 TB, 100.00 net

    prorate = "time", pool = "traffic-eu" } | pool = "traffic-eu", rollover = { most = "5 TB", expires = "1 month" } }
    plan.ax-hourly.traffic | rollover | | at most 5 TB, expires 1 month

    coverage = "90 %" } | coverage = "95 %", below = "park" }
    plan.edge-10g.port | coverage | 90 %, below: note | 95 %, below: park

    adds = "100 TB" | adds = "50 TB"
    addon.bw-100tb | adds | 100 TB to traffic-eu | 50 TB to traffic-eu

    expires = "3 months" | expires = "6 months"
    addon.bw-100tb | expires | 3 months | 6 months

    adds = "10 TB" | adds = "5 TB"
    addon.bw-10tb | includes | 10 TB in pool traffic-eu | 5 TB in pool traffic-eu

    is = 125_000, per = "second", step = "0.01" | is = 125_000, per = "second", step = "1"
    unit.Mbps | step | 0.01 | 1

    [plan.h100] | [plan.h200]
    plan.h100 | name | H100 GPU, by the hour |

    GB = { of | Gbps = { of = "net.bytes", is = 125_000_000, per = "second", step = "1" }\\nGB = { of
    unit.Gbps | is | | 125_000_000 net.bytes a second
    unit.Gbps | step | | 1

    TiB = { of = "net.bytes", is = 1_099_511_627_776, step = "0.001" } | 
    unit.TiB | is | 1_099_511_627_776 net.bytes |
    unit.TiB | step | 0.001 |

    [addon.bw-10tb] | [addon.bw]
    addon.bw-10tb | name | 10 TB of traffic |
"""  # noqa: E501, W291


@pytest.mark.parametrize("case", CHANGES.strip("\n").split("\n\n"))
def test_a_change_in_words(case: str) -> None:
    first, *expected = [line.strip(" ") for line in case.strip("\n").split("\n")]
    old, new = first.split(" |")
    assert old in TEXT
    found = differences(
        OLD, load(TEXT.replace(old, new.strip().replace("\\n", "\n"), 1), "new.toml")
    )
    wanted = [Change(*(part.strip() for part in line.split("|"))) for line in expected]
    assert list(found[: len(wanted)]) == wanted


def test_versions_and_dates_are_no_difference() -> None:
    new = TEXT.replace('"2026-03"', '"2026-05"').replace("2026-03-01", "2026-05-01")
    assert differences(OLD, load(new, "new.toml")) == ()


def test_what_only_one_has_is_new_or_gone() -> None:
    without = load(TEXT.replace("[addon.bw-10tb]", "[addon.bw]"), "new.toml")
    places = {(c.place, bool(c.before), bool(c.after)) for c in differences(OLD, without)}
    assert places == {("addon.bw-10tb", True, False), ("addon.bw", False, True)}


@pytest.mark.parametrize("field", [field.name for field in fields(Charge)])
def test_no_field_of_a_charge_is_silent(field: str) -> None:
    """Two charges that differ in one field never have the same words."""
    found = [c for plan in OLD.plans.values() for c in plan.charges.values()]
    for charge in found:
        for other in found:
            value = getattr(other, field)
            changed = replace(charge, **{field: value})
            same = value == getattr(charge, field)
            assert (words(changed) == words(charge)) == same, (field, charge, value)
