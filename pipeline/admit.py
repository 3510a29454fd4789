"""Whether a report may move its chains: identity, then plausibility. Pure; moves no chain itself.

What a report gained is computed here too, because that is what is judged: each of its series
against its own last reading and its physical bound.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from pipeline.heads import SEEN, Allowance, Chains, Head, Reading
from pipeline.windows import spread
from schemas.meters import TIME_SLACK_MS
from schemas.verdict import Verdict

HOUR_MS: Final = 3_600_000
SPREAD_MS_MAX: Final = 400 * 86_400_000
"""Usage is spread over at most this long: an origin that claims to be older fills no million
windows.
"""
_INT64_MAX: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Rules:
    """What is a setting. Per hour: of append time, one server."""

    gap_limit_ms: int = 900_000
    """The longest time between readings that still counts as observed."""
    series_max: int = 4096
    """Of one origin; the wire allows as many in one report."""
    series_per_hour: int = 4096
    """Not shown before, by this origin or the running one."""
    origins_per_hour: int = 60
    """A machine that boots in a loop stays below: one in two minutes."""


class Judgement(NamedTuple):
    verdict: Verdict
    detail: str = ""


class Gain(NamedTuple):
    """What series ``i`` of the report gained since ``t0_ms``."""

    i: int
    quantity: int
    t0_ms: int


ACCEPTED: Final = Judgement(Verdict.ACCEPTED)


def identify(head: Head, reading: Reading) -> Judgement | None:
    """Duplicate, conflict or late; None when the report is newer than the head."""
    if reading.seq > head.chains.seq_hi:
        return None
    if reading.seq <= head.chains.seq_hi - SEEN:
        return Judgement(Verdict.LATE)
    known = int(head.seen[reading.seq % SEEN])
    if known == reading.content:
        return Judgement(Verdict.DUPLICATE)
    if known == 0:
        head.seen[reading.seq % SEEN] = reading.content
        return Judgement(Verdict.LATE)
    return Judgement(
        Verdict.CONFLICT,
        f"seq {reading.seq} of origin {reading.origin} was already sent with other content;"
        " a sequence number is used once",
    )


def remember(head: Head, reading: Reading) -> None:
    """Mark a report as seen and those that were skipped as not."""
    for skipped in range(max(head.chains.seq_hi + 1, reading.seq - SEEN + 1), reading.seq):
        head.seen[skipped % SEEN] = 0
    head.seen[reading.seq % SEEN] = reading.content
    head.chains.seq_hi = reading.seq


def allow(
    head: Head, chains: Chains, reading: Reading, rules: Rules, *, origins: int = 0
) -> Allowance | Judgement:
    """What a server has used of its allowance after a report of ``chains``, or why it may not.

    Bounds what one server can make the ledger hold. Hours are those of the append time, which is no
    agent's to choose; they never go back.
    """
    if reading.names is chains.names and not chains.absent:
        return head.allowance
    sent = set(reading.names.series)
    own = {s for i, s in enumerate(chains.names.series) if chains.absent.get(i, ()) is not None}
    if len(sent | own) > rules.series_max:
        return _excessive(len(sent | own), "series in one origin", rules.series_max)
    hour = max(head.allowance.hour, reading.append_ms // HOUR_MS)
    used = head.allowance if hour == head.allowance.hour else Allowance()
    running = set(head.chains.names.series) if own or chains is not head.chains else set()
    new = len(sent - own - running)
    if not new and not origins:
        return head.allowance
    series = used.series + new
    if new and series > rules.series_per_hour:
        return _excessive(series, "new series within an hour", rules.series_per_hour)
    if origins and used.origins + origins > rules.origins_per_hour:
        return _excessive(used.origins + origins, "origins within an hour", rules.origins_per_hour)
    return Allowance(hour, used.origins + origins, series)


def _excessive(shown: int, what: str, most: int) -> Judgement:
    return Judgement(Verdict.EXCESSIVE, f"{shown} {what}; at most {most} are taken")


def gains_of(chains: Chains, reading: Reading) -> tuple[list[Gain], Judgement]:
    """What each series gained since its own last reading, and the worst said of any."""
    place = {series: i for i, series in enumerate(chains.names.series)}
    since_start = max(reading.up_ms, reading.at_ms - reading.since_ms)
    last, values = chains.last.tolist(), reading.value.tolist()
    gains, worst = [], ACCEPTED
    for i, series in enumerate(reading.names.series):
        at = place.get(series)
        own = chains.own_time(at) if at is not None else None
        before = last[at] if at is not None else 0
        seconds = elapsed_s(reading.up_ms, own[1]) if own else elapsed_s(since_start, 0)
        value = values[i]
        t0_ms = max(own[0] if own else chains.at_ms, reading.at_ms - SPREAD_MS_MAX)
        gains.append(Gain(i, value - before, t0_ms))
        if worst.verdict is not Verdict.REGRESSION:
            judged = _judge(reading, i, value, before, seconds)
            worst = worst if judged is ACCEPTED else judged
    return gains, worst


def _judge(reading: Reading, i: int, value: int, before: int, seconds: int) -> Judgement:
    """One series against its last reading and its physical bound."""
    bound = int(reading.names.per_second_max[i])
    if 0 <= value - before <= bound * seconds:
        return ACCEPTED
    series = f"{reading.names.meter[i]}[{reading.names.resource[i]}]"
    if value < before:
        detail = f"{series} fell from {before} to {value}; a counter never falls within an origin"
        return Judgement(Verdict.REGRESSION, detail)
    gained = f"{series} gained {value - before} in {seconds} s"
    return Judgement(Verdict.IMPLAUSIBLE, f"{gained}; at most {bound} a second is possible")


def fits(head: Head, reading: Reading, gains: list[Gain]) -> Judgement:
    """No sum of a series in a window may exceed 64 bits: a hostile server would wrap its own."""
    most = max((gain.quantity for gain in gains), default=0)
    if int(head.open.max(initial=0)) + most <= _INT64_MAX:
        return ACCEPTED
    place = {series: i for i, series in enumerate(head.chains.names.series)}
    series = reading.names.series
    for gain in gains:
        at = place.get(series[gain.i])
        opened = int(head.open[at]) if at is not None else 0
        if opened + gain.quantity <= _INT64_MAX:
            continue
        starts, parts = spread(np.array([gain.quantity]), gain.t0_ms, reading.at_ms)
        if opened + int(parts[starts == head.win_ms].sum()) > _INT64_MAX:
            return Judgement(Verdict.IMPLAUSIBLE, "the open window would exceed 64 bits")
    return ACCEPTED


def elapsed_s(up_ms: int, up0_ms: int) -> int:
    """Whole seconds, rounded up, in which a counter grew; at least one."""
    return max(1, -((up0_ms - TIME_SLACK_MS - up_ms) // 1000))
