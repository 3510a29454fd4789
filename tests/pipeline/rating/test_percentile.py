"""The 95th percentile: which windows count, how directions and ports are put together."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from pipeline.rating.coverage import unmeasured
from pipeline.rating.percentile import percentile, whole
from pipeline.rating.price import price
from schemas.billing import Assignment, Inputs, Interval, Item, Line, Samples, Scope, Span
from schemas.prices import (
    Below,
    Charge,
    Commit,
    IntervalKind,
    Missing,
    Percentile,
    PerUnit,
    Take,
    Unit,
)
from tests.pipeline.rating.worlds import (
    END,
    MONTH,
    START,
    WIDTH,
    hour,
    hourly,
    row,
    said,
    scope_of,
)

SWIFT = "docs.swiftfederation.com/Billing/95th_Percentile"
ZENLAYER = "docs.console.zenlayer.com/welcome/pricing/network-billing/burstable-95th"
MBPS = Unit("Mbps", "net.bytes", 37_500_000, Decimal("0.001"))
"""1 Mbps for one window of 300 s is 37.5 MB."""
RX, TX = "port.rx_bytes", "port.tx_bytes"
QUANTITY = Percentile((RX, TX), MBPS)
MONTH_WINDOWS = 8640


def port(take: Take = Take.MAX_OF_P95, **terms: object) -> Charge:
    pool, missing = str(terms.pop("pool", "")), str(terms.pop("missing", Missing.SKIP))
    meters = terms.pop("meters", (RX, TX))
    quantity = Percentile(meters, MBPS, take, pool=pool, missing=Missing(missing))  # type: ignore[arg-type]
    return Charge(quantity, PerUnit(Decimal("0.90")), "hosting", **terms)  # type: ignore[arg-type]


def sampled(
    *mbps: int | None, meter: str = TX, server: str = "srv", start: datetime = START
) -> Samples:
    windows = tuple(None if rate is None else rate * MBPS.is_ for rate in mbps)
    return Samples(server, meter, "1", start, windows)


def lines(
    charge: Charge, *samples: Samples, rented: Span = MONTH, at: datetime = END
) -> list[Line]:
    scope = scope_of(row(charge, "port", Span(rented.start)), rented=rented)
    return list(price(scope, Inputs(MONTH, samples=samples), at))


@pytest.mark.parametrize(
    ("rule", "values", "percent", "expected"),
    [
        (f"{SWIFT}: 432 of 8640 are discarded", [*range(1, 8641)], 95, 8208),
        ("floor(5 × 19 ÷ 100) = 0: the highest counts", [*range(1, 20)], 95, 19),
        ("of 20 one is discarded", [*range(1, 21)], 95, 19),
        ("of 39 still one", [*range(1, 40)], 95, 38),
        ("one window", [7], 95, 7),
        ("no window", [], 95, 0),
        ("the 90th", [*range(1, 101)], 90, 90),
        ("the 100th is the highest", [*range(1, 101)], 100, 100),
        ("order does not matter", [3, 1, 2], 95, 3),
    ],
)
def test_percentile(rule: str, values: list[int], percent: int, expected: int) -> None:
    assert percentile(values, percent) == expected, rule


@pytest.mark.parametrize(
    ("rule", "take", "rx", "tx", "mbps"),
    [
        # 20 windows: one of each meter is discarded
        ("each direction drops its own peak", Take.MAX_OF_P95, [9] * 2 + [1] * 18,
         [1] * 19 + [8], "9.000"),
        ("one peak in each", Take.MAX_OF_P95, [90] + [1] * 19, [2] * 19 + [80], "2.000"),
        ("of the larger, two peaks: one stays", Take.P95_OF_MAX, [90] + [1] * 19,
         [2] * 19 + [80], "80.000"),
        ("the sum of both", Take.SUM, [3] * 20, [4] * 20, "7.000"),
        ("billing.md: max of p95 is never above p95 of max", Take.MAX_OF_P95, [5] * 20, [4] * 20,
         "5.000"),
    ],
)  # fmt: skip
def test_directions(rule: str, take: Take, rx: list[int], tx: list[int], mbps: str) -> None:
    found = lines(port(take), sampled(*rx, meter=RX), sampled(*tx))
    assert [str(line.quantity) for line in found] == [mbps], rule
    assert found[0].base_quantity == Decimal(mbps) * MBPS.is_


@pytest.mark.parametrize(
    ("rule", "missing", "values", "mbps"),
    [
        ("a missing window is skipped", Missing.SKIP, [9, None, 9], "9.000"),
        (
            "of nineteen none is discarded, one more would make room",
            Missing.SKIP,
            [9] + [1] * 18,
            "9.000",
        ),
        ("as zero it makes room: 432 windows of 9 are discarded", Missing.ZERO, [9] * 432, "0.000"),
        ("the 433rd is not", Missing.ZERO, [9] * 433, "9.000"),
    ],
)
def test_missing_windows(rule: str, missing: Missing, values: list[int | None], mbps: str) -> None:
    (line,) = lines(port(missing=missing), sampled(*values))
    assert str(line.quantity) == mbps, rule
    assert line.base_quantity == Decimal(mbps) * MBPS.is_


def test_nothing_measured_is_a_line_of_nothing() -> None:
    assert said(lines(port())) == ["0.000 Mbps × 0.90 = 0.00"]


def test_only_whole_windows_that_were_owned_count() -> None:
    """Rented from 2.5 windows into the month: the window that the beginning cuts is not billed."""
    rented = Span(START + WIDTH * 5 / 2)
    assert whole(Span(rented.start, START + WIDTH * 9 / 2)) == range(
        whole(MONTH).start + 3, whole(MONTH).start + 4
    )
    (line,) = lines(port(), sampled(50, 50, 50, 1, 1), rented=rented)
    assert line.base_quantity == MBPS.is_


def test_a_price_that_changes_within_a_window_takes_none_away() -> None:
    """The third window is the highest of 19: with 20, one would be passed over."""
    at = START + WIDTH * 5 / 2
    rented = Span(START, START + 19 * WIDTH)
    rows = [row(port(), "port", span) for span in (Span(START, at), Span(at))]
    scope = scope_of(*rows, rented=rented)
    samples = sampled(1, 1, 90, *[1] * 16)
    found = price(scope, Inputs(MONTH, samples=(samples,)), END)
    assert [line.base_quantity for line in found] == [90 * MBPS.is_] * 2


def test_windows_are_counted_from_when_they_were_measured() -> None:
    """Ten windows into the month; and only of the meters that the charge names."""
    measured = sampled(5, 7, 6, start=START + 10 * WIDTH)
    (line,) = lines(port(), measured, sampled(*[99] * 20, meter="port.errors"))
    assert said([line]) == ["7.000 Mbps × 0.90 = 6.30"]


def test_what_was_measured_in_free_time_does_not_count() -> None:
    scope = scope_of(row(port(), "port", Span(START)))
    excluded = Interval("web", IntervalKind.EXCLUSION, Span(START + 20 * WIDTH))
    samples = (sampled(*[36] * 20, *[90] * 80),)
    scope = replace(scope, intervals=(excluded,))
    (line,) = price(scope, Inputs(MONTH, samples=samples), END)
    assert line.base_quantity == 36 * MBPS.is_


def test_half_a_month_pays_half_the_rate() -> None:
    (line,) = lines(port(), sampled(*[100] * MONTH_WINDOWS), rented=Span(hour(360)))
    assert said([line]) == ["50.000 Mbps × 0.90 = 45.00"]
    (whole_,) = lines(port(prorate=False), sampled(*[100] * MONTH_WINDOWS), rented=Span(hour(360)))
    assert said([whole_]) == ["100.000 Mbps × 0.90 = 90.00"]


def test_a_commit_of_bandwidth() -> None:
    """250 Mbps at 0.60, what is above at 0.90."""
    charge = port(commit=Commit(Decimal(250), Decimal("0.60")))
    assert said(lines(charge, sampled(*[400] * 30))) == [
        "150.000 Mbps × 0.90 = 135.00",
        "250.000 Mbps × 0.60 = 150.00",
    ]
    assert said(lines(charge, sampled(*[100] * 30)))[0] == "0.000 Mbps × 0.90 = 0.00", ZENLAYER


def test_live_is_the_percentile_of_what_has_passed() -> None:
    """Windows that are not over yet are neither zero nor measured."""
    samples = sampled(*[10] * 20, *[90] * 8)
    (line,) = lines(port(), samples, at=START + 20 * WIDTH)
    assert str(line.quantity) == "10.000"


class TestCoverage:
    """Of the windows that were owned, how many were measured; of the meter with the least."""

    def line(self, below: Below, rx: int, tx: int, percent: int = 90) -> Line:
        quantity = replace(QUANTITY, coverage=percent, below=below)
        samples = (sampled(*[5] * rx, meter=RX), sampled(*[5] * tx))
        rented = Span(START, START + 100 * WIDTH)
        (line,) = lines(replace(port(), quantity=quantity), *samples, rented=rented)
        return line

    @pytest.mark.parametrize(
        ("rx", "tx", "percent", "said"),
        [
            (100, 100, 100, ""),
            (90, 100, 90, ""),
            (89, 100, 90, " (89 % of the windows measured)"),
            (100, 0, 1, " (0 % of the windows measured)"),
            (0, 0, 0, ""),
        ],
    )
    def test_the_line_says_where_it_is_too_little(
        self, rx: int, tx: int, percent: int, said: str
    ) -> None:
        for below in Below:
            assert self.line(below, rx, tx, percent).title == f"web-1: port{said}"

    def test_of_no_whole_window_nothing_is_missing(self) -> None:
        charge = replace(port(), quantity=replace(QUANTITY, coverage=90))
        (line,) = lines(charge, rented=Span(START, START + WIDTH / 2))
        assert (line.title, line.base_quantity) == ("web-1: port", 0)

    def test_a_part_of_a_percent_counts(self) -> None:
        """895 of 1,000 are not 90 %, and are said as 89."""
        quantity = replace(QUANTITY, coverage=90, below=Below.PARK, meters=(TX,))
        rented = Span(START, START + 1000 * WIDTH)
        scope = scope_of(
            row(replace(port(), quantity=quantity), "port", Span(START)), rented=rented
        )
        given_ = Inputs(MONTH, samples=(sampled(*[5] * 895),))
        (line,) = price(scope, given_, END)
        assert line.title.endswith("(89 % of the windows measured)")
        (reason,) = unmeasured(scope, given_, END)
        assert "89 % of the windows were measured" in reason

    @pytest.mark.parametrize(("below", "reasons"), [(Below.NOTE, 0), (Below.PARK, 1)])
    def test_only_park_keeps_it_from_being_invoiced(self, below: Below, reasons: int) -> None:
        quantity = replace(QUANTITY, coverage=90, below=below)
        scope = scope_of(row(replace(port(), quantity=quantity), "port", Span(START)))
        found = [*unmeasured(scope, Inputs(MONTH, samples=(sampled(*[5] * 100),)), END)]
        assert len(found) == reasons
        assert [
            one for one in found if "web (port): 0 % of the windows were measured, 90 %" in one
        ] == found
        enough = (sampled(*[5] * MONTH_WINDOWS, meter=RX), sampled(*[5] * MONTH_WINDOWS))
        assert not [*unmeasured(scope, Inputs(MONTH, samples=enough), END)]

    def test_what_was_agreed_last_says_whether_it_is_parked(self) -> None:
        """docs/price.md: until somebody "agrees on a note"; of other charges nothing is asked."""

        def reasons(*belows: Below) -> int:
            rows = [
                row(replace(port(), quantity=replace(QUANTITY, coverage=90, below=below)), "port",
                    Span(hour(24 * n), hour(24 * n + 24)), at=f"v{n}")
                for n, below in enumerate(belows)
            ]  # fmt: skip
            scope = scope_of(*rows, row(hourly("1"), "rent"))
            return len([*unmeasured(scope, Inputs(MONTH), END)])

        note, park = Below.NOTE, Below.PARK
        assert [reasons(note, note, park), reasons(park, park, note)] == [1, 0]

    def test_of_a_pool_every_member_counts(self) -> None:
        """One of two ports was not measured: half of what both owned."""
        quantity = replace(QUANTITY, coverage=60, pool="edge", meters=(TX,))
        charge = replace(port(), quantity=quantity)
        scope = Scope(
            "acme", "acme", "EUR", "UTC",
            tuple(Item(name, name, "edge", MONTH) for name in ("db", "web")),
            tuple(Assignment(f"srv-{name}", name, MONTH) for name in ("db", "web")),
            tuple(row(charge, "port", Span(START), name) for name in ("db", "web")),
        )  # fmt: skip
        samples = (sampled(*[5] * MONTH_WINDOWS, server="srv-db"),)
        (line,) = price(scope, Inputs(MONTH, samples=samples), END)
        assert line.title == "db: port (50 % of the windows measured)"


class TestPool:
    """Two ports of one pool: summed window by window, then the percentile; one line."""

    def scope(self, pool: str, names: tuple[str, ...] = ("db", "web")) -> Scope:
        charge = port(pool=pool)
        return Scope(
            "acme", "acme", "EUR", "UTC",
            tuple(Item(name, name, "edge", MONTH) for name in names),
            tuple(Assignment(f"srv-{name}", name, MONTH) for name in names),
            tuple(row(charge, "port", Span(START), name) for name in names),
        )  # fmt: skip

    def rates(self, pool: str) -> list[str]:
        day, night = [100] * 12 + [0] * 12, [0] * 12 + [100] * 12
        samples = (sampled(*day, server="srv-db"), sampled(*night, server="srv-web"))
        found = price(self.scope(pool), Inputs(MONTH, samples=samples), END)
        return [f"{line.item} {line.quantity}" for line in found]

    def test_ports_that_take_turns_pay_once(self) -> None:
        assert self.rates("edge") == ["db 100.000"]
        assert self.rates("") == ["db 100.000", "web 100.000"]

    @pytest.mark.parametrize(
        ("case", "ports", "paid"),
        [
            ("a day of another", {"db": (29, 30, 0), "web": (0, 30, 60)}, ["web 60.000"]),
            ("by any name", {"db": (0, 30, 60), "web": (29, 30, 0)}, ["db 60.000"]),
            ("in turns", {"db": (0, 15, 60), "web": (15, 30, 60)}, ["db 30.000", "web 30.000"]),
            ("by any name", {"web": (0, 15, 60), "db": (15, 30, 60)}, ["db 30.000", "web 30.000"]),
            ("five days both", {"web": (0, 20, 60), "db": (15, 30, 60)},
             ["db 40.000", "web 80.000"]),
            ("ten days none", {"web": (0, 10, 60), "db": (20, 30, 60)},
             ["db 20.000", "web 20.000"]),
            ("one within another", {"web": (10, 20, 0), "db": (5, 29, 60)}, ["db 48.000"]),
            ("to the same day", {"web": (10, 20, 0), "db": (0, 20, 60)}, ["db 40.000"]),
        ],
    )  # fmt: skip
    def test_it_pays_for_the_time_of_any_member(
        self, case: str, ports: dict[str, tuple[int, int, int]], paid: list[str]
    ) -> None:
        """docs/price.md, the rules; a port is rented from one day to another, at so many Mbps."""
        spans = {name: Span(hour(24 * a), hour(24 * b)) for name, (a, b, _) in ports.items()}
        scope = Scope(
            "acme", "acme", "EUR", "UTC",
            tuple(Item(name, name, "edge", spans[name]) for name in sorted(spans)),
            tuple(Assignment(f"srv-{name}", name, span) for name, span in spans.items()),
            tuple(row(port(pool="edge"), "port", Span(START), name) for name in sorted(spans)),
        )  # fmt: skip
        samples = tuple(
            sampled(*[mbps] * 288 * (b - a), server=f"srv-{name}", start=spans[name].start)
            for name, (a, b, mbps) in ports.items()
        )
        found = price(scope, Inputs(MONTH, samples=samples), END)
        assert sorted(f"{line.item} {line.quantity}" for line in found) == paid, case

    def test_a_member_that_is_faulty_leaves_the_others_their_time(self) -> None:
        """The first pays while it is charged; excluded from the second day on, the other does."""
        scope = self.scope("edge")
        excluded = Interval("db", IntervalKind.EXCLUSION, Span(hour(24)))
        scope = replace(scope, intervals=(excluded,))
        samples = (sampled(*[60] * MONTH_WINDOWS, server="srv-web"),)
        found = price(scope, Inputs(MONTH, samples=samples), END)
        assert [f"{line.item} {line.quantity}" for line in found] == ["db 2.000", "web 58.000"]

    @pytest.mark.parametrize(
        ("end", "paid"),
        [
            (30, ["db 20.000", "db 20.000", "web 20.000"]),
            (15, ["db 20.000", "db 20.000", "web 10.000", "zoo 10.000"]),
            (5, ["db 20.000", "db 20.000", "zoo 20.000"]),
        ],
    )
    def test_and_only_as_long_as_it_is(self, end: int, paid: list[str]) -> None:
        """Excluded for ten days amid the month; the second is rented until some day of it, the
        third pays what that leaves.
        """
        scope = self.scope("edge", ("db", "web", "zoo"))
        db, web, zoo = scope.items
        web = replace(web, valid=Span(START, hour(24 * end)))
        excluded = Interval("db", IntervalKind.EXCLUSION, Span(hour(240), hour(480)))
        scope = replace(scope, items=(db, web, zoo), intervals=(excluded,))
        samples = (sampled(*[60] * 288 * end, server="srv-web"),)
        found = price(scope, Inputs(MONTH, samples=samples), END)
        assert [f"{line.item} {line.quantity}" for line in found] == paid

    def test_the_newest_terms_say_who_is_in_it(self) -> None:
        """A percentile is not cut: what is agreed in the middle of the month is of all of it, also
        which meters count.
        """
        rows = [
            row(port(pool=pool, meters=meters), "port", span, name, at)
            for name in ("db", "web")
            for pool, meters, span, at in (
                ("", (RX,), Span(START, hour(360)), "v1"),
                ("edge", (TX,), Span(hour(360)), "v2"),
            )
        ]
        scope = replace(self.scope("edge"), prices=tuple(rows))
        samples = [sampled(*[60] * MONTH_WINDOWS, server=f"srv-{name}") for name in ("db", "web")]
        found = price(scope, Inputs(MONTH, samples=tuple(samples)), END)
        assert [f"{line.item} {line.quantity}" for line in found] == ["db 60.000"] * 2

    def test_a_swapped_server_is_the_same_port(self) -> None:
        half = START + timedelta(hours=1)
        scope = scope_of(row(port(), "port", Span(START)))
        swapped = (
            Assignment("older", "web", Span(START - WIDTH, START)),
            Assignment("old", "web", Span(START, half)),
            Assignment("new", "web", Span(half)),
        )
        scope = Scope("a", "a", "EUR", "UTC", scope.items, swapped, scope.prices)
        samples = (
            sampled(*[10] * 24, server="old"),
            sampled(*[99] * 12, *[30] * 12, server="new"),
        )
        (line,) = price(scope, Inputs(MONTH, samples=samples), END)
        assert str(line.quantity) == "30.000"
