"""A real worker on both brokers: exact to the unit whatever lies in the log.

One worker for each broker plays several scenes; a second one shares its partitions at the end.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from pipeline.partition import partition_of
from schemas.envelope import Key, headers
from schemas.report import Report, encode
from sinks.database import Connection, connect
from tests.fix_kafka import Broker
from tests.fix_stack import MakeDatabase
from tests.fix_worker import (
    ENVIRONMENT,
    PARTITIONS,
    SECRET,
    Fleet,
    Scene,
    Worker,
    assert_exact,
    metered,
    offsets,
    read_letters,
    recent_ms,
    wait_for,
    worker,
)
from tests.frames import CODECS, Entry, batch, bomb, framed, packed, records, varint
from tests.kafka.raw import produce_frames

SERVERS = tuple(f"s{i}" for i in range(8))
CODEC_NAMES = list(CODECS)
BOMB_MIB = 128
MEMORY_MIB_MAX = 300
"""What bombs may add to a worker at their worst: docs/decisions/0008."""


@pytest.fixture(scope="module")
def scene(
    broker: Broker,
    make_database: MakeDatabase,
    billing_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Scene:
    folder = tmp_path_factory.mktemp("contract")
    return Scene.new(broker.bootstrap, make_database(billing_template), folder)


@pytest.fixture(scope="module")
def running(scene: Scene) -> Iterator[Worker]:
    with worker(scene) as process:
        yield process


@pytest.fixture
def conn(scene: Scene) -> Iterator[Connection]:
    with connect(scene.url, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def fleet(scene: Scene, running: Worker) -> Iterator[Fleet]:
    """Of a worker that runs."""
    with connect(scene.url, autocommit=True) as connection:
        made = Fleet(scene, connection, recent_ms())
        made.enrol(*SERVERS)
        made.report(*SERVERS)  # whichever test comes first: a lie is about an earlier report
        yield made
        assert running.process.poll() is None, running.said()


def caught_up(conn: Connection, fleet: Fleet) -> None:
    wait_for(lambda: metered(conn) == fleet.truth, "truth in the ledger")
    assert_exact(conn, fleet)


def test_the_topic_is_known_by_its_id_cluster_and_who_dates_it(
    conn: Connection, fleet: Fleet, scene: Scene
) -> None:
    fleet.report(*SERVERS, times=5)
    caught_up(conn, fleet)
    rows = conn.execute(
        "SELECT name, partitions, ts_type, topic_id IS NOT NULL, length(cluster_id) > 0"
        " FROM ingest_topic"
    ).fetchall()
    assert rows == [(scene.reports, PARTITIONS, "LogAppendTime", True, True)]


@pytest.mark.parametrize("codec", CODEC_NAMES)
def test_every_codec_is_metered(conn: Connection, fleet: Fleet, scene: Scene, codec: str) -> None:
    producer = fleet._producer
    fleet._producer = Producer(
        {
            "bootstrap.servers": scene.bootstrap,
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "compression.type": codec,
            "linger.ms": 20,
        }
    )
    fleet.report(*SERVERS, times=50)
    fleet._producer = producer
    caught_up(conn, fleet)


def test_clocks_are_set_right_by_a_broker_that_dates(
    conn: Connection, fleet: Fleet, broker: Broker
) -> None:
    """One server's clock is three hours slow. The embedded broker dates nothing: it is believed."""
    now_ms, slow_ms = time.time_ns() // 1_000_000, 3 * 3_600_000
    fleet.enrol("right", "slow")
    for server, at_ms in (("right", now_ms), ("slow", now_ms - slow_ms)):
        fleet.truth[server] = 7_000
        fleet.send(
            Report(
                server, "o1", at_ms - 600_000, 1, at_ms, 600_000, 600_005, ("net.tx_bytes",),
                ("eth0",), (7_000,),
            )
        )  # fmt: skip
    fleet.flush()
    caught_up(conn, fleet)
    (_, right), (read_ms, flagged) = conn.execute(
        "SELECT at_ms, flagged FROM server_state WHERE server_id IN ('right', 'slow')"
        " ORDER BY server_id"
    ).fetchall()
    assert right == ""
    if broker.embedded:
        assert (read_ms, flagged) == (now_ms - slow_ms, "")
    else:
        assert abs(read_ms - now_ms) < 60_000
        assert flagged == "clock"


def test_markers_of_transactions_take_up_offsets(
    conn: Connection, fleet: Fleet, scene: Scene
) -> None:
    """Of committed and of aborted ones. A counter's reading is true whoever took it back."""
    plain = fleet._producer
    transactional = Producer(
        {
            "bootstrap.servers": scene.bootstrap,
            "transactional.id": f"t-{scene.prefix}",
            "partitioner": "murmur2_random",
        }
    )
    transactional.init_transactions(30)
    fleet._producer = transactional
    transactional.begin_transaction()
    fleet.report(*SERVERS)
    transactional.commit_transaction(15)
    transactional.begin_transaction()
    fleet.report(*SERVERS)
    transactional.abort_transaction(15)
    fleet._producer = plain
    fleet.report(*SERVERS)
    caught_up(conn, fleet)
    counts = conn.execute("SELECT counts FROM ingest_offset").fetchall()
    assert sum(sum(row[0].values()) for row in counts) < sum(offsets(conn)), "there were markers"


# -- no bytes stop a partition ---------------------------------------------------------------------


def entry(fleet: Fleet, report: Report, *more: tuple[bytes, bytes | None], **changes: Any) -> Entry:
    """A signed report as it lies in a batch."""
    body = encode(report)
    key = Key(f"k-{report.server}", report.server, SECRET)
    signed = headers(report, body, key, ENVIRONMENT, fleet.scene.reports)
    named = [(name.encode(), value) for name, value in signed]
    return replace(Entry(body, report.server.encode(), [*named, *more]), **changes)


def hostile(fleet: Fleet, case: str) -> bytes:
    """A batch with an honest report on either side of what cannot be read, if there are sides."""
    server = SERVERS[0]
    lie = fleet.lie(server, seq=10_000, value=(10**9,))
    first = entry(fleet, fleet.next(server))

    def around(*odd: Entry) -> list[Entry]:
        return [first, *odd, entry(fleet, fleet.next(server))]

    match case:
        case "header name":
            return batch(around(entry(fleet, lie, (b"\xff\xfe", b"x"))))
        case "header name, packed":
            return batch(around(entry(fleet, lie, (b"\xff\xfe", b"x"))), codec="zstd")
        case "many headers":
            return batch(around(entry(fleet, lie, *[(b"", None)] * 5000)))
        case "offset far ahead":
            return batch(around(entry(fleet, lie, delta=10**9)))
        case "broken record":
            return batch(around(Entry(raw=b"\0\0\2\x14")))
        case "broken length":
            return framed(records([first]) + varint(2**40) + b"junk", count=3)
        case "broken zstd":
            data = records(around(Entry(b"x" * 500)))
            return framed(packed("zstd", data)[:-9], count=3, attributes=CODECS["zstd"])
        case "wrong codec":
            return framed(records([first]), count=1, attributes=CODECS["gzip"])
        case "unknown codec":
            return framed(records([first]), count=1, attributes=7)
        case "wrong checksum":
            raw = bytearray(batch(around(Entry(b"x"))))
            raw[17] ^= 0xFF
            return bytes(raw)
    raise AssertionError(case)


HOSTILE = {
    "header name": ("embedded", "kafka"),
    "header name, packed": ("embedded", "kafka"),
    "many headers": ("embedded", "kafka"),
    "offset far ahead": ("embedded", "kafka"),
    "broken record": ("embedded",),
    "broken length": ("embedded",),
    "broken zstd": ("embedded",),
    "wrong codec": ("embedded",),
    "unknown codec": (),
    "wrong checksum": ("embedded",),
}
"""And which broker takes it."""


def lie_of(fleet: Fleet, batches: Sequence[bytes]) -> list[tuple[str, int]]:
    part = partition_of(SERVERS[0].encode(), PARTITIONS)
    return produce_frames(fleet.scene.bootstrap, fleet.scene.reports, part, batches)


@pytest.mark.parametrize("case", HOSTILE)
def test_what_a_broker_takes_stops_no_partition(
    conn: Connection, fleet: Fleet, broker: Broker, case: str
) -> None:
    """What cannot be read is a dead letter with its position; what lies around it is metered."""
    before = conn.execute("SELECT count(*) FROM dead_letter").fetchone()
    [(error, offset)] = lie_of(fleet, [hostile(fleet, case)])
    assert (error == "") is (broker.name in HOSTILE[case]), error
    fleet.report(*SERVERS)
    caught_up(conn, fleet)
    if error:
        assert conn.execute("SELECT count(*) FROM dead_letter").fetchone() == before
        return
    rows = conn.execute(
        'SELECT detail FROM dead_letter WHERE part = %s AND "offset" BETWEEN %s AND %s',
        (partition_of(SERVERS[0].encode(), PARTITIONS), offset, offset + 2),
    ).fetchall()
    assert len(rows) == 1
    assert any(word in rows[0][0] for word in ("UTF-8", "headers", "outside", "damaged", "zstd",
                                               "gzip", "not JSON"))  # fmt: skip


@pytest.mark.parametrize("codec", ["gzip", "lz4", "zstd"])
def test_a_bomb_is_bounded_and_what_lies_before_it_is_metered(
    conn: Connection, fleet: Fleet, running: Worker, codec: str
) -> None:
    """Ten batches of less than a megabyte that claim to be 1.3 GB."""
    raw = bomb(codec, BOMB_MIB, before=[entry(fleet, fleet.next(SERVERS[0]))])
    assert len(raw) < 1_000_000
    before = peak_mib(running)
    answers = lie_of(fleet, [raw] * 10)
    assert {error for error, _ in answers} == {""}
    fleet.report(*SERVERS)
    caught_up(conn, fleet)
    grown = peak_mib(running) - before
    print(f"{codec}: {len(raw)} bytes claim {BOMB_MIB} MiB, the worker grew by {grown} MiB")
    assert grown < MEMORY_MIB_MAX
    rows = conn.execute(
        "SELECT count(*), max(octet_length(payload)) FROM dead_letter"
        " WHERE reason = 'oversized' AND detail LIKE %s",
        (f"%{codec} that unpacks to more than%",),
    ).fetchone()
    assert rows == (10, len(raw))


def peak_mib(running: Worker) -> int:
    """The most memory that the worker had at any time."""
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) // 1024


def test_letters_reach_their_topic(fleet: Fleet, scene: Scene, conn: Connection) -> None:
    """Cut where they do not fit a message, with their position in headers."""
    lie_of(fleet, [hostile(fleet, "header name")])
    caught_up(conn, fleet)
    row = conn.execute("SELECT count(*) FROM dead_letter").fetchone()
    assert row is not None
    letters = read_letters(scene, row[0])
    assert {letter["dlq_topic"] for letter in letters} == {scene.reports}
    assert {letter["dlq_reason"] for letter in letters} <= {"malformed", "oversized", "foreign"}


# -- two workers -----------------------------------------------------------------------------------


def test_a_rebalance_claims_and_gives_back(conn: Connection, fleet: Fleet, scene: Scene) -> None:
    owners = "SELECT count(DISTINCT backend_pid) FROM ingest_offset"

    def shared(count: int) -> bool:
        return conn.execute(owners).fetchone() == (count,)

    with worker(scene) as second:
        wait_for(lambda: shared(2), "shared partitions")
        fleet.report(*SERVERS, times=5)
        caught_up(conn, fleet)
        assert second.stop() == 0
    wait_for(lambda: shared(1), "one owner")
    fleet.report(*SERVERS, times=5)
    caught_up(conn, fleet)
