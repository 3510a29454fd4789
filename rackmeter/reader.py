"""A consumer beside the workers' group: it reads what they read and commits no positions."""

from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from pipeline import batches
from rackmeter.kafka import Cluster

FETCH_BYTES_MAX: Final = 4 * 2**20
"""Of a partition at a time; a worker's fetches are as large."""


async def start_reader(where: Cluster, name: str, wait_ms: int = 500) -> AIOKafkaConsumer:
    """To be assigned and stopped by the caller. A broker that has nothing waits for `wait_ms`."""
    batches.install()
    auth: dict[str, Any] = dict(credentials_to_aiokafka_auth(where.credentials()))
    consumer = AIOKafkaConsumer(
        bootstrap_servers=where.bootstrap,
        client_id=f"rackmeter-{name}",
        fetch_max_wait_ms=wait_ms,
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=FETCH_BYTES_MAX,
        **auth,
    )
    try:
        await consumer.start()
    except BaseException:
        await consumer.stop()
        raise
    return consumer
