"""The database counts every line again in numeric: its answers are those of pricing."""

from datetime import timedelta
from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from invoicing.rates import rates
from invoicing.recount import recount
from pipeline.rating.price import price
from schemas.billing import Assignment, Interval, Item, Scope, Span
from schemas.prices import Charge, IntervalKind, Missing, Percentile, PerUnit, Take
from sinks.database import connect
from sinks.queries import usage_inputs
from tests.fix_billing import meter_windows
from tests.pipeline.rating.drawn import MBPS, inputs, worlds
from tests.pipeline.rating.worlds import END, MONTH, START, WIDTH, laws, row

TX = "port.tx_bytes"


@settings(laws, max_examples=200, suppress_health_check=[*HealthCheck])
@given(drawn=st.data())
def test_two_ways_agree(billing_url: str, drawn: st.DataObject) -> None:
    """Whatever the charges: each quantity that has a second way, and each net not under a cap."""
    scope, given_ = drawn.draw(worlds()), drawn.draw(inputs)
    lines = price(scope, given_, END)
    with connect(billing_url, autocommit=True) as conn:
        [again] = recount(conn, [(scope, lines)], scope.currency)
    for line, (quantity, net) in zip(lines, again, strict=True):
        assert quantity is None or quantity == line.quantity, line
        assert net is None or net == line.net, line
        assert net is not None or line.capped, line


TAKES = st.builds(
    Percentile, st.sampled_from([(TX, "port.rx_bytes"), (TX,)]), st.just(MBPS),
    st.sampled_from(Take), st.integers(50, 100), st.sampled_from(["", "ports"]),
    st.sampled_from(Missing),
)  # fmt: skip
SERIES = st.lists(st.integers(0, 1000), min_size=0, max_size=60)


@settings(laws, max_examples=40, suppress_health_check=[*HealthCheck])
@given(
    st.tuples(TAKES, TAKES, TAKES), st.tuples(*[SERIES] * 4), st.integers(0, 40), st.booleans(),
    st.integers(1, 40 * 300),
)  # fmt: skip
def test_the_ledger_says_the_same_rates(
    billing_url: str,
    quantities: tuple[Percentile, Percentile, Percentile],
    series: tuple[list[int], ...],
    window: int,
    trial: bool,
    changed_s: int,
) -> None:
    """Two ports, pooled or not, one of them rented later and with a trial inside; the other changes
    its price, and maybe its meters or its pool, within the month.
    """
    changed = START + timedelta(seconds=changed_s)
    first, second, third = (Charge(one, PerUnit(Decimal(1)), "hosting") for one in quantities)
    if quantities[0].pool == quantities[1].pool:  # members of a pool agree on how it is taken
        second = first
    later = Span(START + window * WIDTH + WIDTH / 3)
    scope = Scope(
        "acme", "acme", "EUR", "UTC",
        (Item("db", "db", "p", Span(START)), Item("web", "web", "p", later)),
        (Assignment("s-db", "db", Span(START)), Assignment("s-web", "web", later)),
        (row(first, "port", Span(START, changed), "db"),
         row(third, "port", Span(changed), "db", "v2"), row(second, "port", Span(START), "web")),
        (Interval("db", IntervalKind.TRIAL, Span(START + WIDTH, later.start)),) if trial else (),
    )  # fmt: skip
    with connect(billing_url, autocommit=True) as conn, conn.transaction(force_rollback=True):
        for number, values in enumerate(series):
            name = (("s-db", "s-web")[number // 2], (TX, "port.rx_bytes")[number % 2])
            meter_windows(
                conn, name[0], {(name[1], "1"): values}, START + (number % 2) * WIDTH * 99
            )
        given_ = usage_inputs(conn, scope, MONTH, END)
        lines = price(scope, given_, END)
        found = rates(conn, scope, lines, MONTH)
    assert found == {n: line.base_quantity for n, line in enumerate(lines)}
