"""The metering core on one core: signed reports in, windows out, no broker and no database.

``python -m benchmarks.core [--json] [--servers N …] [--rounds N]``. Reports of 24 counters, one of
each server a minute, are decoded, verified and metered by a lane in chunks as large as a worker's.
Beside it, in the same run, the same chunks decoded only. Time is that of the process; the best
round counts; making the messages is not measured.
"""

import argparse
import gc
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from uuid import UUID

from benchmarks.decode import Message
from pipeline.decode import decode
from pipeline.heads import Output
from pipeline.keyring import Keyring
from pipeline.lanes import Intake, Lane, Taken
from pipeline.names import NamesCache
from pipeline.records import Chunk
from pipeline.shelves import Heads
from schemas.envelope import Key, headers
from schemas.report import Report, encode

SERIES = 24
CHUNK = 4_096
SERVERS = (1_000, 10_000, 100_000)
STEP_MS = 60_000
START_MS = 1_764_590_400_000
ENVIRONMENT, TOPIC = "production", "usage.reports"
METERS = ("cpu.busy_ms", "net.rx_bytes", "net.tx_bytes", "disk.used_mib_s", "gpu.busy_ms")


@dataclass(frozen=True, slots=True)
class Figure:
    servers: int
    us_per_report: float
    us_decode_only: float
    samples_per_s: int


class Fleet:
    """Reports of servers no two of which have the same resources, round by round."""

    def __init__(self, servers: int) -> None:
        self._keys = [Key(f"k-{n}", f"server-{n:06}", b"%032d" % n) for n in range(servers)]
        self._names = [
            (
                tuple(METERS[i % len(METERS)] for i in range(SERIES)),
                tuple(f"r-{n:06x}{i // len(METERS)}" for i in range(SERIES)),
            )
            for n in range(servers)
        ]
        self.keyring = Keyring(self._keys)
        self._offset = 0

    def chunks(self, nth: int) -> Iterator[Chunk]:
        """The reports of minute ``nth``, counted from 1."""
        records: list[Message] = []
        for n, key in enumerate(self._keys):
            records.append(self._message(n, key, nth))
            if len(records) == CHUNK or n == len(self._keys) - 1:
                yield Chunk(TOPIC, 0, records)
                records = []

    def _message(self, n: int, key: Key, nth: int) -> Message:
        meter, resource = self._names[n]
        since = START_MS + n % 60_000
        at, up = since + nth * STEP_MS, nth * STEP_MS
        value = tuple(40_000 * nth + n % 997 + 13 * i for i in range(SERIES))
        report = Report(
            key.server, f"{n:08x}-4c1b-9f00", since, nth, at, up, up + 150, meter, resource, value
        )
        body = encode(report)
        self._offset += 1
        signed = headers(report, body, key, ENVIRONMENT, TOPIC)
        return Message(self._offset - 1, key.server.encode(), body, signed, at + 150)


def measure(servers: int, rounds: int) -> Figure:
    fleet = Fleet(servers)
    names = NamesCache()
    intake = Intake(fleet.keyring, {}, names, ENVIRONMENT, 1)
    lane = Lane(UUID(int=1), 0, UUID(int=2), 0, 0, Counter(), Heads(), _output())
    both, alone = float("inf"), float("inf")
    for nth in range(1, rounds + 3):
        chunks = list(fleet.chunks(nth))
        gc.collect()
        gc.freeze()
        began = time.process_time()
        for chunk in chunks:
            decode(chunk, fleet.keyring, names, environment=ENVIRONMENT, partitions=1)
        decoded = time.process_time()
        for chunk in chunks:
            assert lane.take(chunk, intake, chunk.records[-1].timestamp) is Taken.METERED
        done = time.process_time()
        assert lane.out.counts == {"accepted": servers}
        lane.committed(lane.seal(_output()))
        gc.unfreeze()
        if nth > 2:  # the first reports of a server and of its names are not the usual ones
            both, alone = min(both, done - decoded), min(alone, decoded - began)
    return Figure(
        servers, round(both / servers * 1e6, 2), round(alone / servers * 1e6, 2),
        round(servers * SERIES / both),
    )  # fmt: skip


def _output() -> Output:
    return Output(lambda _server, _origin: None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--servers", type=int, nargs="+", default=SERVERS, help="sizes of fleets")
    parser.add_argument("--rounds", type=int, default=5, help="the best one counts (default 5)")
    options = parser.parse_args()
    curve = [measure(servers, options.rounds) for servers in options.servers]
    slowest = max(curve, key=lambda figure: figure.us_per_report)
    result = {
        "samples_per_s": slowest.samples_per_s,
        "us_per_report": slowest.us_per_report,
        "ratio_to_decode_only": round(slowest.us_decode_only / slowest.us_per_report, 3),
        "slowest_to_fastest": round(
            slowest.us_per_report / min(figure.us_per_report for figure in curve), 3
        ),
        "series_a_report": SERIES,
        "curve": [asdict(figure) for figure in curve],
    }
    if options.json:
        print(json.dumps(result, indent=1))
        return
    print(f"{'servers':>9}{'µs/report':>11}{'decode only':>13}{'samples/s':>12}")
    for f in curve:
        print(f"{f.servers:9,}{f.us_per_report:11.2f}{f.us_decode_only:13.2f}{f.samples_per_s:12,}")
    print(f"slowest to fastest: {result['slowest_to_fastest']}")


if __name__ == "__main__":
    main()
