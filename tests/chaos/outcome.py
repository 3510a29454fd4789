"""What a run came to, and the independent audit of it.

The truth is the simulator's, made before anything started; the ledger is read with plain SQL.
"""

import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, Final

from rackmeter.fleet.audit import Difference, audit
from rackmeter.fleet.truth import Truth
from schemas.verdict import Verdict
from sinks.database import Connection
from tests.chaos.crew import End
from tests.chaos.schedule import Fault
from tests.chaos.watch import Sample, percentiles, positions, recovery_s

OWN_ENDS: Final = (0, 4)
"""Exit codes with which a worker may end by itself: a dependency was away for long."""


@dataclass
class Played:
    """A fault that happened; times in seconds from the start."""

    fault: Fault
    at_s: float
    ended_s: float
    reached: bool = True
    recovery_s: float | None = None


@dataclass
class Outcome:
    """What was found. ``wrong`` is empty when everything is as it must be."""

    seed: int
    reports: int
    kills: int = 0
    restarts: int = 0
    lost: int = 0
    doubled: int = 0
    figures: int = 0
    repeated: int = 0
    """Messages that the broker holds more often than they were sent."""
    taken_back: int = 0
    """How often a crash of the database took commits back."""
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)
    played: list[Played] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    killed_s: list[float] = field(default_factory=list)
    sent: list[tuple[float, int]] = field(default_factory=list)

    def judge(self, conn: Connection, truth: Truth) -> None:
        """The ledger against the truth."""
        found = audit(conn, truth)
        self.lost, self.doubled, self.figures = found.lost, found.doubled, found.figures
        self.wrong += [_said(one) for one in found.differences[:20]]
        broken = conn.execute("SELECT count(*) FROM conservation_violation").fetchone()
        if broken != (0,):
            self.wrong.append(f"conservation is violated {broken} times")
        self.repeated = sum(positions(conn)) - truth.reports
        self.wrong += list(verdicts(conn, truth.verdicts, self.repeated))

    def count_ends(self, ends: Sequence[End], began_s: float) -> None:
        """Nothing but a kill may end a worker, unless a dependency was away for long."""
        self.killed_s = [end.at_s - began_s for end in ends if end.code == -signal.SIGKILL]
        self.kills, self.restarts = len(self.killed_s), len(ends)
        for end in ends:
            if end.code != -signal.SIGKILL and end.code not in OWN_ENDS:
                self.wrong.append(f"worker {end.worker} ended by itself with {end.code}")

    def measure(self, samples: Sequence[Sample], began_s: float) -> None:
        """Recoveries, and how often the ledger went back."""
        for one in self.played:
            one.recovery_s = recovery_s(samples, began_s + one.ended_s)
        self.played.sort(key=lambda one: one.at_s)
        self.samples = [Sample(at_s - began_s, held) for at_s, held in samples]
        sums = [sum(sample.positions) for sample in samples]
        self.taken_back = sum(after < before for before, after in pairwise(sums))

    def document(self) -> dict[str, Any]:
        recovered = [one.recovery_s for one in self.played if one.recovery_s is not None]
        return {
            "seed": self.seed, "kills": self.kills, "restarts": self.restarts,
            "reports": self.reports, "repeated": self.repeated, "figures": self.figures,
            "taken_back": self.taken_back, "lost": self.lost, "doubled": self.doubled,
            "wrong": self.wrong,
            "recovery_s": percentiles(recovered), "recoveries": len(recovered),
            "seconds": round(self.seconds, 1),
            "kinds": dict(Counter(one.fault.kind.value for one in self.played)),
            "steps": dict(sorted(Counter(
                one.fault.step for one in self.played if one.fault.step and one.reached
            ).items())),
            "schedule": [_shown(one) for one in self.played],
        }  # fmt: skip


def _shown(one: Played) -> dict[str, Any]:
    said = {name: value for name, value in asdict(one.fault).items() if value}
    times = {"began_s": one.at_s, "ended_s": one.ended_s, "recovery_s": one.recovery_s}
    rounded = {name: at if at is None else round(at, 2) for name, at in times.items()}
    return said | rounded | ({} if one.reached else {"reached": False})


def _said(one: Difference) -> str:
    series = f"{one.server} {one.meter} {one.resource}"
    return f"{series} {one.figure}: {one.ledger} where the truth is {one.truth}"


def verdicts(conn: Connection, wanted: dict[str, int], repeated: int) -> Iterator[str]:
    """Every message has one verdict, and every refused one lies among the dead letters."""
    found: Counter[str] = Counter()
    for (counts,) in conn.execute("SELECT counts FROM ingest_offset"):
        found.update(counts)
    more = {verdict: n - wanted.get(verdict, 0) for verdict, n in found.items()}
    fewer = [verdict for verdict, n in wanted.items() if found[verdict] < n]
    if fewer or sum(more.values()) != repeated:
        yield f"verdicts are {dict(found)} where {wanted} were due and {repeated} came twice"
    rows = conn.execute("SELECT reason, count(*) FROM dead_letter GROUP BY 1").fetchall()
    refused = {verdict.value for verdict in Verdict if verdict.refused}
    due = {verdict: n for verdict, n in found.items() if verdict in refused and n}
    if dict(rows) != due:
        yield f"dead letters are {dict(rows)} where {due} were refused"
