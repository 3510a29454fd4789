"""Which servers are set aside in which partition, and whether that lets the ledger go on."""

from typing import Final

import structlog

from pipeline.lanes import Sealed
from pipeline.quarantine import NONE_ASIDE, Aside
from rackmeter import metrics
from sinks.checkpoint import Checkpointer

log = structlog.get_logger(__name__)
TRIES_MAX: Final = 3
"""Without those servers the ledger must get further; where it still stands at one offset, stop."""


class Quarantine:
    """Of one worker; another one that takes a partition over finds out by itself."""

    def __init__(self, checkpointer: Checkpointer) -> None:
        self._checkpointer = checkpointer
        self._aside: dict[int, Aside] = {}
        self._stuck: dict[int, tuple[int, int]] = {}
        """Partition → offset at which its ledger stood last, and how often."""

    def of(self, part: int) -> Aside:
        return self._aside.get(part, NONE_ASIDE)

    def widen(self, sealed: Sealed, why: str) -> bool:
        """Find the servers because of which a checkpoint is refused; False: it is no server's
        matter, or setting servers aside has not helped.
        """
        part, base = sealed.part, sealed.base
        at, tries = self._stuck.get(part, (base, 0))
        self._stuck[part] = base, tries + 1 if at == base else 1
        if self._stuck[part][1] > TRIES_MAX:
            return False
        found = self._checkpointer.refused(sealed)
        if not found:
            return False
        before = self.of(part)
        known = before.why if before.end > base else {}
        self._aside[part] = Aside(max(sealed.expect, before.end), {**known, **found})
        metrics.QUARANTINED.inc(len(found))
        log.error(
            "servers set aside", part=part, begin=base, end=sealed.expect, servers=sorted(found),
            why=why,
        )  # fmt: skip
        return True
