"""When so many servers are refused that it is no matter of single reports: then metering stops.

Pure. A wrong environment, lost keys, a broken release of the agent: each refuses servers that were
metered before, and every report more that is refused is one more to be mended later. Servers count,
not messages: anyone who may write to the topic can flood it and name whom he likes, but he cannot
keep others' own reports from being taken. So a server is lost when something that names it was
refused and nothing of it was taken for a window of time in which healthy servers report several
times. Only who was metered within the day before counts: nobody can invent those, and naming who
has left is of no use.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pipeline.heads import Head
from pipeline.lanes import Sealed
from schemas.verdict import Verdict

_BAD: Final = {verdict.value for verdict in Verdict if verdict.refused}
_RECENT_MS: Final = 86_400_000
SERVERS_MIN: Final = 10
"""Fewer are one customer's, who must not be able to stop everybody's billing."""


@dataclass(slots=True)
class Refusals:
    """One partition's window: what was refused of whom, and who was taken."""

    part: int
    ratio_max: float
    reports_min: int
    window_ms: int
    """Of append time, which no flood shortens: several of a healthy server's reports."""
    lost: int = 0
    """Servers lost in the last window that is over."""
    _since_ms: int | None = None
    _counts: Counter[str] = field(default_factory=Counter)
    _taken: set[str] = field(default_factory=set)
    _refused: set[str] = field(default_factory=set)

    def look(self, sealed: Sealed, heads: Mapping[str, Head]) -> str | None:
        """Add a checkpoint that is in the ledger; why to stop, where a window ends with too many
        lost.
        """
        if self._since_ms is None:
            self._since_ms = sealed.append_ms
        self._counts += sealed.out.counts
        self._taken |= sealed.taken
        self._refused.update(
            server
            for server in {_server(letter.key) for letter in sealed.out.dead}
            if server in heads
        )
        waited_ms = sealed.append_ms - self._since_ms
        if waited_ms < self.window_ms or self._counts.total() < self.reports_min:
            return None
        lost = sum(
            heads[server].chains.at_ms > self._since_ms - _RECENT_MS
            for server in self._refused - self._taken
        )
        heard = lost + len(self._taken)
        why = self._sentence(lost, heard, waited_ms, sealed.expect)
        self.lost, self._since_ms = lost, sealed.append_ms
        self._counts.clear()
        self._taken.clear()
        self._refused.clear()
        return why if lost >= SERVERS_MIN and lost > self.ratio_max * heard else None

    def _sentence(self, lost: int, heard: int, waited_ms: int, offset: int) -> str:
        refused = ", ".join(
            f"{count} {reason}" for reason, count in self._counts.most_common() if reason in _BAD
        )
        return (
            f"Partition {self.part}: every report of {lost} of {heard} servers was refused for"
            f" {waited_ms / 60_000:.3g} minutes ({refused}), more than dead_letter_ratio_max"
            f" ({self.ratio_max:g}): stopped at offset {offset}, nothing is lost. `rackmeter dlq"
            " list` says why; mend that and start again, or set RACKMETER_DEAD_LETTER_RATIO_MAX"
            " higher (1 never stops)."
        )


def _server(key: bytes | None) -> str:
    return (key or b"").decode(errors="replace")
