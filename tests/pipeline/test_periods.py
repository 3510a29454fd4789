"""Months of every time zone: chained, whole, on window edges."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.periods import MICROSECOND, closed, following, hours, midnight, month, previous
from pipeline.windows import WIDTH_MS
from schemas.billing import Span
from schemas.errors import ConfigError
from tests.pipeline.rating.worlds import laws

ZONES = sorted(available_timezones() - {"Factory", "localtime"})
instants = st.datetimes(datetime(1980, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # bounds are naive by contract
zones = st.sampled_from(ZONES)


@pytest.mark.parametrize(
    ("why", "timezone", "day", "expected"),
    [
        ("April has 30 days", "UTC", "2026-04-15", 720),
        ("leap February", "UTC", "2028-02-10", 696),
        ("clocks go forward on 29 March", "Europe/Berlin", "2026-03-15", 743),
        ("clocks go back on 25 October", "Europe/Berlin", "2026-10-15", 745),
        ("forward on 8 March", "America/New_York", "2026-03-15", 743),
        ("back on 1 November", "America/New_York", "2026-11-15", 721),
        ("the clocks of Lord Howe move by 30 minutes", "Australia/Lord_Howe", "2026-04-15", 720.5),
        ("midnight of 1 November comes twice in Havana; it belongs to November",
         "America/Havana", "2026-11-15", 721),
        ("no clock changes", "Asia/Kolkata", "2026-03-15", 744),
    ],
)  # fmt: skip
def test_hours_of_a_month(why: str, timezone: str, day: str, expected: float) -> None:
    noon = datetime.fromisoformat(f"{day}T12:00:00+00:00")
    assert hours(month(noon, timezone)) == expected, why


def test_a_month_is_utc_instants_of_local_midnights() -> None:
    span = month(datetime(2026, 3, 15, tzinfo=UTC), "Europe/Berlin")
    assert span.start == datetime(2026, 2, 28, 23, tzinfo=UTC)
    assert span.end == datetime(2026, 3, 31, 22, tzinfo=UTC)
    assert span.start.tzinfo is UTC


def test_a_year_ends() -> None:
    span = month(datetime(2026, 12, 31, 23, 59, tzinfo=UTC), "UTC")
    assert (span.start.date(), closed(span).date()) == (date(2026, 12, 1), date(2027, 1, 1))


@laws
@given(instants, zones)
def test_a_month_holds_its_instants(instant: datetime, timezone: str) -> None:
    span = month(instant, timezone)
    assert span.start <= instant < closed(span)
    assert month(span.start, timezone) == span == month(closed(span) - MICROSECOND, timezone)


@laws
@given(instants, zones)
def test_periods_chain_both_ways(instant: datetime, timezone: str) -> None:
    span = month(instant, timezone)
    assert following(span, timezone) == month(closed(span), timezone)
    assert previous(span, timezone) == month(span.start - MICROSECOND, timezone)
    assert previous(following(span, timezone), timezone) == span


@laws
@given(instants, zones, zones)
def test_an_account_that_moves_to_another_zone_keeps_the_chain(
    instant: datetime, old: str, new: str
) -> None:
    span = month(instant, old)
    then = following(span, new)
    assert then.start == span.end
    assert timedelta(days=26) < closed(then) - then.start < timedelta(days=33)
    assert following(then, new) == month(closed(then), new)


def test_every_midnight_of_every_zone_is_a_window_edge() -> None:
    """Each first of a month that a ledger of today or of its statutory past can see."""
    firsts = [(year, number) for year in range(2000, 2038) for number in range(1, 13)]
    for timezone in ZONES:
        zone = ZoneInfo(timezone)
        for year, number in firsts:
            edge = midnight(year, number, 1, timezone)
            assert edge.timestamp() * 1000 % WIDTH_MS == 0, (timezone, edge)
            before = (edge - MICROSECOND).astimezone(zone).month
            assert (edge.astimezone(zone).month, before != number) == (number, True), (
                timezone,
                edge,
            )


def test_a_midnight_off_the_edges_is_refused() -> None:
    """Liberia kept 44 minutes and 30 seconds until 1972."""
    with pytest.raises(ValueError, match="Africa/Monrovia is not a window edge"):
        month(datetime(1971, 5, 5, tzinfo=UTC), "Africa/Monrovia")


@pytest.mark.parametrize("timezone", ["", "Berlin", "Europe", "../etc/passwd", "Mars/Olympus"])
def test_an_unknown_zone_is_one_clear_sentence(timezone: str) -> None:
    with pytest.raises(ConfigError, match=r"is not known; write an IANA name"):
        month(datetime(2026, 3, 1, tzinfo=UTC), timezone)


def test_an_open_span_has_no_length() -> None:
    with pytest.raises(ValueError, match="has no end"):
        hours(Span(datetime(2026, 3, 1, tzinfo=UTC)))
