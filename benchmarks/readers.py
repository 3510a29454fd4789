"""What no way of metering in Python can beat: reading the topic, and reading it as JSON.

``python -m benchmarks.readers consume|decode BOOTSTRAP TOPIC PARTITIONS REPORTS``. The consumer is
the one below Faust, which is the fastest here; the decoder is polars, which is the fastest too and
takes all cores. Says the seconds from the first fetch to the last report.
"""

import asyncio
import io
import json
import sys
import time
from importlib.metadata import version
from typing import Final

import polars as pl
from aiokafka import AIOKafkaConsumer, TopicPartition

from rackmeter.reader import FETCH_BYTES_MAX
from rackmeter.worker import CHUNK_MESSAGES_MAX

_FIELDS: Final = {
    "server": pl.String, "origin": pl.String, "seq": pl.Int64, "at_ms": pl.Int64,
    "meter": pl.List(pl.String), "resource": pl.List(pl.String), "value": pl.List(pl.Int64),
}  # fmt: skip


async def read(bootstrap: str, topic: str, partitions: int, reports: int, *, decode: bool) -> float:
    """Seconds that it takes to read so many reports."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=FETCH_BYTES_MAX,
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, part) for part in range(partitions)])
        began, seen = time.monotonic(), 0
        while seen < reports:
            fetched = await consumer.getmany(timeout_ms=1000, max_records=CHUNK_MESSAGES_MAX)
            for records in fetched.values():
                bodies = [record.value for record in records]
                seen += len(decoded(bodies) if decode else bodies)
        return time.monotonic() - began
    finally:
        await consumer.stop()


def decoded(bodies: list[bytes]) -> pl.DataFrame:
    """A row a report."""
    return pl.read_ndjson(io.BytesIO(b"\n".join(bodies)), schema=_FIELDS)


if __name__ == "__main__":
    way, bootstrap, topic, partitions, reports = sys.argv[1:]
    took = asyncio.run(
        read(bootstrap, topic, int(partitions), int(reports), decode=way == "decode")
    )
    used = f"polars {pl.__version__}" if way == "decode" else f"aiokafka {version('aiokafka')}"
    print(json.dumps({"began": time.time() - took, "seconds": took, "version": used}))
