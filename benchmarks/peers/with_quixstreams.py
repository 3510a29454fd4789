"""Quix Streams: differences in a key's state, tumbling windows reduced, closed ones to a topic.

As in its guides on stateful processing and windowing. The result topic is read back at the end; a
window that was sent again after a kill replaces the first one, as in an upsert.
"""

import json
from datetime import timedelta
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from quixstreams import Application, State
from shared import (
    BOOTSTRAP,
    FOLDER,
    IDLE_S,
    NAME,
    PARTITIONS,
    REPORTS,
    TOPIC,
    WINDOW_S,
    Stopwatch,
    added,
    gains,
    tell,
    write,
)

READ_BACK_S = 5
watch = Stopwatch()


def difference(report: dict[str, Any], state: State) -> dict[str, int]:
    newest, gained = gains(state.get("last", {}), report)
    state.set("last", newest)
    watch.report()
    if watch.reports >= REPORTS:
        app.stop()
    return gained


def at_ms(value: Any, _headers: Any, _timestamp: float, _kind: Any) -> int:
    return int(value["at_ms"])


app = Application(
    broker_address=BOOTSTRAP,
    consumer_group=NAME,
    auto_offset_reset="earliest",
    state_dir=FOLDER / "state",
    loglevel="WARNING",
    # A join takes half a session on the embedded broker.
    consumer_extra_config={"session.timeout.ms": 6000},
)
reports = app.topic(TOPIC, value_deserializer="json", timestamp_extractor=at_ms)
result = app.topic(f"{NAME}.usage", value_serializer="json")
frame = app.dataframe(reports).apply(difference, stateful=True)
frame = frame.tumbling_window(timedelta(seconds=WINDOW_S)).reduce(added, dict).final()
frame.to_topic(result)


def read_back() -> dict[tuple[str, int], dict[str, int]]:
    reader = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": f"{NAME}.reader"})
    found, quiet = {}, 0
    reader.assign([TopicPartition(result.name, part, 0) for part in range(PARTITIONS)])
    while quiet < READ_BACK_S:
        messages = reader.consume(10_000, 1.0)
        quiet = 0 if messages else quiet + 1
        for message in messages:
            window = json.loads(message.value())
            found[message.key().decode(), window["start"] // 1000] = window["value"]
    reader.close()
    return found


if __name__ == "__main__":
    app.run(timeout=IDLE_S, collect=False)
    if watch.reports >= REPORTS:
        watch.lap()  # the commit is part of it; a wait for more reports is not
    write((server, start, sums) for (server, start), sums in read_back().items())
    tell("quixstreams", watch)
