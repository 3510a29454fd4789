"""The reports that every way of metering reads: made, signed, and with the broker before it starts.

A fleet reads every minute, half a minute off the window edges. One more reading ten minutes later
shows the same counters: it gains nothing and lets every way that waits for a later event close its
windows. One server in four has eight GPUs, each named by its own id; the others share their names.
Everything but the clock follows from the seed.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import polars as pl
from confluent_kafka import KafkaError, Producer

from rackmeter.errors import DependencyError
from rackmeter.fleet.life import Life
from rackmeter.fleet.messages import Encoder, Message
from rackmeter.fleet.plan import Int64s, Machine
from rackmeter.fleet.publish import PRODUCER
from schemas.envelope import Key

SERIES: Final = 24
STEP_MS: Final = 60_000
WINDOW_MS: Final = 300_000
CLOSING_MS: Final = 600_000
ENVIRONMENT: Final = "dev"
GPU_SERVER_EVERY: Final = 4
_GPUS: Final = tuple(f"{n:02x}" for n in range(8))
_COMMON: Final = (("cpu.busy_ms", ""), ("net.rx_bytes", "eth0"), ("net.tx_bytes", "eth0"))
_PLAIN: Final = (
    *_COMMON,
    *((meter, f"eth{n}") for n in range(1, 7) for meter in ("net.rx_bytes", "net.tx_bytes")),
    *(("disk.used_mib_s", f"/srv/{n}") for n in range(9)),
)
_GAIN_MAX: Final = {"gpu.busy_ms": 60_000, "gpu.alloc_ms": 60_000, "cpu.busy_ms": 480_000}
_GAIN_MAX_OTHERS: Final = 7_500_000_000
"""What a network card of 1 Gbit/s moves in a minute."""

PACKED: Final = {"linger.ms": 100, "batch.size": 1_000_000, "batch.num.messages": 10_000}
SINGLE: Final = {"linger.ms": 0, "batch.num.messages": 1}
"""What a topic looks like that agents fill: each report is a record batch of its own."""


@dataclass(frozen=True)
class Load:
    """``ticks`` readings of each server and the one that closes."""

    servers: int
    ticks: int
    seed: int = 1

    @property
    def reports(self) -> int:
        """Messages in the topic."""
        return self.servers * (self.ticks + 1)

    @property
    def samples(self) -> int:
        """Counter values in them."""
        return self.reports * SERIES

    @cached_property
    def keys(self) -> list[Key]:
        """One signing key a server."""
        secret = np.random.default_rng(self.seed).bytes(32)
        return [Key(f"k-{n}", _server(n), secret) for n in range(self.servers)]

    def life(self, n: int, now_ms: int) -> Life:
        """Every reading of one server; the last was taken before ``now_ms``."""
        names = _names(n)
        end_ms = now_ms // WINDOW_MS * WINDOW_MS - WINDOW_MS
        since_ms = end_ms - CLOSING_MS - self.ticks * STEP_MS - STEP_MS // 2
        at_ms = since_ms + np.arange(1, self.ticks + 2, dtype=np.int64) * STEP_MS
        at_ms[-1] += CLOSING_MS - STEP_MS
        return Life(
            machine=Machine(n, _server(n), 8, (), (), (), False, False, 0, 0),
            meter=tuple(meter for meter, _ in names),
            resource=tuple(resource for _, resource in names),
            first=(0,) * SERIES,
            origins=(f"{n:032x}",),
            since_ms=(since_ms,),
            up_ms=(30_000,),
            at_ms=at_ms,
            origin=np.zeros(len(at_ms), np.int64),
            seq=np.arange(1, len(at_ms) + 1),
            value=self._values(n),
        )

    def truth(self) -> pl.DataFrame:
        """What each series used: its last reading, for an origin starts at zero."""
        names = [_names(n) for n in range(self.servers)]
        return pl.DataFrame(
            {
                "server": [_server(n) for n in range(self.servers) for _ in range(SERIES)],
                "meter": [meter for one in names for meter, _ in one],
                "resource": [resource for one in names for _, resource in one],
                "quantity": np.concatenate([self._values(n)[-1] for n in range(self.servers)]),
            }
        )

    def _values(self, n: int) -> Int64s:
        most = [_GAIN_MAX.get(meter, _GAIN_MAX_OTHERS) for meter, _ in _names(n)]
        rng = np.random.default_rng([self.seed, n])
        gains = rng.integers(0, most, (self.ticks + 1, SERIES), dtype=np.int64)
        gains[-1] = 0
        return gains.cumsum(axis=0)


def messages(load: Load, topic: str, now_ms: int) -> Iterator[Message]:
    """All reports in the order of time."""
    encoders = [
        Encoder(load.life(n, now_ms), key, ENVIRONMENT, topic) for n, key in enumerate(load.keys)
    ]
    for tick in range(load.ticks + 1):
        for encoder in encoders:
            yield encoder.message(tick, now_ms)


def fill(load: Load, bootstrap: str, topic: str, *, packed: bool) -> None:
    """Send everything to an existing topic; return when the broker has all of it."""
    failed: list[KafkaError] = []
    batches: dict[str, Any] = PACKED if packed else SINGLE
    producer = Producer({"bootstrap.servers": bootstrap, **PRODUCER, **batches})

    def delivered(error: KafkaError | None, _message: object) -> None:
        if error is not None:
            failed.append(error)

    for key, body, headers in messages(load, topic, time.time_ns() // 1_000_000):
        while True:
            try:
                producer.produce(topic, body, key, headers=headers, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.05)
    left = producer.flush(600)
    if left or failed:
        raise DependencyError(f"The broker did not take {left + len(failed)} reports.")


def _server(n: int) -> str:
    return f"ax-{n:06d}"


def _names(n: int) -> tuple[tuple[str, str], ...]:
    if n % GPU_SERVER_EVERY:
        return _PLAIN
    gpus = [f"GPU-{n:08x}-5a1c-4e07-9f2b-{n:010x}{gpu}" for gpu in _GPUS]
    disks = (("disk.used_mib_s", f"/srv/{k}") for k in range(5))
    named = ((meter, gpu) for gpu in gpus for meter in ("gpu.busy_ms", "gpu.alloc_ms"))
    return (*_COMMON, *disks, *named)
