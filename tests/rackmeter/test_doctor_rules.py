"""What the doctor makes of what it sees: each rule as a table. No server."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from pipeline.partition import partition_of
from rackmeter.cli.check_probe import about_probe
from rackmeter.cli.check_store import about_backend, about_clock
from rackmeter.cli.check_work import (
    about_backup,
    about_deliveries,
    about_egress,
    about_keys,
    about_rater,
    about_workers,
    last_backup,
)
from rackmeter.cli.finding import Finding
from rackmeter.probe import PREFIX, probe_servers
from rackmeter.textfile import write_textfile
from rackmeter.topics import Topic
from schemas import metrics
from sinks.health import Claim
from sinks.store.backend import Backend

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
TOPIC = Topic("usage.reports", 2, uuid4(), "c", {}, 3)


def claim(part: int, offset: int, held: bool = True) -> Claim:
    return Claim(part, offset, 0, held)


TWO = [claim(0, 5), claim(1, 7)]
WORKERS: dict[str, tuple[list[Claim], list[Claim], dict[int, int], list[tuple[str, int]]]] = {
    "all is metered": (TWO, TWO, {0: 5, 1: 7}, [("all 2 partitions are held, 0 wait", 0)]),
    "it moves": (
        TWO, [claim(0, 6), claim(1, 7)], {0: 9, 1: 7}, [("all 2 partitions are held, 3 wait", 0)],
    ),
    "one stands still": (TWO, TWO, {0: 9, 1: 7}, [("partition 0 has reports that wait", 4)]),
    "one is held by nobody": (
        TWO, [claim(0, 5), claim(1, 7, held=False)], {0: 5, 1: 7},
        [("nobody meters partition 1 of usage.reports", 4)],
    ),
    "one was never metered": (
        [claim(0, 5)], [claim(0, 5)], {0: 5, 1: 7}, [("nobody meters partition 1", 4)],
    ),
    "one stands still, the other nobody has": (
        TWO, [claim(0, 5), claim(1, 7, held=False)], {0: 9, 1: 9},
        [("nobody meters partition 1", 4), ("partition 0 has reports", 4)],
    ),
    "before the first worker": ([], [], {0: 0, 1: 0}, [("none has run yet", 0)]),
}  # fmt: skip


@pytest.mark.parametrize("case", WORKERS)
def test_workers(case: str) -> None:
    before, after, ends, wanted = WORKERS[case]
    found = [*about_workers(TOPIC, before, after, ends)]
    assert [one.exit_code for one in found] == [code for _, code in wanted]
    for one, (sentence, _) in zip(found, wanted, strict=True):
        assert sentence in one.found


def store(version: str | None, name: str = "timescaledb") -> Backend:
    return Backend(name, "17.6", version, version)


def days(number: float) -> datetime:
    return NOW - timedelta(days=number)


RULES: dict[str, tuple[Finding, str, int, bool]] = {
    "plain": (about_backend(store(None, "postgresql")), "partitions by month", 0, False),
    "TimescaleDB": (about_backend(store("2.29.2")), "TimescaleDB 2.29.2", 0, False),
    "a newer one": (about_backend(store("2.30.0-dev")), "TimescaleDB 2.30.0", 0, False),
    "an old one": (about_backend(store("2.29.1")), "wrong results", 2, False),
    "an old one that is not used": (
        about_backend(store("2.23.0", "postgresql")), "db convert", 0, False,
    ),
    "clocks agree": (about_clock(timedelta(seconds=2), timedelta(seconds=30)), "+2.00 s", 0, False),
    "ahead": (
        about_clock(timedelta(seconds=31), timedelta(seconds=30)), "31.0 s ahead of", 4, False,
    ),
    "behind": (
        about_clock(timedelta(seconds=-31), timedelta(seconds=30)), "31.0 s behind", 4, False,
    ),
    "a rater in time": (about_rater([]), "no scope is overdue", 0, False),
    "a rater that is late": (
        about_rater(["a", "b", "c", "d", "e", "f"]), "scope a, b, c, d, e and more", 4, False,
    ),
    "delivered": (about_deliveries(0, None), "no webhook is overdue", 0, False),
    "not delivered": (
        about_deliveries(3, "timed out"), "3 webhooks wait for a try, the last try of one: timed",
        0, True,
    ),
    "public": (about_egress(False), "public addresses over https alone", 0, False),
    "private": (about_egress(True), "private addresses", 0, True),
    "no backup": (about_backup(None, NOW), "nobody says", 0, True),
    "a backup": (about_backup(days(1), NOW), "taken 24 h ago", 0, False),
    "an old backup": (about_backup(days(2), NOW), "the last one is 48 h old", 4, False),
    "a probe": (about_probe({0: 0.5, 1: 1.25}, 10), "to the ledger in 1.25 s", 0, False),
    "a lost probe": (about_probe({0: 0.5, 1: None}, 10), "from partition 1 within 10 s", 4, False),
}  # fmt: skip


@pytest.mark.parametrize("case", RULES)
def test_each_rule_says_what_it_found_and_what_mends_it(case: str) -> None:
    found, sentence, exit_code, warning = RULES[case]
    assert sentence in found.found
    assert (found.exit_code, found.warning) == (exit_code, warning)
    assert bool(found.why) == bool(found.todo) == (exit_code > 0 or warning)


@pytest.mark.parametrize(
    ("keyless", "ending", "codes"),
    [([], [], [0]), (["a"], [], [5]), ([], ["a"], [0]), (["a"], ["b"], [5, 0])],
)
def test_keys(keyless: list[str], ending: list[str], codes: list[int]) -> None:
    found = [*about_keys(keyless, ending)]
    assert [one.exit_code for one in found] == codes
    assert [one.warning for one in found] == [bool(ending) and one == found[-1] for one in found]


def test_the_last_backup_is_read_where_the_job_wrote_it(tmp_path: Path) -> None:
    assert last_backup(None) is None
    assert last_backup(tmp_path) is None
    write_textfile(tmp_path, "backup", [(metrics.BACKUP_SUCCESS, (), NOW.timestamp())])
    assert last_backup(tmp_path) == NOW


@pytest.mark.parametrize("partitions", [1, 4, 30])
def test_there_is_a_probe_for_each_partition(partitions: int) -> None:
    found = probe_servers(partitions)
    assert [*found] == [*range(partitions)]
    for part, name in found.items():
        assert name.startswith(PREFIX)
        assert partition_of(name.encode(), partitions) == part
