"""What pricing reads besides sums: windows for percentiles, earlier invoices, intervals."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from psycopg.types.json import Jsonb

from pipeline.periods import closed, following
from pipeline.rating.percentile import percentile
from pipeline.rating.price import price
from schemas.billing import (
    Billed,
    Inputs,
    Line,
    LineKind,
    PriceRow,
    Samples,
    Scope,
    Span,
    Spent,
    Usage,
)
from schemas.prices import (
    Allowance,
    Bill,
    Charge,
    Every,
    Fee,
    IntervalKind,
    Pack,
    Percentile,
    PerUnit,
    Sum,
    Unit,
)
from schemas.serial import to_json
from schemas.terms import Commitment, Term
from sinks.database import Connection
from sinks.queries import usage_inputs, usage_inputs_bulk
from sinks.scopes import load_scope
from sinks.timelines import end
from tests.fix_billing import START, TX, WINDOW, meter_late, meter_windows, rent_small

APRIL = datetime(2026, 4, 1, tzinfo=UTC)
MARCH = Span(START, APRIL)
MBPS = Unit("Mbps", "net.bytes", 37_500_000, Decimal("0.001"))
PORT = Charge(Percentile((TX,), MBPS), PerUnit(Decimal("0.90")), "hosting")
PLAN = Charge(Fee(bill=Bill.ADVANCE), PerUnit(Decimal("30.00")), "hosting")


def with_charge(conn: Connection, charge: Charge, item: str = "i-1") -> Scope:
    """The item's scope with that as its only charge."""
    scope = load_scope(conn, item)
    return replace(scope, prices=(replace(scope.prices[0], price=charge),))


class TestSamples:
    def test_one_figure_a_window_and_none_where_nothing_was_measured(
        self, customer: Connection
    ) -> None:
        rent_small(customer)
        meter_windows(customer, "s-1", {(TX, "eth0"): [5, 6], (TX, "eth1"): [0, 1]})
        meter_windows(customer, "s-1", {(TX, "eth0"): [8]}, START + 3 * WINDOW)
        meter_late(customer, "s-1", TX, "eth0", START + WINDOW, 10)
        found = usage_inputs(customer, with_charge(customer, PORT), MARCH, START + 5 * WINDOW)
        assert found.samples == (
            Samples("s-1", TX, "eth0", START, (5, 16, None, 8, None)),
            Samples("s-1", TX, "eth1", START, (0, 1, None, None, None)),
        )
        assert found.usage == ()

    def test_windows_of_another_customer_are_not_among_them(self, customer: Connection) -> None:
        """windows  0   1   2   3   4
        i-1        [s-1      |  s-2
        i-2                   [s-1        the window that the hand-over cuts is nobody's rate
        """
        rent_small(customer)
        meter_windows(customer, "s-1", {(TX, "eth0"): [10, 20, 30, 40, 50]})
        end(customer, "i-1", START + WINDOW * 5 / 2)
        rent_small(customer, "i-2", at=START + WINDOW * 5 / 2)
        first, second = (
            usage_inputs(customer, with_charge(customer, PORT, item), MARCH, START + 5 * WINDOW)
            for item in ("i-1", "i-2")
        )
        assert [row.windows for row in first.samples] == [(10, 20, None, None, None)]
        assert [row.windows for row in second.samples] == [(None, None, None, 40, 50)]

    def test_sums_read_no_windows(self, customer: Connection) -> None:
        rent_small(customer)
        meter_windows(customer, "s-1", {(TX, "eth0"): [5]})
        assert usage_inputs(customer, load_scope(customer, "i-1"), MARCH, APRIL).samples == ()

    @pytest.mark.parametrize("count", [1, 19, 20, 21, 40, 399, 400])
    def test_the_database_finds_the_same_percentile(self, customer: Connection, count: int) -> None:
        """percentile_disc(0.95): the first of the sorted values that 95 % of them do not pass."""
        rent_small(customer)
        values = [number * 7919 % 10_007 for number in range(count)]
        meter_windows(customer, "s-1", {(TX, "eth0"): values})
        row = customer.execute(
            "SELECT percentile_disc(0.95) WITHIN GROUP (ORDER BY quantity) FROM usage"
        ).fetchone()
        assert row == (percentile(values, 95),)
        inputs = usage_inputs(customer, with_charge(customer, PORT), MARCH, APRIL)
        (line,) = price(with_charge(customer, PORT), inputs, APRIL)
        assert line.base_quantity == percentile(values, 95)


def invoiced(conn: Connection, number: int, period: Span, *lines: Line) -> None:
    """An invoice that says no more than these lines, and seals the period of i-1."""
    conn.execute(
        """
        WITH made AS (
            INSERT INTO invoice (invoice_id, number, entity, account_id, period_start, period_end,
                                 currency, net, tax, gross, issued_at, document, digest)
            VALUES (gen_random_uuid(), %s, 'test', 'acme', %s, %s, 'EUR', 0, 0, 0, %s, %s, '')
            RETURNING *
        )
        INSERT INTO scope_seal
        SELECT 'i-1', period_start, period_end, issued_at, '', invoice_id FROM made
        """,
        (
            f"T-{number}", period.start, period.end, period.end,
            Jsonb({"lines": [{"line": to_json(line)} for line in lines]}),
        ),
    )  # fmt: skip


class TestEarlierInvoices:
    def test_a_fee_in_advance_is_billed_once_over_two_invoices(self, customer: Connection) -> None:
        """March's invoice carries April's fee; April is then given it, and asks for May's only."""
        rent_small(customer)
        scope = with_charge(customer, PLAN)
        first = price(scope, usage_inputs(customer, scope, MARCH, APRIL), APRIL)
        assert [line.service.start for line in first] == [START, APRIL]
        invoiced(customer, 1, MARCH, *first)
        april = Span(APRIL, datetime(2026, 5, 1, tzinfo=UTC))
        inputs = usage_inputs(customer, scope, april, april.end or APRIL)
        assert inputs.billed == (Billed("i-1", "rent", "hosting", Decimal("30.00"), invoice="T-1"),)
        (second,) = price(scope, inputs, april.end or APRIL)
        assert second.service.start == april.end

    def test_a_plan_that_was_never_the_right_one_is_taken_off(self, customer: Connection) -> None:
        """March's invoice carries April's fee; then it is said that another plan was meant."""
        rent_small(customer)
        april, own = Span(APRIL, datetime(2026, 5, 1, tzinfo=UTC)), load_scope(customer, "i-1")
        assert usage_inputs(customer, own, april, closed(april)).billed == ()
        invoiced(customer, 1, MARCH, *price(with_charge(customer, PLAN), Inputs(MARCH), APRIL))
        charge, meant = own.prices[0].charge, own.prices[0].price
        for price_ in (PLAN, meant):
            customer.execute(
                "UPDATE item_price SET price = %s WHERE (item_id, charge) = ('i-1', %s)",
                (Jsonb(to_json(price_)), charge),
            )
        scope = load_scope(customer, "i-1")
        assert scope == own
        other = usage_inputs_bulk(customer, [(scope, april), (scope, MARCH)], closed(april))
        paid = Decimal("30.00")
        assert [one.billed for one in other] == [
            (Billed("i-1", charge, "hosting", paid, invoice="T-1"),), (),
        ]  # fmt: skip
        back = [x for x in price(scope, other[0], closed(april)) if x.kind is LineKind.BILLED]
        assert [x.net for x in back] == [-paid]

    def test_a_year_is_what_its_invoices_say_by_the_time_of_service(
        self, customer: Connection
    ) -> None:
        """Of three months 100.00 each, one was before the year; a true-up does not count."""
        rent_small(customer)
        january = datetime(2026, 1, 1, tzinfo=UTC)
        year = Commitment("min", Span(january), Decimal(1200), Term.YEAR, "hosting")
        scope = replace(load_scope(customer, "i-1"), commitments=(year,))
        (line, *_) = price(with_charge(customer, PLAN), usage_inputs(
            customer, with_charge(customer, PLAN), MARCH, APRIL), APRIL)  # fmt: skip
        hundred = replace(line, net=Decimal("100.00"))
        for number, start in enumerate((january - timedelta(31), january, START - timedelta(28))):
            period = Span(start, start + timedelta(28))
            top_up = replace(hundred, kind=LineKind.TRUE_UP, service=period, key="t")
            invoiced(customer, number, period, replace(hundred, service=period), top_up)
        inputs = usage_inputs(customer, scope, MARCH, APRIL)
        assert inputs.spent == (Spent("min", Decimal("200.00")),)
        none = replace(scope, commitments=())
        named = (replace(year, name="own", charges=(line.charge, "x")),
                 replace(year, name="other", charges=("x",)))  # fmt: skip
        wanted = [(one, MARCH) for one in (scope, none, replace(scope, commitments=named))]
        assert [one.spent for one in usage_inputs_bulk(customer, wanted, APRIL)] == [
            inputs.spent, (), (Spent("own", Decimal("200.00")), Spent("other", Decimal(0))),
        ]  # fmt: skip

    def test_a_year_whose_first_month_was_billed_in_advance_before_it(
        self, customer: Connection
    ) -> None:
        """30.00 a month from March on; a year of 360.00 from April: nothing is to be topped up."""
        rent_small(customer)
        year = Commitment("min", Span(APRIL), Decimal("360.00"), Term.YEAR, "hosting")
        scope, period = replace(with_charge(customer, PLAN), commitments=(year,)), MARCH
        kinds = set[LineKind]()
        for number in range(13):
            inputs = usage_inputs(customer, scope, period, closed(period))
            lines = price(scope, inputs, closed(period))
            assert [one.net for one in inputs.spent] == [30 * (number - 1)] * (number > 1), period
            kinds |= {line.kind for line in lines}
            invoiced(customer, number, period, *lines)
            period = following(period, "UTC")
        assert kinds == {LineKind.CHARGE}

    def test_a_year_that_begins_within_a_month_billed_in_advance(
        self, customer: Connection
    ) -> None:
        """From 15 April, which cuts the fee too: 16 of 30 days of 30.00, at either price."""
        rent_small(customer)
        begins, dearer = APRIL + timedelta(14), APRIL + timedelta(19)
        year = Commitment("min", Span(begins), Decimal("360.00"), Term.YEAR, "hosting")
        scope = replace(with_charge(customer, PLAN), commitments=(year,))
        (row,) = scope.prices
        two = (replace(row, valid=Span(row.valid.start, dearer)), replace(row, valid=Span(dearer)))
        scope = replace(scope, prices=two)
        april = following(MARCH, "UTC")
        for number, period in enumerate((MARCH, april)):
            inputs = usage_inputs(customer, scope, period, closed(period))
            invoiced(customer, number, period, *price(scope, inputs, closed(period)))
        may = following(april, "UTC")
        inputs = usage_inputs(customer, scope, may, closed(may))
        assert inputs.spent == (Spent("min", Decimal("16.00")),)


def test_what_is_left_of_a_pack_is_what_the_newest_invoice_says(customer: Connection) -> None:
    """Booked in March for three months; of 3 GB 2 are used in March and April, May has the rest."""
    rent_small(customer)
    gb, scope = 10**9, load_scope(customer, "i-1")
    (traffic,) = (row for row in scope.prices if isinstance(row.price.quantity, Sum))
    charge = replace(traffic.price, allowance=Allowance(0, pool="eu"))
    fee = Fee(Every.BOOKED)
    pack = Charge(fee, PerUnit(Decimal(5)), "hosting", pack=Pack(3 * gb, "eu", 3))
    rows = (replace(traffic, price=charge), PriceRow("i-1", "pack", Span(START), pack, "v"))
    scope, period, found = replace(scope, prices=rows), MARCH, []
    for number in range(4):
        end_ = period.end or APRIL
        inputs = usage_inputs(customer, scope, period, end_)
        found.append([lot.left for lot in inputs.lots])
        without = (replace(scope, prices=scope.prices[:1]), period)
        several = usage_inputs_bulk(customer, [without, (scope, period)], end_)
        assert [one.lots for one in several] == [(), inputs.lots]
        used = (Usage("s-1", TX, "eth0", period.start, end_, gb),)
        invoiced(customer, number, period, *price(scope, replace(inputs, usage=used), end_))
        period = following(period, scope.timezone)
    assert found == [[], [2 * gb], [gb], []]


def test_intervals_come_with_the_scope_and_cut_what_is_summed(customer: Connection) -> None:
    """A trial of the first ten minutes: its two windows are a row apart, and free."""
    rent_small(customer)
    customer.execute(
        "INSERT INTO item_interval VALUES ('i-1', 'trial', tstzrange(%s, %s, '[)'), '', %s)",
        (START, START + 2 * WINDOW, START),
    )
    meter_windows(customer, "s-1", {(TX, "eth0"): [70_000_000, 50_000_000, 120_000_000]})
    scope = load_scope(customer, "i-1")
    assert [(i.item, i.kind) for i in scope.intervals] == [("i-1", IntervalKind.TRIAL)]
    inputs = usage_inputs(customer, scope, MARCH, APRIL)
    assert [row.quantity for row in inputs.usage] == [120_000_000, 120_000_000]
    traffic = [line for line in price(scope, inputs, APRIL) if line.charge == "traffic"]
    assert [line.base_quantity for line in traffic] == [120_000_000]
