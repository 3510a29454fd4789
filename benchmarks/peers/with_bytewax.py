"""Bytewax: differences by ``stateful_map``, windows by ``fold_window`` on the event clock.

As in its guides on windowing and recovery: a Kafka source that ends with the topic, a recovery
store with a snapshot every ten seconds, one JSON line a window to a file. ``python -m bytewax.run``
starts it.
"""

import atexit
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import bytewax.operators as op
import bytewax.operators.windowing as win
from bytewax.connectors.files import FileSink
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from bytewax.operators.windowing import EventClock, TumblingWindower
from shared import BOOTSTRAP, FOLDER, TOPIC, WINDOW_S, Stopwatch, added, gains, tell, write

LINES = FOLDER / "windows.jsonl"
EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
Gained = tuple[int, dict[str, int]]
watch = Stopwatch()


def keyed(message: Any) -> tuple[str, dict[str, Any]]:
    watch.report()
    report = json.loads(message.value)
    return report["server"], report


def difference(last: dict[str, int] | None, report: dict[str, Any]) -> tuple[Any, Gained]:
    newest, gained = gains(last or {}, report)
    return newest, (report["at_ms"], gained)


def add(sums: dict[str, int], gained: Gained) -> dict[str, int]:
    return added(sums, gained[1])


def line(item: tuple[str, tuple[int, dict[str, int]]]) -> tuple[str, str]:
    server, (window, sums) = item
    start = EPOCH + window * timedelta(seconds=WINDOW_S)
    return server, json.dumps([server, int(start.timestamp()), sums])


def finish() -> None:
    if not watch.first:
        return
    watch.lap()
    with LINES.open(encoding="utf-8") as file:
        write(map(tuple, map(json.loads, file)))
    tell("bytewax", watch)


flow = Dataflow("metering")
reports = kop.input("reports", flow, brokers=[BOOTSTRAP], topics=[TOPIC], tail=False)
gained = op.stateful_map("difference", op.map("keyed", reports.oks, keyed), difference)
clock = EventClock(
    lambda item: datetime.fromtimestamp(item[0] / 1000, UTC),
    wait_for_system_duration=timedelta(seconds=5),
)
windower = TumblingWindower(length=timedelta(seconds=WINDOW_S), align_to=EPOCH)
sums = win.fold_window("sum", gained, clock, windower, dict, add, added)
op.output("out", op.map("line", sums.down, line), FileSink(LINES))
atexit.register(finish)
