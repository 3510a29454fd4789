"""Times as people write them, by whose clock, and how they are told."""

from datetime import UTC, datetime

import pytest

from rackmeter.cli.options import instant, is_local
from rackmeter.cli.output import local_time
from rackmeter.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "zone", "utc"),
    [
        ("2026-11-01", "UTC", "2026-11-01T00:00"),
        ("2026-11-01", "Europe/Berlin", "2026-10-31T23:00"),
        ("2026-07-01", "Europe/Berlin", "2026-06-30T22:00"),
        ("20261101", "America/New_York", "2026-11-01T04:00"),
        ("2026-W44-7", "Asia/Kathmandu", "2026-10-31T18:15"),
        ("2026-11-01T12:30", "America/New_York", "2026-11-01T17:30"),
        ("2026-11-01T12:30+05:00", "America/New_York", "2026-11-01T07:30"),
        ("2026-11-01T12:30Z", "Europe/Berlin", "2026-11-01T12:30"),
        ("2026-10-25T02:30+01:00", "Europe/Berlin", "2026-10-25T01:30"),
        ("2026-09-06", "America/Santiago", "2026-09-06T04:00"),
        ("2026-11-01", "America/Havana", "2026-11-01T04:00"),
        ("1970-01-01", "UTC", "1970-01-01T00:00"),
    ],
)
def test_a_day_or_a_time_without_offset_is_that_of_the_zone(text: str, zone: str, utc: str) -> None:
    assert instant(text, zone) == datetime.fromisoformat(utc).replace(tzinfo=UTC)
    assert instant(text, zone).tzinfo is UTC


def test_now_is_now_in_every_zone() -> None:
    before = datetime.now(UTC)
    assert before <= instant("now", "Asia/Tokyo") <= instant(None) <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("text", "zone", "said"),
    [
        ("tomorrow", "UTC", "tomorrow is no time; write 2026-10-01"),
        ("2026-02-30", "UTC", "2026-02-30 is no time"),
        (
            "2026-10-25T02:30", "Europe/Berlin",
            ("comes twice in Europe/Berlin, where the clocks change: say which with an offset,"
                " 2026-10-25T02:30:00+02:00 or 2026-10-25T02:30:00+01:00."),
        ),
        (
            "2026-03-29T02:30", "Europe/Berlin",
            ("is skipped in Europe/Berlin, where the clocks change: say which with an offset,"
                " 2026-03-29T02:30:00+01:00 or 2026-03-29T02:30:00+02:00."),
        ),
        ("2026-09-06T00:00", "America/Santiago", "is skipped in America/Santiago"),
        ("0001-01-01T00:00+05:00", "UTC", "is no time for a bill; write a year from 1970 to 9998."),
        ("0001-01-01", "Europe/Berlin", "is no time for a bill"),
        ("9999-12-31T23:59-05:00", "UTC", "is no time for a bill"),
        ("9999-12-31", "America/New_York", "is no time for a bill"),
        ("1969-12-31", "UTC", "is no time for a bill"),
    ],
)  # fmt: skip
def test_what_is_no_instant_is_said_in_a_sentence(text: str, zone: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        instant(text, zone)
    assert said in str(refused.value)
    assert text in str(refused.value)


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("2026-11-01", True),
        ("2026-11-01T12:30", True),
        ("2026-11-01T12:30Z", False),
        ("2026-11-01T12:30+01:00", False),
        ("now", False),
        (None, False),
    ],
)
def test_what_depends_on_a_zone(text: str | None, local: bool) -> None:
    assert is_local(text) is local


@pytest.mark.parametrize(
    ("at", "zone", "said"),
    [
        ("2026-10-31T23:00", "Europe/Berlin", "2026-11-01 00:00+01:00"),
        ("2026-10-31T23:00", "UTC", "2026-10-31 23:00+00:00"),
        ("2026-10-31T23:00:07.25", "America/New_York", "2026-10-31 19:00:07-04:00"),
    ],
)
def test_times_are_told_with_an_offset(at: str, zone: str, said: str) -> None:
    assert local_time(datetime.fromisoformat(at).replace(tzinfo=UTC), zone) == said
