"""What reports are read with: the signing keys as the ledger has them, kept fresh. One thread."""

import time
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

from pipeline.admit import Rules
from pipeline.lanes import Intake
from pipeline.names import NamesCache
from pipeline.retries import Released, Retry
from rackmeter.settings import Settings
from sinks.database import Connection
from sinks.known_keys import KnownKeys
from sinks.retries import released
from sinks.vault import Vault

KEYS_LOOK_S: Final = 10.0
"""How late an end that was brought nearer is noticed; new keys are looked up at once."""


class Intakes:
    """The intake in force. ``connection`` gives one that lives, outside a transaction."""

    def __init__(
        self,
        settings: Settings,
        vault: Vault,
        partitions: int,
        connection: Callable[[], Connection],
    ) -> None:
        self._settings, self._partitions = settings, partitions
        self._connection, self._keys = connection, KnownKeys(vault)
        self._names = NamesCache()
        self._intake: Intake | None = None
        self._stale_at = 0.0

    def current(self) -> Intake:
        if self._intake is not None and time.monotonic() < self._stale_at:
            return self._intake
        conn = self._connection()
        changed = self._keys.refresh(conn)
        conn.rollback()
        self._stale_at = time.monotonic() + KEYS_LOOK_S
        return self._made() if self._intake is None or changed else self._intake

    def _look_up(self, kids: set[str]) -> Intake:
        """A flood of strangers costs a query."""
        conn = self._connection()
        found = self._keys.look_up(conn, kids)
        conn.rollback()
        return self._made() if found else self.current()

    def _release(
        self, topic_id: UUID, part: int, retries: Sequence[Retry]
    ) -> list[Released | None]:
        conn = self._connection()
        found = released(conn, topic_id, part, retries)
        conn.rollback()
        return found

    def _made(self) -> Intake:
        keyring, registered = self._keys.snapshot()
        settings = self._settings
        self._intake = Intake(
            keyring, registered, self._names, settings.environment, self._partitions,
            Rules(settings.gap_limit_ms), settings.clock_tolerance_ms,
            lookup=self._look_up, release=self._release,
        )  # fmt: skip
        return self._intake
