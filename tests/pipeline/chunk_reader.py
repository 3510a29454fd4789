"""A program for the transport's tests: reads chunks through Faust and says where each begins.

``python -m tests.pipeline.chunk_reader BOOTSTRAP TOPIC BEGIN COUNT``: claims every partition at
offset BEGIN, prints one JSON line for each event, ends after COUNT messages. The seek is called as
Faust calls it, as often as it does.
"""

import asyncio
import json
import os
import signal
import sys
import tempfile
from typing import cast

import faust
from faust.types import TP

from pipeline.processors import chunk_topic, meter_processor
from pipeline.records import Chunk
from pipeline.transport import ChunkConsumer, ChunkTransport
from schemas.errors import RackmeterError


def say(**said: object) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


class Reader:
    """Counts what it is given and ends the process when that is all."""

    def __init__(self, app: faust.App, count: int) -> None:
        self.app, self.left = app, count

    async def take(self, chunk: Chunk) -> None:
        offsets = [record.offset for record in chunk.records]
        say(
            part=chunk.part,
            offsets=offsets,
            values=[(record.value or b"").decode() for record in chunk.records],
            keys=[(record.key or b"").decode() for record in chunk.records],
            headers=[[(n, v.decode()) for n, v in record.headers] for record in chunk.records],
            types=sorted({record.timestamp_type for record in chunk.records}, key=str),
        )
        self.left -= len(offsets)
        if self.left <= 0:
            await asyncio.sleep(1.7)
            tp = TP(chunk.topic, chunk.part)
            consumer = cast(ChunkConsumer, self.app.consumer)
            say(end=consumer.log_end(tp), next=chunk.next_offset)
            os.kill(os.getpid(), signal.SIGTERM)


def main(bootstrap: str, topic: str, begin: int, count: int) -> None:
    app = faust.App(
        f"reader-{topic}",
        broker=f"kafka://{bootstrap}",
        datadir=tempfile.mkdtemp(),
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="none",
        stream_buffer_maxsize=4,
        stream_wait_empty=False,
        broker_session_timeout=6.0,
        broker_heartbeat_interval=1.5,
        broker_rebalance_timeout=6.0,
        web_enabled=False,
    )
    transport = ChunkTransport(app.conf.broker_consumer, app)
    app.transport = transport

    async def seek(assigned: set[TP]) -> dict[TP, int]:
        say(seek=sorted(tp.partition for tp in assigned))
        return {tp: begin for tp in assigned if tp.topic == topic}

    def out_of_range(tp: TP) -> None:
        say(out_of_range=tp.partition)

    def failed(error: RackmeterError) -> None:
        say(failed=str(error))

    transport.seek, transport.out_of_range, transport.failed = seek, out_of_range, failed
    meter_processor(app, chunk_topic(app, topic), Reader(app, count))
    worker = faust.Worker(app, loglevel="WARN", redirect_stdouts=False, quiet=True)
    worker.spinner = None
    worker.execute_from_commandline()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
