"""Produces bytes that no client would, and says what the broker made of them."""

import asyncio
from collections.abc import Sequence

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import for_code
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.structs import TopicPartition


def produce_frames(
    bootstrap: str, topic: str, part: int, frames: Sequence[bytes]
) -> list[tuple[str, int]]:
    """Each batch alone, in order: the error's name or an empty text, and the first offset."""
    return asyncio.run(_produce(bootstrap, topic, part, frames))


async def _produce(
    bootstrap: str, topic: str, part: int, frames: Sequence[bytes]
) -> list[tuple[str, int]]:
    client = AIOKafkaClient(bootstrap_servers=bootstrap, request_timeout_ms=20_000)
    await client.bootstrap()
    try:
        await client.set_topics([topic])
        await client.force_metadata_update()
        leader = client.cluster.leader_for_partition(TopicPartition(topic, part))
        return [await _one(client, leader, topic, part, frame) for frame in frames]
    finally:
        await client.close()


async def _one(
    client: AIOKafkaClient, leader: int, topic: str, part: int, frame: bytes
) -> tuple[str, int]:
    answer = await client.send(leader, ProduceRequest(None, -1, 10_000, [(topic, [(part, frame)])]))
    code, offset = answer.topics[0][1][0][1:3]
    return ("" if code == 0 else for_code(code).__name__), offset
