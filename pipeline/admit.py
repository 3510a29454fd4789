"""Whether a report may move its chains: identity, then plausibility. Pure; moves no chain itself.

What a report gained is computed here too, because that is what is judged: each of its series
against its own last reading and its physical bound.
"""

from typing import Final, NamedTuple

import numpy as np

from pipeline.heads import Chains, Head, Reading
from pipeline.records import Int64s
from schemas.meters import TIME_SLACK_MS
from schemas.verdict import Verdict

SEEN: Final = 512
"""A report this far behind the head is late without a look; nearer ones are told from duplicates.
"""
_INT64_MAX: Final = 2**63 - 1


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


def remember(head: Head, seq: Int64s, content: Int64s) -> None:
    """Mark these reports as seen and the skipped ones as not."""
    before, newest = head.chains.seq_hi, int(seq[-1])
    if newest - before != len(seq):
        skipped = np.arange(max(before + 1, newest - SEEN + 1), newest + 1)
        head.seen[skipped % SEEN] = 0
    near = seq > newest - SEEN
    head.seen[seq[near] % SEEN] = content[near]
    head.chains.seq_hi = newest


def gains_of(chains: Chains, reading: Reading) -> tuple[list[Gain], Judgement]:
    """What each series gained since its own last reading, and the worst said of any."""
    place = {series: i for i, series in enumerate(chains.names.series)}
    since_start = max(reading.up_ms, reading.at_ms - reading.since_ms)
    gains, worst = [], ACCEPTED
    for i, series in enumerate(reading.names.series):
        at = place.get(series)
        own = chains.own_time(at) if at is not None else None
        before = int(chains.last[at]) if at is not None else 0
        seconds = elapsed_s(reading.up_ms, own[1]) if own else elapsed_s(since_start, 0)
        value = int(reading.value[i])
        gains.append(Gain(i, value - before, own[0] if own else chains.at_ms))
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


def fits(head: Head, gains: list[Gain]) -> Judgement:
    """No window may exceed 64 bits: a hostile server would wrap its own sums."""
    most = max((gain.quantity for gain in gains), default=0)
    if int(head.open.max(initial=0)) + most <= _INT64_MAX:
        return ACCEPTED
    return Judgement(Verdict.IMPLAUSIBLE, "the open window would exceed 64 bits")


def elapsed_s(up_ms: int, up0_ms: int) -> int:
    """Whole seconds, rounded up, in which a counter grew; at least one."""
    return max(1, -((up0_ms - TIME_SLACK_MS - up_ms) // 1000))
