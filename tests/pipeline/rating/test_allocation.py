"""GPU-hours by allocation and by use, and slices of a GPU."""

from dataclasses import replace
from decimal import Decimal

import pytest

from pipeline.rating.next_eval import next_eval_at
from pipeline.rating.price import price
from schemas.billing import Inputs, Interval, Span, Usage
from schemas.prices import (
    Allocation,
    Charge,
    Graduated,
    IntervalKind,
    Model,
    PerUnit,
    Share,
    Sum,
    Unit,
)
from tests.pipeline.rating.worlds import (
    END,
    MONTH,
    START,
    bill,
    hour,
    inputs_of,
    row,
    said,
    scope_of,
    tiers,
    total,
)

MIG = "docs.nvidia.com/datacenter/tesla/mig-user-guide/supported-mig-profiles"
WHOLE = Share()
GPU_HOUR = Unit("GPU-hour", "gpu.alloc_ms", 3_600_000, Decimal("0.01"))
BUSY_HOUR = Unit("GPU-hour", "gpu.busy_ms", 3_600_000, Decimal("0.01"))


def gpus(count: int = 1, share: Share = WHOLE, model: Model | None = None) -> Charge:
    quantity = Allocation(GPU_HOUR, count, evidence="gpu.busy_ms")
    return Charge(quantity, model or PerUnit(Decimal("2.19")), "hosting", share=share)


@pytest.mark.parametrize(
    ("rule", "charge", "hours", "line"),
    [
        ("one GPU, a day", gpus(), (0, 24), "24.00 GPU-hour × 2.19 = 52.56"),
        ("eight GPUs", gpus(8), (0, 24), "192.00 GPU-hour × 2.19 = 420.48"),
        ("90 seconds are 0.025 hours, half a step up", gpus(), (0, "0.025"),
         "0.03 GPU-hour × 2.19 = 0.07"),
        (f"{MIG}: 1g is 1/7 of the processors", gpus(share=Share(1, 7)), (0, 24),
         "3.43 GPU-hour × 2.19 = 7.51"),
        (f"{MIG}: 3g is 3/7", gpus(share=Share(3, 7)), (0, 24), "10.29 GPU-hour × 2.19 = 22.54"),
        ("seven slices of 1/7 are one GPU: nothing is rounded before", gpus(7, Share(1, 7)),
         (0, 24), "24.00 GPU-hour × 2.19 = 52.56"),
    ],
)  # fmt: skip
def test_by_allocation(rule: str, charge: Charge, hours: tuple[int, int | str], line: str) -> None:
    assert said(bill(charge, rented=Span(hour(hours[0]), hour(hours[1])))) == [line], rule


def test_a_silent_server_bills_and_a_busy_one_no_more() -> None:
    scope = scope_of(row(gpus(), "gpu"), rented=Span(START, hour(10)))
    busy = Usage("srv", "gpu.busy_ms", "0", START, hour(10), 36_000_000)
    assert price(scope, inputs_of(), END) == price(scope, inputs_of(busy), END)


def test_by_use_with_a_slice() -> None:
    charge = Charge(
        Sum(("gpu.busy_ms",), BUSY_HOUR), PerUnit(Decimal("2.19")), "hosting", share=Share(2, 7)
    )
    scope = scope_of(row(charge, "gpu"))
    busy = Usage("srv", "gpu.busy_ms", "0", START, END, 7 * 3_600_000)
    assert said(price(scope, inputs_of(busy), END)) == ["2.00 GPU-hour × 2.19 = 4.38"]


def test_graduated_gpu_hours() -> None:
    """billing.md: 2.19 for the first 1000 GPU-hours, then 1.89; two GPUs, a month: 1440."""
    model = Graduated(tiers(("1000", "2.19", "0"), (None, "1.89", "0")))
    assert said(bill(gpus(2, model=model))) == [
        "1000 GPU-hour × 2.19 = 2190.00",
        "440.00 GPU-hour × 1.89 = 831.60",
    ]


def test_a_failed_gpu_is_not_billed() -> None:
    """An exclusion of six hours: 18 of 24 are left, in two lines."""
    scope = scope_of(row(gpus(), "gpu"), rented=Span(START, hour(24)))
    failed = Interval("web", IntervalKind.EXCLUSION, Span(hour(6), hour(12)))
    lines = price(replace(scope, intervals=(failed,)), inputs_of(), END)
    assert [str(line.quantity) for line in lines] == ["6.00", "12.00"]


def test_cuts_lose_no_millisecond() -> None:
    third = Span(START, hour("0.3333333333"))
    rows = (row(gpus(), "gpu", third, at="v1"), row(gpus(), "gpu", Span(third.end or END), at="v2"))
    scope = scope_of(*rows, rented=Span(START, hour(1)))
    assert sum(line.base_quantity for line in price(scope, inputs_of(), END)) == 3_600_000


def test_it_is_swept_by_the_hour() -> None:
    scope = scope_of(row(gpus(), "gpu", Span(START)), rented=Span(START))
    due = next_eval_at(scope, inputs_of(), hour("3.5"))
    assert due is not None
    assert hour(4) < due < hour("4.001")
    assert total(price(scope, Inputs(MONTH), due)) == Decimal("8.76")
    assert next_eval_at(scope, inputs_of(), hour("719.5")) == END
    assert next_eval_at(scope, inputs_of(), END) is None


def test_its_last_part_of_an_hour_is_swept() -> None:
    scope = scope_of(row(gpus(), "gpu", Span(START)), rented=Span(START, hour("2.5")))
    due = next_eval_at(scope, inputs_of(), hour("2.1"))
    assert due == hour("2.5")
    assert total(price(scope, Inputs(MONTH), due)) == Decimal("5.48")
    assert next_eval_at(scope, inputs_of(), due) is None
