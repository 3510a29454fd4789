"""Plain Faust: a table of last readings and a tumbling table of sums, both keyed by server.

As in Faust's guides on tables and windowing: ``table[key]`` in ``async for``, time from the event,
changelog topics for recovery. Tables are kept in memory, Faust's default and its faster store.
"""

import asyncio
import os
from datetime import timedelta
from typing import Any

import faust
from shared import (
    BOOTSTRAP,
    FOLDER,
    NAME,
    PARTITIONS,
    TOPIC,
    WINDOW_S,
    Stopwatch,
    added,
    gains,
    tell,
    write,
)

app = faust.App(
    NAME,
    broker=f"kafka://{BOOTSTRAP}",
    datadir=str(FOLDER),
    topic_partitions=PARTITIONS,
    consumer_auto_offset_reset="earliest",
    # A join takes half a session on the embedded broker.
    broker_session_timeout=6.0,
    broker_heartbeat_interval=1.5,
    web_enabled=False,
)
watch = Stopwatch()
reports = app.topic(TOPIC, value_serializer="json")
last = app.Table("last", default=dict)
usage = app.Table("usage", default=dict).tumbling(WINDOW_S, expires=timedelta(days=1))
usage = usage.relative_to(lambda event: event.value["at_ms"] / 1000)


@app.agent(reports)
async def meter(stream: Any) -> None:
    async for report in stream:
        server = report["server"]
        last[server], gained = gains(last[server], report)
        usage[server] = added(usage[server].value(), gained)
        watch.report()


@app.task
async def finish() -> None:
    while not watch.done:  # noqa: ASYNC110 - there is no event for a topic's end
        await asyncio.sleep(0.5)
    write((server, int(span[0]), sums) for (server, span), sums in usage.table.items())
    tell("faust-streaming", watch)
    os._exit(0)  # everything is told; an orderly end may take minutes


if __name__ == "__main__":
    worker = faust.Worker(app, loglevel="ERROR", quiet=True, redirect_stdouts=False)
    worker.spinner = None
    worker.execute_from_commandline()
