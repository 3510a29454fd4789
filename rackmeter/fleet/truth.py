"""What each series of the fleet used, computed from the readings alone. Pure, but for the file.

The stated rule: a chain has used its last reading, and a difference between two readings belongs to
a span of time as ``floor(difference × elapsed ÷ time between)``, counted from the earlier reading.
Written as JSON lines: one header, then one series a line.
"""

import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rackmeter.fleet.adversity import Adversity
from rackmeter.fleet.book import Book
from rackmeter.fleet.life import Life
from rackmeter.fleet.mishaps import Schedule
from rackmeter.fleet.plan import FleetPlan
from rackmeter.fleet.windows import WindowKey
from schemas.verdict import Verdict


@dataclass(frozen=True, slots=True)
class SeriesTruth:
    """What one series used: over its whole life, and inside the period."""

    server: str
    meter: str
    resource: str
    life: int
    period: int
    windows: tuple[tuple[int, int], ...] | None = None
    """Start and units of every window that is not empty; None where they are not kept."""


@dataclass(frozen=True, slots=True)
class Truth:
    """A fleet's truth, as the file holds it."""

    plan: FleetPlan
    reports: int
    """Messages sent, twisted ones included."""
    samples: int
    """Counter values in those that count."""
    lost: int
    verdicts: dict[str, int]
    """How many messages must end in each verdict."""
    series: tuple[SeriesTruth, ...]
    corrected: int = 0
    """Reports that count, and whose wall clock is to be overruled."""
    by_broker: bool = False
    """Whether the time stamps are the broker's own: windows and clocks depend on it."""


def truth_of(plan: FleetPlan, schedules: Sequence[Schedule], *, windows: bool = False) -> Truth:
    """The truth of a fleet; with ``windows``, also what was used when."""
    verdicts = {verdict.value: 0 for verdict in Verdict}
    for schedule in schedules:
        for verdict, count in schedule.counts().items():
            verdicts[verdict.value] += count
    return Truth(
        plan=plan,
        reports=sum(verdicts.values()),
        samples=sum(_samples(schedule) for schedule in schedules),
        lost=sum(schedule.lost for schedule in schedules),
        verdicts={verdict: count for verdict, count in verdicts.items() if count},
        series=tuple(
            one for schedule in schedules for one in _series_truth(plan, schedule, windows=windows)
        ),
    )


def _series_truth(plan: FleetPlan, schedule: Schedule, *, windows: bool) -> Iterator[SeriesTruth]:
    found: defaultdict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for (_, meter, resource, start_ms), units in windows_of(schedule).items() if windows else ():
        found[meter, resource].append((start_ms, units))
    for one in series_of(plan, schedule.life):
        kept = tuple(sorted(found[one.meter, one.resource])) if windows else None
        yield replace(one, windows=kept)


def series_of(plan: FleetPlan, life: Life) -> Iterator[SeriesTruth]:
    """The totals of every series of one server."""
    for column, (meter, resource) in enumerate(zip(life.meter, life.resource, strict=True)):
        until_end = used_until(life, column, plan.end_ms)
        period = until_end - used_until(life, column, plan.start_ms)
        whole = used_until(life, column, life.at(-1))
        yield SeriesTruth(life.machine.id, meter, resource, whole, period)


def used_until(life: Life, column: int, edge_ms: int) -> int:
    """What a series used before an instant, over all origins."""
    return sum(_origin_until(life, column, edge_ms, index) for index in range(len(life.origins)))


def windows_of(schedule: Schedule) -> dict[WindowKey, int]:
    """What a server used in each window, by the reports that arrive; zeros left out.

    A report that was lost or overtaken leaves its time to be split evenly; no total depends on it.
    """
    book, life = Book({}, by_broker=False), schedule.life
    for send in schedule.sends():
        if not send.verdict.refused:
            at_ms = life.at(send.reading)
            book.enter(life.report(send.reading, at_ms), at_ms)
    return {key: units for key, units in book.windows.items() if units}


def _origin_until(life: Life, column: int, edge_ms: int, index: int) -> int:
    readings = life.readings_of(index)
    after = bisect_right(readings, edge_ms, key=life.at)
    if after == len(readings):
        return life.counter(readings[-1], column)
    since_ms, used = life.since_ms[index], 0
    if after:
        since_ms, used = life.at(readings[after - 1]), life.counter(readings[after - 1], column)
    elapsed_ms, took_ms = max(edge_ms - since_ms, 0), life.at(readings[after]) - since_ms
    return used + (life.counter(readings[after], column) - used) * elapsed_ms // took_ms


def _samples(schedule: Schedule) -> int:
    """Counter values in the reports that count."""
    life = schedule.life
    firsts = [(first, life.first.count(first)) for first in set(life.first)]
    return sum(
        count
        for send in schedule.sends()
        if send.verdict is Verdict.ACCEPTED
        for first, count in firsts
        if first <= send.reading
    )


def write(truth: Truth, path: Path) -> None:
    """One header line, then one line a series."""
    header = {name: value for name, value in asdict(truth).items() if name != "series"}
    lines = [json.dumps(header), *(json.dumps(asdict(one)) for one in truth.series)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read(path: Path) -> Truth:
    """What ``write`` wrote."""
    header, *lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    plan = header.pop("plan")
    switched_on = tuple(map(Adversity, plan.pop("adversities")))
    return Truth(
        plan=FleetPlan(**plan, adversities=switched_on),
        series=tuple(_series(line) for line in lines),
        **header,
    )


def _series(line: dict[str, Any]) -> SeriesTruth:
    windows = line.pop("windows")
    return SeriesTruth(**line, windows=windows and tuple(map(tuple, windows)))
