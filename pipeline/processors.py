"""The Faust processors. A body is a line: whatever can fail or takes time lies behind it."""

from collections.abc import AsyncIterable
from typing import Protocol

import faust

from pipeline.records import Chunk


class TakesChunks(Protocol):
    async def take(self, chunk: Chunk) -> None:
        """Process one chunk; must never raise, or Faust acknowledges the chunk and goes on."""
        ...


def chunk_topic(app: faust.App, name: str) -> faust.TopicT:
    """A topic whose events are chunks. ``acks`` off: positions live in the ledger."""
    return app.topic(
        name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw",
        acks=False,
    )  # fmt: skip


def meter_processor(app: faust.App, topic: faust.TopicT, desk: TakesChunks) -> None:
    @app.agent(topic, name="meter")
    async def meter(chunks: AsyncIterable[Chunk]) -> None:
        async for chunk in chunks:
            await desk.take(chunk)


def rate_processor(app: faust.App, topic: faust.TopicT, rater: TakesChunks) -> None:
    @app.agent(topic, name="rate")
    async def rate(chunks: AsyncIterable[Chunk]) -> None:
        async for chunk in chunks:
            await rater.take(chunk)
