"""A signed report of every partition's own probe server, from a producer to the ledger and back.

It goes the way that every report goes: signed with a key of the ledger, published, metered,
committed. Probe servers are registered at their first use and serve nobody, so nothing is billed.
"""

import time
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from confluent_kafka import Producer

from agents.publish import FIXED
from pipeline.partition import partition_of
from rackmeter.cli.keys import new_key
from rackmeter.kafka import Cluster
from rackmeter.settings import Settings
from rackmeter.topics import Topic
from schemas.envelope import Key, headers
from schemas.errors import DependencyError
from schemas.report import Report, encode
from sinks.database import Connection
from sinks.health import arrived
from sinks.keys import register
from sinks.known_keys import load_keys_of
from sinks.vault import Vault

PREFIX: Final = "rackmeter-probe"
LOOK_SECONDS: Final = 0.05
METER: Final = "cpu.busy_ms"


def probe(
    settings: Settings, conn: Connection, vault: Vault, where: Cluster, topic: Topic, seconds: float
) -> dict[int, float | None]:
    """Partition → seconds until its report was committed, None where it was not in time.

    On an autocommit connection.
    """
    keys = _keys(conn, vault, probe_servers(topic.partitions))
    origins = {part: uuid4().hex for part in keys}
    began = time.monotonic()
    _send(settings, where, [(keys[part], origins[part]) for part in keys])
    taken: dict[int, float | None] = dict.fromkeys(keys)
    while None in taken.values() and time.monotonic() - began < seconds:
        there = arrived(conn, list(origins.values()))
        for part, origin in origins.items():
            if taken[part] is None and origin in there:
                taken[part] = time.monotonic() - began
        time.sleep(LOOK_SECONDS)
    return taken


def probe_servers(partitions: int) -> dict[int, str]:
    """For each partition the first name of its probe that lands there."""
    found: dict[int, str] = {}
    number = 0
    while len(found) < partitions:
        name = f"{PREFIX}-{number}"
        found.setdefault(partition_of(name.encode(), partitions), name)
        number += 1
    return dict(sorted(found.items()))


def _keys(conn: Connection, vault: Vault, servers: dict[int, str]) -> dict[int, Key]:
    now_ms = time.time_ns() // 1_000_000
    known = {key.server: key for key in load_keys_of(conn, vault, [*servers.values()], now_ms)}
    made = [new_key(name, now_ms) for name in servers.values() if name not in known]
    if made:
        register(conn, vault, made)
    known |= {key.server: key for key in made}
    return {part: known[name] for part, name in servers.items()}


def _send(settings: Settings, where: Cluster, probes: list[tuple[Key, str]]) -> None:
    failed: list[str] = []
    producer = Producer({**where.client(), **FIXED, "linger.ms": 0, "log_level": 0})
    for key, origin in probes:
        report = _report(key.server, origin)
        body = encode(report)
        producer.produce(
            settings.topic_reports, body, key.server.encode(),
            headers=list(headers(report, body, key, settings.environment, settings.topic_reports)),
            on_delivery=lambda error, _: failed.append(error.str()) if error else None,
        )  # fmt: skip
    left = producer.flush(10.0)
    if failed or left:
        why = failed[0] if failed else "no answer within 10 s"
        raise DependencyError(
            f"Kafka at {where.bootstrap} did not take a report for {settings.topic_reports}: {why}."
        )


def _report(server: str, origin: str) -> Report:
    """Of a machine that began a second ago and has used nothing."""
    at_ms = int(datetime.now(UTC).timestamp() * 1000)
    return Report(
        server, origin, at_ms - 1000, 1, at_ms, 1000, 1000, (METER,), ("",), (0,)
    )  # fmt: skip
