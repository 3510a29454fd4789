"""A fleet's day metered again from its archive, and compared with what the meter wrote."""

import json
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path

import pytest

from invoicing.nightly.again import metered_again
from invoicing.nightly.checks import nightly
from invoicing.nightly.metering import archived
from invoicing.reconcile import Difference
from pipeline.retries import RETRY_HEADER
from rackmeter.cli.main import run
from rackmeter.fleet.adversity import ALL
from rackmeter.fleet.cast import ALL_AT_ONCE
from rackmeter.fleet.log import Log, simulate
from rackmeter.fleet.plan import FleetPlan
from schemas.verdict import Verdict
from sinks import archive
from sinks.database import Connection
from tests.archive.scene import Scene, day_of, told

DAY_MS = 86_400_000
START_MS = 20_000 * DAY_MS + 18 * 3_600_000
DAY = day_of(START_MS) + timedelta(days=1)


@lru_cache
def log(seed: int, *, by_broker: bool) -> Log:
    """From one evening to the morning after the next, so that a whole day lies in between."""
    plan = FleetPlan(
        seed, ALL_AT_ONCE, START_MS, START_MS + 36 * 3_600_000, mishaps=3, adversities=ALL
    )
    return simulate(plan, by_broker=by_broker)


@pytest.fixture
def scene(billing: Connection, billing_url: str, tmp_path: Path) -> Scene:
    made = told(log(3, by_broker=True), billing, billing_url, tmp_path)
    made.meter()
    made.archive()
    return made


@pytest.mark.parametrize("by_broker", [True, False])
@pytest.mark.parametrize("seed", [3, 4])
def test_whatever_goes_wrong_every_window_is_the_same(
    seed: int, by_broker: bool, billing: Connection, billing_url: str, tmp_path: Path
) -> None:
    """The evening of the first day, whole days, and the last with its open windows."""
    made = told(log(seed, by_broker=by_broker), billing, billing_url, tmp_path)
    made.meter()
    made.archive()
    for day in (DAY - timedelta(days=1), DAY, DAY + timedelta(days=1)):
        found = metered_again(made.night(day))
        assert found.differences == ()
        assert found.compared > 1_000
        assert len(found.notes) <= 1, "a series that came back, on one server at most"


def window(scene: Scene) -> tuple[str, datetime]:
    """One in the middle of the day."""
    row = scene.conn.execute(
        "SELECT server_id, window_start FROM usage_window WHERE window_start >= %s AND qty[1] > 0"
        " ORDER BY window_start, server_id LIMIT 1",
        (datetime.combine(DAY, time(12), UTC),),
    ).fetchone()
    assert row is not None
    return row[0], row[1]


def only(scene: Scene) -> Difference:
    """The one difference of the day."""
    [found] = metered_again(scene.night(DAY)).differences
    return found


def test_one_unit_in_one_window_is_found(scene: Scene) -> None:
    server, start = window(scene)
    scene.conn.execute(
        "UPDATE usage_window SET qty[1] = qty[1] - 1 WHERE server_id = %s AND window_start = %s",
        (server, start),
    )
    found = only(scene)
    assert found.where.startswith(f"{server} ")
    assert found.where.endswith(f" {int(start.timestamp()) * 1000}")
    assert int(found.right) - int(found.left) == 1


def test_a_window_that_is_missing_and_a_late_entry_too_many_are_found(scene: Scene) -> None:
    server, start = window(scene)
    scene.conn.execute(
        "INSERT INTO usage_late (server_id, window_start, set_id, qty, part, ckpt_offset, reason)"
        " SELECT server_id, window_start, set_id, qty, part, ckpt_offset, 'late' FROM usage_window"
        " WHERE server_id = %s AND window_start = %s",
        (server, start),
    )
    doubled = metered_again(scene.night(DAY)).differences
    assert doubled
    assert all(int(one.left) == 2 * int(one.right) for one in doubled)
    scene.conn.execute("DELETE FROM usage_late WHERE reason = 'late' AND server_id = %s", (server,))
    scene.conn.execute(
        "DELETE FROM usage_window WHERE server_id = %s AND window_start = %s", (server, start)
    )
    missing = metered_again(scene.night(DAY)).differences
    assert {one.where for one in doubled} <= {one.where for one in missing}
    assert {one.left for one in missing if one.where == doubled[0].where} == {"0"}


def test_what_is_not_archived_yet_is_not_judged(
    billing: Connection, billing_url: str, tmp_path: Path
) -> None:
    made = told(log(3, by_broker=True), billing, billing_url, tmp_path)
    made.meter()
    made.archive(len(made.records) // 8)  # the log is replayed three times
    found = metered_again(made.night(DAY))
    assert found.differences == ()
    assert any("not archived yet" in note for note in found.notes)
    made.archive()
    assert metered_again(made.night(DAY)).compared > found.compared


def test_what_is_archived_and_not_metered_yet_does_not_count(
    billing: Connection, billing_url: str, tmp_path: Path
) -> None:
    made = told(log(3, by_broker=True), billing, billing_url, tmp_path)
    made.archive()
    made.meter(made.records[: len(made.records) // 4])
    found = metered_again(made.night(DAY))
    assert found.differences == ()
    assert found.compared > 1_000


def test_a_report_that_was_let_in_later_counts_from_when_it_first_came(
    billing: Connection, billing_url: str, tmp_path: Path
) -> None:
    """The last report of a server, refused by mistake, and its retry a day later."""
    whole = log(3, by_broker=True)
    kept = [n for n, verdict in enumerate(whole.verdicts) if verdict is Verdict.ACCEPTED]
    noon_ms = START_MS + 18 * 3_600_000
    last = {whole.messages[n].key: n for n in kept if whole.messages[n].ts_ms < noon_ms}
    at = max(last.values())
    # Later reports of that server never came, so that nothing makes up for it.
    key = whole.messages[at].key
    told_until = [m for n, m in enumerate(whole.messages) if m.key != key or n <= at]
    offset = next(n for n, m in enumerate(told_until) if m is whole.messages[at])
    retried = told_until[offset]
    again = replace(
        retried, ts_ms=retried.ts_ms + DAY_MS,
        headers=(*retried.headers, (RETRY_HEADER, b"0/%d" % offset)),
    )  # fmt: skip
    made = told(replace(whole, messages=[*told_until, again]), billing, billing_url, tmp_path)
    refused = [r if r.offset != offset else r._replace(value=None) for r in made.records]
    made.meter(refused[:-1])
    billing.execute(
        "UPDATE dead_letter SET payload = %s, append_ms = %s, by_broker = true, retried_ms = 1"
        ' WHERE "offset" = %s',
        (retried.value, retried.ts_ms, offset),
    )
    before = metered_again(made.night(DAY, sample=100)).compared
    made.meter(release=True)
    made.archive()
    found = metered_again(made.night(DAY))
    assert found.differences == ()
    assert found.compared > before
    row = billing.execute("SELECT counts FROM ingest_offset").fetchone()
    assert row is not None
    assert row[0]["accepted"] > 0


@pytest.mark.parametrize("how", ["altered", "removed"])
def test_a_damaged_archive_is_named_and_nothing_is_judged_by_it(scene: Scene, how: str) -> None:
    low_ms = int(scene.night(DAY).low.timestamp() * 1000)
    span = archive.spans(scene.conn, since_ms=low_ms)[1]
    assert span.file is not None
    path = scene.folder / span.file
    if how == "removed":
        path.unlink()
    else:
        body = bytearray(path.read_bytes())
        body[len(body) // 2] ^= 1
        path.write_bytes(body)
    assert metered_again_or_not(scene) is False
    found = archived(scene.night(DAY))
    assert [one.where.split(" ")[0] for one in found.differences] == [span.file]


def metered_again_or_not(scene: Scene) -> bool:
    """Whether the check vouches for anything."""
    [check] = nightly(scene.night(DAY), ["recompute"])
    return not check.differences and check.compared > 0


def test_the_command_prints_what_was_drawn(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RACKMETER_DATABASE_URL", scene.url)
    monkeypatch.setenv("RACKMETER_ARCHIVE_DIR", str(scene.folder))
    command = ["reconcile", "--date", str(DAY), "--check", "recompute", "--servers", "3", "--json"]
    assert run([*command, "--seed", "5"]) == 0
    one = json.loads(capsys.readouterr().out)
    assert run([*command, "--seed", "5"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert one["seed"] == 5
    compared = {told["checks"][0]["compared"] for told in (one, again)}
    assert len(compared) == 1
    assert compared.pop() > 0
