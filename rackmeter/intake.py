"""What reports are read with: the signing keys as the ledger has them, kept fresh. One thread."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID

from pipeline.admit import Rules
from pipeline.lanes import Intake
from pipeline.names import NamesCache
from pipeline.retries import Released, Retry
from rackmeter.settings import Settings
from sinks.database import Connection
from sinks.keys import keys_exist, load_keys
from sinks.retries import released
from sinks.vault import Vault

KEYS_RELOAD_S: Final = 10.0
"""How late an end that was brought nearer is noticed; new keys are looked up at once."""
KEYS_RELOAD_FACTOR: Final = 100
"""Loading takes a hundredth of the time at most: 10,000 keys 40–100 ms, 100,000 keys 0.7–0.9 s."""


class Intakes:
    """The intake in force. ``connection`` gives one that lives, outside a transaction."""

    def __init__(
        self,
        settings: Settings,
        vault: Vault,
        partitions: int,
        connection: Callable[[], Connection],
    ) -> None:
        self._settings, self._vault, self._partitions = settings, vault, partitions
        self._connection = connection
        self._names = NamesCache()
        self._intake: Intake | None = None
        self._stale_at = 0.0

    def current(self) -> Intake:
        stale = time.monotonic() > self._stale_at
        return self._load() if self._intake is None or stale else self._intake

    def _look_up(self, kids: set[str]) -> Intake:
        """Load anew when the ledger knows one of these; a flood of strangers costs a query."""
        conn = self._connection()
        known = keys_exist(conn, kids)
        conn.rollback()
        return self._load() if known else self.current()

    def _release(
        self, topic_id: UUID, part: int, retries: Sequence[Retry]
    ) -> list[Released | None]:
        conn = self._connection()
        found = released(conn, topic_id, part, retries)
        conn.rollback()
        return found

    def _load(self) -> Intake:
        conn, began = self._connection(), time.monotonic()
        keyring, registered = load_keys(conn, self._vault)
        conn.rollback()
        ended = time.monotonic()
        self._stale_at = ended + max(KEYS_RELOAD_S, KEYS_RELOAD_FACTOR * (ended - began))
        settings = self._settings
        made = Intake(
            keyring, registered, self._names, settings.environment, self._partitions,
            Rules(settings.gap_limit_ms), settings.clock_tolerance_ms,
        )  # fmt: skip
        self._intake = replace(made, lookup=self._look_up, release=self._release)
        return self._intake
