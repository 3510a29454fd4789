"""The archive of a topic, on both brokers and PostgreSQL: once, gapless, whatever is killed."""

import dataclasses
import json
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import psycopg
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from pipeline.records import Taped
from rackmeter import archive as running
from rackmeter import archive_read
from rackmeter.capture import read_capture
from rackmeter.cli.main import run
from schemas.errors import ConfigError, RefusedError
from sinks import archive, archive_file
from sinks.database import Connection, connect
from tests.archive.archiver import (
    DAY_MS,
    NOON,
    PARTITIONS,
    Shelf,
    make,
    message,
    messages,
    spans_of,
)
from tests.fix_kafka import Broker
from tests.frames import Entry, batch
from tests.kafka.raw import produce_frames


@pytest.fixture
def shelf(broker: Broker, billing_url: str, topic_prefix: str, tmp_path: Path) -> Shelf:
    return make(billing_url, broker.bootstrap, topic_prefix + "reports", tmp_path / "archive")


@pytest.fixture
def conn(shelf: Shelf) -> Iterator[Connection]:
    with connect(shelf.url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of ten messages."""
    monkeypatch.setattr(archive_read, "RECORDS_MAX", 10)


def assert_archived(shelf: Shelf, sent: int) -> None:
    """Every message once, byte for byte, and no file that the ledger does not know."""
    rows = shelf.held()
    numbers = [json.loads(body)["n"] for body in rows["body"]]
    assert sorted(numbers) == list(range(sent))
    for row, n in zip(rows.iter_rows(named=True), numbers, strict=True):
        told = message(n, n % PARTITIONS)
        assert (row["key"], row["partition"]) == (told.key, n % PARTITIONS)
        assert tuple((one["name"], one["value"]) for one in row["headers"]) == told.headers
    with connect(shelf.url) as conn:
        spans = spans_of(conn)
    for part in range(PARTITIONS):
        mine = [span for span in spans if span.part == part]
        assert [span.next_offset for span in mine[:-1]] == [span.first_offset for span in mine[1:]]
        assert sum(span.records for span in mine) == mine[-1].next_offset == sent // PARTITIONS
    assert [archive_file.problem(shelf.folder, span) for span in spans] == [None] * len(spans)
    assert shelf.files() == {span.file for span in spans}


def test_everything_is_archived_once_and_nothing_twice(shelf: Shelf) -> None:
    shelf.send(*messages(40))
    first = shelf.run()
    assert [(span.part, span.records) for span in first] == [(0, 20), (1, 20)]
    assert shelf.run() == []
    shelf.send(*messages(10, begin=40))
    assert [(span.part, span.first_offset, span.records) for span in shelf.run()] == [
        (0, 20, 5), (1, 20, 5),
    ]  # fmt: skip
    assert_archived(shelf, 50)


def test_an_empty_topic_is_archived_to_its_end(shelf: Shelf) -> None:
    assert shelf.run() == []


@pytest.mark.usefixtures("small")
def test_a_file_ends_when_it_is_full(shelf: Shelf) -> None:
    shelf.send(*messages(50))
    assert [span.records for span in shelf.run()] == [10, 10, 5, 10, 10, 5]
    assert_archived(shelf, 50)


DAYS = {
    "the broker's": (1, [0, 0, 1, 1, 2], [2, 2, 1]),
    "producers' own": (0, [0, 1, 0, 1, 9], [5]),
}


@pytest.mark.parametrize(("kind", "days", "sizes"), DAYS.values(), ids=DAYS)
def test_a_file_ends_with_the_brokers_day(kind: int, days: list[int], sizes: list[int]) -> None:
    files = [archive_read.Filling()]
    for offset, day in enumerate(days):
        record = Taped(offset, NOON + day * DAY_MS, kind, b"k", b"v", [])
        if not files[-1].takes(record):
            files.append(archive_read.Filling())
        files[-1].add(record)
    assert [len(one.records) for one in files] == sizes


def test_time_stamps_are_kept(shelf: Shelf) -> None:
    dated = [message(n, ts_ms=NOON + n * DAY_MS) for n in range(3)]
    shelf.send(*dated)
    [span] = shelf.run()
    held = shelf.held()
    stamps = held["appended_at"].dt.epoch("ms").to_list()
    assert (span.first_ms, span.last_ms) == (stamps[0], stamps[-1])
    if not held["by_broker"][0]:
        assert stamps == [one.ts_ms for one in dated]


STEPS = [(running.READ, 1), (running.WRITTEN, 1), (running.WRITTEN, 3), (running.ENTERED, 2)]


@pytest.mark.parametrize(("step", "nth"), STEPS)
@pytest.mark.usefixtures("small")
def test_a_run_that_is_killed_is_gone_on_with(shelf: Shelf, step: str, nth: int) -> None:
    shelf.send(*messages(50))
    killed = subprocess.run(shelf.command(step, nth), check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    shelf.send(*messages(6, begin=50))
    shelf.run()
    assert_archived(shelf, 56)


def test_half_a_file_is_never_taken_for_one(shelf: Shelf) -> None:
    """Killed while it was written, or damaged before the ledger knew it."""
    shelf.send(*messages(20))
    [one, _] = shelf.run()
    assert one.file is not None
    path, whole = shelf.folder / one.file, (shelf.folder / one.file).read_bytes()
    for found in (path.with_suffix(".part"), path):
        with connect(shelf.url, autocommit=True) as conn:
            conn.execute("DELETE FROM archive_span WHERE part = 0")
        found.write_bytes(whole[: len(whole) // 2])
        shelf.run()
        assert_archived(shelf, 20)


def test_files_that_a_restored_ledger_does_not_know_are_entered(
    shelf: Shelf, conn: Connection
) -> None:
    shelf.send(*messages(20))
    before = shelf.run()
    conn.execute("DELETE FROM archive_span")
    stamps = {path: path.stat().st_mtime_ns for path in shelf.folder.rglob("*.parquet")}
    again = shelf.run()
    assert again == [dataclasses.replace(span, archived_at=None) for span in before]
    assert stamps == {path: path.stat().st_mtime_ns for path in shelf.folder.rglob("*.parquet")}
    assert_archived(shelf, 20)


def test_only_one_archives(shelf: Shelf, conn: Connection) -> None:
    archive.alone(conn)
    with pytest.raises(RefusedError, match="Another process is archiving"):
        shelf.run()


def test_the_database_refuses_a_gap_and_a_fork(shelf: Shelf, conn: Connection) -> None:
    shelf.send(*messages(20))
    last = shelf.run()[0]
    beyond = dataclasses.replace(last, first_offset=12, next_offset=15, file="x")
    with pytest.raises(RefusedError, match="does not begin where the one before ends"):
        archive.enter(conn, beyond, first=False)
    with pytest.raises(RefusedError, match="does not begin where"):
        archive.enter(conn, dataclasses.replace(beyond, first_offset=10), first=True)
    with pytest.raises(psycopg.errors.CheckViolation):
        conn.execute(
            "INSERT INTO archive_span (topic_id, part, first_offset, next_offset, follows)"
            " SELECT topic_id, part, 11, 12, 10 FROM archive_span WHERE part = 0"
        )


def test_what_retention_removed_is_a_refusal_and_then_written_down(
    shelf: Shelf, broker: Broker
) -> None:
    if broker.embedded:
        pytest.skip("the embedded broker deletes no records")
    shelf.send(*messages(20))
    shelf.run()
    shelf.send(*messages(20, begin=20))
    admin = AdminClient({"bootstrap.servers": shelf.bootstrap})
    for future in admin.delete_records([TopicPartition(shelf.topic, 0, 15)]).values():
        future.result()
    with pytest.raises(RefusedError, match=r"partition 0, offsets 10 to 14, which the log no"):
        shelf.run()
    lost, *rest = shelf.run(accept_gap=True)
    assert (lost.file, lost.first_offset, lost.next_offset) == (None, 10, 15)
    assert [(span.part, span.first_offset, span.records) for span in rest] == [
        (0, 15, 5), (1, 10, 10),
    ]  # fmt: skip
    assert shelf.run() == []


def test_a_topic_that_was_made_again_is_refused(shelf: Shelf, conn: Connection) -> None:
    shelf.send(*messages(4))
    shelf.run()
    conn.execute("UPDATE archive_span SET next_offset = 400 WHERE part = 0")
    with pytest.raises(RefusedError, match="does not have"):
        shelf.run()


def test_what_no_client_reads_is_archived_with_its_place(shelf: Shelf) -> None:
    """A header's name that is not UTF-8, between two messages of one batch."""
    shelf.send(message(0))
    odd = Entry(b'{"n":2}', b"s-2", [(b"\xff\xfe", b"x")])
    around = [Entry(b'{"n":%d}' % n, b"s-1", [(b"kid", b"k")]) for n in (1, 3)]
    [(error, _)] = produce_frames(
        shelf.bootstrap, shelf.topic, 0, [batch([around[0], odd, around[1]])]
    )
    assert error == ""
    shelf.send(message(4))
    [span] = shelf.run()
    rows = shelf.held()
    assert rows["offset"].to_list() == [0, 1, 2, 3, 4]
    said = rows["unread"].to_list()
    assert said[:2] == said[3:] == [None, None]
    assert "UTF-8" in str(said[2])
    assert (span.records, span.holes, span.next_offset) == (5, 0, 5)
    assert archive_file.problem(shelf.folder, span) is None
    assert shelf.run() == []


def test_the_markers_of_a_transaction_are_holes_and_no_gap(shelf: Shelf, broker: Broker) -> None:
    if broker.embedded:
        pytest.skip("the embedded broker knows no transactions")
    producer = Producer({"bootstrap.servers": shelf.bootstrap, "transactional.id": shelf.topic})
    producer.init_transactions()
    for n in range(3):
        producer.begin_transaction()
        producer.produce(shelf.topic, b'{"n":%d}' % n, b"s", 0)
        producer.commit_transaction()
        if n == 0:
            shelf.run()
    shelf.run()
    assert shelf.run() == []
    rows = shelf.held()
    assert rows["offset"].to_list() == [0, 2, 4]
    with connect(shelf.url) as conn:
        spans = spans_of(conn)
    assert [(s.first_offset, s.next_offset, s.holes) for s in spans] == [(0, 1, 0), (1, 5, 2)]
    assert [archive_file.problem(shelf.folder, span) for span in spans] == [None, None]


# -- retention -------------------------------------------------------------------------------------


def age(conn: Connection, days: int, where: str) -> None:
    conn.execute(
        f"UPDATE archive_span SET archived_at = archived_at - interval '{days} days',"
        f" last_ms = extract(epoch FROM now() - interval '{days} days') * 1000 WHERE {where}"
    )


@pytest.mark.usefixtures("small")
def test_older_files_are_removed_and_their_offsets_stay_known(
    shelf: Shelf, conn: Connection
) -> None:
    shelf.send(*messages(40))
    shelf.run()
    age(conn, 200, "first_offset = 0")
    before = datetime.now(UTC) - timedelta(days=130)

    class KilledError(Exception):
        pass

    def killed(_step: str) -> None:
        raise KilledError

    with pytest.raises(KilledError):
        running.remove_older(conn, shelf.folder, before, killed)
    assert len(shelf.files()) == 4, "marked, and not removed yet"
    assert running.remove_older(conn, shelf.folder, before) == 2
    assert running.remove_older(conn, shelf.folder, before) == 0
    assert shelf.files() == {span.file for span in spans_of(conn) if span.kept}
    shelf.send(*messages(4, begin=40))
    assert [span.first_offset for span in shelf.run()] == [20, 20]


def test_young_reports_stay_whenever_they_were_archived_and_old_ones_that_were_archived_lately(
    shelf: Shelf, conn: Connection
) -> None:
    shelf.send(*messages(20))
    shelf.run()
    conn.execute("UPDATE archive_span SET archived_at = now() - interval '1 year' WHERE part = 0")
    conn.execute(
        "UPDATE archive_span SET last_ms = extract(epoch FROM now()) * 1000 WHERE part = 0"
    )
    assert running.remove_older(conn, shelf.folder, datetime.now(UTC) - timedelta(days=130)) == 0


# -- commands --------------------------------------------------------------------------------------


@pytest.fixture
def commands(shelf: Shelf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {
        "DATABASE_URL": shelf.url,
        "KAFKA_BOOTSTRAP": shelf.bootstrap,
        "TOPIC_REPORTS": shelf.topic,
        "ARCHIVE_DIR": str(shelf.folder),
        "DATA_DIR": str(tmp_path / "data"),
        "METRICS_DIR": str(tmp_path),
    }.items():
        monkeypatch.setenv(f"RACKMETER_{name}", value)


@pytest.mark.usefixtures("commands")
def test_the_commands_tell_what_there_is_and_what_is_wrong(
    shelf: Shelf, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shelf.send(*messages(40))
    assert run(["archive", "run", "--keep", "121", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["records"], said["files"], said["removed"]) == (40, 2, 0)
    assert (
        f"rackmeter_archive_size_bytes {float(said['bytes'])}"
        in (tmp_path / "archive.prom").read_text()
    )
    assert run(["archive", "list"]) == 0
    assert "40" not in (shown := capsys.readouterr().out)
    assert shown.count(" 20 ") >= 2
    assert run(["archive", "verify"]) == 0
    assert "2 of 2 files are as they were written" in capsys.readouterr().err

    one, other = (shelf.folder / span["file"] for span in said["spans"])
    body = bytearray(one.read_bytes())
    body[len(body) // 2] ^= 1
    one.write_bytes(body)
    other.unlink()
    assert run(["archive", "verify", "--json"]) == 3
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert [(p["place"], p["problem"]) for p in problems] == [
        ("partition 0, offsets 0 to 19", "its bytes are not those that were written"),
        ("partition 1, offsets 0 to 19", "the file is gone"),
    ]


@pytest.mark.usefixtures("commands")
def test_an_archive_becomes_a_capture(shelf: Shelf, tmp_path: Path) -> None:
    shelf.send(*messages(40))
    assert run(["archive", "run"]) == 0
    out = tmp_path / "out.ndjson.gz"
    assert run(["archive", "capture", "--server", "s-3", "--out", str(out)]) == 0
    found = list(read_capture(out))
    assert [one.key for one in found] == [b"s-3"] * 6
    assert [one.value for one in found if one.place and one.place.part == 1] == [
        message(n).value for n in (3, 17, 31)
    ]
    assert {one.place.partitions for one in found if one.place} == {PARTITIONS}
    assert found[0].headers == message(10).headers


@pytest.mark.usefixtures("commands")
def test_reports_are_kept_as_long_as_they_are_disputed(
    shelf: Shelf, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["archive", "run", "--keep", "120"]) == ConfigError.exit_code
    assert "wanted for 121 days" in capsys.readouterr().err
    assert not shelf.files()


def test_a_file_that_was_rewritten_with_other_messages_is_noticed(shelf: Shelf) -> None:
    """Whoever also changes the digest in the ledger has to change its other figures too."""
    shelf.send(*messages(20))
    span = shelf.run()[0]
    assert span.file is not None
    path = shelf.folder / span.file
    pl.read_parquet(path).head(9).write_parquet(path)
    other = dataclasses.replace(span, bytes=path.stat().st_size, sha256=archive_file.digest(path))
    assert archive_file.problem(shelf.folder, other) == (
        "it holds other messages than the ledger says"
    )
