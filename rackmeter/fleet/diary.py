"""A server's diary: every report its agent wrote, and what really passed. Pure.

``used`` is the truth: it comes from what happened on the machine, never from the notes that were
sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from rackmeter.fleet.life import Life
from rackmeter.fleet.truth import used_until
from schemas.report import Report

Series = tuple[str, str]
"""Meter and resource."""


@dataclass(frozen=True, slots=True)
class Note:
    """One report as the agent wrote it. Its ``sent_up_ms`` is set when it is sent."""

    report: Report
    read_ms: int
    """When the reading was taken, by a clock that is right."""


@dataclass(frozen=True, slots=True)
class Diary:
    """In order of time. Numbers in ``unsent``, ``again`` and ``lasts`` are places in ``notes``."""

    server: str
    notes: tuple[Note, ...]
    used: Mapping[Series, int]
    unsent: frozenset[int] = frozenset()
    """Saved and not sent: the agent was killed in between."""
    again: tuple[tuple[int, int], ...] = ()
    """``(note, after)``: after a boot the agent sends the last one that it had saved."""

    @property
    def lasts(self) -> frozenset[int]:
        """The last note of each origin: what its total hangs on."""
        return frozenset({note.report.origin: n for n, note in enumerate(self.notes)}.values())


def diary_of(life: Life) -> Diary:
    """The diary of a life whose agent is always right."""
    notes = [Note(life.report(n, life.at(n)), life.at(n)) for n in life.taken]
    used = {
        series: used_until(life, column, life.at(-1))
        for column, series in enumerate(zip(life.meter, life.resource, strict=True))
    }
    return Diary(life.machine.id, tuple(notes), used)
