"""The worker process: Faust wired to the ledger. Reads settings, starts, runs until told to stop.

Kafka's group protocol decides who works on which partition; everything else that matters is decided
by the ledger (``sinks.checkpoint``).
"""

import asyncio
import gc
import sys
from collections.abc import Sequence
from typing import Any, cast

import faust
import mode.loop
from aiokafka.errors import KafkaConnectionError
from faust.types import TP

from pipeline.partition import partition_of
from pipeline.processors import chunk_topic, meter_processor, rate_processor
from pipeline.transport import ChunkConsumer, ChunkTransport
from rackmeter import exposition, metrics
from rackmeter.deliveries import Deliveries
from rackmeter.desk import Desk
from rackmeter.kafka import Cluster, cluster
from rackmeter.key_files import load_vault
from rackmeter.notify import Heartbeat
from rackmeter.rater import Rater
from rackmeter.reader import FETCH_BYTES_MAX
from rackmeter.settings import Settings
from rackmeter.topics import create_topics
from rackmeter.ways import ways
from schemas.errors import ConfigError, DependencyError
from schemas.events import Changed, encode_changed
from sinks.database import connect, require_schema
from sinks.deadletters import Letter
from sinks.known_keys import load_keys
from sinks.positions import TopicIdentity, register_topic
from sinks.vault import Vault

TICK_S = 0.025
"""Of one partition: the default of 1 MiB holds 1,300 reports of 24 series, too few for a matrix."""
GC_OBJECTS = 50_000
"""New objects before the garbage collector looks for cycles; with Python's 700 it is always looking
at records, which are freed without it."""
SWITCH_S = 0.0005
"""A thread that was answered by the database waits this long for one that computes; each checkpoint
and each rating asks a dozen times. Python's 5 ms doubled every latency under load."""
CHUNK_MESSAGES_MAX = 20_000
"""Messages of one fetch over all partitions: 20 MB of ordinary reports."""
HINTS_MAX = 2_000
"""Hints in a message: with the longest names still less than brokers take."""


def run_worker(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT; raises what made the worker stop by itself."""
    url, kafka = _servers(settings)
    exposition.serve(settings.metrics_port, settings.metrics_host)
    vault = load_vault(settings)
    topic = _prepare(settings, url, kafka, vault)
    metrics.start(topic.partitions)
    mode.loop.use("uvloop")
    desk = Desk(settings, url, topic, vault)
    app, transport = _app(settings, kafka)
    deliveries = Deliveries(url, ways(settings, vault))
    rater = Rater(url, deliveries.wake)
    _wire(app, transport, settings, desk, rater, deliveries)
    gc.freeze()
    gc.set_threshold(GC_OBJECTS)
    sys.setswitchinterval(SWITCH_S)
    worker = faust.Worker(
        app, loglevel="WARN", override_logging=False, redirect_stdouts=False, quiet=True
    )
    worker.spinner = None
    try:
        worker.execute_from_commandline()
    except SystemExit as stop:
        if desk.failure is None and stop.code not in (0, None):
            # Later clients reconnect by themselves; only the first look for a broker gives up.
            if isinstance(stop.__context__, KafkaConnectionError):
                raise DependencyError(f"Kafka at {kafka.bootstrap} does not answer.") from stop
            raise
    finally:
        rater.close()
        deliveries.close()
    if desk.failure is not None:
        exposition.await_last_scrape()
        raise desk.failure


def _servers(settings: Settings) -> tuple[str, Cluster]:
    if settings.database_url is None or settings.kafka_bootstrap is None:
        raise ConfigError(
            "A worker needs RACKMETER_DATABASE_URL and RACKMETER_KAFKA_BOOTSTRAP; `rackmeter dev`"
            " starts both servers and prints them."
        )
    return settings.database_url, cluster(settings)


def _prepare(settings: Settings, url: str, kafka: Cluster, vault: Vault) -> TopicIdentity:
    with connect(url, application_name="rackmeter start") as conn:
        require_schema(conn)
        load_keys(conn, vault)
        wanted = (settings.topic_reports, settings.topic_changed, settings.topic_dead)
        found = create_topics(kafka, dict.fromkeys(wanted, settings.partitions))
        reports = found[settings.topic_reports]
        identity = reports.identity
        if identity is None:
            raise DependencyError(
                f"The broker at {kafka.bootstrap} gives topics no id: Kafka 2.8 or newer is needed."
            )
        register_topic(conn, identity, accept_new=settings.accept_new_topic)
    return identity


def _app(settings: Settings, kafka: Cluster) -> tuple[faust.App, ChunkTransport]:
    folder = settings.data_dir / "faust"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"The data folder {settings.data_dir} cannot be used: {error}."
        ) from error
    app = faust.App(
        # The consumer group: two installations on one Kafka must not rebalance each other.
        f"rackmeter.{settings.topic_reports}",
        broker=[f"kafka://{address}" for address in kafka.bootstrap.split(",")],
        broker_credentials=kafka.credentials(),
        datadir=str(folder),
        topic_allow_declare=False,
        topic_disable_leader=True,
        # An offset the log does not have must be heard of; every position is sought explicitly.
        consumer_auto_offset_reset="none",
        # A chunk is an event: the default of 4,096 events would hold gigabytes.
        stream_buffer_maxsize=4,
        stream_wait_empty=False,
        broker_max_poll_records=CHUNK_MESSAGES_MAX,
        consumer_max_fetch_size=FETCH_BYTES_MAX,
        # A join takes half a session on the embedded broker.
        broker_session_timeout=6.0,
        broker_heartbeat_interval=1.5,
        broker_rebalance_timeout=6.0,
        web_enabled=False,
    )
    transport = ChunkTransport(app.conf.broker_consumer, app)
    app.transport = transport
    return app, transport


def _wire(
    app: faust.App,
    transport: ChunkTransport,
    settings: Settings,
    desk: Desk,
    rater: Rater,
    deliveries: Deliveries,
) -> None:
    """reports → desk → hints → rater → deliveries."""
    meter_processor(app, chunk_topic(app, settings.topic_reports), desk)
    changed = chunk_topic(app, settings.topic_changed)
    rate_processor(app, changed, rater)
    dead = chunk_topic(app, settings.topic_dead)

    async def seek(assigned: set[TP]) -> dict[TP, int]:
        desk.consumer = cast(ChunkConsumer, app.consumer)
        return await desk.seek(assigned)

    def part_of(scope: str) -> int:
        return partition_of(scope.encode(), settings.partitions)

    async def send_hints(hints: Sequence[Changed]) -> None:
        together: dict[int, list[Changed]] = {}
        for hint in hints:
            together.setdefault(part_of(hint.scope), []).append(hint)
        for part, those in together.items():
            for i in range(0, len(those), HINTS_MAX):
                value = encode_changed(those[i : i + HINTS_MAX])
                await changed.send(value=value, partition=part)

    def owns(scope: str) -> bool:
        return TP(settings.topic_changed, part_of(scope)) in app.consumer.assignment()

    async def send_letter(letter: Letter) -> None:
        await (await dead.send(key=letter.key, value=letter.payload, headers=letter.headers))

    transport.seek, transport.out_of_range = seek, desk.out_of_range
    transport.failed = desk.failed
    desk.hints.on_commit = rater.announce
    rater.owns = owns
    rater.send_hints, deliveries.send_letter = send_hints, send_letter

    @app.task  # type: ignore[untyped-decorator]
    async def ticking() -> None:
        heart = Heartbeat()
        while not app.should_stop:
            await asyncio.sleep(TICK_S)
            await desk.tick()
            heart.beat()

    @app.task  # type: ignore[untyped-decorator]
    async def rating() -> None:
        while not app.should_stop:
            await rater.rate_waiting()

    @app.task  # type: ignore[untyped-decorator]
    async def delivering() -> None:
        while not app.should_stop:
            await deliveries.deliver_waiting()

    @app.on_before_shutdown.connect
    async def flush(*_: Any, **__: Any) -> None:
        await desk.close()
