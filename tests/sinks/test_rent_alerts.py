"""What time alone costs is told when it is reached: a silent server is swept at its next hour."""

from datetime import timedelta

from sinks.accruals import due_scopes, rate_open
from sinks.catalogs import apply
from sinks.database import Connection
from sinks.timelines import rent
from tests.fix_billing import START, a_catalog

HOUR, MOMENT = timedelta(hours=1), timedelta(microseconds=1)


def test_rent_is_told_in_the_hour_in_which_it_is_reached(customer: Connection) -> None:
    """At 0.10 an hour 0.30 is reached with the third hour, told once; 41.00 never, by the cap."""
    changes = {'"v1"': '"v2"', ' tax = "hosting" }': ' alert = ["0.30 EUR", "41.00 EUR"],'
               ' tax = "hosting" }'}  # fmt: skip
    catalog, text = a_catalog(**changes)
    apply(customer, catalog, text, START)
    rent(
        customer, item="i-1", title="Server", plan="small", account="acme", server="s-1", at=START,
        catalog=catalog, entered_at=START,
    )  # fmt: skip
    told: dict[int, list[str]] = {}
    for hours in range(1, 745):
        now = START + (hours - 1) * HOUR + MOMENT
        if due_scopes(customer, now, 10):
            told[hours] = [one.threshold for rated in rate_open(customer, "i-1", now, now)
                           for one in rated.entered]  # fmt: skip
    assert {hour: said for hour, said in told.items() if said} == {3: ["i-1/rent/0.3 EUR"]}
    assert max(told) == 400, "then the cap of 40.00 is reached"
